/** Rates from cumulative counters, over a bounded window. */

/** Spacing of the points: so many bound the memory however fast a run is sampled. */
const POINTS_A_WINDOW = 20;
/** One from before the window's start, the newest, and the one that is added before the oldest leaves. */
const ROOM = POINTS_A_WINDOW + 3;

/** CPU time against elapsed time over the last `windowMs`, in percent of one core. Makes no garbage. */
export class CpuWindow {
  readonly #windowMs: number;
  readonly #spacingMs: number;
  /** A ring of points: times, and the counter at those times. */
  readonly #atMs = Array.from({ length: ROOM }, () => 0);
  readonly #cpuTimeMs = Array.from({ length: ROOM }, () => 0);
  #first = 0;
  #count = 0;

  /** @param windowMs length of the window; a shorter history gives a rate over what there is */
  constructor(windowMs = 10_000) {
    this.#windowMs = windowMs;
    this.#spacingMs = windowMs / POINTS_A_WINDOW;
  }

  /**
   * Adds a counter reading and returns the rate.
   * @returns percent of one core, or null while there is only one point in time
   */
  add(atMs: number, cpuTimeMs: number): number | null {
    if (this.#count > 0 && cpuTimeMs < (this.#cpuTimeMs[this.#place(this.#count - 1)] as number)) this.#count = 0;
    // One point from before the window's start stays, so that the window is always covered.
    while (this.#count > 1 && (this.#atMs[this.#place(1)] as number) <= atMs - this.#windowMs) {
      this.#first = this.#place(1);
      this.#count -= 1;
    }
    if (this.#count === 0) {
      this.#append(atMs, cpuTimeMs);
      return null;
    }
    const fromMs = this.#atMs[this.#first] as number;
    const used = cpuTimeMs - (this.#cpuTimeMs[this.#first] as number);
    const newestMs = this.#atMs[this.#place(this.#count - 1)] as number;
    if (atMs - newestMs >= this.#spacingMs) this.#append(atMs, cpuTimeMs);
    return atMs <= fromMs ? null : (used / (atMs - fromMs)) * 100;
  }

  /** Where the point stands that is `index` after the oldest. */
  #place(index: number): number {
    return (this.#first + index) % ROOM;
  }

  #append(atMs: number, cpuTimeMs: number): void {
    const place = this.#place(this.#count);
    this.#atMs[place] = atMs;
    this.#cpuTimeMs[place] = cpuTimeMs;
    this.#count += 1;
  }
}
