/** A serial queue: one message at a time, in the order of posting; a failing message is reported and harms no other. */

export class Mailbox {
  readonly #onError: (error: unknown) => void;
  #tail: Promise<void> = Promise.resolve();

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  post(message: () => Promise<void> | void): void {
    this.#tail = this.#tail.then(message).catch(this.#onError);
  }

  /** Resolves when everything posted so far is done. */
  drained(): Promise<void> {
    return this.#tail;
  }
}
