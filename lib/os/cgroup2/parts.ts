/**
 * The controllers of one group, as the containment uses them. cgroup v1 and v2 implement the same few interfaces, so that
 * one containment class serves both.
 */

import type { ResolvedLimits } from '../../core/limits.ts';
import type { LimitOutcome } from '../backend.ts';

/** A brake that a part may have, or why it has none. */
export type Support = true | { readonly reason: string };

/** All readings are NaN once the group is gone. */
export interface MemoryPart {
  /**
   * What cannot be reclaimed, in bytes.
   * @param tempBytes bytes of the run's temp dir that are charged as shared memory (TMPDIR on a tmpfs), else 0
   */
  unreclaimableBytes(nowMs: number, fresh: boolean, tempBytes: number): number;
  /**
   * True when the total, page cache included, is still what it was when `unreclaimableBytes` was read last, and below
   * the first stage of the limit. One cheap read; only of a tree that has not run it says that nothing has changed.
   */
  stands(): boolean;
  /** True when the last total, page cache included, lay at the first stage of the limit or above. */
  readonly isNearLimit: boolean;
  /** Cumulative. */
  oomKills(): number;
  /** The most that was ever charged, in bytes; page cache counts, of which there is none left when memory runs out. NaN where not kept. */
  peakBytes(): number;
  /** Sets the kernel cap at the emergency stage. */
  apply(limits: ResolvedLimits): Promise<LimitOutcome>;
  readonly highSupport: Support;
  /** `memory.high` in bytes; null lifts it. */
  setHigh(bytes: number | null): Promise<void>;
  close(): void;
}

export interface CpuPart {
  /** Milliseconds since the run began, exited children included. @param nowMs monotonic milliseconds */
  usageMs(nowMs: number): number;
  /** The same, beside the samples: what they compare is left alone. */
  usageBesideMs(): number;
  /**
   * The time, at the latest `nowMs`, until which nobody in the group is known to have run since `usageMs` was read last:
   * by one read a turn for all groups of the daemon. NaN where that does not tell, and for whoever asks twice in a turn.
   */
  idleUntilMs(nowMs: number): number;
  /** Cumulative milliseconds in which the quota held the group back. */
  throttledMs(): number;
  readonly quotaSupport: Support;
  /** Percent of one core; null lifts it. */
  setQuota(percent: number | null): Promise<void>;
  close(): void;
}

export interface TasksPart {
  /** Processes and threads, zombies included: they use up the limit too. */
  current(): number;
  /** Sets the kernel cap at the emergency stage. */
  apply(limits: ResolvedLimits): Promise<LimitOutcome>;
  close(): void;
}

/** Stops every process of a group where it is. */
export interface Freezer {
  /** @returns false when not everything stood still in time */
  freeze(timeoutMs: number): Promise<boolean>;
  thaw(): Promise<void>;
}

/** The period of CPU quotas: the kernel's default. */
export const QUOTA_PERIOD_US = 100_000;
/** The kernel refuses less (kernel/sched/core.c, min_cfs_quota_period). */
const SMALLEST_QUOTA_US = 1000;

export function quotaUs(percent: number): number {
  return Math.max(SMALLEST_QUOTA_US, Math.round((percent / 100) * QUOTA_PERIOD_US));
}

/** Bytes at which the kernel itself steps in: the emergency stage, plus what a TMPDIR on a tmpfs may hold. */
export function memoryCapBytes(limits: ResolvedLimits, tempOnTmpfs: boolean): number | null {
  const memory = limits.memory;
  if (memory === null) return null;
  return Math.round(memory.limit * memory.thresholds.emergency + tempRoomBytes(limits, tempOnTmpfs));
}

/** `memory.high` while throttled: the limit, plus the same room. Files in a tmpfs are no memory of the tool's. */
export function memoryHighBytes(limits: ResolvedLimits, tempOnTmpfs: boolean): number | null {
  return limits.memory === null ? null : Math.round(limits.memory.limit + tempRoomBytes(limits, tempOnTmpfs));
}

function tempRoomBytes(limits: ResolvedLimits, tempOnTmpfs: boolean): number {
  const temp = tempOnTmpfs ? limits.temp_storage : null;
  return temp === null ? 0 : temp.limit * temp.thresholds.emergency;
}

/** Tasks at which the kernel refuses a fork. */
export function tasksCap(limits: ResolvedLimits): number | null {
  const tasks = limits.tasks;
  return tasks === null ? null : Math.max(1, Math.floor(tasks.limit * tasks.thresholds.emergency));
}
