/**
 * Calls that were cancelled a moment ago. A legacy server may have asked something for one of them before it read of that, and where
 * nothing says whose a question is, the one client that still calls would be asked in its place. A ping that is sent behind the
 * cancellation tells: what comes before its answer may be theirs.
 */

import { MAKES_ASK } from './open-requests.ts';
import type { OpenRequest } from './open-requests.ts';

export class JustCancelled<Owner> {
  readonly #ping: () => Promise<unknown>;
  /** Those of which one ping is to tell, by the end of that. */
  readonly #rounds = new Map<Promise<unknown>, Set<Owner>>();
  readonly #nobody: ReadonlySet<Owner> = new Set();
  #next: { readonly owners: Set<Owner>; readonly told: Promise<void>[] } | null = null;

  /** @param ping resolves when the server has answered one that is sent now, or will not; never rejects */
  constructor(ping: () => Promise<unknown>) {
    this.#ping = ping;
  }

  /** @param told the server was sent the cancellation; never rejects */
  add({ owner, method }: OpenRequest<Owner>, told: Promise<void>): void {
    if (!MAKES_ASK.has(method)) return;
    if (this.#next === null) this.#begin();
    this.#next?.owners.add(owner);
    this.#next?.told.push(told);
  }

  /** Whose they were; clients that have gone among them. */
  get owners(): ReadonlySet<Owner> {
    // Looked at for each line of a server's log.
    if (this.#rounds.size === 0) return this.#nobody;
    return new Set([...this.#rounds.values()].flatMap((owners) => [...owners]));
  }

  /** The server has read of all that there are now. */
  async over(): Promise<void> {
    await Promise.all(this.#rounds.keys());
  }

  /** One ping for all that are cancelled at once. */
  #begin(): void {
    const next = { owners: new Set<Owner>(), told: [] as Promise<void>[] };
    this.#next = next;
    const round = Promise.resolve().then(async () => {
      this.#next = null;
      await Promise.all(next.told);
      await this.#ping();
      this.#rounds.delete(round);
    });
    this.#rounds.set(round, next.owners);
  }
}
