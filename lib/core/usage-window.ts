/** Rates from cumulative counters. Pure values over a bounded window. */

/** CPU time against elapsed time over the last `windowMs`, in percent of one core. */
export class CpuWindow {
  readonly #windowMs: number;
  readonly #spacingMs: number;
  #points: { atMs: number; cpuTimeMs: number }[] = [];

  /** @param windowMs length of the window; a shorter history gives a rate over what there is */
  constructor(windowMs = 10_000) {
    this.#windowMs = windowMs;
    // 20 points bound the memory however fast a run is sampled.
    this.#spacingMs = windowMs / 20;
  }

  /**
   * Adds a counter reading and returns the rate.
   * @returns percent of one core, or null while there is only one point in time
   */
  add(atMs: number, cpuTimeMs: number): number | null {
    const points = this.#points;
    const last = points[points.length - 1];
    if (last !== undefined && cpuTimeMs < last.cpuTimeMs) points.length = 0;
    // One point from before the window's start stays, so that the window is always covered.
    while (points.length > 1 && (points[1]?.atMs ?? Infinity) <= atMs - this.#windowMs) points.shift();
    const first = points[0];
    const rate =
      first === undefined || atMs <= first.atMs ? null : ((cpuTimeMs - first.cpuTimeMs) / (atMs - first.atMs)) * 100;
    const newest = points[points.length - 1];
    if (newest === undefined || atMs - newest.atMs >= this.#spacingMs) points.push({ atMs, cpuTimeMs });
    return rate;
  }
}
