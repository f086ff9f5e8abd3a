import t from 'tap';
import { adapt, LOWER_PACE_MS, RAISE_PACE_MS } from '../../../lib/core/adapt.ts';
import type { AdaptState } from '../../../lib/core/adapt.ts';
import { DEFAULT_THRESHOLDS } from '../../../lib/core/ladder.ts';
import type { Proposal } from '../../../lib/core/recommend.ts';

const MIB = 1024 ** 2;
const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * 24 * HOUR_MS;

function proposal(proposedMib: number | null, observedMs = WEEK_MS): Proposal {
  return {
    resource: 'memory',
    unit: 'bytes',
    limit: 400 * MIB,
    proposed: proposedMib === null ? null : proposedMib * MIB,
    percentile: 0.99,
    usage: null,
    highest: null,
    margin: 1 / 3,
    samples: 10_000,
    ended: 0,
    observedMs,
    confidence: 'high',
    reason: 'because',
  };
}

/** Amounts in MiB. */
interface Case {
  readonly limit?: number;
  readonly min?: number;
  readonly max?: number;
  readonly proposed?: number | null;
  readonly observedMs?: number;
  readonly inUse?: number;
  readonly isStaged?: boolean;
  readonly sinceChangeMs?: number;
  readonly isBumped?: boolean;
  readonly isLeaking?: boolean;
}

function state(given: Case): AdaptState {
  return {
    limit: (given.limit ?? 400) * MIB,
    bounds: { min: (given.min ?? 100) * MIB, max: (given.max ?? 1000) * MIB },
    thresholds: DEFAULT_THRESHOLDS,
    exitMargin: 0.05,
    proposal: proposal(given.proposed === undefined ? 400 : given.proposed, given.observedMs),
    inUse: (given.inUse ?? 0) * MIB,
    isStaged: given.isStaged ?? false,
    sinceChangeMs: given.sinceChangeMs ?? Infinity,
    isBumped: given.isBumped ?? false,
    isLeaking: given.isLeaking ?? false,
  };
}

t.test('the table', (t) => {
  const cases: readonly (readonly [string, Case, number | RegExp])[] = [
    ['it fits', { proposed: 400 }, /^fits/],
    ['a little more', { proposed: 439 }, /^fits/],
    ['a tenth more', { proposed: 440 }, 440],
    ['more than it may have', { proposed: 5000 }, 1000],
    ['more, so soon after a change', { proposed: 600, sinceChangeMs: RAISE_PACE_MS - 1 }, /at most every 10m/],
    ['more, a while after it', { proposed: 600, sinceChangeMs: RAISE_PACE_MS }, 600],
    ['more, and a run was ended for it', { proposed: 600, sinceChangeMs: 0, isBumped: true }, 600],
    ['a little more, and a run was ended for it', { proposed: 410, isBumped: true }, 410],
    ['more, on a short history', { proposed: 600, observedMs: 900_000 }, 600],
    ['nothing is proposed', { proposed: null }, /^because/],
    ['what is in use needs more than is proposed', { proposed: 300, inUse: 350 }, 500],
    ['less, but not much', { proposed: 330 }, /^fits/],
    ['less', { proposed: 300 }, 343],
    ['far less: a quarter at a time', { proposed: 100 }, 300],
    ['far less, and the least is near', { proposed: 100, min: 350 }, 350],
    ['at its least', { proposed: 50, limit: 100 }, /^fits/],
    ['less, after a day: twice as much is thought safe', { proposed: 150, observedMs: 24 * HOUR_MS }, 300],
    ['less, after a day, within that', { proposed: 190, observedMs: 24 * HOUR_MS }, /^fits/],
    ['less, after half an hour', { proposed: 10, observedMs: HOUR_MS / 2 }, /observed for 1h/],
    ['less, soon after a change', { proposed: 100, sinceChangeMs: LOWER_PACE_MS - 1 }, /at most every 1h/],
    ['less, an hour after it', { proposed: 100, sinceChangeMs: LOWER_PACE_MS }, 300],
    ['less, while a run is at a stage', { proposed: 100, isStaged: true }, /at a stage/],
    // 224 MiB have to stay below 70 % of the limit.
    ['less, but not below what is in use', { proposed: 100, inUse: 224 }, 320],
    ['less, and what is in use needs it all', { proposed: 100, inUse: 275 }, /^fits/],
    ['the least was raised', { limit: 400, min: 500 }, 500],
    ['the most was lowered', { limit: 400, max: 300 }, 300],
    ['the most was lowered to less than what is in use needs', { limit: 400, max: 300, inUse: 290 }, 300],
    ['the most was lowered below what is in use', { limit: 900, max: 500, inUse: 600 }, 500],
    ['what is in use is above the most', { limit: 256, max: 500, inUse: 600 }, 500],
    ['more, while a leak is suspected', { proposed: 600, isLeaking: true }, /^a leak of it is suspected/],
    ['and a run was ended for it', { proposed: 600, isLeaking: true, isBumped: true }, /^a leak of it is suspected/],
    ['less, while a leak is suspected', { proposed: 300, isLeaking: true }, 343],
  ];
  for (const [what, given, expected] of cases) {
    const decision = adapt(state(given));
    if (typeof expected === 'number')
      t.match(decision, { kind: 'change', to: expected * MIB, reason: /because|below its least|above its most/ }, what);
    else t.match(decision, { kind: 'keep', why: expected }, what);
  }
  t.end();
});

