/**
 * Whether and when a managed tool is started again. Failures of a window are forgiven up to a budget; over it the breaker
 * opens and stays open until someone resets it or the window has passed. By a timer with back-off, or by the next demand:
 * the first at once, later ones not before their back-off is over. A run that somebody demanded is always made good by the
 * next demand, one that nobody did as its strategy says (recovery-course.ts). Did it help? recovery-trials.ts.
 */

import type { EndReason } from '../core/audit-record.ts';
import { wallOf } from '../core/clock.ts';
import { formatDuration } from '../core/format.ts';
import type { Strategy } from '../core/recovery-strategy.ts';
import { FailureAccount } from './failure-account.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import { RecoveryCourse } from './recovery-course.ts';
import { RecoveryTrials } from './recovery-trials.ts';
import { FAULTS, goesOn } from './recovery-words.ts';
import type { ConsideredEnd, HeldBack, RecoveryHooks, RunEnd, Verdict } from './recovery-words.ts';
import type { Run } from './run.ts';
import { StartPace } from './start-pace.ts';
import type { EndView } from './views.ts';

export class Recovery {
  readonly course: RecoveryCourse;
  readonly #definition: () => ToolDefinition;
  readonly #ports: SupervisorPorts;
  readonly #hooks: RecoveryHooks;
  readonly #trials: RecoveryTrials;
  readonly #failures: FailureAccount;
  readonly #pace: StartPace;
  /** Only a person starts it again: it failed, or has done its work. */
  #staysStopped = false;
  #isDone = false;
  /** A failure that no start has made good yet. */
  #unsettled = false;
  #lastFailure = '';

