/** What was measured. A reading that could not be taken says why; it is never a zero. */

import type { Resource } from './resource.ts';

/**
 * How a value came about. `cgroup`: the kernel's own total of the containment. `exact`: counted one by one over every
 * process of the tree. `pss` / `rss-sum`: summed per process, shared pages split / counted in each. `estimate`: a
 * lower bound, because some process may hide from the backend.
 */
export type Quality = 'cgroup' | 'exact' | 'pss' | 'rss-sum' | 'estimate';

export interface Measured {
  readonly kind: 'measured';
  readonly value: number;
  readonly quality: Quality;
  /** Monotonic milliseconds at which the kernel was read; a cached census keeps its old time. */
  readonly atMs: number;
  /** temp_storage only: inodes in use beside the bytes. */
  readonly inodes?: number;
  /** temp_storage only: it was never counted to its end yet, and rises while more and more is found. */
  readonly isBeingFound?: boolean;
}

export interface Unsupported {
  readonly kind: 'unsupported';
  readonly reason: string;
}

/** The process tree ended while it was read. */
export interface Gone {
  readonly kind: 'gone';
}

export type Reading = Measured | Unsupported | Gone;

export type Readings = Readonly<Record<Resource, Reading>>;

/** What the kernel itself reported since the previous record of the same run. */
export interface KernelEvents {
  /** OOM kills inside the containment. */
  readonly oomKills: number;
  /** The most bytes that the containment ever held, by the kernel's own account; where it tells, from its first OOM kill on. */
  readonly memoryPeakBytes?: number;
  /** Milliseconds in which the containment was held back by its CPU quota, per CPU of the host. */
  readonly cpuThrottledMs: number;
  /** Share of time, 0…1, in which every task of the tree stalled on memory (PSI full), or null where not known. */
  readonly memoryStall: number | null;
}

export const NO_KERNEL_EVENTS: KernelEvents = { oomKills: 0, cpuThrottledMs: 0, memoryStall: null };

/** One run at one instant, in the unit of each resource. CPU is already a rate over the run's window. */
export interface UsageRecord {
  readonly runId: string;
  /** Monotonic milliseconds. */
  readonly atMs: number;
  /** True when the daemon itself did not get to run for much longer than the interval: not acted on. */
  readonly stalled: boolean;
  readonly readings: Readings;
  readonly kernel: KernelEvents;
}

export function measured(value: number, quality: Quality, atMs: number): Measured {
  return { kind: 'measured', value, quality, atMs };
}

export function unsupported(reason: string): Unsupported {
  return { kind: 'unsupported', reason };
}

export const GONE: Gone = { kind: 'gone' };
