import t from 'tap';
import { nextSampleInMs, type CadenceInput } from '../../../lib/core/cadence.ts';

const GIB = 1024 ** 3;
const CALM: CadenceInput = {
  baseMs: 1_000,
  ageMs: 60_000,
  stage: 'normal',
  approaches: [],
  uncappedMemory: null,
  untilRuntimeStageMs: null,
};

t.test('a table of situations', async (t) => {
  const table: readonly (readonly [name: string, input: Partial<CadenceInput>, ms: number])[] = [
    ['calm', {}, 1_000],
    ['calm with an interval of its own', { baseMs: 5_000 }, 5_000],
    ['a short interval stays', { baseMs: 50 }, 50],
    ['never below 10 ms', { baseMs: 1 }, 10],
    ['young', { ageMs: 1_999 }, 100],
    ['young no more', { ageMs: 2_000 }, 1_000],
    ['warning', { stage: 'warning' }, 500],
    ['throttled', { stage: 'throttled' }, 250],
    ['cleanup', { stage: 'cleanup' }, 100],
    ['emergency', { stage: 'emergency' }, 100],
    ['a stage does not slow a fast interval down', { baseMs: 100, stage: 'warning' }, 100],
    [
      '12 looks on the way to the emergency',
      { approaches: [{ ratio: 0.3, growthPerMs: 0.0002, emergency: 1.5 }] },
      500,
    ],
    ['slow growth does not matter', { approaches: [{ ratio: 0.3, growthPerMs: 0.000_001, emergency: 1.5 }] }, 1_000],
    ['fast growth: 20 ms at least', { approaches: [{ ratio: 1.4, growthPerMs: 1, emergency: 1.5 }] }, 20],
    ['beyond the emergency already', { approaches: [{ ratio: 2, growthPerMs: 1, emergency: 1.5 }] }, 20],
    ['no growth', { approaches: [{ ratio: 0.9, growthPerMs: 0, emergency: 1.5 }] }, 1_000],
    [
      'the fastest of several',
      {
        approaches: [
          { ratio: 0.3, growthPerMs: 0.0002, emergency: 1.5 },
          { ratio: 0.3, growthPerMs: 0.0004, emergency: 1.5 },
        ],
      },
      250,
    ],
    ['uncapped memory far from its limit', { uncappedMemory: { usageBytes: 0, limitBytes: GIB } }, 100],
    ['uncapped memory just below 70 %', { uncappedMemory: { usageBytes: 0.699 * GIB, limitBytes: GIB } }, 100],
    [
      'uncapped memory at 75 %: a quarter GiB at 6 GiB/s, halved',
      { uncappedMemory: { usageBytes: 0.75 * GIB, limitBytes: GIB } },
      1_000 / 6 / 4 / 2,
    ],
    ['uncapped memory close to its limit', { uncappedMemory: { usageBytes: 0.99 * GIB, limitBytes: GIB } }, 10],
    ['uncapped memory over its limit', { uncappedMemory: { usageBytes: 2 * GIB, limitBytes: GIB } }, 10],
    ['much headroom of uncapped memory', { uncappedMemory: { usageBytes: 8 * GIB, limitBytes: 10 * GIB } }, 100],
    ['a runtime stage is near: just beyond it', { untilRuntimeStageMs: 40 }, 41],
    ['a runtime stage is now', { untilRuntimeStageMs: 0 }, 10],
    ['a runtime stage is far', { untilRuntimeStageMs: 600_000 }, 1_000],
  ];
  for (const [name, input, ms] of table)
    t.ok(
      Math.abs(nextSampleInMs({ ...CALM, ...input }) - ms) < 1e-6,
      `${name}: ${nextSampleInMs({ ...CALM, ...input })}`,
    );
});

t.test('property: always between 10 ms and the interval', async (t) => {
  let seed = 7;
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  for (let round = 0; round < 2_000; round++) {
    const baseMs = 10 + random() * 5_000;
    const ms = nextSampleInMs({
      baseMs,
      ageMs: random() * 5_000,
      stage:
        (['normal', 'warning', 'throttled', 'cleanup', 'emergency'] as const)[Math.floor(random() * 5)] ?? 'normal',
      approaches: [{ ratio: random() * 2, growthPerMs: random() - 0.5, emergency: 1.5 }],
      uncappedMemory: random() < 0.5 ? null : { usageBytes: random() * 2 * GIB, limitBytes: GIB },
      untilRuntimeStageMs: random() < 0.5 ? null : random() * 10_000,
    });
    if (!(ms >= 10 && ms <= baseMs)) t.fail(`${ms} with ${baseMs}`);
  }
});
