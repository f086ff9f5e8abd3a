/** One load that is under way, and all who wait for it. */

import type { FullId } from './cache-types.ts';

export class Flight<V> {
  readonly id: FullId;
  /** It was invalidated meanwhile: whoever waits gets what it brings, nobody after. */
  overtaken = false;
  readonly #abort = new AbortController();
  readonly #outcome: Promise<V>;
  #waiting = 0;
  readonly #onAbandoned: () => void;

  constructor(id: FullId, work: (flight: Flight<V>, signal: AbortSignal) => Promise<V>, onAbandoned: () => void) {
    this.id = id;
    this.#onAbandoned = onAbandoned;
    this.#outcome = work(this, this.#abort.signal);
    // Whoever waits hears of it; when nobody does any more, nobody has to.
    this.#outcome.catch(() => undefined);
  }

  /** @throws what the load throws, or the signal's reason */
  async join(signal: AbortSignal | undefined): Promise<V> {
    this.#waiting++;
    if (signal === undefined) return this.#outcome;
    let onAbort = (): void => undefined;
    const aborted = new Promise<never>((_resolve, reject) => {
      onAbort = () => {
        reject(signal.reason as Error);
        this.#leave(signal.reason);
      };
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([aborted, this.#outcome]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #leave(reason: unknown): void {
    this.#waiting--;
    if (this.#waiting > 0) return;
    this.#onAbandoned();
    this.#abort.abort(reason);
  }
}
