/** Seconds out of readings, one series out of many runs, and what a question is answered with. */

import t from 'tap';
import { RESOURCES } from '../../../../lib/core/resource.ts';
import { measured, unsupported } from '../../../../lib/core/usage.ts';
import type { Readings } from '../../../../lib/core/usage.ts';
import { SecondBuckets } from '../../../../lib/observe/history/buckets.ts';
import type { ClosedSecond } from '../../../../lib/observe/history/buckets.ts';
import { fold } from '../../../../lib/observe/history/fold.ts';
import { pieces, planRange, POINTS_MAX } from '../../../../lib/observe/history/plan.ts';
import { COLUMNS, ReadingBatch } from '../../../../lib/observe/history/readings.ts';
import { expectedBytes, TIERS } from '../../../../lib/observe/history/tiers.ts';
import { USUAL } from '../../../helpers/history-stand.ts';

type Told = readonly [slot: number, second: number, min: number | null, mean: number | null, max: number | null];

function bucketsOf(readings: readonly (readonly [slot: number, atMs: number, memory: number])[]) {
  const numbers = new Float64Array(readings.length * COLUMNS).fill(Number.NaN);
  for (const [row, values] of readings.entries()) numbers.set(values, row * COLUMNS);
  const told: Told[] = [];
  const close = ({ slot, second, mean, min, max }: ClosedSecond): void =>
    void told.push([slot, second, min(0), mean(0), max(0)]);
  const buckets = new SecondBuckets();
  buckets.take(numbers, readings.length, (atMs) => Math.floor(atMs / 1000), close);
  return { buckets, told, close };
}

t.test('a row has a column for each resource, in their order', async (t) => {
  const batch = new ReadingBatch(new ArrayBuffer(ReadingBatch.bytes(2)));
  const readings = Object.fromEntries(
    RESOURCES.map((resource, index) => [resource, measured(100 + index, 'exact', 0)]),
  ) as Readings;
  batch.add(7, 1_000, readings);
  batch.add(8, 1_000, { ...readings, cpu: unsupported('not here') });
  const values = RESOURCES.map((_, index) => 100 + index);
  const missing = values.map((value, index) => (RESOURCES[index] === 'cpu' ? Number.NaN : value));
  t.same([...new Float64Array(batch.buffer)], [7, 1_000, ...values, 8, 1_000, ...missing]);
  t.equal(values.length, COLUMNS - 2);
  t.ok(batch.isFull);
});

t.test('a second is closed by the next, by time, or by the end of its run', async (t) => {
  const { buckets, told, close } = bucketsOf([
    [0, 1_000, 10],
    [0, 1_100, 40],
    [200, 1_200, 7],
    [0, 1_900, 10],
    [0, 2_000, Number.NaN],
    [0, 1_950, 5],
  ]);
  t.same(told, [[0, 1, 10, 20, 40]]);
  buckets.closeBefore(2, close);
  t.same(told.slice(1), [[200, 1, 7, 7, 7]]);
  buckets.end(0, close);
  t.same(told.slice(2), [[0, 2, 5, 5, 5]], 'one that came late belongs to the second that is open');
  buckets.end(0, close);
  buckets.closeBefore(Infinity, close);
  t.equal(told.length, 3, 'once each');
});

t.test('a reading that could not be taken is none, not a zero', async (t) => {
  const { buckets, told, close } = bucketsOf([
    [0, 0, Number.NaN],
    [0, 1_000, 0],
  ]);
  buckets.closeBefore(Infinity, close);
  t.same(told, [
    [0, 0, null, null, null],
    [0, 1, 0, 0, 0],
  ]);
});

const stint = (fromS: number, untilS: number, min: number | null, mean = min, max = min) => ({
  fromS,
  untilS,
  mean,
  min,
  max,
});

t.test('runs at once are added up, one after the other is not', async (t) => {
  t.same(fold([], false), { mean: null, min: null, max: null });
  t.same(fold([stint(0, 10, 1, 2, 3)], false), { mean: 2, min: 1, max: 3 });
  t.same(fold([stint(0, 20, 10), stint(20, 60, 40)], false), { mean: 30, min: 10, max: 40 });
  t.same(fold([stint(0, 60, 100), stint(0, 30, 10, 20, 50)], false), { mean: 110, min: 100, max: 150 });
  t.same(fold([stint(0, 60, 100), stint(0, 60, 10)], true), { mean: 100, min: 100, max: 100 }, 'the longest runtime');
  t.same(fold([stint(0, 60, 100), stint(50, 60, 10), stint(0, 10, 60)], false), {
    mean: (160 * 10 + 100 * 40 + 110 * 10) / 60,
    min: 100,
    max: 160,
  });
});

