/**
 * Whose CPU time it was, in a process that several calls may share: between two moments at which a call began or ended, what the process
 * used is split evenly among the calls that were open. A call that was never beside another has all of it, measured; one that was is
 * flagged `shared`: its part is a fair estimate. Between calls nobody is charged. Pure.
 */

export interface CpuShare {
  /** Milliseconds until now; null where the process's CPU time could not be read. */
  cpuTimeMs: number | null;
  /** Another call was open for some of the time. */
  isShared: boolean;
}

export class CpuShares {
  readonly #open = new Set<CpuShare>();
  #lastMs: number | null = null;

  /** @param cpuTimeMs of the whole process until now; null where it cannot be read */
  begin(cpuTimeMs: number | null): CpuShare {
    this.#settle(cpuTimeMs);
    const share: CpuShare = { cpuTimeMs: cpuTimeMs === null ? null : 0, isShared: this.#open.size > 0 };
    if (share.isShared) for (const other of this.#open) other.isShared = true;
    this.#open.add(share);
    return share;
  }

  end(share: CpuShare, cpuTimeMs: number | null): void {
    this.#settle(cpuTimeMs);
    this.#open.delete(share);
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  #settle(cpuTimeMs: number | null): void {
    const usedMs = cpuTimeMs === null || this.#lastMs === null ? null : Math.max(0, cpuTimeMs - this.#lastMs);
    for (const share of this.#open) {
      // What was missed once is missing from the sum.
      if (usedMs === null) share.cpuTimeMs = null;
      else if (share.cpuTimeMs !== null) share.cpuTimeMs += usedMs / this.#open.size;
    }
    this.#lastMs = cpuTimeMs;
  }
}
