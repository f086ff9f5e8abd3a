/** Whether one group is idle, as far as the counter of the group above it tells. */

import { KeptFile } from '../kernel-file.ts';
import { SharedCounter } from './shared-counter.ts';

export class IdleWatch {
  readonly #above: SharedCounter | null;
  #seen = Number.NaN;

  /** @param path of the counter above @param parse NaN when it is gone */
  constructor(path: string, parse: (file: KeptFile) => number) {
    this.#above = SharedCounter.of(path, () => KeptFile.tryOpen(path), parse);
  }

  /** Right before the group's own counter is read. */
  note(nowMs: number): void {
    this.#seen = this.#above?.read(nowMs) ?? Number.NaN;
  }

  /** The time until which nobody has run since `note`; NaN where that is not known. */
  untilMs(nowMs: number): number {
    return this.#above !== null && this.#above.read(nowMs) === this.#seen ? this.#above.atMs : Number.NaN;
  }

  close(): void {
    this.#above?.close();
  }
}
