/** A clock that stands still until it is told to move. */

import type { Clock } from '../../lib/core/clock.ts';

export interface ManualClock extends Clock {
  /** Both clocks move on by this many milliseconds. */
  advance(ms: number): void;
  /** The wall clock alone jumps, as after a correction; may be negative. */
  jumpWall(ms: number): void;
}

export function manualClock(startMs = 1_000, wallStartMs = 1_700_000_000_000): ManualClock {
  let monotonicMs = startMs;
  let wallMs = wallStartMs;
  return {
    monotonicMs: () => monotonicMs,
    wallMs: () => wallMs,
    advance(ms) {
      if (ms < 0) throw new RangeError(`a monotonic clock does not go back: ${ms}`);
      monotonicMs += ms;
      wallMs += ms;
    },
    jumpWall(ms) {
      wallMs += ms;
    },
  };
}
