/** What the pool of keyed resources takes and gives. */

import type { ResourceCleanupError } from './cleanup-error.ts';

export interface ResourceManagerOptions {
  /** How often idle resources are looked for. Default: RESOURCE_CLEANUP_INTERVAL, else 5 minutes. */
  readonly cleanupIntervalMs?: number;
  /** Idle for this long: destroyed. Default: as long as the interval. */
  readonly idleMs?: number;
  /** For one cleanup; what takes longer is reported and no more waited for. Default: 10 s. */
  readonly cleanupTimeoutMs?: number;
  /** Told of every cleanup that failed. Default: a warning of the process. */
  readonly onCleanupError?: (error: ResourceCleanupError) => void;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly monotonicMs?: () => number;
}

/** Holds a resource: it is not destroyed before this is released. */
export interface Lease<T> extends AsyncDisposable {
  readonly resource: T;
  /** Idempotent. */
  release(): void;
}

export interface PoolStatistics {
  /** There now, those that are being made included. */
  readonly resources: number;
  readonly creating: number;
  /** With at least one lease. */
  readonly inUse: number;
  readonly leases: number;
  /** To be destroyed, but in use, being made or being cleaned up. */
  readonly leaving: number;
  readonly byType: Readonly<Record<string, number>>;
  /** From here on: since the start. */
  readonly created: number;
  readonly reused: number;
  readonly failedFactories: number;
  readonly destroyed: number;
  readonly cleanupErrors: number;
}

export type Factory<T> = () => Promise<T> | T;
export type Cleanup<T> = (resource: T) => unknown;
