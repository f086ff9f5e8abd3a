/**
 * Time as a dependency. Decisions use only monotonic time; wall time is for people and for the audit.
 * Monotonic milliseconds count from an arbitrary origin and are never negative.
 */
export interface Clock {
  /** Monotonic milliseconds, fractional. CLOCK_MONOTONIC on Linux: it does not advance in suspend. */
  monotonicMs(): number;
  /** Wall clock, milliseconds since the Unix epoch. May jump. */
  wallMs(): number;
}

/** The wall time at which a monotonic instant was, by today's offset of the two clocks. */
export function wallOf(clock: Clock, monotonicMs: number): number {
  return clock.wallMs() - (clock.monotonicMs() - monotonicMs);
}
