/** Turns of clients whose requests must not overlap: first come, first served; the requests of one client share its turn. */

export class Turns<Owner> {
  #current: Owner | null = null;
  #open = 0;
  readonly #waiting: { readonly owner: Owner; readonly go: () => void }[] = [];

  /** Calls `go` when it is the owner's turn: at once, or later. @returns gives up the place in the queue */
  enter(owner: Owner, go: () => void): () => void {
    // Whoever has the turn keeps no one waiting by asking for more.
    const isFree = this.#current === null || (this.#current === owner && this.#waiting.length === 0);
    if (isFree) {
      this.#current = owner;
      this.#open++;
      go();
      return () => undefined;
    }
    const entry = { owner, go };
    this.#waiting.push(entry);
    return () => {
      const index = this.#waiting.indexOf(entry);
      if (index !== -1) this.#waiting.splice(index, 1);
    };
  }

  /** A request of the current owner is over. */
  leave(): void {
    if (this.#open > 0) this.#open--;
    if (this.#open > 0) return;
    const next = this.#waiting[0]?.owner;
    this.#current = next ?? null;
    if (next === undefined) return;
    const now = this.#waiting.filter(({ owner }) => owner === next);
    this.#waiting.splice(0, this.#waiting.length, ...this.#waiting.filter(({ owner }) => owner !== next));
    this.#open = now.length;
    for (const { go } of now) go();
  }
}
