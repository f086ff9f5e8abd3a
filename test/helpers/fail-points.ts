/** Named places in the fakes at which a test makes something fail, or holds it up; and the order in which they were passed. */

export class FailPoints {
  /** What happened, oldest first; words after the name say with what. */
  readonly log: string[] = [];
  readonly #failures = new Map<string, { readonly error: Error; times: number }>();
  readonly #gates = new Map<string, Promise<void>>();

  /** @param times how often; afterwards it works again */
  fail(point: string, error: Error = new Error(`${point} failed`), times = Infinity): void {
    this.#failures.set(point, { error, times });
  }

  /** Whoever comes to the point waits there. @returns what lets them go on */
  hold(point: string): () => void {
    let release = (): void => undefined;
    this.#gates.set(point, new Promise((resolve) => (release = resolve)));
    return () => {
      this.#gates.delete(point);
      release();
    };
  }

  /** @throws what the test asked for */
  now(point: string): void {
    const failure = this.#failures.get(point);
    if (failure === undefined) return;
    if (--failure.times <= 0) this.#failures.delete(point);
    throw failure.error;
  }

  async pass(point: string): Promise<void> {
    await this.#gates.get(point);
    this.now(point);
  }

  say(what: string): void {
    this.log.push(what);
  }
}
