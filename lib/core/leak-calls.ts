/**
 * Which calls does it grow by? Growth from bin to bin is regressed on how often each was called in between, with a constant
 * for what grows by time alone. Calls at an even pace cannot be told from time: then nothing is said.
 */

import { BINS } from './floor-window.ts';

/** Names that are told apart, of a run; the others are one. */
export const NAMES_MAX = 16;
const OTHERS = '(others)';
/** That are weighed against each other at once: the most frequent ones. */
const WEIGHED = 3;
/** Bins of one step: the floor of a few lies closer to what lives than that of one. */
const STEP = 2;
/** How many standard errors an effect must be away from none; with this few points much more than the usual two. */
const LEAST_T = 4;
/** And how much of the growth it must account for. */
const LEAST_SHARE = 0.3;

export interface GrowthByCall {
  readonly name: string;
  /** Unit of the resource, a call. */
  readonly perCall: number;
  /** 95 % interval. */
  readonly low: number;
  readonly high: number;
  /** Of all growth in the window, what its calls account for. */
  readonly share: number;
  /** In the window. */
  readonly calls: number;
}

/** How often each was called, by bins; bounded. */
export class CallCounts {
  /** Of each name a ring: the count, and the bin that it is of. */
  readonly #rings = new Map<string, { readonly counts: Uint32Array; readonly bins: Int32Array }>();

  add(bin: number, name: string): void {
    if (bin < 0) return;
    let ring = this.#rings.get(name);
    if (ring === undefined) {
      const kept = this.#rings.size < NAMES_MAX ? name : OTHERS;
      ring = this.#rings.get(kept);
      if (ring === undefined) {
        ring = { counts: new Uint32Array(BINS + 1), bins: new Int32Array(BINS + 1).fill(-1) };
        this.#rings.set(kept, ring);
      }
    }
    const place = bin % (BINS + 1);
    if (ring.bins[place] !== bin) ring.counts[place] = 0;
    ring.bins[place] = bin;
    ring.counts[place] = (ring.counts[place] as number) + 1;
  }

  get isEmpty(): boolean {
    return this.#rings.size === 0;
  }

  /** In `count` bins up to and with `last`, oldest first. */
  of(last: number, count: number): ReadonlyMap<string, readonly number[]> {
    const found = new Map<string, readonly number[]>();
    for (const [name, { counts, bins }] of this.#rings) {
      const row = Array.from({ length: count }, (_, at) => {
        const bin = last - count + 1 + at;
        const place = ((bin % (BINS + 1)) + BINS + 1) % (BINS + 1);
        return bins[place] === bin ? (counts[place] as number) : 0;
      });
      if (row.some((calls) => calls > 0)) found.set(name, row);
    }
    return found;
  }
}

/**
 * @param floors of at most BINS closed bins, oldest first
 * @param calls of the same bins
 * @returns those that the growth goes with, the largest share first; empty where none stands out
 */
export function growthByCall(
  floors: Float64Array,
  calls: ReadonlyMap<string, readonly number[]>,
): readonly GrowthByCall[] {
  const levels = stepped(floors);
  const names = [...calls.keys()]
    .toSorted((a, b) => sum(calls.get(b) ?? []) - sum(calls.get(a) ?? []))
    .slice(0, WEIGHED);
  const columns = names.map((name) => steppedCounts(calls.get(name) ?? []));
  const rows: number[][] = [];
  const grown: number[] = [];
  for (let at = 0; at + 1 < levels.length; at += 1) {
    const rise = (levels[at + 1] as number) - (levels[at] as number);
    if (Number.isNaN(rise)) continue;
    // The floor of a step lies near its beginning: what is called in it shows in the next.
    rows.push([1, ...columns.map((column) => column[at] as number)]);
    grown.push(rise);
  }
  const fit = leastSquares(rows, grown);
  const total = sum(grown);
  if (fit === null || total <= 0) return [];
  return names
    .flatMap((name, index): readonly GrowthByCall[] => {
      const [perCall, error] = [fit.coefficients[index + 1] as number, fit.errors[index + 1] as number];
      const used = sum(rows.map((row) => row[index + 1] as number));
      const share = (perCall * used) / total;
      if (!(perCall > 0 && perCall >= LEAST_T * error && share >= LEAST_SHARE)) return [];
      const margin = 2 * error;
      const count = sum(calls.get(name) ?? []);
      return [
        { name, perCall, low: perCall - margin, high: perCall + margin, share: Math.min(1, share), calls: count },
      ];
    })
    .toSorted((a, b) => b.share - a.share);
}

function stepped(floors: Float64Array): readonly number[] {
  return Array.from({ length: Math.floor(floors.length / STEP) }, (_, at) => {
    const part = floors.subarray(at * STEP, (at + 1) * STEP).filter((floor) => !Number.isNaN(floor));
    return part.length === 0 ? NaN : Math.min(...part);
  });
}

function steppedCounts(counts: readonly number[]): readonly number[] {
  return Array.from({ length: Math.floor(counts.length / STEP) }, (_, at) =>
    sum(counts.slice(at * STEP, (at + 1) * STEP)),
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Ordinary least squares by the normal equations, with standard errors; null where columns cannot be told apart. */
function leastSquares(
  rows: readonly (readonly number[])[],
  values: readonly number[],
): { readonly coefficients: readonly number[]; readonly errors: readonly number[] } | null {
  const width = rows[0]?.length ?? 0;
  const freedom = rows.length - width;
  if (width < 2 || freedom < 6) return null;
  const matrix = Array.from({ length: width }, (_, a) =>
    Array.from({ length: width }, (_, b) => sum(rows.map((row) => (row[a] as number) * (row[b] as number)))),
  );
  const inverse = inverted(matrix);
  if (inverse === null) return null;
  const moments = Array.from({ length: width }, (_, a) =>
    sum(rows.map((row, at) => (row[a] as number) * (values[at] as number))),
  );
  const coefficients = inverse.map((row) => sum(row.map((cell, at) => cell * (moments[at] as number))));
  const left = rows.map(
    (row, at) => (values[at] as number) - sum(row.map((cell, of) => cell * (coefficients[of] as number))),
  );
  const variance = sum(left.map((one) => one * one)) / freedom;
  return { coefficients, errors: inverse.map((row, at) => Math.sqrt(Math.max(0, variance * (row[at] as number)))) };
}

/** Gauss and Jordan with pivots. */
function inverted(matrix: readonly (readonly number[])[]): number[][] | null {
  const size = matrix.length;
  const work = matrix.map((row, at) => [...row, ...Array.from({ length: size }, (_, of) => (of === at ? 1 : 0))]);
  for (let column = 0; column < size; column += 1) {
    let best = column;
    for (let row = column + 1; row < size; row += 1)
      if (Math.abs((work[row] as number[])[column] as number) > Math.abs((work[best] as number[])[column] as number))
        best = row;
    const pivot = work[best] as number[];
    const scale = pivot[column] as number;
    if (Math.abs(scale) < 1e-9 * Math.max(1, Math.abs((matrix[column] as readonly number[])[column] as number)))
      return null;
    work[best] = work[column] as number[];
    work[column] = pivot.map((cell) => cell / scale);
    const unit = work[column] as number[];
    for (let row = 0; row < size; row += 1) {
      if (row === column) continue;
      const factor = (work[row] as number[])[column] as number;
      work[row] = (work[row] as number[]).map((cell, at) => cell - factor * (unit[at] as number));
    }
  }
  return work.map((row) => row.slice(size));
}
