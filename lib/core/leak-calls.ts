/**
 * Which calls does it grow by? Growth from bin to bin is regressed on how often each was called in between, with a constant
 * for what grows by time alone. Calls at an even pace cannot be told from time: then nothing is said.
 */

import { BINS } from './floor-window.ts';

/** Names that are told apart, of a run; the others are one. A name that was silent for a window makes room for another. */
export const NAMES_MAX = 16;
const OTHERS = '(others)';
/** That growth may go with at once: more cannot be told apart with this few points. */
const WEIGHED = 3;
/** How many standard errors an effect must be away from none to be weighed beside the others. */
const ENTERS_T = 2;
/** One in the place of another that explains the growth as well, but for this share of what is left: they cannot be told apart. */
const AS_WELL = 0.15;
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

interface Ring {
  readonly counts: Uint32Array;
  /** The bin that each count is of. */
  readonly bins: Int32Array;
  lastBin: number;
}

/** How often each was called, by bins; bounded. */
export class CallCounts {
  readonly #rings = new Map<string, Ring>();

  add(bin: number, name: string): void {
    if (bin < 0) return;
    const ring = this.#rings.get(name) ?? this.#newRing(bin, name);
    ring.lastBin = bin;
    const place = bin % (BINS + 1);
    if (ring.bins[place] !== bin) ring.counts[place] = 0;
    ring.bins[place] = bin;
    ring.counts[place] = (ring.counts[place] as number) + 1;
  }

  #newRing(bin: number, name: string): Ring {
    if (this.#rings.size >= NAMES_MAX)
      for (const [silent, { lastBin }] of this.#rings) if (lastBin < bin - BINS) this.#rings.delete(silent);
    const kept = this.#rings.size < NAMES_MAX ? name : OTHERS;
    const known = this.#rings.get(kept);
    if (known !== undefined) return known;
    const ring = { counts: new Uint32Array(BINS + 1), bins: new Int32Array(BINS + 1).fill(-1), lastBin: bin };
    this.#rings.set(kept, ring);
    return ring;
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
  const grown: number[] = [];
  const steps: number[] = [];
  for (let at = 0; at + 1 < levels.length; at += 1) {
    const rise = (levels[at + 1] as number) - (levels[at] as number);
    if (Number.isNaN(rise)) continue;
    // The floor of a step lies near its beginning: what is called in it shows in the next.
    steps.push(at);
    grown.push(rise);
  }
  const total = sum(grown);
  if (total <= 0) return [];
  const columns = [...calls].map(([name, counts]): Column => {
    const all = steppedCounts(counts);
    return { name, calls: sum(counts), counts: steps.map((at) => all[at] as number) };
  });
  const chosen = weighed(columns, grown);
  const fit = fitted(chosen, grown);
  if (fit === null) return [];
  return chosen
    .flatMap((column, index): readonly GrowthByCall[] => {
      const { name, counts, calls: count } = column;
      const [perCall, error] = [fit.coefficients[index + 1] as number, fit.errors[index + 1] as number];
      const share = (perCall * sum(counts)) / total;
      if (!(perCall > 0 && perCall >= LEAST_T * error && share >= LEAST_SHARE)) return [];
      const others = columns.filter((one) => !chosen.includes(one));
      const isTold = others.every((other) => {
        const instead = fitted(chosen.with(index, other), grown);
        return instead === null || instead.left > fit.left * (1 + AS_WELL) + Number.EPSILON * total * total;
      });
      if (!isTold) return [];
      const margin = 2 * error;
      return [
        { name, perCall, low: perCall - margin, high: perCall + margin, share: Math.min(1, share), calls: count },
      ];
    })
    .toSorted((a, b) => b.share - a.share);
}

interface Column {
  readonly name: string;
  /** In all. */
  readonly calls: number;
  /** By steps that a rise is known of. */
  readonly counts: readonly number[];
}

/** Step by step the one that leaves least unexplained beside those before it, however rarely it is called. */
function weighed(columns: readonly Column[], grown: readonly number[]): readonly Column[] {
  let chosen: readonly Column[] = [];
  while (chosen.length < WEIGHED) {
    let best: { readonly column: Column; readonly left: number } | null = null;
    for (const column of columns) {
      if (chosen.includes(column)) continue;
      const fit = fitted([...chosen, column], grown);
      if (fit === null || (best !== null && fit.left >= best.left)) continue;
      const [perCall, error] = [fit.coefficients.at(-1) as number, fit.errors.at(-1) as number];
      if (perCall > 0 && perCall >= ENTERS_T * error) best = { column, left: fit.left };
    }
    if (best === null) return chosen;
    chosen = [...chosen, best.column];
  }
  return chosen;
}

function fitted(columns: readonly Column[], grown: readonly number[]): Fit | null {
  return leastSquares(
    grown.map((_, at) => [1, ...columns.map(({ counts }) => counts[at] as number)]),
    grown,
  );
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

interface Fit {
  readonly coefficients: readonly number[];
  readonly errors: readonly number[];
  /** Sum of squares of what it does not explain. */
  readonly left: number;
}

/** Ordinary least squares by the normal equations, with standard errors; null where columns cannot be told apart. */
function leastSquares(rows: readonly (readonly number[])[], values: readonly number[]): Fit | null {
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
  const unexplained = sum(left.map((one) => one * one));
  const variance = unexplained / freedom;
  const errors = inverse.map((row, at) => Math.sqrt(Math.max(0, variance * (row[at] as number))));
  return { coefficients, errors, left: unexplained };
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
