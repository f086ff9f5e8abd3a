/** The starts of one tool that are under way. */

export class Starts {
  readonly #starts = new Set<Promise<unknown>>();
  /** The same to their very end, what they have to end themselves included. */
  readonly #followed = new Set<Promise<unknown>>();

  get none(): boolean {
    return this.#starts.size === 0;
  }

  /** A start that is over, either way, counts no more. */
  async during<T>(start: () => Promise<T>): Promise<T> {
    const started = start();
    this.#starts.add(started);
    try {
      return await started;
    } finally {
      this.#starts.delete(started);
    }
  }

  /** A stop waits for what it has overtaken. */
  follow<T>(start: Promise<T>): Promise<T> {
    const over: Promise<unknown> = start.then(
      () => this.#followed.delete(over),
      () => this.#followed.delete(over),
    );
    this.#followed.add(over);
    return start;
  }

  /** Resolves when those of now are over, and does not throw for those that failed. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#starts);
  }

  /** Resolves when those of now are over, and what they began is ended. */
  async followedToTheEnd(): Promise<void> {
    await Promise.all(this.#followed);
  }
}
