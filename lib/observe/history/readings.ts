/** Readings on their way to the worker: rows of numbers in a buffer that goes there and comes back. */

import { RESOURCES } from '../../core/resource.ts';
import type { Reading, Readings } from '../../core/usage.ts';

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
    const index = this.#rows * COLUMNS;
    numbers[index] = slot;
    numbers[index + 1] = atMs;
    // One by one, in the order of RESOURCES: a look-up by name takes several times as long, and this is done at each sample.
    numbers[index + 2] = valueOf(readings.memory);
    numbers[index + 3] = valueOf(readings.cpu);
    numbers[index + 4] = valueOf(readings.file_handles);
    numbers[index + 5] = valueOf(readings.sockets);
    numbers[index + 6] = valueOf(readings.runtime);
    numbers[index + 7] = valueOf(readings.temp_storage);
    numbers[index + 8] = valueOf(readings.tasks);
    this.#rows += 1;
  }
}

function valueOf(reading: Reading): number {
  return reading.kind === 'measured' ? reading.value : Number.NaN;
}
