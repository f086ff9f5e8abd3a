/** Failures of one tool, forgiven up to a budget in a window; over it the breaker opens, until the window has passed. */

import { budgetExceeded, DEFAULT_BACKOFF, recentFailures } from '../core/backoff.ts';
import type { Clock } from '../core/clock.ts';
import { Breaker } from './breaker.ts';
import type { RecoverySettings } from './governor.ts';

const FAILURES_KEPT = 100;

export class FailureAccount {
  readonly breaker = new Breaker();
  /** Outlives the tool: an ad-hoc tool is registered anew with each of its runs. Monotonic; changed in place. */
  readonly #failuresMs: number[];
  readonly #budget: () => Pick<RecoverySettings, 'budget' | 'windowMs'>;
  readonly #clock: Clock;

  constructor(failuresMs: number[], budget: () => Pick<RecoverySettings, 'budget' | 'windowMs'>, clock: Clock) {
    this.#failuresMs = failuresMs;
    this.#budget = budget;
    this.#clock = clock;
  }

  get count(): number {
    return this.#failuresMs.length;
  }

  add(): void {
    this.#failuresMs.push(this.#clock.monotonicMs());
    if (this.#failuresMs.length > FAILURES_KEPT) this.#failuresMs.shift();
  }

  get isExceeded(): boolean {
    return budgetExceeded(this.#failuresMs, this.#clock.monotonicMs(), this.#budget());
  }

  /** Adds one. @returns true where that opens the breaker: it is one too many, or that of the one start that was let through */
  addAndJudge(): boolean {
    const nowMs = this.#clock.monotonicMs();
    const { windowMs } = this.#budget();
    const wasProbe = this.breaker.isProbing;
    this.add();
    if (!wasProbe && !this.isExceeded) return false;
    const afterProbeMs = wasProbe ? Math.min(DEFAULT_BACKOFF.maxMs, windowMs) : 0;
    this.breaker.open(nowMs + Math.max(this.#untilWithinBudgetMs(this.#failuresMs), afterProbeMs));
    return true;
  }

  /** How long starts would be held back if it failed now; null: they would not be, for that. */
  heldBackAfterOneMoreMs(): number | null {
    const nowMs = this.#clock.monotonicMs();
    const failuresMs = [...this.#failuresMs, nowMs];
    return budgetExceeded(failuresMs, nowMs, this.#budget()) ? this.#untilWithinBudgetMs(failuresMs) : null;
  }

  forget(): void {
    this.#failuresMs.length = 0;
    this.breaker.close();
  }

  /** Until so many of them have left the window that it is within the budget again. */
  #untilWithinBudgetMs(failuresMs: readonly number[]): number {
    const { budget, windowMs } = this.#budget();
    const nowMs = this.#clock.monotonicMs();
    const last = recentFailures(failuresMs, nowMs, windowMs).at(-1 - budget);
    return last === undefined ? 0 : last + windowMs - nowMs;
  }
}
