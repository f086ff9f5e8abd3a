/**
 * How a tool is recovered, and what comes when that keeps failing. Pure: who was recovered by what, and whether it helped,
 * is handed in and handed back.
 */

/**
 * `restart`: started again, with back-off. `degrade`: the same with less (`degraded`). `restart-on-demand`: not by a timer,
 * only when somebody wants it. `stop`: not until a person starts it. In the order in which they replace each other.
 */
export const STRATEGIES = ['restart', 'degrade', 'restart-on-demand', 'stop'] as const;

export type Strategy = (typeof STRATEGIES)[number];

/** What became of recoveries by one strategy. */
export interface StrategyRecord {
  readonly succeeded: number;
  readonly failed: number;
  /** The budget of failures was spent. */
  readonly gaveUp: number;
  /** Since the last success. */
  readonly failedInARow: number;
  /** The same of the budget. */
  readonly gaveUpInARow: number;
  /** The last ten, the newest at the end: `s` or `f`. */
  readonly recent: string;
}

/** What is kept of a tool beyond its registration and the daemon's life. Times are wall clock, ms. */
export interface RecoveryRecord {
  readonly strategies: Readonly<Partial<Record<Strategy, StrategyRecord>>>;
  /** Null: the strategy that is written is in force. */
  readonly replaced: {
    readonly strategy: Strategy;
    /** The one that was written then. */
    readonly written: Strategy;
    readonly sinceMs: number;
    readonly why: string;
  } | null;
  /** Null: it is given all that is written. */
  readonly degraded: { readonly sinceMs: number; readonly why: string } | null;
}

export const NO_RECOVERIES: RecoveryRecord = { strategies: {}, replaced: null, degraded: null };

const NONE_YET: StrategyRecord = { succeeded: 0, failed: 0, gaveUp: 0, failedInARow: 0, gaveUpInARow: 0, recent: '' };
const RECENT_KEPT = 10;

export function noted(record: StrategyRecord | undefined, outcome: 'succeeded' | 'failed' | 'gave_up'): StrategyRecord {
  const before = record ?? NONE_YET;
  const recent = (sign: string): string => (before.recent + sign).slice(-RECENT_KEPT);
  switch (outcome) {
    case 'succeeded':
      return { ...before, succeeded: before.succeeded + 1, failedInARow: 0, gaveUpInARow: 0, recent: recent('s') };
    case 'failed':
      return {
        ...before,
        failed: before.failed + 1,
        failedInARow: before.failedInARow + 1,
        recent: recent('f'),
      };
    case 'gave_up':
      return { ...before, gaveUp: before.gaveUp + 1, gaveUpInARow: before.gaveUpInARow + 1 };
  }
}

/** Someone has mended it: what was counted stays counted, and nothing is held against the strategy any more. */
export function forgiven(record: StrategyRecord): StrategyRecord {
  return { ...record, failedInARow: 0, gaveUpInARow: 0, recent: '' };
}

/** Share of recoveries that succeeded, 0 … 1; null: there was none. */
export function successRate({ succeeded, failed }: StrategyRecord): number | null {
  return succeeded + failed === 0 ? null : succeeded / (succeeded + failed);
}

export interface StrategyChoice {
  /** It can be given less. */
  readonly canDegrade: boolean;
  /** Its calls pass Governor: there is somebody who can want it. */
  readonly canDemand: boolean;
  /** Failures that are forgiven within the window of its budget: it is not stopped for fewer. */
  readonly budget: number;
}

/** So many failures in a row, and it is another one's turn. */
const FAILED_IN_A_ROW = 3;
/** Of the last ten: fewer is a strategy that does not help, also where the failures are not in a row. */
const SUCCEEDED_LEAST = 4;
/** `stop` ends all hope, and comes late: a breaker that lets one start through now and then may still see the end of it. */
const STOP_AFTER = 10;

/** How many failures in a row it takes for this one to come next; null: it does not by itself. */
function failuresBefore(
  next: Strategy,
  { gaveUpInARow }: StrategyRecord,
  { canDemand, budget }: StrategyChoice,
): number | null {
  switch (next) {
    case 'restart':
    case 'degrade':
      return FAILED_IN_A_ROW;
    // The breaker has opened before, and said so: nobody who reads of a tool that waits is to miss that it does not work.
    case 'restart-on-demand':
      return gaveUpInARow > 0 ? FAILED_IN_A_ROW : null;
    // Whose demand would go unanswered for ever is the client's own loss: the breaker bounds its starts.
    case 'stop':
      return canDemand ? null : Math.max(STOP_AFTER, budget + 1);
  }
}

/**
 * After a recovery by the strategy has failed.
 * @returns the one that takes its place, and why; null: it is tried again
 */
export function nextStrategy(
  strategy: Strategy,
  record: StrategyRecord,
  choice: StrategyChoice,
): { readonly strategy: Strategy; readonly why: string } | null {
  const next = STRATEGIES.slice(STRATEGIES.indexOf(strategy) + 1).find((candidate) => isPossible(candidate, choice));
  if (next === undefined) return null;
  const { failedInARow, recent } = record;
  const least = failuresBefore(next, record, choice);
  if (least === null) return null;
  if (failedInARow >= least)
    return { strategy: next, why: `the last ${failedInARow} recoveries by ${strategy} failed` };
  if (next !== 'degrade') return null;
  const succeeded = recent.replaceAll('f', '').length;
  if (recent.length < RECENT_KEPT || succeeded >= SUCCEEDED_LEAST) return null;
  return {
    strategy: next,
    why: `${RECENT_KEPT - succeeded} of the last ${RECENT_KEPT} recoveries by ${strategy} failed`,
  };
}

export function isPossible(strategy: Strategy, { canDegrade, canDemand }: StrategyChoice): boolean {
  switch (strategy) {
    case 'degrade':
      return canDegrade;
    case 'restart-on-demand':
      return canDemand;
    case 'restart':
    case 'stop':
      return true;
  }
}

/**
 * What is cleaned up beside the run that failed, which always is to its proven end. `spares`: what was started for nobody
 * yet, so that the next demand gets what the strategy gives and nothing unused stays. `all`: every run of the tool.
 */
export function cleanupDepth(strategy: Strategy): 'run' | 'spares' | 'all' {
  switch (strategy) {
    case 'restart':
      return 'run';
    case 'degrade':
    case 'restart-on-demand':
      return 'spares';
    case 'stop':
      return 'all';
  }
}
