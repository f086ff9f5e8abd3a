/**
 * Whether and when a managed tool is started again. Failures of a window are forgiven up to a budget; over it the breaker
 * opens and stays open until someone resets it or the window has passed. By a timer with back-off, or by the next demand:
 * the first at once, later ones not before their back-off is over. A run that somebody demanded is always made good by the
 * next demand, one that nobody did as its strategy says (recovery-course.ts). Did it help? recovery-trials.ts.
 */

import type { EndReason } from '../core/audit-record.ts';
import { budgetExceeded, nextDelayMs, recentFailures } from '../core/backoff.ts';
import { wallOf } from '../core/clock.ts';
import { formatDuration } from '../core/format.ts';
import type { Strategy } from '../core/recovery-strategy.ts';
import { Breaker } from './breaker.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import { RecoveryCourse } from './recovery-course.ts';
import { RecoveryTrials } from './recovery-trials.ts';
import type { Run } from './run.ts';

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

export class Recovery {
  readonly course: RecoveryCourse;
  readonly #definition: () => ToolDefinition;
  readonly #ports: SupervisorPorts;
  readonly #hooks: RecoveryHooks;
  readonly #trials: RecoveryTrials;
  /** Outlives the tool: an ad-hoc tool is registered anew with each of its runs. */
  readonly #failuresMs: number[];
  #attempts = 0;
  #held = false;
  #timer: NodeJS.Timeout | null = null;
  #dueMs: number | null = null;
  readonly #breaker = new Breaker();
  /** On demand, not before. */
  #notBeforeMs = 0;
  /** It failed, and only a person starts it again. */
  #staysStopped = false;
  /** A failure that no start has made good yet. */
  #unsettled = false;
  #lastFailure = '';

