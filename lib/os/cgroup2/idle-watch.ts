/** Whether one group is idle, as far as the counter of the group above it tells. */

import type { KeptFile } from '../kernel-file.ts';
import { SharedCounter } from './shared-counter.ts';

export class IdleWatch {
  #above: SharedCounter | null;
  /** What the counter above had counted when the group's own was read; NaN where it cannot be compared with that. */
  #seen = Number.NaN;
  /** Which read of it was made use of last: each is good for one answer. */
  #usedRead = 0;

  /** @param path of the counter above @param parse NaN when it is gone */
  constructor(path: string, parse: (file: KeptFile) => number) {
    this.#above = SharedCounter.of(path, parse);
  }

  /** Right before the group's own counter is read. */
  note(nowMs: number): void {
    if (this.#above === null) return;
    this.#seen = this.#above.read(nowMs);
    this.#usedRead = this.#above.reads;
  }

  /**
   * Right after the group's own counter was read. A counter above that has not counted all of it does not tell, whatever
   * the reason: one that is not kept here stands still at 0.
   */
  compare(own: number): void {
    if (!(own <= this.#seen)) this.#seen = Number.NaN;
  }

  /** The time until which nobody has run since `note`; NaN where that is not known. */
  untilMs(nowMs: number): number {
    const above = this.#above;
    if (above === null || Number.isNaN(this.#seen)) return Number.NaN;
    if (above.read(nowMs) !== this.#seen || above.reads === this.#usedRead) return Number.NaN;
    this.#usedRead = above.reads;
    return above.atMs;
  }

  close(): void {
    this.#above?.close();
    this.#above = null;
  }
}
