/** Whoever listens may fail: nobody else is to notice. */

export class Listeners<E extends object> {
  readonly #of = new Map<keyof E, Set<(event: never) => unknown>>();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** @returns takes the listener away again; idempotent */
  add<K extends keyof E>(name: K, listener: (event: E[K]) => unknown): () => void {
    const set = this.#of.get(name) ?? new Set();
    this.#of.set(name, set);
    // One function may be added twice, and each has its own end.
    const own = (event: E[K]): unknown => listener(event);
    set.add(own);
    return () => void set.delete(own);
  }

  /** @param event made only when somebody listens */
  tell<K extends keyof E>(name: K, event: () => E[K]): void {
    const set = this.#of.get(name);
    if (set === undefined || set.size === 0) return;
    const told = event();
    for (const listener of [...set]) {
      try {
        const answer = listener(told as never);
        if (answer instanceof Promise) answer.catch(this.#onError);
      } catch (error) {
        this.#onError(error);
      }
    }
  }
}
