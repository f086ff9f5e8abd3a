/** What waits to be written: seconds that are over, runs that are, and what calls came to. Bounded. */

import { RESOURCES } from '../../core/resource.ts';
import { SecondBuckets } from './buckets.ts';
import type { ClosedSecond } from './buckets.ts';
import type { Post } from './messages.ts';
import type { KnownRun, SecondRow } from './store.ts';
import { addSums } from './totals.ts';
import type { CallTotal } from './totals.ts';

/** Rows and lines of totals that wait while nothing can be written. */
export const WAITING_MAX = 20_000;
const TOTALS_MAX = 10_000;

export class Intake {
  readonly #buckets = new SecondBuckets();
  readonly #runs = new Map<number, KnownRun>();
  readonly #totals = new Map<string, CallTotal>();
  #rows: SecondRow[] = [];
  #ended: KnownRun[] = [];

  get rows(): readonly SecondRow[] {
    return this.#rows;
  }

  get totals(): Iterable<CallTotal> {
    return this.#totals.values();
  }

  /** Those that go on. */
  get live(): Iterable<KnownRun> {
    return this.#runs.values();
  }

  get ended(): readonly KnownRun[] {
    return this.#ended;
  }

  /**
   * @param secondOf of the series, for a monotonic instant; null: nothing is known of it yet, and readings are lost
   * @returns readings, or rows of them, that are lost
   */
  take({ buffer, rows, ended, began, calls, clock }: Post, secondOf: ((atMs: number) => number) | null): number {
    const keep = (closed: ClosedSecond): void => this.#keep(closed);
    for (const slot of ended) this.#end(slot);
    for (const { slot, ...run } of began)
      this.#runs.set(slot, { ...run, id: null, firstS: Infinity, lastS: -Infinity, savedS: -Infinity });
    for (const call of calls) this.#addCall(call);
    if (secondOf === null) return rows;
    this.#buckets.take(new Float64Array(buffer), rows, secondOf, keep);
    this.#buckets.closeBefore(secondOf(clock.monotonicMs), keep);
    const tooMany = Math.max(0, this.#rows.length - WAITING_MAX);
    this.#rows.splice(0, tooMany);
    return tooMany;
  }

  /** Seconds that are not over yet are taken as they are. */
  closeAll(): void {
    this.#buckets.closeBefore(Infinity, (closed) => this.#keep(closed));
  }

  /** All that waited is in the file. */
  written(): void {
    this.#rows = [];
    this.#ended = [];
    this.#totals.clear();
  }

  /** What was named in the file may not be there. */
  forgetIds(): void {
    const all = [...this.#runs.values(), ...this.#ended, ...this.#rows.map(({ run }) => run)];
    for (const run of all) {
      run.id = null;
      run.savedS = -Infinity;
    }
  }

  #keep({ slot, second, mean, min, max }: ClosedSecond): void {
    const run = this.#runs.get(slot);
    if (run === undefined) return;
    run.firstS = Math.min(run.firstS, second);
    run.lastS = Math.max(run.lastS, second);
    let isPlain = true;
    const values: (number | null)[] = [];
    // A loop without anything to collect: this runs once for each run and second.
    for (let resource = 0; resource < RESOURCES.length; resource++) {
      const lowest = min(resource);
      const highest = max(resource);
      if (lowest === highest) {
        values.push(lowest, null, null);
      } else {
        isPlain = false;
        values.push(mean(resource), lowest, highest);
      }
    }
    this.#rows.push({ run, second, values, isPlain });
  }

  #end(slot: number): void {
    this.#buckets.end(slot, (closed) => this.#keep(closed));
    const run = this.#runs.get(slot);
    if (run !== undefined) this.#ended.push(run);
    this.#runs.delete(slot);
  }

  #addCall(call: CallTotal): void {
    const key = JSON.stringify([call.tool, call.context, call.method, call.name]);
    const before = this.#totals.get(key);
    if (before === undefined && this.#totals.size >= TOTALS_MAX) return;
    this.#totals.set(key, before === undefined ? call : { ...call, ...addSums(before, call) });
  }
}