  constructor(definition: () => ToolDefinition, ports: SupervisorPorts, failuresMs: number[], hooks: RecoveryHooks) {
    this.#failures = new FailureAccount(failuresMs, () => definition().recovery, ports.clock);
    this.#definition = definition;
    this.#ports = ports;
    this.#hooks = hooks;
    this.#pace = new StartPace(ports);
    this.course = new RecoveryCourse(definition, ports, () => hooks.onReturn());
    this.#trials = new RecoveryTrials({
      ports,
      definition,
      onSucceeded: ({ strategy, attempt }) => this.course.attempted(strategy, 'succeeded', { attempt }),
      onUnanswered: (run, message) => hooks.onUnanswered(run, message),
    });
  }

  get attempts(): number {
    return this.#pace.attempts;
  }

  get nextAttemptWallMs(): number | null {
    const { dueMs } = this.#pace;
    return dueMs === null ? null : wallOf(this.#ports.clock, dueMs);
  }

  /** A run after a failure is being watched: whether it holds is not known yet. */
  get isOnTrial(): boolean {
    return this.#trials.count > 0;
  }

  /** Why nothing starts it any more but a person, or not before a time; null: it may be started. */
  get failure(): { readonly reason: string; readonly untilWallMs: number | null } | null {
    const { budget, windowMs } = this.#definition().recovery;
    const last = this.#lastFailure === '' ? '' : `; the last time: ${this.#lastFailure}`;
    if (this.#isDone) return null;
    if (this.#staysStopped)
      return { reason: `it failed, and is not started again (strategy: stop)${last}`, untilWallMs: null };
    if (!this.#breaker.isOpen) return null;
    const untilMs = this.#now() + this.#breaker.waitMs(this.#now());
    return {
      reason: `it failed more than ${budget} times in ${formatDuration(windowMs)}${last}`,
      untilWallMs: wallOf(this.#ports.clock, untilMs),
    };
  }

  /** Of a run of a client, which starts it again itself. */
  countFailure(): void {
    this.#failures.add();
  }

  /** A run is up. */
  started(run: Run): void {
    this.#breaker.close();
    this.#staysStopped = false;
    this.#isDone = false;
    this.course.started();
    if (!this.#unsettled) return;
    this.#unsettled = false;
    const { strategy } = this.course;
    // Whoever starts what is to stay stopped has mended it, or will see.
    if (strategy !== 'stop') this.#trials.begin({ run, strategy, attempt: this.attempts });
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
        message: `${name} ${this.#isDone ? 'has ended' : 'failed'} and is not started again (strategy: stop); write: governor restart ${name}`,
        retryAfterMs: null,
      };
    const backOffMs = this.#pace.waitMs;
    if (backOffMs <= 0) return null;
    return {
      message: `${name} failed ${this.attempts} times in a row; try again in ${formatDuration(backOffMs)}`,
      retryAfterMs: backOffMs,
    };
  }

  /**
   * What a demand has to wait for after this end; null: it stays stopped.
   * @param isCounted it is in the account already: a failure is charged once
   */
  retryAfterMs({ reason, livedMs, endsTool }: RunEnd, isCounted: boolean): number | null {
    // Until a person has signed in.
    if (this.#ports.signIn.problem(this.#definition()) !== null) return null;
    if (!isCounted && FAULTS.has(reason)) return endsTool ? null : this.#afterFailureMs(livedMs);
    if (this.#staysStopped) return null;
    return Math.max(0, this.#breaker.waitMs(this.#now()), this.#pace.waitMs);
  }

  /** The same for a failure that is still to be counted. */
  #afterFailureMs(livedMs: number): number | null {
    const { recovery } = this.#definition();
    if (this.#staysStopped || this.course.strategy === 'stop') return null;
    const attempts = livedMs >= recovery.stableForMs ? 0 : this.attempts;
    return (
      this.#failures.heldBackAfterOneMoreMs() ??
      Math.max(this.#breaker.waitMs(this.#now()), this.#pace.demandDelayMs(attempts, 0.5))
    );
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
    const { reason, message, livedMs, onDemand, isLast, isDone, endsTool } = end;
    const isFault = FAULTS.has(reason) && !isDone;
    this.#settleTrial(end, isFault);
    if (livedMs >= this.#definition().recovery.stableForMs) this.#pace.attempts = 0;
    if (isDone && isLast) {
      this.#staysStopped = true;
      this.#isDone = true;
    }
    // No failure of its own: it goes on where it was left, and nothing is held against it.
    if (goesOn(end, this.course.strategy) && this.#definition().origin !== 'run') return this.#schedule(reason);
    if (!isFault || this.#definition().origin === 'run') {
      if (!onDemand && !isLast) this.undecided();
      return 'none';
    }
    this.#lastFailure = message;
    const { strategy } = this.course;
    if (endsTool || strategy === 'stop') {
      this.#staysStopped = true;
      this.#breaker.forgetProbe();
      this.course.cancel();
      return 'stopped';
    }
    // Others do its work; whoever wants another starts it.
    if (!onDemand && !isLast) return this.#charge(reason, strategy) ? 'gave_up' : 'none';
    this.course.failed(message);
    this.#unsettled = true;
    if (this.#charge(reason, strategy)) return 'gave_up';
    return onDemand || strategy === 'restart-on-demand' ? this.#awaitDemand(reason) : this.#schedule(reason);
  }

  /** It may live on, so nothing follows; what it was to make good, it has not where its end is a fault. */
  unproven({ id: runId }: Run, { reason, message }: EndView): void {
    this.#settleTrial({ runId, reason, message }, FAULTS.has(reason));
  }

  /** For runs of clients, which start them themselves: the window has passed. */
  breakerMayClose(): boolean {
    return !this.#failures.isExceeded;
  }

  /** The start that was planned. */
  cancel(): void {
    this.#pace.cancel();
  }

  /** Nothing is decided any more. */
  close(): void {
    this.cancel();
    this.#trials.cancel();
    this.course.cancel();
  }

  /** Someone has mended it. */
  reset(): void {
    if (this.attempts > 0 || this.#failures.count > 0 || this.#staysStopped) this.#record('reset', {});
    this.#pace.reset();
    this.#failures.forget();
    this.#staysStopped = false;
    this.#isDone = false;
    this.#unsettled = false;
    this.#lastFailure = '';
    this.#trials.cancel();
    this.course.reset();
  }

  /** A start after a failure that failed itself was a recovery too. */
  #settleTrial(
    { runId, message, reason }: Pick<ConsideredEnd, 'runId' | 'message' | 'reason'>,
    isFault: boolean,
  ): void {
    const trial = runId === null ? null : this.#trials.take(runId);
    if (!isFault) return;
    const detail = { reason, message };
    if (trial !== null) return this.course.attempted(trial.strategy, 'failed', { attempt: trial.attempt, ...detail });
    if (runId !== null || !this.#unsettled || this.course.strategy === 'stop') return;
    this.course.attempted(this.course.strategy, 'failed', { attempt: this.attempts, ...detail });
  }

  #awaitDemand(reason: EndReason): Verdict {
    const delayMs = Math.round(this.#pace.awaitDemand());
    this.#record('scheduled', { attempt: this.attempts, delayMs, reason, onDemand: true });
    return 'counted';
  }

  #schedule(reason: EndReason): Verdict {
    const delayMs = Math.round(this.#pace.schedule(() => this.#hooks.onDue()));
    this.#record('scheduled', { attempt: this.attempts, delayMs, reason });
    return 'scheduled';
  }

  /** To the budget. @returns true where that opens the breaker */
  #charge(reason: EndReason, strategy: Strategy): boolean {
    const { budget, windowMs } = this.#definition().recovery;
    if (!this.#failures.addAndJudge()) return false;
    const failures = this.#failures.count;
    this.course.gaveUp(strategy, { failures, budget, windowMs, reason, message: this.#lastFailure });
    return true;
  }

  get #breaker(): FailureAccount['breaker'] {
    return this.#failures.breaker;
  }

  #record(outcome: 'scheduled' | 'reset', detail: Readonly<Record<string, unknown>>): void {
    const { name } = this.#definition();
    this.#ports.recorder.record({ kind: 'recovery', tool: name, strategy: this.course.strategy, outcome, detail });
  }

  #now(): number {
    return this.#ports.clock.monotonicMs();
  }
}
