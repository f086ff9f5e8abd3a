/** Writing many small messages: what a turn of the event loop brings goes out by one system call, which costs more than a message does. */

import type { Writable } from 'node:stream';

export class Gathered {
  readonly #stream: Writable;
  #isOpen = false;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  /** Before each write. Nothing waits longer than this turn. */
  begin(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#stream.cork();
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isOpen = false;
    this.#stream.uncork();
  };
}
