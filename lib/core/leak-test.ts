/**
 * Does a full window of floors look like a leak? Three questions for memory, two for what is counted. Parameters were chosen
 * on families of their own (test/bench/leaks); what they come to is measured by bench:leaks.
 */

import { lowestOfParts } from './floor-window.ts';
import type { Resource } from './resource.ts';
import { median, riseTest } from './trend.ts';

/** CPU is a rate and runtime a clock: neither leaks. */
export const LEAK_RESOURCES = ['memory', 'file_handles', 'sockets', 'temp_storage', 'tasks'] as const;
export type LeakResource = (typeof LEAK_RESOURCES)[number];

export function canLeak(resource: Resource): resource is LeakResource {
  return resource !== 'cpu' && resource !== 'runtime';
}

export interface Rise {
  /** By this much in one window, in the unit of the resource. */
  readonly rise: number;
  /** Floor of the first quarter, and of the last. */
  readonly from: number;
  readonly to: number;
}

const MIB = 2 ** 20;

export const LEAK_TEST = {
  /** The window's parts: each at least as long as the longest cycle, so that each has seen a trough. */
  quarters: 4,
  /** A suspicion needs so many windows, a bin apart, that look like it; each that does not takes `counterweight` off. */
  evidence: 12,
  counterweight: 1,
  /** Two windows that look like it are more than one. */
  weightOfTwo: 3,
  /** `evenness`: of three equal rises from quarter to quarter, each must have so much: what slows down is no leak. */
  memory: { leastBytes: 2.5 * MIB, leastShare: 0.035, evenness: 0.3, parts: 12, p: 0.003, noise: 3 },
  temp_storage: { leastBytes: 2 * MIB, leastShare: 0.03, evenness: 0.3 },
  /** `perRoot`: what comes and goes by chance varies by the root of how much there is. */
  counts: { least: 6, perRoot: 1.25, evenness: 0.2 },
} as const;

/**
 * @param floors of one window, or of two
 * @param windows how many they are: growth has to be as fast in two as in one
 * @returns null where they do not look like a leak
 */
export function leakIn(resource: LeakResource, floors: Float64Array, windows: 1 | 2): Rise | null {
  switch (resource) {
    case 'memory':
      return memoryLeak(floors, windows);
    case 'temp_storage': {
      const { evenness, leastBytes, leastShare } = LEAK_TEST.temp_storage;
      return evenRise(floors, windows, evenness, (from) => windows * Math.max(leastBytes, leastShare * from));
    }
    case 'file_handles':
    case 'sockets':
    case 'tasks': {
      const { evenness, least, perRoot } = LEAK_TEST.counts;
      return evenRise(floors, windows, evenness, (from) => Math.max(windows * least, perRoot * Math.sqrt(from)));
    }
  }
}

function memoryLeak(floors: Float64Array, windows: 1 | 2): Rise | null {
  const { evenness, leastBytes, leastShare, parts, p, noise } = LEAK_TEST.memory;
  const found = evenRise(floors, windows, evenness, (from) => windows * Math.max(leastBytes, leastShare * from));
  if (found === null) return null;
  const lowest = lowestOfParts(floors, parts);
  if (riseTest(lowest).p >= p || found.rise * windows < noise * deviationFromLine(lowest)) return null;
  return found;
}

/** Every quarter's floor lies above that of the one before, by a fair part of the whole rise, which is large enough. */
function evenRise(
  floors: Float64Array,
  windows: number,
  evenness: number,
  least: (from: number) => number,
): Rise | null {
  const quarters = lowestOfParts(floors, LEAK_TEST.quarters);
  const from = quarters[0] as number;
  const to = quarters.at(-1) as number;
  const steps = LEAK_TEST.quarters - 1;
  // From the middle of the first quarter to that of the last is three quarters of the window.
  const rise = ((to - from) * LEAK_TEST.quarters) / steps;
  // A quarter without any sample makes this NaN, which is no leak either.
  if (!(rise >= least(from))) return null;
  const fair = (evenness * (to - from)) / steps;
  for (let at = 1; at < quarters.length; at += 1)
    if (!((quarters[at] as number) - (quarters[at - 1] as number) >= fair)) return null;
  return { rise: rise / windows, from, to };
}

/** A robust standard deviation of what is left when the line through the medians is taken off. */
function deviationFromLine(values: readonly number[]): number {
  const points = values.flatMap((value, at) => (Number.isNaN(value) ? [] : [{ at, value }]));
  const slopes = points.flatMap((to, index) =>
    points.slice(0, index).map((from) => (to.value - from.value) / (to.at - from.at)),
  );
  const slope = median(slopes.toSorted((a, b) => a - b));
  const left = points.map(({ at, value }) => value - slope * at);
  const middle = median(left.toSorted((a, b) => a - b));
  return 1.4826 * median(left.map((value) => Math.abs(value - middle)).toSorted((a, b) => a - b));
}
