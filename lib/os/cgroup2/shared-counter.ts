/**
 * The CPU time of the group above all runs. A group counts what its sub-groups use: while it stands still, nobody in any
 * of them has run, and one read tells so for all.
 */

import { KeptFile } from '../kernel-file.ts';

export class SharedCounter {
  static readonly #open = new Map<string, SharedCounter>();
  /** Null once the last user has closed it: then it says nothing. */
  #file: KeptFile | null;
  readonly #path: string;
  readonly #parse: (file: KeptFile) => number;
  #users = 0;
  #value = Number.NaN;
  #isRead = false;
  readonly #forget = (): void => void (this.#isRead = false);
  /** When it was read, monotonic milliseconds. */
  atMs = Number.NEGATIVE_INFINITY;
  /** How often it was: two answers of one read tell nothing of the time between them. */
  reads = 0;

  /** The same for everybody who names the same file. Null where it does not exist. @param parse NaN when gone */
  static of(path: string, parse: (file: KeptFile) => number): SharedCounter | null {
    let counter = SharedCounter.#open.get(path);
    if (counter === undefined) {
      const file = KeptFile.tryOpen(path);
      if (file === null) return null;
      counter = new SharedCounter(path, file, parse);
      SharedCounter.#open.set(path, counter);
    }
    counter.#users += 1;
    return counter;
  }

  private constructor(path: string, file: KeptFile, parse: (file: KeptFile) => number) {
    this.#path = path;
    this.#file = file;
    this.#parse = parse;
  }

  /**
   * As of `atMs`; NaN where it is not known. One read serves a whole pass over the runs, but nobody after that: who looks
   * because the kernel told of a change has to see it.
   */
  read(nowMs: number): number {
    if (this.#file === null) return Number.NaN;
    if (this.#isRead) return this.#value;
    this.#value = this.#parse(this.#file);
    this.atMs = nowMs;
    this.reads += 1;
    this.#isRead = true;
    queueMicrotask(this.#forget);
    return this.#value;
  }

  /** Once for each `of`. Closed with its last user. */
  close(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#file?.close();
    this.#file = null;
    SharedCounter.#open.delete(this.#path);
  }
}
