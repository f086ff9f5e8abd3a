import t from 'tap';
import { DecayingHistogram, GROWTH } from '../../../lib/core/histogram.ts';
import type { Scheme } from '../../../lib/core/histogram.ts';

const MIB = 1024 ** 2;
const DAY_MS = 86_400_000;
const MEMORY: Scheme = { firstWidth: MIB, most: 4 * 1024 ** 4 };
const COUNT: Scheme = { firstWidth: 1, most: 1e7 };

/** xorshift32: the same numbers each time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

interface Sample {
  readonly value: number;
  readonly weight: number;
}

/** The smallest value with at least this share of the weight at or below it. */
function exactly(samples: readonly Sample[], share: number): number {
  const sorted = samples.toSorted((a, b) => a.value - b.value);
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  for (const { value, weight } of sorted) {
    sum += weight;
    if (sum >= share * total * (1 - 1e-12)) return value;
  }
  return sorted.at(-1)?.value ?? NaN;
}

const SHARES = [0, 0.05, 0.5, 0.9, 0.95, 0.99, 1];

t.test('against an exact percentile: never too low, at most a bucket too high', (t) => {
  const shapes: Readonly<Record<string, (next: () => number) => number>> = {
    even: (next) => next() * 1000 * MIB,
    'small and rarely large': (next) => (next() < 0.03 ? 900 * MIB : 60 * MIB) * (0.9 + next() / 5),
    'over many orders': (next) => 2 ** (next() * 36),
    'all the same': () => 412 * MIB,
    'below the first bucket': (next) => next() * MIB,
  };
  for (const [name, shape] of Object.entries(shapes)) {
    const misses: string[] = [];
    for (let seed = 1; seed <= 20; seed++) {
      const next = random(seed * 7919);
      const histogram = new DecayingHistogram(MEMORY, DAY_MS);
      const samples: Sample[] = [];
      const spanMs = next() * 30 * DAY_MS;
      const count = 1 + Math.floor(next() * 400);
      for (let index = 0; index < count; index++) {
        const atMs = (spanMs * index) / count;
        const [value, weight] = [shape(next), 0.5 + next()];
        histogram.add(value, weight, atMs);
        samples.push({ value, weight: weight * 2 ** (atMs / DAY_MS) });
      }
      for (const share of SHARES) {
        const found = histogram.percentile(share, spanMs) ?? NaN;
        // The rounding of the weights may move what lies exactly on a border by one sample.
        const least = exactly(samples, Math.max(0, share - 0.002));
        const most = exactly(samples, Math.min(1, share + 0.002)) * GROWTH + MIB;
        if (!(found >= least * (1 - 1e-9) && found <= most))
          misses.push(`seed ${seed}, p${share * 100}: ${found} is not within ${least} and ${most}`);
      }
    }
    t.strictSame(misses, [], name);
  }
  t.end();
});

t.test('a sample that is not in it yet counts like one that is', (t) => {
  for (const more of [5, 40, 900]) {
    const [without, within] = [new DecayingHistogram(COUNT, DAY_MS), new DecayingHistogram(COUNT, DAY_MS)];
    for (const value of [30, 32, 40, 41]) for (const histogram of [without, within]) histogram.add(value, 1, 0);
    within.add(more, 1, 0);
    for (const share of SHARES)
      t.equal(without.percentile(share, 0, more), within.percentile(share, 0), `${more} p${share}`);
  }
  const empty = new DecayingHistogram(COUNT, DAY_MS);
  t.equal(empty.percentile(0.5, 0), null);
  t.equal(empty.isEmpty, true);
  t.ok((empty.percentile(0.5, 0, 7) ?? 0) >= 7);
  t.end();
});

t.test('what is old counts for half with each half-life, and is forgotten', (t) => {
  const histogram = new DecayingHistogram(COUNT, DAY_MS);
  histogram.add(1000, 3, 0);
  histogram.add(10, 2, DAY_MS);
  t.ok((histogram.percentile(0.5, DAY_MS) ?? Infinity) < 12, 'three of yesterday weigh less than two of today');
  t.ok((histogram.percentile(0.6, DAY_MS) ?? 0) >= 1000);
  t.ok((histogram.highest(DAY_MS) ?? 0) >= 1000);
  histogram.add(10, 1, 10 * DAY_MS);
  t.ok((histogram.highest(10 * DAY_MS) ?? Infinity) < 12, 'forgotten');
  t.equal(histogram.highest(30 * DAY_MS), null, 'all of it');
  t.end();
});

t.test('years do not overflow it', (t) => {
  const histogram = new DecayingHistogram(COUNT, DAY_MS);
  for (let day = 0; day < 5_000; day++) histogram.add(day % 10 === 0 ? 100 : 50, 1, day * DAY_MS);
  const atMs = 5_000 * DAY_MS;
  t.ok(Number.isFinite(histogram.percentile(0.99, atMs) ?? NaN));
  const median = histogram.percentile(0.5, atMs) ?? 0;
  t.ok(median >= 50 && median < 54, String(median));
  t.end();
});

t.test('values at both ends', (t) => {
  const histogram = new DecayingHistogram(COUNT, DAY_MS);
  histogram.add(0, 1, 0);
  t.ok(Math.abs((histogram.percentile(1, 0) ?? NaN) - 1) < 1e-9);
  histogram.add(1e12, 1, 0);
  t.ok((histogram.percentile(1, 0) ?? 0) >= 0.9e7, 'more than the scheme knows lies in the last bucket');
  t.end();
});

t.test('written and read again it says the same', (t) => {
  const histogram = new DecayingHistogram(COUNT, DAY_MS);
  const next = random(42);
  for (let index = 0; index < 500; index++) histogram.add(next() * 300, 1, index * 3_600_000);
  const atMs = 500 * 3_600_000;
  const again = new DecayingHistogram(COUNT, DAY_MS);
  t.ok(again.restore(histogram.state(atMs), atMs));
  // What was forgotten is not written: less than a hundredth of the weight.
  for (const share of [0.5, 0.9, 0.99]) {
    const [a, b] = [histogram.percentile(share, atMs) ?? 0, again.percentile(share, atMs) ?? 0];
    t.ok(Math.abs(a - b) <= a * 0.06 + 1, `p${share}: ${a} and ${b}`);
  }
  t.equal(again.highest(atMs), histogram.highest(atMs));
  again.add(5_000, 1, atMs);
  t.ok((again.percentile(1, atMs) ?? 0) >= 5_000);
  t.end();
});

t.test('what is no state changes nothing', (t) => {
  for (const state of [
    { first: -1, weights: [1] },
    { first: 0.5, weights: [1] },
    { first: 0, weights: [-1] },
    { first: 0, weights: [NaN] },
    { first: 0, weights: ['1' as unknown as number] },
    { first: 0, weights: Array.from({ length: 5_000 }, () => 1) },
    { first: 100_000, weights: [1] },
  ]) {
    const histogram = new DecayingHistogram(COUNT, DAY_MS);
    histogram.add(3, 1, 0);
    t.equal(histogram.restore(state, 0), false);
    t.ok((histogram.percentile(1, 0) ?? 0) >= 3);
  }
  t.end();
});
