/**
 * Whether and when a managed tool is started again. `restart`: with back-off, within a budget of failures per window;
 * over the budget the breaker opens and stays open until someone resets it or the window has passed. `stop`: never.
 */

import { budgetExceeded, nextDelayMs } from '../core/backoff.ts';
import type { EndReason } from '../core/audit-record.ts';
import { wallOf } from '../core/clock.ts';
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
]);

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
    if (this.#attempts > 0) this.#record('succeeded', { attempt: this.#attempts });
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
    this.countFailure();
    if (budgetExceeded(this.#failuresMs, this.#now(), recovery)) {
      this.#record('gave_up', {
        failures: this.#failuresMs.length,
        budget: recovery.budget,
        windowMs: recovery.windowMs,
        reason,
      });
      return 'gave_up';
    }
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

  /** The window has passed: the next start is the probe. */
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
  }

  #record(outcome: 'scheduled' | 'succeeded' | 'gave_up' | 'reset', detail: Readonly<Record<string, unknown>>): void {
    const { name, recovery } = this.#definition();
    this.#ports.recorder.record({ kind: 'recovery', tool: name, strategy: recovery.strategy, outcome, detail });
  }

  #now(): number {
    return this.#ports.clock.monotonicMs();
  }
}