t.test('one run that could not be read makes the sum unread for as long as it ran', async (t) => {
  t.same(fold([stint(0, 60, 100), stint(0, 60, null)], false), { mean: null, min: null, max: null });
  t.same(fold([stint(0, 60, 100), stint(0, 10, null)], false), { mean: 100, min: 100, max: 100 });
});

const NOW_S = 1_700_000_000;
const plan = (fromS: number | null, toS: number | null, stepS: number | null) =>
  planRange({ fromS, toS, stepS }, USUAL, NOW_S);

t.test('the tier that is fine enough and reaches back far enough', async (t) => {
  const chosen = (backS: number, stepS: number | null): readonly [string, number] => {
    const range = plan(NOW_S - backS, null, stepS);
    if (!range.ok) throw new Error(range.error);
    const { fromS, toS, stepS: step, tier } = range.value;
    t.ok(
      fromS <= NOW_S - backS && toS >= NOW_S && (toS - fromS) % step === 0,
      'whole steps, around what was asked for',
    );
    t.ok((toS - fromS) / step <= POINTS_MAX);
    return [tier.name, step];
  };
  t.same(chosen(300, 1), ['1s', 1]);
  t.same(chosen(300, null), ['1s', 1]);
  t.same(chosen(3_600, 1), ['10s', 10], 'nothing finer is kept for so long');
  t.same(chosen(3_600, 25), ['10s', 25]);
  t.same(chosen(300, 600), ['1m', 600]);
  t.same(chosen(7 * 86_400, null), ['1m', 3_600]);
  t.same(chosen(86_400, 10), ['1m', 60]);
  t.same(chosen(60 * 86_400, null), ['1m', 21_600], 'further back than anything is kept: gaps');
});

t.test('absurd ranges and steps are refused with what would be right', async (t) => {
  const refused = (fromS: number | null, toS: number | null, stepS: number | null): string => {
    const range = plan(fromS, toS, stepS);
    return range.ok ? 'taken' : range.error;
  };
  t.match(refused(NOW_S + 10, null, null), /future/);
  t.match(refused(NOW_S - 10, NOW_S - 10, null), /not before/);
  t.match(refused(NOW_S - 10, NOW_S - 20, null), /not before/);
  t.match(refused(-1e12 - 60, -1e12, null), /^taken$/, 'nothing is there, which is no mistake');
  t.match(refused(-1e12, null, null), /nothing is kept for so long; at most 3660d$/);
  t.match(refused(NOW_S - 13 * 86_400, null, 60), /at most 10000; ask for a shorter range, or a step of 1m53s or more/);
  t.match(refused(NOW_S - 60, null, 0), /whole number/);
  t.match(refused(NOW_S - 60, null, 1.5), /whole number/);
  t.match(refused(NOW_S - 60, null, 1e12), /longer than anything/);
  t.equal(refused(NOW_S - 60, NOW_S + 1e9, 1), 'taken', 'the future has nothing: it ends now');
});

t.test('what a tier has not got yet comes from the finer ones', async (t) => {
  const [second, ten, minute] = TIERS;
  const made = { '1s': Infinity, '10s': 630, '1m': 600 } as const;
  t.same(
    pieces(minute, 90, 641, ({ name }) => made[name]),
    [
      { tier: minute, fromBucket: 1, toBucket: 10 },
      { tier: ten, fromBucket: 60, toBucket: 63 },
      { tier: second, fromBucket: 630, toBucket: 641 },
    ],
  );
  t.same(
    pieces(second, 90, 95, ({ name }) => made[name]),
    [{ tier: second, fromBucket: 90, toBucket: 95 }],
  );
  t.same(
    pieces(minute, 90, 300, ({ name }) => made[name]),
    [{ tier: minute, fromBucket: 1, toBucket: 5 }],
  );
  t.same(
    pieces(minute, 300, 300, ({ name }) => made[name]),
    [],
  );
});

t.test('the room that it takes grows with the runs', async (t) => {
  const bytes = (watched: number, readings: 'one' | 'several'): number =>
    expectedBytes(USUAL, { watched, runs: 0, totals: 0, readings });
  t.equal(bytes(2, 'one') - bytes(1, 'one'), 72 * 600 + 156 * 2_160 + 156 * 20_160);
  t.equal(bytes(2, 'several') - bytes(1, 'several'), 156 * 600 + 156 * 2_160 + 156 * 20_160);
  t.equal(RESOURCES.length, 7);
});