t.test('a moment of full CPU is no need of more', (t) => {
  const cpu = (inUse: number, proposed: number): AdaptState => ({
    ...state({}),
    limit: 100,
    bounds: { min: 50, max: 400 },
    proposal: { ...proposal(null), resource: 'cpu', unit: 'percent', proposed },
    inUse,
  });
  t.equal(adapt(cpu(100, 100)).kind, 'keep');
  t.match(adapt(cpu(100, 150)), { kind: 'change', to: 150 });
  t.end();
});

t.test('whatever is known: within its bounds, and never near what is in use', (t) => {
  const values = [1, 60, 100, 240, 399, 400, 401, 900, 3000];
  let changes = 0;
  for (const limit of values)
    for (const proposed of values)
      for (const inUse of [0, ...values])
        for (const observedMs of [0, HOUR_MS, 24 * HOUR_MS, WEEK_MS])
          for (const isBumped of [true, false]) {
            const given = state({ limit, proposed, inUse, observedMs, isBumped });
            const decision = adapt(given);
            if (decision.kind === 'keep') continue;
            changes++;
            const { to } = decision;
            const isWithin = to >= given.bounds.min && to <= given.bounds.max;
            const isSafe = to >= given.limit || to === given.bounds.max || given.inUse / to <= 0.7 + 1e-6;
            if (!isWithin || !isSafe) t.fail(`limit ${limit} proposed ${proposed} in use ${inUse}: ${to / MIB} MiB`);
          }
  t.ok(changes > 500, `${changes} changes`);
  t.end();
});

t.test('it comes to rest, from above and from below, and stays there', (t) => {
  for (const start of [110, 400, 990]) {
    let limit = start * MIB;
    const path: number[] = [];
    for (let step = 0; step < 30; step++) {
      const decision = adapt({ ...state({ proposed: 200 }), limit });
      if (decision.kind === 'keep') break;
      limit = decision.to;
      path.push(Math.round(limit / MIB));
    }
    t.ok(limit >= 200 * MIB && limit <= 256 * MIB, `${start} → ${path.join(' → ')}`);
    t.ok(path.length < 12);
    for (const proposed of [195, 205])
      t.equal(adapt({ ...state({ proposed }), limit }).kind, 'keep', 'and is not moved by a little');
  }
  t.end();
});