  constructor(definition: () => ToolDefinition, ports: SupervisorPorts, failuresMs: number[], hooks: RecoveryHooks) {
    this.#failuresMs = failuresMs;
    this.#definition = definition;
    this.#ports = ports;
    this.#hooks = hooks;
    this.course = new RecoveryCourse(definition, ports, () => hooks.onReturn());
    this.#trials = new RecoveryTrials({
      ports,
      definition,
      onSucceeded: ({ strategy, attempt }) => this.course.attempted(strategy, 'succeeded', { attempt }),
      onUnanswered: (run, message) => hooks.onUnanswered(run, message),
    });
  }

  get attempts(): number {
    return this.#attempts;
  }

  get nextAttemptWallMs(): number | null {
    return this.#dueMs === null ? null : wallOf(this.#ports.clock, this.#dueMs);
  }

  /** A run after a failure is being watched: whether it holds is not known yet. */
  get isOnTrial(): boolean {
    return this.#trials.count > 0;
  }

  /** Why nothing starts it any more but a person, or not before a time; null: it may be started. */
  get failure(): { readonly reason: string; readonly untilWallMs: number | null } | null {
    const { budget, windowMs } = this.#definition().recovery;
    const last = this.#lastFailure === '' ? '' : `; the last time: ${this.#lastFailure}`;
    if (this.#staysStopped)
      return { reason: `it failed, and is not started again (strategy: stop)${last}`, untilWallMs: null };
    if (!this.#breaker.isOpen) return null;
    const untilMs = this.#now() + this.#breaker.waitMs(this.#now());
    return {
      reason: `it failed more than ${budget} times in ${formatDuration(windowMs)}${last}`,
      untilWallMs: wallOf(this.#ports.clock, untilMs),
    };
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
  started(run: Run): void {
    this.#breaker.close();
    this.#staysStopped = false;
    this.course.started();
    if (!this.#unsettled) return;
    this.#unsettled = false;
    const { strategy } = this.course;
    // Whoever starts what is to stay stopped has mended it, or will see.
    if (strategy !== 'stop') this.#trials.begin({ run, strategy, attempt: this.#attempts });
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

  /**
   * What a demand has to wait for after this end; null: it stays stopped.
   * @param isCounted it is in the account already: a failure is charged once
   */
  retryAfterMs({ reason, livedMs }: RunEnd, isCounted: boolean): number | null {
    if (!isCounted && FAULTS.has(reason)) return this.#afterFailureMs(livedMs);
    if (this.#staysStopped) return null;
    const nowMs = this.#now();
    return Math.max(0, this.#breaker.waitMs(nowMs), this.#notBeforeMs - nowMs);
  }

  /** The same for a failure that is still to be counted. */
  #afterFailureMs(livedMs: number): number | null {
    const { recovery } = this.#definition();
    if (this.#staysStopped || this.#held || this.course.strategy === 'stop') return null;
    const nowMs = this.#now();
    const attempts = livedMs >= recovery.stableForMs ? 0 : this.#attempts;
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

  /** A run has ended, or its start failed: what comes now? */
  consider(end: ConsideredEnd): Verdict {
    const { reason, message, livedMs, onDemand, isLast } = end;
    const isFault = FAULTS.has(reason);
    this.#settleTrial(end, isFault);
    if (livedMs >= this.#definition().recovery.stableForMs) this.#attempts = 0;
    if (!isFault || this.#definition().origin === 'run') {
      if (!onDemand && isLast) this.#held = false;
      else if (!onDemand) this.undecided();
      return 'none';
    }
    this.#lastFailure = message;
    const { strategy } = this.course;
    if (this.#held || strategy === 'stop') {
      this.#held = false;
      this.#staysStopped = true;
      this.#breaker.forgetProbe();
      this.course.cancel();
      return 'stopped';
    }
    // Others do its work; whoever wants another starts it.
    if (!onDemand && !isLast) {
      this.undecided();
      return 'none';
    }
    this.course.failed(message);
    if (this.#failed(reason, strategy)) return 'gave_up';
    return onDemand || strategy === 'restart-on-demand' ? this.#awaitDemand(reason) : this.#schedule(reason);
  }

  /** For runs of clients, which start them themselves: the window has passed. */
  breakerMayClose(): boolean {
    return !budgetExceeded(this.#failuresMs, this.#now(), this.#definition().recovery);
  }

  /** The start that was planned. */
  cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#dueMs = null;
  }

  /** Nothing is decided any more. */
  close(): void {
    this.cancel();
    this.#trials.cancel();
    this.course.cancel();
  }

  /** Someone has mended it. */
  reset(): void {
    this.cancel();
    if (this.#attempts > 0 || this.#failuresMs.length > 0 || this.#staysStopped) this.#record('reset', {});
    this.#attempts = 0;
    this.#failuresMs.length = 0;
    this.#held = false;
    this.#breaker.close();
    this.#notBeforeMs = 0;
    this.#staysStopped = false;
    this.#unsettled = false;
    this.#lastFailure = '';
    this.#trials.cancel();
    this.course.reset();
  }

  /** A start after a failure that failed itself was a recovery too. */
  #settleTrial({ runId, message, reason }: ConsideredEnd, isFault: boolean): void {
    const trial = runId === null ? null : this.#trials.take(runId);
    if (!isFault) return;
    const detail = { reason, message };
    if (trial !== null) return this.course.attempted(trial.strategy, 'failed', { attempt: trial.attempt, ...detail });
    if (runId !== null || !this.#unsettled || this.course.strategy === 'stop') return;
    this.course.attempted(this.course.strategy, 'failed', { attempt: this.#attempts, ...detail });
  }

  #awaitDemand(reason: EndReason): Verdict {
    // The demand itself is what paces the first one.
    const delayMs = this.#attempts === 0 ? 0 : nextDelayMs(this.#attempts - 1, BACKOFF, this.#ports.random01());
    this.#attempts++;
    this.#notBeforeMs = this.#now() + delayMs;
    this.#record('scheduled', { attempt: this.#attempts, delayMs: Math.round(delayMs), reason, onDemand: true });
    return 'counted';
  }

  #schedule(reason: EndReason): Verdict {
    const delayMs = nextDelayMs(this.#attempts, BACKOFF, this.#ports.random01());
    this.#attempts++;
    this.#dueMs = this.#now() + delayMs;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#dueMs = null;
      this.#hooks.onDue();
    }, delayMs);
    this.#record('scheduled', { attempt: this.#attempts, delayMs: Math.round(delayMs), reason });
    return 'scheduled';
  }

  /** Until so many of them have left the window that it is within the budget again. */
  #untilWithinBudgetMs(failuresMs: readonly number[]): number {
    const { budget, windowMs } = this.#definition().recovery;
    const last = recentFailures(failuresMs, this.#now(), windowMs).at(-1 - budget);
    return last === undefined ? 0 : last + windowMs - this.#now();
  }

  /** Counts it. @returns true where that opens the breaker */
  #failed(reason: EndReason, strategy: Strategy): boolean {
    const { recovery } = this.#definition();
    const wasProbe = this.#breaker.isProbing;
    this.countFailure();
    this.#unsettled = true;
    if (!wasProbe && !budgetExceeded(this.#failuresMs, this.#now(), recovery)) return false;
    const afterProbeMs = wasProbe ? Math.min(BACKOFF.maxMs, recovery.windowMs) : 0;
    this.#breaker.open(this.#now() + Math.max(this.#untilWithinBudgetMs(this.#failuresMs), afterProbeMs));
    this.course.gaveUp(strategy, {
      failures: this.#failuresMs.length,
      budget: recovery.budget,
      windowMs: recovery.windowMs,
      reason,
      message: this.#lastFailure,
    });
    return true;
  }

  #record(outcome: 'scheduled' | 'reset', detail: Readonly<Record<string, unknown>>): void {
    const { name } = this.#definition();
    this.#ports.recorder.record({ kind: 'recovery', tool: name, strategy: this.course.strategy, outcome, detail });
  }

  #now(): number {
    return this.#ports.clock.monotonicMs();
  }
}
