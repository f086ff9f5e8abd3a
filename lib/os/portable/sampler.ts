/**
 * Usage of all runs by ps and pidusage, in a loop of its own: both start programs or read many files, which no sample
 * can wait for. What a sample shows is what the loop read last, with the time of that reading.
 */

import pidusage from 'pidusage';
import { type ListedProcess, listProcesses } from './process-list.ts';
import type { PortableTree } from './tree.ts';

const INTERVAL_MS = 1000;

export interface PortableUsage {
  readonly atMs: number;
  readonly members: readonly ListedProcess[];
  readonly memoryBytes: number;
  /** User and system time of the living, in ms. */
  readonly cpuByPid: ReadonlyMap<number, number>;
}

/** One run's place in the loop. */
export interface SampledRun {
  readonly tree: PortableTree;
  usage: PortableUsage | null;
  /** Why there is none, when the last round failed. */
  failure: string | null;
}

export class PortableSampler {
  readonly #runs = new Set<SampledRun>();
  #timer: NodeJS.Timeout | null = null;
  #busy = false;
  /** Everybody who was measured: pidusage must forget a pid before it means somebody else. */
  #measured = new Map<number, number>();

  add(run: SampledRun): void {
    this.#runs.add(run);
    this.#schedule(0);
  }

  remove(run: SampledRun): void {
    this.#runs.delete(run);
    if (this.#runs.size > 0) return;
    this.close();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#runs.clear();
    this.#measured.clear();
    pidusage.clear();
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null || this.#busy || this.#runs.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#busy = true;
      void this.#round().finally(() => {
        this.#busy = false;
        this.#schedule(INTERVAL_MS);
      });
    }, delayMs).unref();
  }

  async #round(): Promise<void> {
    try {
      const list = await listProcesses();
      const members = new Map([...this.#runs].map((run) => [run, run.tree.update(list)]));
      const all = [...members.values()].flat();
      this.#forgetReused(all);
      const statuses = all.length === 0 ? {} : await measure(all.map((entry) => entry.pid));
      const atMs = performance.now();
      for (const [run, entries] of members) {
        run.usage = sum(entries, statuses, atMs);
        run.failure = null;
      }
    } catch (error) {
      const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      for (const run of this.#runs) run.failure = reason;
    }
  }

  /** pidusage keeps state by pid for 60 s: after a pid was re-used it reports ESRCH for the live process, or mixes the two. */
  #forgetReused(all: readonly ListedProcess[]): void {
    const now = new Map(all.map((entry) => [entry.pid, entry.startTicks]));
    for (const [pid, startTicks] of this.#measured) {
      if (now.get(pid) === startTicks) continue;
      pidusage.clear();
      break;
    }
    this.#measured = now;
  }
}

type Statuses = Readonly<Record<string, { readonly memory: number; readonly ctime: number } | undefined>>;

async function measure(pids: readonly number[]): Promise<Statuses> {
  try {
    return await pidusage(pids);
  } catch (error) {
    // All of them ended since they were listed.
    if (error instanceof Error && /No matching pid found|ESRCH|ENOENT/.test(error.message)) return {};
    throw error;
  }
}

/** Who ended between the list and the measurement is left out. */
function sum(entries: readonly ListedProcess[], statuses: Statuses, atMs: number): PortableUsage {
  const cpuByPid = new Map<number, number>();
  let memoryBytes = 0;
  const members = entries.filter((entry) => {
    const status = statuses[entry.pid];
    if (status === undefined) return false;
    memoryBytes += status.memory;
    cpuByPid.set(entry.pid, status.ctime);
    return true;
  });
  return { atMs, members, memoryBytes, cpuByPid };
}
