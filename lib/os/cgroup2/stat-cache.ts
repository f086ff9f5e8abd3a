/**
 * Spares the dear read of `memory.stat` (7 µs) while the cheap total (0.8 µs) stands still.
 *
 * The total can stand still while page cache turns into anonymous memory, above all at the cap. So it is only trusted
 * while it lies below the first stage, where nothing could be missed, and never for longer than a few seconds.
 */

import type { ResolvedLimit } from '../../core/limits.ts';

const PAGE = 4096;
const TRUST_MS = 5000;

export class StatCache {
  #value = 0;
  #total = Number.NaN;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #watchFromBytes = Number.POSITIVE_INFINITY;

  /** The value last stored. */
  get value(): number {
    return this.#value;
  }

  /** From the first stage of this limit on, every sample reads. */
  watchFrom(limit: ResolvedLimit | null): void {
    this.#watchFromBytes = limit === null ? Number.POSITIVE_INFINITY : limit.limit * limit.thresholds.warning;
  }

  /** What is swapped out is in the value alone, page cache in the total alone. */
  isNear(total: number): boolean {
    return Math.max(total, this.#value) >= this.#watchFromBytes;
  }

  mustRead(total: number, nowMs: number, fresh: boolean): boolean {
    return fresh || nowMs - this.#readAtMs >= TRUST_MS || !this.stands(total);
  }

  /** False for the first total, with nothing to compare it to, and where every sample reads. */
  stands(total: number): boolean {
    return !this.isNear(total) && Math.abs(total - this.#total) < PAGE;
  }

  store(value: number, total: number, nowMs: number): void {
    this.#value = value;
    this.#total = total;
    this.#readAtMs = nowMs;
  }
}
