/**
 * Whether and when a managed tool is started again. `restart`: with back-off, within a budget of failures per window;
 * over the budget the breaker opens and stays open until someone resets it or the window has passed. `stop`: never.
 * A run that nobody demanded is started again by a timer, one that somebody did with the next demand: the first at once,
 * later ones not before their back-off is over.
 */

import { budgetExceeded, nextDelayMs, recentFailures } from '../core/backoff.ts';
import type { EndReason } from '../core/audit-record.ts';
import { wallOf } from '../core/clock.ts';
import { formatDuration } from '../core/format.ts';
import { Breaker } from './breaker.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';

/** A run that lived this long was a success: the back-off starts anew. */
const STABLE_MS = 60_000;
const BACKOFF = { initialMs: 1_000, factor: 2, maxMs: 60_000 } as const;
const FAILURES_KEPT = 100;
/** Ends that nobody asked for. */
const FAULTS: ReadonlySet<EndReason> = new Set<EndReason>([
  'exited',
  'limit',
  'oom_kill',
  'not_ready',
  'launch_failed',
  'daemon_crash',
  'unhealthy',
]);

/** The end of a run that somebody demanded. */
export interface RunEnd {
  readonly reason: EndReason;
  /** It is in the account already: a failure is charged once. */
  readonly isCounted: boolean;
  /** Since it was started. */
  readonly livedMs: number;
}

/** Why a start is refused for now. */
export interface HeldBack {
  readonly message: string;
  /** Null: not by itself. */
  readonly retryAfterMs: number | null;
}

export class Recovery {
  readonly #definition: () => ToolDefinition;
  readonly #ports: SupervisorPorts;
  readonly #onDue: () => void;
  /** Outlives the tool: an ad-hoc tool is registered anew with each of its runs. */
  readonly #failuresMs: number[];
  #attempts = 0;
  #startedMs: number | null = null;
  #held = false;
  #timer: NodeJS.Timeout | null = null;
  #dueMs: number | null = null;
  readonly #breaker = new Breaker();
  /** On demand, not before. */
  #notBeforeMs = 0;
  /** On demand, not any more: it failed, and its strategy is `stop`. */
  #staysStopped = false;
  /** A failure that no start has made good yet. */
  #unsettled = false;

  constructor(definition: () => ToolDefinition, ports: SupervisorPorts, failuresMs: number[], onDue: () => void) {
    this.#failuresMs = failuresMs;
    this.#definition = definition;
    this.#ports = ports;
    this.#onDue = onDue;
  }

  get attempts(): number {
    return this.#attempts;
  }

  get nextAttemptWallMs(): number | null {
    return this.#dueMs === null ? null : wallOf(this.#ports.clock, this.#dueMs);
  }

  /** The next fault is final: a configured `stop`. */
  hold(): void {
    this.#held = true;
  }

