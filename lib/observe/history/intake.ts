/** What waits to be written: seconds that are over, runs that are, and what calls came to. Bounded. */

import { RESOURCES, UNIT } from '../../core/resource.ts';
import { SecondBuckets } from './buckets.ts';
import type { ClosedSecond } from './buckets.ts';
import type { Post } from './messages.ts';
import type { KnownRun, SecondRow } from './store.ts';
import { rounded } from './tiers.ts';
import { addSums } from './totals.ts';
import type { CallTotal } from './totals.ts';

/** Rows and lines of totals that wait while nothing can be written. */
export const WAITING_MAX = 20_000;
const TOTALS_MAX = 10_000;
/** Seconds that a reading may come late, and be no second later for it. */
const LATE_S = 1;

/** A reading that goes for the seconds until the next one is due. */
interface Held {
  /** Means: lowest and highest are those of its second alone. */
  readonly values: SecondRow['values'];
  readonly second: number;
  /** The last second that it was taken for. */
  filledS: number;
}

export class Intake {
  readonly #buckets = new SecondBuckets();
  readonly #runs = new Map<number, KnownRun>();
  readonly #totals = new Map<string, CallTotal>();
  #rows: SecondRow[] = [];
  #ended: KnownRun[] = [];
  readonly #held = new Map<KnownRun, Held>();
  readonly #holdS: number;

  /** @param sampleIntervalMs at which a calm run is read: for so long a reading holds */
  constructor(sampleIntervalMs: number) {
    this.#holdS = Math.ceil(sampleIntervalMs / 1000);
  }

  /** Seconds after which nothing is added to a second any more. */
  get settleS(): number {
    return this.#holdS > 1 ? LATE_S + 1 : 0;
  }

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
    const nowS = secondOf(clock.monotonicMs);
    this.#buckets.closeBefore(nowS, keep);
    for (const [run, held] of this.#held) this.#fill(run, held, Math.min(nowS - LATE_S, held.second + this.#holdS));
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
    this.#holdUntil(run, second);
    let isPlain = true;
    const means: (number | null)[] = [];
    // Loops without anything else to collect: this runs once for each run and second.
    for (let resource = 0; resource < RESOURCES.length; resource++) {
      const lowest = min(resource);
      if (lowest === max(resource)) means.push(lowest);
      else {
        isPlain = false;
        means.push(roundedMean(resource, mean(resource)));
      }
    }
    this.#rows.push({ run, second, values: isPlain ? means : withSpread(means, min, max), isPlain });
    if (this.#holdS > 1) this.#held.set(run, { values: means, second, filledS: second });
  }

  /** What was read before goes up to here, unless the next reading should have come much earlier. */
  #holdUntil(run: KnownRun, second: number): void {
    const held = this.#held.get(run);
    if (held !== undefined && second <= held.second + this.#holdS + LATE_S) this.#fill(run, held, second);
  }

  /** @param untilS excluded */
  #fill(run: KnownRun, held: Held, untilS: number): void {
    for (; held.filledS + 1 < untilS; held.filledS++)
      this.#rows.push({ run, second: held.filledS + 1, values: held.values, isPlain: true });
    run.lastS = Math.max(run.lastS, held.filledS);
  }

  #end(slot: number): void {
    this.#buckets.end(slot, (closed) => this.#keep(closed));
    const run = this.#runs.get(slot);
    if (run !== undefined) {
      this.#ended.push(run);
      this.#held.delete(run);
    }
    this.#runs.delete(slot);
  }

  #addCall(call: CallTotal): void {
    const named = JSON.stringify([call.tool, call.context, call.method, call.name]);
    // More than are told apart: added up by tool, without a name, so that no call is lost.
    const isMore = this.#totals.size >= TOTALS_MAX && !this.#totals.has(named);
    const key = isMore ? JSON.stringify([call.tool]) : named;
    const line = isMore ? { ...call, context: '', method: '', name: '' } : call;
    const before = this.#totals.get(key);
    this.#totals.set(key, before === undefined ? line : { ...line, ...addSums(before, call) });
  }
}

function roundedMean(resource: number, mean: number | null): number | null {
  const name = RESOURCES[resource];
  return mean === null || name === undefined ? mean : rounded(UNIT[name], mean);
}

/** Where lowest and highest are both the mean, they are null. */
function withSpread(
  means: SecondRow['values'],
  min: ClosedSecond['min'],
  max: ClosedSecond['max'],
): SecondRow['values'] {
  return means.flatMap((value, resource) => {
    const [lowest, highest] = [min(resource), max(resource)];
    return lowest === highest ? [value, null, null] : [value, lowest, highest];
  });
}
