/** One load that is under way, and all who wait for it. */

import type { FullId } from './cache-types.ts';

/** What a waiter gets that is to load for itself. */
export const RELEASED = Symbol('released');

interface Waiter {
  readonly party: string | undefined;
  release(): void;
}

export class Flight<V> {
  readonly id: FullId;
  /** It was invalidated, or loaded anew, meanwhile: whoever waits gets what it brings, nobody after. */
  overtaken = false;
  readonly #abort = new AbortController();
  readonly #outcome: Promise<V>;
  /** But for the one that began it. */
  readonly #others = new Set<Waiter>();
  #joined = 0;
  #waiting = 0;
  readonly #onAbandoned: () => void;

  constructor(id: FullId, work: (flight: Flight<V>, signal: AbortSignal) => Promise<V>, onAbandoned: () => void) {
    this.id = id;
    this.#onAbandoned = onAbandoned;
    this.#outcome = work(this, this.#abort.signal);
    // Whoever waits hears of it; when nobody does any more, nobody has to.
    this.#outcome.catch(() => undefined);
  }

  /**
   * The first to join is the one that began it, and is never released.
   * @param party who it is, for `release`
   * @throws what the load throws, or the signal's reason
   */
  join(signal: AbortSignal | undefined, party?: string): Promise<V | typeof RELEASED> {
    this.#waiting++;
    const isFirst = this.#joined++ === 0;
    return new Promise((resolve, reject) => {
      const leaveAlone = (): void => {
        signal?.removeEventListener('abort', onAbort);
        this.#others.delete(waiter);
      };
      const onAbort = (): void => {
        leaveAlone();
        reject(signal?.reason as Error);
        this.#leave(signal?.reason);
      };
      const release = (): void => {
        leaveAlone();
        resolve(RELEASED);
        this.#leave(RELEASED);
      };
      const waiter: Waiter = { party, release };
      if (!isFirst) this.#others.add(waiter);
      this.#outcome.then(
        (value) => {
          leaveAlone();
          resolve(value);
        },
        (error: unknown) => {
          leaveAlone();
          reject(error);
        },
      );
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Whoever is of this party, and did not begin it, is to load for itself. */
  release(party: string): void {
    for (const waiter of [...this.#others]) if (waiter.party === party) waiter.release();
  }

  #leave(reason: unknown): void {
    this.#waiting--;
    if (this.#waiting > 0) return;
    this.#onAbandoned();
    this.#abort.abort(reason);
  }
}
