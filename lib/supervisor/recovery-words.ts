/** What goes into a recovery and comes out of it. */

import type { EndReason } from '../core/audit-record.ts';
import type { Run } from './run.ts';

/** Ends that nobody asked for. */
export const FAULTS: ReadonlySet<EndReason> = new Set<EndReason>([
  'exited',
  'limit',
  'oom_kill',
  'not_ready',
  'launch_failed',
  'daemon_crash',
  'unhealthy',
]);

/** The end of a run, or a start that failed. */
export interface RunEnd {
  readonly reason: EndReason;
  /** Since it was started. */
  readonly livedMs: number;
}

export interface ConsideredEnd extends RunEnd {
  /** Null: no run was up yet. */
  readonly runId: string | null;
  readonly message: string;
  readonly onDemand: boolean;
  /** No other run of the tool is there or coming. */
  readonly isLast: boolean;
}

/** `counted`: the next demand may start it. `stopped`: only a person may. `none`: it was no failure. */
export type Verdict = 'none' | 'scheduled' | 'counted' | 'gave_up' | 'stopped';

/** Why a start is refused for now. */
export interface HeldBack {
  readonly message: string;
  /** Null: not by itself. */
  readonly retryAfterMs: number | null;
}

export interface RecoveryHooks {
  /** The back-off is over. */
  onDue(): void;
  /** The tool is not degraded any more. */
  onReturn(): void;
  /** It was started after a failure and is of no use. */
  onUnanswered(run: Run, message: string): void;
}
