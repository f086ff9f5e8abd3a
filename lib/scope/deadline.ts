/** Work under a deadline. */

import { GovernorError } from '../core/errors.ts';

export class TimeoutError extends GovernorError {
  readonly label: string;
  readonly deadlineMs: number;

  constructor(label: string, deadlineMs: number) {
    super('internal', `${label} took longer than ${deadlineMs} ms`, { data: { label, deadlineMs } });
    this.name = 'TimeoutError';
    this.label = label;
    this.deadlineMs = deadlineMs;
  }
}

/** setTimeout(3) of Node takes no more than a signed 32-bit number; a longer delay fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The outcome of the work, or a TimeoutError once the deadline has passed; the signal is aborted with the same error.
 * Work that does not heed the signal goes on, and its late outcome is dropped. Until then a timer keeps the process
 * alive: AbortSignal.timeout would let it exit with the work pending.
 * @param deadlineMs at most 2^31 − 1 (24 days)
 */
export async function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T> | T,
  deadlineMs: number,
  label: string,
): Promise<T> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => {
        const error = new TimeoutError(label, deadlineMs);
        // Reject first: work that gives up because of the signal must not hide that it was late.
        reject(error);
        controller.abort(error);
      },
      Math.min(MAX_TIMER_MS, Math.max(0, deadlineMs)),
    );
  });
  const started = startNow(work, controller.signal);
  try {
    // The race listens to both, so the one that comes late is not an unhandled rejection.
    return await Promise.race([started, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** A throw before the first await is a rejection like any other. */
async function startNow<T>(work: (signal: AbortSignal) => Promise<T> | T, signal: AbortSignal): Promise<T> {
  return work(signal);
}
