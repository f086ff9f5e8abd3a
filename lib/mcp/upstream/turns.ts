/** Turns of clients whose requests must not overlap: first come, first served; the requests of one client share its turn. */

export class Turns<Owner> {
  /** Requests under way, by client; also of the time before turns were taken. */
  readonly #open = new Map<Owner, number>();
  #waiting: { readonly owner: Owner; readonly go: () => void }[] = [];
  /** False: everyone goes at once. */
  isOn: boolean;

  constructor(isOn: boolean) {
    this.isOn = isOn;
  }

  /** @returns true: under way, until `leave` */
  tryEnter(owner: Owner): boolean {
    // Whoever has the turn keeps no one waiting by asking for more.
    if (this.isOn && !(this.#waiting.length === 0 && this.#isAlone(owner))) return false;
    this.#begin(owner);
    return true;
  }

  /** Calls `go` when it is the owner's turn. @returns gives up the place in the queue */
  wait(owner: Owner, go: () => void): () => void {
    const entry = { owner, go };
    this.#waiting.push(entry);
    return () => {
      const index = this.#waiting.indexOf(entry);
      if (index !== -1) this.#waiting.splice(index, 1);
      this.#next();
    };
  }

  /** A request of the owner is over. */
  leave(owner: Owner): void {
    const left = (this.#open.get(owner) ?? 0) - 1;
    if (left > 0) this.#open.set(owner, left);
    else this.#open.delete(owner);
    this.#next();
  }

  #isAlone(owner: Owner): boolean {
    return this.#open.size === 0 || (this.#open.size === 1 && this.#open.has(owner));
  }

  #begin(owner: Owner): void {
    this.#open.set(owner, (this.#open.get(owner) ?? 0) + 1);
  }

  #next(): void {
    const owner = this.#waiting[0]?.owner;
    if (owner === undefined || !this.#isAlone(owner)) return;
    const now = this.#waiting.filter((each) => each.owner === owner);
    this.#waiting = this.#waiting.filter((each) => each.owner !== owner);
    for (const { go } of now) {
      this.#begin(owner);
      go();
    }
  }
}
