/** How sure a time is: shares have their bound in support/proportion.ts. */

import { seeded } from '../leaks/random.ts';
import { upperBound } from '../support/proportion.ts';

const RESAMPLES = 10_000;

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The smallest value that at least this share of all lies at or below. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
}

/**
 * Upper 95 % bound of the mean, one-sided, by the bootstrap's percentiles (Efron 1979). Strata keep their sizes: what was
 * chosen, such as the classes of a mix, is no chance. The same values give the same bound.
 */
export function meanUpperBound(strata: readonly (readonly number[])[]): number {
  const random = seeded(95);
  const size = strata.reduce((sum, values) => sum + values.length, 0);
  const means = Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (const values of strata) for (let n = 0; n < values.length; n += 1) sum += random.pick(values);
    return sum / size;
  });
  return quantile(means, 0.95);
}

/**
 * Upper 95 % bound of a quantile by order statistics, without any assumption on the distribution.
 * @returns null where so few trials cannot bound it: 59 are needed for 95 %, 299 for 99 %
 */
export function quantileUpperBound(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  let bound: number | null = null;
  // With `above` trials above a value, the share above it is less than upperBound(above, n) with 95 %: once that is no
  // more than 1 - share, the value is no lower than the quantile.
  for (let above = 0; above < sorted.length; above += 1) {
    if (upperBound(above, sorted.length) > 1 - share) break;
    bound = sorted[sorted.length - 1 - above] as number;
  }
  return bound;
}
