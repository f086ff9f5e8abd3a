/**
 * What sampling makes of a process, as a model: garbage that is collected in cycles, pages, the kernel's batches, late and
 * missed samples. A family says what lives; here it becomes the series that Governor would read.
 */

import type { LeakResource, Pace } from './operating-point.ts';
import type { Random } from './random.ts';

/** What lives at this time; asked with rising times. Milliseconds since the start; unit of the resource. */
export type Live = (atMs: number) => number;

export interface Model {
  readonly live: Live;
  /** Memory of a program with a collector: garbage up to so many bytes, collected every so often. */
  readonly garbage?: { readonly bytes: number; readonly periodMs: number };
}

export interface Family {
  readonly name: string;
  readonly leaking: boolean;
  readonly resource: LeakResource;
  /**
   * @param rate growth a window in multiples of the least; of benign families 0
   * @param index of the trial in its family: parameters that are to be spread evenly go by it
   */
  model(random: Random, pace: Pace, rate: number, index: number): Model;
}

const PAGE = 4096;
/** The kernel charges memory in batches of this size a CPU. */
const BATCH = 64 * PAGE;

export interface Sample {
  readonly atMs: number;
  readonly value: number;
}

export function* samplesOf(
  family: Family,
  { live, garbage }: Model,
  random: Random,
  pace: Pace,
  windows: number,
): Iterable<Sample> {
  const endMs = pace.warmUpMs + windows * pace.windowMs;
  const litter = garbage === undefined ? () => 0 : collected(random, garbage);
  const isBytes = family.resource === 'memory' || family.resource === 'temp_storage';
  for (let dueMs = pace.cadenceMs; dueMs <= endMs; dueMs += pace.cadenceMs) {
    // Something else held the daemon up for a while: those samples do not exist.
    if (random.next() < 0.001) dueMs += Math.floor(random.between(1, 8)) * pace.cadenceMs;
    const atMs = dueMs + pace.cadenceMs * 0.02 * random.waiting();
    const value = live(atMs) + litter(atMs);
    if (!isBytes) yield { atMs, value: Math.max(0, Math.round(value)) };
    else if (family.resource === 'temp_storage') yield { atMs, value: Math.max(0, Math.ceil(value / PAGE) * PAGE) };
    else yield { atMs, value: Math.max(0, Math.ceil((value + random.next() * BATCH) / PAGE) * PAGE) };
  }
}

/** A collector: most cycles leave some of the young garbage, each so-many-th takes that as well. */
function collected(random: Random, { bytes, periodMs }: NonNullable<Model['garbage']>): Live {
  let startMs = 0;
  let lengthMs = periodMs * random.between(0.3, 1.3);
  let promoted = 0;
  let kept = 0;
  let untilMajor = 4;
  return (atMs) => {
    while (atMs >= startMs + lengthMs) {
      startMs += lengthMs;
      lengthMs = periodMs * random.between(0.7, 1.3);
      untilMajor -= 1;
      promoted = untilMajor <= 0 ? 0 : promoted + bytes * random.between(0, 0.08);
      if (untilMajor <= 0) untilMajor = 3 + Math.floor(random.between(0, 4));
      kept = bytes * random.between(0, 0.05);
    }
    return promoted + kept + (bytes - kept) * ((atMs - startMs) / lengthMs);
  };
}

/** How many of those that come by chance and stay for a while are there: M/M/∞. @param mean a function of time */
export function comingAndGoing(random: Random, mean: (atMs: number) => number, stayMs: number): Live {
  let count = random.poisson(mean(0));
  let lastMs = 0;
  return (atMs) => {
    const stays = Math.exp(-(atMs - lastMs) / stayMs);
    let left = 0;
    for (let one = 0; one < count; one += 1) if (random.next() < stays) left += 1;
    count = left + random.poisson(mean(atMs) * (1 - stays));
    lastMs = atMs;
    return count;
  };
}

/** A walk that is drawn back to 0: Ornstein-Uhlenbeck, deviation 1. */
export function drawnBack(random: Random, memoryMs: number): Live {
  let value = random.normal();
  let lastMs = 0;
  return (atMs) => {
    const keeps = Math.exp(-(atMs - lastMs) / memoryMs);
    value = value * keeps + Math.sqrt(1 - keeps * keeps) * random.normal();
    lastMs = atMs;
    return value;
  };
}

/** A sum that grows at chance moments. @param meanMs between two @param amount of each */
export function steps(random: Random, meanMs: number, amount: () => number, fromMs = 0): Live {
  let total = 0;
  let nextMs = fromMs + meanMs * random.waiting();
  return (atMs) => {
    for (; nextMs <= atMs; nextMs += meanMs * random.waiting()) total += amount();
    return total;
  };
}
