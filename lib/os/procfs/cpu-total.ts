/**
 * CPU time of a tree from counters that vanish with their process. A waited-for child moves its time into its parent's
 * child counters; the time of one that nobody in the tree waited for is kept here. The total never falls.
 */

import type { ProcStat } from './stat.ts';

interface Entry {
  startTicks: number;
  total: number;
  children: number;
  round: number;
}

export class CpuTotal {
  readonly #entries = new Map<number, Entry>();
  #round = 0;
  #sum = 0;
  /** Growth of the child counters of the living since the last round: time of the dead that is accounted for. */
  #inherited = 0;
  /** Time of the dead that no counter of the tree shows. */
  #lost = 0;
  #total = 0;

  begin(): void {
    this.#round += 1;
    this.#sum = 0;
    this.#inherited = 0;
  }

  add(pid: number, stat: ProcStat): void {
    const children = stat.childTicks;
    const total = stat.ownTicks + children;
    this.#sum += total;
    const entry = this.#entries.get(pid);
    if (entry === undefined || entry.startTicks !== stat.startTicks) {
      if (entry !== undefined) this.#lost += entry.total; // the pid was re-used between two rounds
      this.#entries.set(pid, { startTicks: stat.startTicks, total, children, round: this.#round });
      return;
    }
    this.#inherited += children - entry.children;
    entry.total = total;
    entry.children = children;
    entry.round = this.#round;
  }

  /** @returns ticks since the tree began, never less than before */
  finish(): number {
    let dead = 0;
    for (const [pid, entry] of this.#entries) {
      if (entry.round === this.#round) continue;
      dead += entry.total;
      this.#entries.delete(pid);
    }
    if (dead > this.#inherited) this.#lost += dead - this.#inherited;
    this.#total = Math.max(this.#total, this.#sum + this.#lost);
    return this.#total;
  }
}
