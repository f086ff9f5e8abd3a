/** When a tool that failed may be started again: by a timer, or not before a time by whoever wants it. Later with each failure in a row. */

import { DEFAULT_BACKOFF, nextDelayMs } from '../core/backoff.ts';
import type { SupervisorPorts } from './ports.ts';

export class StartPace {
  /** Failures in a row. */
  attempts = 0;
  readonly #ports: Pick<SupervisorPorts, 'clock' | 'random01'>;
  #timer: NodeJS.Timeout | null = null;
  #dueMs: number | null = null;
  #notBeforeMs = 0;

  constructor(ports: Pick<SupervisorPorts, 'clock' | 'random01'>) {
    this.#ports = ports;
  }

  /** Monotonic, of the timer; null: none is set. */
  get dueMs(): number | null {
    return this.#dueMs;
  }

  /** Until a demand may start it; 0 or less: now. */
  get waitMs(): number {
    return this.#notBeforeMs - this.#ports.clock.monotonicMs();
  }

  /** What the next demand would have to wait for after one more failure. @param attempts failures in a row before that */
  demandDelayMs(attempts: number, random01: number): number {
    // The demand itself is what paces the first one.
    return attempts === 0 ? 0 : nextDelayMs(attempts - 1, DEFAULT_BACKOFF, random01);
  }

  /** Nothing starts it by itself. @returns how long a demand has to wait, ms */
  awaitDemand(): number {
    const delayMs = this.demandDelayMs(this.attempts, this.#ports.random01());
    this.attempts++;
    this.#notBeforeMs = this.#ports.clock.monotonicMs() + delayMs;
    return delayMs;
  }

  /** @returns the back-off, ms */
  schedule(onDue: () => void): number {
    const delayMs = nextDelayMs(this.attempts, DEFAULT_BACKOFF, this.#ports.random01());
    this.attempts++;
    this.#dueMs = this.#ports.clock.monotonicMs() + delayMs;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#dueMs = null;
      onDue();
    }, delayMs);
    return delayMs;
  }

  /** The start that was planned. */
  cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#dueMs = null;
  }

  reset(): void {
    this.cancel();
    this.attempts = 0;
    this.#notBeforeMs = 0;
  }
}
