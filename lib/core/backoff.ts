/** When to try again, and when to give up. Pure arithmetic. */

export interface Backoff {
  readonly initialMs: number;
  readonly factor: number;
  /** No delay is longer. */
  readonly maxMs: number;
}

export const DEFAULT_BACKOFF: Backoff = { initialMs: 1_000, factor: 2, maxMs: 60_000 };

/** So that tools that failed together do not start together. */
const JITTER = 0.2;

/**
 * Delay before the next attempt: exponential, ±20 %.
 * @param attempt failures in a row before this one; 0 for the first restart
 * @param random01 0 … 1, supplied by the caller
 */
export function nextDelayMs(attempt: number, backoff: Backoff, random01: number): number {
  const plainMs = Math.min(backoff.maxMs, backoff.initialMs * backoff.factor ** Math.max(0, attempt));
  return Math.min(backoff.maxMs, plainMs * (1 - JITTER + 2 * JITTER * random01));
}

export interface FailureBudget {
  /** Failures that are forgiven within the window. */
  readonly budget: number;
  readonly windowMs: number;
}

/** True when more failures lie within the last `windowMs` than the budget forgives. `5/10m`: the sixth is one too many. */
export function budgetExceeded(failureTimesMs: readonly number[], nowMs: number, limits: FailureBudget): boolean {
  return recentFailures(failureTimesMs, nowMs, limits.windowMs).length > limits.budget;
}

/** The failures that still count, so that a list of them stays short. */
export function recentFailures(failureTimesMs: readonly number[], nowMs: number, windowMs: number): readonly number[] {
  return failureTimesMs.filter((timeMs) => nowMs - timeMs < windowMs);
}

/**
 * Failures in a row that still count: none once a run has been healthy for `stableForMs`.
 * @param stableSinceMs since when the run is healthy; null while it is not
 */
export function attemptsAfter(
  attempts: number,
  stableSinceMs: number | null,
  nowMs: number,
  stableForMs: number,
): number {
  return stableSinceMs !== null && nowMs - stableSinceMs >= stableForMs ? 0 : attempts;
}
