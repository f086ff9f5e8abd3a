/** Work on one thing goes one after another, in the order in which it was asked for; work on others does not wait. */
export class OneByOne {
  readonly #last = new Map<string, Promise<unknown>>();

  /** @param work never rejects. Begins at once where nothing is under way. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine = before === undefined ? work() : before.then(work);
    this.#last.set(key, mine);
    void mine.then(() => {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    });
    return mine;
  }
}
