/**
 * Where the published figure holds, fixed before there was a detector. Times of the families are in windows (W), rates in
 * multiples of the least rate, so that one definition serves a model at the usual cadence and real programs at a faster one.
 */

export type LeakResource = 'memory' | 'file_handles' | 'sockets' | 'temp_storage' | 'tasks';

export interface Pace {
  readonly cadenceMs: number;
  readonly warmUpMs: number;
  readonly windowMs: number;
}

/** As Governor runs by default. */
export const USUAL_PACE: Pace = { cadenceMs: 1_000, warmUpMs: 300_000, windowMs: 1_800_000 };
/** The same shape in two minutes a process: for real programs. */
export const FAST_PACE: Pace = { cadenceMs: 100, warmUpMs: 15_000, windowMs: 60_000 };

/** A trial lasts the warm-up and so many windows. */
export const MODEL_WINDOWS = 3;
export const REAL_WINDOWS = 2;

const MIB = 2 ** 20;

/** The least growth in one window that has to be found. @param baseline memory without the leak, bytes */
export function leastRise(resource: LeakResource, baseline: number): number {
  switch (resource) {
    case 'memory':
      return Math.max(4 * MIB, 0.06 * baseline);
    case 'temp_storage':
      return 4 * MIB;
    case 'file_handles':
    case 'sockets':
    case 'tasks':
      return 12;
  }
}

/** Benign growth ends by itself within the warm-up and so many windows. */
export const GROWTH_ENDS = 0.5;
/** What comes and goes does so within so many windows, or swings by less than half of the least rise in one. */
export const LONGEST_CYCLE = 0.25;
