/** Readings of a second become one row: how many there were in it, their sum, the lowest and the highest, by resource. Pure. */

import { RESOURCES } from '../../core/resource.ts';
import { COLUMNS } from './readings.ts';

const COUNT = RESOURCES.length;
/** By resource: number, sum, lowest, highest. */
const WIDTH = 4;

/** A second of a run that is over, in the order of RESOURCES. Reused: copy to keep. */
export interface ClosedSecond {
  readonly slot: number;
  readonly second: number;
  /** Null: no reading could be taken. */
  mean(resource: number): number | null;
  min(resource: number): number | null;
  max(resource: number): number | null;
}

export class SecondBuckets {
  /** By slot: the second that is open; -1: none. */
  #open: Float64Array = new Float64Array(0);
  #sums: Float64Array = new Float64Array(0);
  #from = 0;
  readonly #closed = {
    slot: 0,
    second: 0,
    mean: (resource: number) => (this.#of(resource, 0) === 0 ? null : this.#of(resource, 1) / this.#of(resource, 0)),
    min: (resource: number) => (this.#of(resource, 0) === 0 ? null : this.#of(resource, 2)),
    max: (resource: number) => (this.#of(resource, 0) === 0 ? null : this.#of(resource, 3)),
  };

  /**
   * @param numbers as ReadingBatch has them
   * @param secondOf a monotonic instant
   * @param close is told of each second that is over, before the next of that run begins
   */
  take(
    numbers: Float64Array,
    rows: number,
    secondOf: (atMs: number) => number,
    close: (closed: ClosedSecond) => void,
  ): void {
    for (let row = 0; row < rows; row++) {
      const from = row * COLUMNS;
      const slot = numbers[from] as number;
      const second = secondOf(numbers[from + 1] as number);
      this.#reserve(slot);
      const open = this.#open[slot] as number;
      // One that comes late belongs to the second that is open: rows that are written are not opened again.
      if (open < second) {
        if (open >= 0) this.#close(slot, close);
        this.#begin(slot, second);
      }
      this.#add(slot, numbers, from + 2);
    }
  }

  /** Closes what is over before `second`. */
  closeBefore(second: number, close: (closed: ClosedSecond) => void): void {
    for (let slot = 0; slot < this.#open.length; slot++) {
      const open = this.#open[slot] as number;
      if (open >= 0 && open < second) this.#close(slot, close);
    }
  }

  /** The run is over. */
  end(slot: number, close: (closed: ClosedSecond) => void): void {
    if (slot < this.#open.length && (this.#open[slot] as number) >= 0) this.#close(slot, close);
  }

  #close(slot: number, close: (closed: ClosedSecond) => void): void {
    const closed = this.#closed;
    closed.slot = slot;
    closed.second = this.#open[slot] as number;
    this.#from = slot * COUNT * WIDTH;
    close(closed);
    this.#open[slot] = -1;
  }

  /** Of the second that is being closed. */
  #of(resource: number, what: number): number {
    return this.#sums[this.#from + resource * WIDTH + what] as number;
  }

  #begin(slot: number, second: number): void {
    this.#open[slot] = second;
    const from = slot * COUNT * WIDTH;
    this.#sums.fill(0, from, from + COUNT * WIDTH);
  }

  #add(slot: number, numbers: Float64Array, values: number): void {
    const sums = this.#sums;
    let at = slot * COUNT * WIDTH;
    for (let resource = 0; resource < COUNT; resource++, at += WIDTH) {
      const value = numbers[values + resource] as number;
      if (Number.isNaN(value)) continue;
      const isFirst = sums[at] === 0;
      sums[at] = (sums[at] as number) + 1;
      sums[at + 1] = (sums[at + 1] as number) + value;
      if (isFirst || value < (sums[at + 2] as number)) sums[at + 2] = value;
      if (isFirst || value > (sums[at + 3] as number)) sums[at + 3] = value;
    }
  }

  #reserve(slot: number): void {
    const had = this.#open.length;
    if (slot < had) return;
    const size = Math.max(64, 2 ** Math.ceil(Math.log2(slot + 1)));
    const open = new Float64Array(size).fill(-1);
    open.set(this.#open);
    const sums = new Float64Array(size * COUNT * WIDTH);
    sums.set(this.#sums);
    this.#open = open;
    this.#sums = sums;
  }
}
