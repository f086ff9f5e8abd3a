/**
 * Closes one thing after the other under one deadline. One that hangs takes its share of the time and no more; when it ends
 * before the deadline after all, it counts as closed.
 */

import { settledWithin } from './settled-within.ts';

export interface CloseContext {
  readonly reason: string;
  /** Aborted when its share of the time is over; closing may go on. */
  readonly signal: AbortSignal;
}

export interface Closing {
  readonly name: string;
  readonly close: (context: CloseContext) => unknown;
}

export interface Closed {
  readonly name: string;
  /** Null: closed. */
  readonly error: Error | null;
}

/** What is to be closed; more may come while others are being closed. */
export interface ToClose {
  readonly size: number;
  /** Takes the next one out; null when there is none. */
  take(): Closing | null;
}

interface Begun {
  readonly ended: Promise<void>;
  outcome(): Closed;
}

/** Never rejects. Its timers keep the process alive: whoever closes waits for it. */
export async function closeInOrder(things: ToClose, reason: string, deadlineMs: number): Promise<readonly Closed[]> {
  const untilMs = performance.now() + deadlineMs;
  const leftMs = (): number => Math.max(0, untilMs - performance.now());
  const begun: Begun[] = [];
  while (things.size > 0) {
    const shareMs = leftMs() / things.size;
    const next = things.take();
    if (next === null) break;
    const share = new AbortController();
    const one = begin(next, reason, share.signal);
    begun.push(one);
    if (!(await settledWithin(() => one.ended, shareMs, true)))
      share.abort(new Error(`${next.name} was to be closed within ${Math.round(shareMs)} ms`));
  }
  await settledWithin(() => Promise.all(begun.map(({ ended }) => ended)), leftMs(), true);
  return begun.map((one) => one.outcome());
}

function begin({ name, close }: Closing, reason: string, signal: AbortSignal): Begun {
  let error: Error | null = new Error('it was not closed in time');
  const run = async (): Promise<void> => {
    try {
      await close({ reason, signal });
      error = null;
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown));
    }
  };
  return { ended: run(), outcome: () => ({ name, error }) };
}
