/** The order of lib/process/terminate.ts without its waiting: the clock is moved instead. For trees that exist in memory. */

import type { Target, TerminateOptions, Termination } from '../../lib/process/terminate.ts';
import type { ManualClock } from './manual-clock.ts';
import { settled } from './manual-time.ts';

/** What a kill takes. */
export const KILL_MS = 5;

export function fakeTerminate(clock: ManualClock): (target: Target, options: TerminateOptions) => Promise<Termination> {
  return async (target, { graceMs, hurry }) => {
    const done = (how: Termination['how'], spentMs: number, killMs: number, rounds: number): Termination => ({
      proven: how !== 'survived' && target.exact,
      how,
      graceMs: spentMs,
      killMs,
      rounds,
    });
    if (target.empty()) return done('was_empty', 0, 0, 0);
    let spentMs = 0;
    if (graceMs > 0 && !hurry.aborted) {
      target.endInput?.();
      await settled(2);
      if (target.empty()) return done('end_of_input', 0, 0, 0);
      await target.signal('SIGTERM');
      await settled(2);
      if (target.empty()) return done('signal', 0, 0, 0);
      clock.advance(graceMs);
      spentMs = graceMs;
    }
    await target.kill();
    clock.advance(KILL_MS);
    return done(target.empty() ? 'killed' : 'survived', spentMs, KILL_MS, 1);
  };
}
