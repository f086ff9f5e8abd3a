/** Limits as they hold for one run, resolved and with their origin. */

import type { ActingStage, ThresholdStage } from './ladder.ts';
import type { Resource } from './resource.ts';
import type { Action } from './response.ts';

/** Where a limit came from; precedence is in this order, strongest first. `adaptive`: from usage, within what the file allows. */
export type Provenance = 'api' | 'adaptive' | 'flag' | 'environment' | 'file' | 'class' | 'built-in';

export interface Source {
  readonly from: Provenance;
  /** For people: `limits.yaml:12:7`, `class standard`, `--memory`, `host memory 24 GiB / 8`. */
  readonly detail: string;
}

/** Ratios of usage to limit at which each stage is entered; strictly increasing. */
export type Thresholds = Readonly<Record<ThresholdStage, number>>;

export interface ResolvedLimit {
  readonly resource: Resource;
  /** In the unit of the resource, > 0. */
  readonly limit: number;
  /** temp_storage only: limit on inodes; the ratio is the larger of the two. */
  readonly inodes?: number;
  /** temp_storage only: TMPDIR is a tmpfs of the run's own, held by the kernel at the emergency stage. Absent: on disk. */
  readonly backing?: 'tmpfs';
  /** runtime of calls only: `progress` of the server sets its clock back to zero. Absent: it does. */
  readonly renew?: 'progress' | 'none';
  /** runtime of calls only: milliseconds that a call may take in all. Absent: see `capOf`. */
  readonly capMs?: number;
  /** It follows usage within these. Absent: it stays. */
  readonly adaptive?: AdaptiveBounds;
  readonly thresholds: Thresholds;
  /** What each stage does, in order. An empty list means: only tell. */
  readonly actions: Readonly<Record<ActingStage, readonly Action[]>>;
  readonly source: Source;
  readonly reason?: string;
}

/** In the unit of the resource, both ends included; 0 < min ≤ max. */
export interface AdaptiveBounds {
  readonly min: number;
  readonly max: number;
  /** Who has set the limit by hand: it does not follow usage until another is written. */
  readonly stoppedBy?: string;
}

/** `null`: no limit is set for the resource (the default for runtime). */
export type ResolvedLimits = Readonly<Record<Resource, ResolvedLimit | null>> & {
  /** Who said of a resource that it is to have no limit. Absent for those of which nobody says anything. */
  readonly lifted?: Lifted;
};

export type Lifted = Readonly<Partial<Record<Resource, Source>>>;

/** @returns who has set it by hand, or taken it away; null: it is what it was resolved to */
export function setByHand(limits: ResolvedLimits, resource: Resource): Source | null {
  const source = limits[resource]?.source ?? limits.lifted?.[resource];
  return source?.from === 'api' ? source : null;
}

/** For trial runs, for what is only taken up to be ended, and for the client of something that runs elsewhere. */
export const NO_LIMITS: ResolvedLimits = {
  memory: null,
  cpu: null,
  file_handles: null,
  sockets: null,
  runtime: null,
  temp_storage: null,
  tasks: null,
};

export type ThrottlePolicy = {
  /** A throttle that lasts this long escalates to cleanup; 0 = never. */
  readonly escalateAfterMs: number;
};

/** Tunables of the ladder that are the same for every resource of a run. */
export interface LadderSettings {
  /** Points (as ratio, 0.05 = 5 points) below the entry at which a stage is left. */
  readonly exitMargin: number;
  readonly warning: Hold;
  readonly throttled: Hold;
  readonly cleanup: Hold;
  /** How long a throttle may last before it escalates to cleanup, per resource; null = it never escalates. */
  readonly escalateAfterMs: Readonly<Record<Resource, number | null>>;
  /** PSI full above this share, for this long, escalates a memory throttle at once. */
  readonly stall: { readonly share: number; readonly forMs: number };
  /** After an action: quiet time for the same or a lower stage of that resource. */
  readonly quietMs: number;
  /** Samples older than this are not acted on. */
  readonly staleAfterMs: number;
  /** A ratio that fell by at least this share since the previous sample is recovering: not escalated to an acting stage. */
  readonly fallingShare: number;
  /** CPU is not judged in the first ms of a run. */
  readonly cpuWarmUpMs: number;
  /** `null` = a throttled CPU is never more than throttled; else starvation above `share` for `forMs` cleans up. */
  readonly starvation: { readonly share: number; readonly forMs: number } | null;
}

/** `needed` of the last `of` fresh samples. */
export interface Hold {
  readonly needed: number;
  readonly of: number;
}

/** The shell that becomes the tool needs descriptors of its own before it does. */
const FEWEST_OPEN_FILES = 32;

/**
 * What each process of a tool may have open at most: the emergency stage of the limit on the whole tree, but never so few
 * that nothing could start; such a limit is then held by the daemon alone.
 * @param limit that of file_handles
 */
export function openFilesCap({ limit, thresholds }: ResolvedLimit): number {
  return Math.max(FEWEST_OPEN_FILES, Math.ceil(limit * thresholds.emergency));
}

/**
 * Usage over limit, the larger of bytes and inodes for temp_storage.
 * @returns null when there is no limit or no measured value
 */
export function ratioOf(
  reading: { readonly value: number; readonly inodes?: number },
  limit: { readonly limit: number; readonly inodes?: number },
): number {
  const main = reading.value / limit.limit;
  if (limit.inodes === undefined || reading.inodes === undefined) return main;
  return Math.max(main, reading.inodes / limit.inodes);
}
