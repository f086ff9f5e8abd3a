/** Readings on their way to the worker: rows of numbers in a buffer that goes there and comes back. */

import { RESOURCES } from '../../core/resource.ts';
import type { Readings } from '../../core/usage.ts';

/** Slot, monotonic milliseconds, and a value for each resource; NaN: it could not be taken. */
export const COLUMNS = 2 + RESOURCES.length;

export class ReadingBatch {
  #numbers: Float64Array;
  #rows = 0;

  /** @param buffer of `COLUMNS × 8` bytes a row */
  constructor(buffer: ArrayBuffer) {
    this.#numbers = new Float64Array(buffer);
  }

  static bytes(rows: number): number {
    return rows * COLUMNS * Float64Array.BYTES_PER_ELEMENT;
  }

  get rows(): number {
    return this.#rows;
  }

  get isFull(): boolean {
    return (this.#rows + 1) * COLUMNS > this.#numbers.length;
  }

  get buffer(): ArrayBuffer {
    return this.#numbers.buffer as ArrayBuffer;
  }

  add(slot: number, atMs: number, readings: Readings): void {
    const numbers = this.#numbers;
    let index = this.#rows * COLUMNS;
    numbers[index++] = slot;
    numbers[index++] = atMs;
    for (const resource of RESOURCES) {
      const reading = readings[resource];
      numbers[index++] = reading.kind === 'measured' ? reading.value : Number.NaN;
    }
    this.#rows += 1;
  }
}
