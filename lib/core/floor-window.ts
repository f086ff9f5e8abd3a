/**
 * The floor of a series over a sliding window: the lowest value of each of a fixed number of bins. What a collector frees,
 * what is cached for a moment and what a call needs while it runs lies above it. 800 bytes, however long and dense the series.
 */

/** Bins in one window. */
export const BINS = 48;
/** Two windows are kept: what one is too short for may show in two. */
export const KEPT_BINS = 2 * BINS;

export class FloorWindow {
  /** A ring; NaN: no sample fell into that bin. */
  readonly #floors = new Float64Array(KEPT_BINS);
  #next = 0;
  #closed = 0;
  #bin = NaN;
  #floor = NaN;

  /**
   * @param bin number of the bin that the value falls into, never falling
   * @returns true when this has closed a bin: the first value of the next one has come
   */
  add(bin: number, value: number): boolean {
    const hasClosed = this.closeUpTo(bin);
    this.#bin = bin;
    if (!(this.#floor <= value)) this.#floor = value;
    return hasClosed;
  }

  /** @returns true when this has closed a bin: time has come to `bin`, whether or not anything was read since */
  closeUpTo(bin: number): boolean {
    if (bin === this.#bin || Number.isNaN(this.#bin)) return false;
    this.#push(this.#floor);
    // Gaps are gaps: nobody looked, nothing is known.
    for (let gap = Math.min(KEPT_BINS, bin - this.#bin - 1); gap > 0; gap -= 1) this.#push(NaN);
    this.#bin = bin;
    this.#floor = NaN;
    return true;
  }

  /** Of the bins that are closed; at most KEPT_BINS. */
  get closed(): number {
    return this.#closed;
  }

  /** One window is there. */
  get isFull(): boolean {
    return this.#closed >= BINS;
  }

  /** Nothing was read in a whole window. */
  get isSilent(): boolean {
    for (let back = 1; back <= Math.min(BINS, this.#closed); back += 1)
      if (!Number.isNaN(this.#floors[(this.#next - back + KEPT_BINS) % KEPT_BINS])) return false;
    return this.isFull;
  }

  /** Floors of closed bins, oldest first, into `into` (at least KEPT_BINS long). @returns how many */
  read(into: Float64Array): number {
    const first = (this.#next - this.#closed + KEPT_BINS) % KEPT_BINS;
    for (let at = 0; at < this.#closed; at += 1) into[at] = this.#floors[(first + at) % KEPT_BINS] as number;
    return this.#closed;
  }

  #push(floor: number): void {
    this.#floors[this.#next] = floor;
    this.#next = (this.#next + 1) % KEPT_BINS;
    if (this.#closed < KEPT_BINS) this.#closed += 1;
  }
}

/** The lowest of `count` equal parts; NaN where a part has none. */
export function lowestOfParts(values: Float64Array, count: number): number[] {
  const lowest = Array.from({ length: count }, () => NaN);
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at] as number;
    const part = Math.floor((at * count) / values.length);
    const known = lowest[part] as number;
    if (!Number.isNaN(value) && !(known <= value)) lowest[part] = value;
  }
  return lowest;
}
