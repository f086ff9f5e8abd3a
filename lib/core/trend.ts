/**
 * Where a series is heading: the median slope (Theil 1950, Sen 1968), how sure it is, and when a limit would be reached.
 * Robust against outliers; the interval takes points to be independent, so points should be floors of bins, not samples.
 */

/** One-sided test of Mann (1945) and Kendall (1975) for a rise. */
export interface RiseTest {
  /** Normal deviate of the statistic; positive: rising. */
  readonly z: number;
  /** Chance of this or more where there is no trend. */
  readonly p: number;
}

export interface Trend {
  /** Unit of the series a millisecond. */
  readonly slopePerMs: number;
  /** 95 % interval of the slope. */
  readonly lowPerMs: number;
  readonly highPerMs: number;
  /** Of the rise. */
  readonly p: number;
  /** How many points it stands on. */
  readonly points: number;
}

export interface Forecast {
  /** Milliseconds until the limit is reached; 0: it is. */
  readonly inMs: number;
  /** 95 %: no sooner than this. */
  readonly earliestMs: number;
  /** 95 %: no later than this; null: it may never be. */
  readonly latestMs: number | null;
  /** 0…1: how sure it is that there is a rise at all. */
  readonly confidence: number;
}

/** Fewer points say nothing. */
const LEAST_POINTS = 6;
const Z_95 = 1.96;

/** Ties count as neither; points that are NaN are left out. */
export function riseTest(values: ArrayLike<number>): RiseTest {
  let score = 0;
  let count = 0;
  const present: number[] = [];
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at] as number;
    if (Number.isNaN(value)) continue;
    for (const before of present) score += Math.sign(value - before);
    present.push(value);
    count += 1;
  }
  const deviation = deviationOf(present, count);
  const z = deviation === 0 ? 0 : (score - Math.sign(score)) / deviation;
  return { z, p: 1 - normalShare(z) };
}

/** @param stepMs between two points; NaN points are gaps. @returns null where there are too few */
export function trendOf(values: ArrayLike<number>, stepMs: number): Trend | null {
  const slopes: number[] = [];
  const present: number[] = [];
  for (let to = 0; to < values.length; to += 1) {
    const value = values[to] as number;
    if (Number.isNaN(value)) continue;
    present.push(value);
    for (let from = 0; from < to; from += 1) {
      const before = values[from] as number;
      if (!Number.isNaN(before)) slopes.push((value - before) / ((to - from) * stepMs));
    }
  }
  if (present.length < LEAST_POINTS) return null;
  slopes.sort((a, b) => a - b);
  const spread = Z_95 * deviationOf(present, present.length);
  const at = (place: number): number => slopes[Math.min(slopes.length - 1, Math.max(0, Math.round(place)))] as number;
  return {
    slopePerMs: median(slopes),
    lowPerMs: at((slopes.length - spread) / 2),
    highPerMs: at((slopes.length + spread) / 2),
    p: riseTest(values).p,
    points: present.length,
  };
}

/** @param level now, in the unit of the limit @returns null where it is not rising */
export function forecast(trend: Trend, level: number, limit: number): Forecast | null {
  const left = limit - level;
  const confidence = 1 - trend.p;
  if (left <= 0) return { inMs: 0, earliestMs: 0, latestMs: 0, confidence };
  if (trend.slopePerMs <= 0) return null;
  return {
    inMs: left / trend.slopePerMs,
    earliestMs: left / trend.highPerMs,
    latestMs: trend.lowPerMs <= 0 ? null : left / trend.lowPerMs,
    confidence,
  };
}

/** Of a sorted list. */
export function median(sorted: readonly number[]): number {
  const middle = sorted.length >> 1;
  const high = sorted[middle] as number;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] as number) + high) / 2;
}

/** Standard deviation of Kendall's score, corrected for ties. */
function deviationOf(values: readonly number[], count: number): number {
  const term = (n: number): number => n * (n - 1) * (2 * n + 5);
  let variance = term(count);
  const sorted = values.toSorted((a, b) => a - b);
  let run = 1;
  for (let at = 1; at <= sorted.length; at += 1) {
    if (at < sorted.length && sorted[at] === sorted[at - 1]) {
      run += 1;
      continue;
    }
    variance -= term(run);
    run = 1;
  }
  return Math.sqrt(variance / 18);
}

/** Share of a normal distribution below z. Abramowitz and Stegun 26.2.17, error < 7.5e-8. */
function normalShare(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const tail =
    (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) *
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return z >= 0 ? 1 - tail : tail;
}
