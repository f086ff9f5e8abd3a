/**
 * Holds starts back after too many failures: closed → open → half open, when its time is over: one start is let through,
 * and only its success closes it.
 */

/** Whoever comes while the one start is under way is told to come back after this. */
const PROBE_RETRY_MS = 1_000;

export class Breaker {
  /** Null: closed. */
  #openUntilMs: number | null = null;
  #probing = false;

  get isOpen(): boolean {
    return this.#openUntilMs !== null;
  }

  get isProbing(): boolean {
    return this.#probing;
  }

  /** Until a start may be let through; 0: now. */
  waitMs(nowMs: number): number {
    if (this.#openUntilMs === null) return 0;
    return this.#probing ? PROBE_RETRY_MS : Math.max(0, this.#openUntilMs - nowMs);
  }

  /** A start goes through: the probe, where it is open. */
  pass(): void {
    this.#probing = this.isOpen;
  }

  /** The start came to nothing that tells anything: somebody stopped it. */
  forgetProbe(): void {
    this.#probing = false;
  }

  open(untilMs: number): void {
    this.#probing = false;
    this.#openUntilMs = untilMs;
  }

  close(): void {
    this.#probing = false;
    this.#openUntilMs = null;
  }
}
