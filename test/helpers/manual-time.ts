/**
 * A clock with timers: setTimeout and clearTimeout of this process obey it until the end of the test. Nothing fires by
 * itself, so what takes a minute in life takes none here, and what is due when is exact.
 */

import type { TestScope } from './fixture.ts';
import { manualClock, type ManualClock } from './manual-clock.ts';

export interface ManualTime extends ManualClock {
  /** Time passes: every timer that falls due is fired when it is due, and what it set off is let settle. */
  pass(ms: number): Promise<void>;
  /** The process was held up: time is over before any timer had a chance; what is due then fires, late. */
  stall(ms: number): Promise<void>;
  /** Timers that wait. */
  readonly pending: number;
}

interface Timer {
  readonly dueMs: number;
  readonly work: () => void;
}

export function manualTime(t: TestScope): ManualTime {
  const clock = manualClock();
  const timers = new Map<object, Timer>();
  const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };

  const fake = (work: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]): NodeJS.Timeout => {
    const handle = { ref: () => handle, unref: () => handle, hasRef: () => true, refresh: () => handle };
    timers.set(handle, { dueMs: clock.monotonicMs() + Math.max(0, delayMs), work: () => work(...args) });
    return handle as unknown as NodeJS.Timeout;
  };
  globalThis.setTimeout = fake as unknown as typeof setTimeout;
  globalThis.clearTimeout = ((handle?: NodeJS.Timeout) => {
    if (typeof handle === 'object' && timers.delete(handle)) return;
    real.clearTimeout(handle);
  }) as typeof clearTimeout;
  t.teardown(() => void Object.assign(globalThis, real));

  const fireDue = async (): Promise<void> => {
    for (let next = earliest(timers); next !== null && next[1].dueMs <= clock.monotonicMs(); next = earliest(timers)) {
      timers.delete(next[0]);
      next[1].work();
      await settled();
    }
  };
  return {
    ...clock,
    async pass(ms) {
      const untilMs = clock.monotonicMs() + ms;
      await settled();
      for (let next = earliest(timers); next !== null && next[1].dueMs <= untilMs; next = earliest(timers)) {
        clock.advance(Math.max(0, next[1].dueMs - clock.monotonicMs()));
        await fireDue();
      }
      clock.advance(Math.max(0, untilMs - clock.monotonicMs()));
      await settled();
    },
    async stall(ms) {
      clock.advance(ms);
      await fireDue();
      await settled();
    },
    get pending() {
      return timers.size;
    },
  };
}

/** Lets everything that needs no time come to rest. */
export async function settled(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

function earliest(timers: ReadonlyMap<object, Timer>): readonly [object, Timer] | null {
  let first: readonly [object, Timer] | null = null;
  for (const entry of timers) if (first === null || entry[1].dueMs < first[1].dueMs) first = entry;
  return first;
}