  countFailure(): void {
    this.#failuresMs.push(this.#now());
    if (this.#failuresMs.length > FAILURES_KEPT) this.#failuresMs.shift();
  }

  /** A run is up. */
  started(): void {
    this.#startedMs = this.#now();
    this.#breaker.close();
    this.#staysStopped = false;
    if (this.#unsettled) this.#record('succeeded', { attempt: this.#attempts });
    this.#unsettled = false;
  }

  /**
   * May a start go through now?
   * @param onDemand a client's request asks for it, and will again; false: a person does
   */
  heldBack(onDemand: boolean): HeldBack | null {
    const { name, recovery } = this.#definition();
    const restart = `or write: governor restart ${name}`;
    const waitMs = this.#breaker.waitMs(this.#now());
    if (waitMs > 0) {
      const message = this.#breaker.isProbing
        ? `${name} failed too often and is being tried again`
        : `${name} failed more than ${recovery.budget} times in ${formatDuration(recovery.windowMs)} and is held back; try again in ${formatDuration(waitMs)}, ${restart}`;
      return { message, retryAfterMs: waitMs };
    }
    if (!onDemand) return null;
    if (this.#staysStopped)
      return {
        message: `${name} failed and is not started again (strategy: stop); write: governor restart ${name}`,
        retryAfterMs: null,
      };
    const backOffMs = this.#notBeforeMs - this.#now();
    if (backOffMs <= 0) return null;
    return {
      message: `${name} failed ${this.#attempts} times in a row; try again in ${formatDuration(backOffMs)}`,
      retryAfterMs: backOffMs,
    };
  }

  /** What a demand has to wait for after this end; null: it stays stopped. */
  retryAfterMs({ reason, isCounted, livedMs }: RunEnd): number | null {
    // Until a person has signed in.
    if (this.#ports.signIn.problem(this.#definition()) !== null) return null;
    if (!isCounted && FAULTS.has(reason)) return this.#afterFailureMs(livedMs);
    if (this.#staysStopped) return null;
    const nowMs = this.#now();
    return Math.max(0, this.#breaker.waitMs(nowMs), this.#notBeforeMs - nowMs);
  }

  /** The same for a failure that is still to be counted. */
  #afterFailureMs(livedMs: number): number | null {
    const { recovery } = this.#definition();
    if (this.#staysStopped || this.#held || recovery.strategy === 'stop') return null;
    const nowMs = this.#now();
    const attempts = livedMs >= STABLE_MS ? 0 : this.#attempts;
    if (budgetExceeded([...this.#failuresMs, nowMs], nowMs, recovery))
      return this.#untilWithinBudgetMs([...this.#failuresMs, nowMs]);
    return Math.max(this.#breaker.waitMs(nowMs), attempts === 0 ? 0 : nextDelayMs(attempts - 1, BACKOFF, 0.5));
  }

  /** A start goes through. */
  letThrough(): void {
    this.#breaker.pass();
  }

  /** A start ended without telling anything about the tool. */
  undecided(): void {
    this.#breaker.forgetProbe();
  }

  /** Too many failures, and no start has succeeded since. */
  get isOpen(): boolean {
    return this.#breaker.isOpen;
  }

  /** A run that somebody demanded has ended, or its start failed. @param livedMs since it was started */
  considerOnDemand(reason: EndReason, livedMs: number): 'none' | 'counted' | 'gave_up' {
    if (livedMs >= STABLE_MS) this.#attempts = 0;
    if (!FAULTS.has(reason)) return 'none';
    if (this.#held || this.#definition().recovery.strategy === 'stop') {
      this.#held = false;
      this.#staysStopped = true;
      this.#breaker.forgetProbe();
      return 'none';
    }
    if (this.#failed(reason)) return 'gave_up';
    // The demand itself is what paces the first one.
    const delayMs = this.#attempts === 0 ? 0 : nextDelayMs(this.#attempts - 1, BACKOFF, this.#ports.random01());
    this.#attempts++;
    this.#notBeforeMs = this.#now() + delayMs;
    this.#record('scheduled', { attempt: this.#attempts, delayMs: Math.round(delayMs), reason, onDemand: true });
    return 'counted';
  }

  /** A run has ended: is it to be started again? */
  consider(reason: EndReason): 'none' | 'scheduled' | 'gave_up' {
    const { recovery, origin } = this.#definition();
    const stable = this.#startedMs !== null && this.#now() - this.#startedMs >= STABLE_MS;
    this.#startedMs = null;
    if (stable) this.#attempts = 0;
    if (!FAULTS.has(reason) || this.#held || recovery.strategy === 'stop' || origin === 'run') {
      this.#held = false;
      return 'none';
    }
    if (this.#failed(reason)) return 'gave_up';
    const delayMs = nextDelayMs(this.#attempts, BACKOFF, this.#ports.random01());
    this.#attempts++;
    this.#dueMs = this.#now() + delayMs;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#dueMs = null;
      this.#onDue();
    }, delayMs);
    this.#record('scheduled', { attempt: this.#attempts, delayMs: Math.round(delayMs), reason });
    return 'scheduled';
  }

  /** For runs of clients, which start them themselves: the window has passed. */
  breakerMayClose(): boolean {
    return !budgetExceeded(this.#failuresMs, this.#now(), this.#definition().recovery);
  }

  cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#dueMs = null;
  }

  /** Someone has mended it. */
  reset(): void {
    this.cancel();
    if (this.#attempts > 0 || this.#failuresMs.length > 0) this.#record('reset', {});
    this.#attempts = 0;
    this.#failuresMs.length = 0;
    this.#held = false;
    this.#breaker.close();
    this.#notBeforeMs = 0;
    this.#staysStopped = false;
    this.#unsettled = false;
  }

  /** Until so many of them have left the window that it is within the budget again. */
  #untilWithinBudgetMs(failuresMs: readonly number[]): number {
    const { budget, windowMs } = this.#definition().recovery;
    const last = recentFailures(failuresMs, this.#now(), windowMs).at(-1 - budget);
    return last === undefined ? 0 : last + windowMs - this.#now();
  }

  /** Counts it. @returns true where that opens the breaker */
  #failed(reason: EndReason): boolean {
    const { recovery } = this.#definition();
    const wasProbe = this.#breaker.isProbing;
    this.countFailure();
    this.#unsettled = true;
    if (!wasProbe && !budgetExceeded(this.#failuresMs, this.#now(), recovery)) return false;
    const afterProbeMs = wasProbe ? Math.min(BACKOFF.maxMs, recovery.windowMs) : 0;
    this.#breaker.open(this.#now() + Math.max(this.#untilWithinBudgetMs(this.#failuresMs), afterProbeMs));
    this.#record('gave_up', {
      failures: this.#failuresMs.length,
      budget: recovery.budget,
      windowMs: recovery.windowMs,
      reason,
    });
    return true;
  }

  #record(outcome: 'scheduled' | 'succeeded' | 'gave_up' | 'reset', detail: Readonly<Record<string, unknown>>): void {
    const { name, recovery } = this.#definition();
    this.#ports.recorder.record({ kind: 'recovery', tool: name, strategy: recovery.strategy, outcome, detail });
  }

  #now(): number {
    return this.#ports.clock.monotonicMs();
  }
}
