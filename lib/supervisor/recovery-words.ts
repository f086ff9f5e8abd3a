/** What goes into a recovery and comes out of it. */

import type { EndReason } from '../core/audit-record.ts';
import type { Strategy } from '../core/recovery-strategy.ts';
import type { Run } from './run.ts';
import type { EndView } from './views.ts';

/** Ends that nobody asked for, and that are the tool's own. */
export const FAULTS: ReadonlySet<EndReason> = new Set<EndReason>([
  'exited',
  'limit',
  'oom_kill',
  'not_ready',
  'launch_failed',
  'unhealthy',
]);

/** The end of a run, or a start that failed. */
export interface RunEnd {
  readonly reason: EndReason;
  /** Since it was started. */
  readonly livedMs: number;
  /** By the configured action `stop`. */
  readonly endsTool: boolean;
}

export interface ConsideredEnd extends RunEnd {
  /** Null: no run was up yet. */
  readonly runId: string | null;
  /** Bounded, and without secrets. */
  readonly message: string;
  /** A program that is not to be started again has ended well: it has done its work. */
  readonly isDone: boolean;
  readonly onDemand: boolean;
  /** No other run of the tool is there or coming. */
  readonly isLast: boolean;
}

/** A program that is not to be started again and ended well. */
export function hasDoneItsWork({ reason, exit }: EndView, strategy: Strategy): boolean {
  return reason === 'exited' && strategy === 'stop' && exit !== 'unknown' && 'code' in exit && exit.code === 0;
}

/** It was started for nobody and ended with the daemon that held it: the next one starts it again. */
export function goesOn({ reason, onDemand, isLast }: ConsideredEnd, strategy: Strategy): boolean {
  return reason === 'daemon_crash' && isLast && !onDemand && (strategy === 'restart' || strategy === 'degrade');
}

/** `counted`: the next demand may start it. `stopped`: only a person may. `none`: it was no failure, or nothing follows. */
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
