/** Turns of clients whose requests must not overlap: first come, first served; the requests of one client share its turn. */

export class Turns<Owner> {
  /** Requests under way, by client; also of the time before turns were taken. */
  readonly #open = new Map<Owner, number>();
  #waiting: { readonly owner: Owner; readonly go: () => void }[] = [];
  /** Questions of the server's that are open, by the client that is asked. */
  readonly #asked = new Map<Owner, number>();
  /** False: everyone goes at once. */
  isOn: boolean;

  constructor(isOn: boolean) {
    this.isOn = isOn;
  }

  /** @returns true: under way, until `leave` */
  tryEnter(owner: Owner): boolean {
    // Whoever has the turn keeps no one waiting by asking for more.
    if (this.isOn && !(this.#waiting.length === 0 && this.#isAlone(owner)) && !this.#mustGoOn(owner)) return false;
    this.#begin(owner);
    return true;
  }

  /** The server asks the owner something; what it waits for goes at once. */
  asked(owner: Owner): void {
    add(this.#asked, owner, 1);
    if (this.#mustGoOn(owner)) this.#go(owner);
  }

  /** Such a question is over. */
  answered(owner: Owner): void {
    add(this.#asked, owner, -1);
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
    add(this.#open, owner, -1);
    this.#next();
  }

  #isAlone(owner: Owner): boolean {
    return this.#open.size === 0 || (this.#open.size === 1 && this.#open.has(owner));
  }

  /** Its answer may need another call, and its own call the answer: were that to wait for those behind it, all would. */
  #mustGoOn(owner: Owner): boolean {
    return this.#open.has(owner) && this.#asked.has(owner);
  }

  #begin(owner: Owner): void {
    add(this.#open, owner, 1);
  }

  #next(): void {
    const owner = this.#waiting[0]?.owner;
    if (owner !== undefined && this.#isAlone(owner)) this.#go(owner);
  }

  #go(owner: Owner): void {
    const now = this.#waiting.filter((each) => each.owner === owner);
    this.#waiting = this.#waiting.filter((each) => each.owner !== owner);
    for (const { go } of now) {
      this.#begin(owner);
      go();
    }
  }
}

function add<Owner>(counts: Map<Owner, number>, owner: Owner, more: number): void {
  const count = (counts.get(owner) ?? 0) + more;
  if (count > 0) counts.set(owner, count);
  else counts.delete(owner);
}
