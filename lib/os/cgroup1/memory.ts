/** Memory of a v1 group. Kernel: Documentation/admin-guide/cgroup-v1/memory.rst. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { ResolvedLimits } from '../../core/limits.ts';
import type { LimitOutcome } from '../backend.ts';
import { memoryCapBytes, type MemoryPart } from '../cgroup2/parts.ts';
import { StatCache } from '../cgroup2/stat-cache.ts';
import { errnoOf, KeptFile, KeyedFields, readOnce, writeKernelFile } from '../kernel-file.ts';

/**
 * `rss` is anonymous memory here, swap cache included. Kernel memory is not among it: v1 does not tell which part of it
 * could be reclaimed. Keys stand in the order of the file. What is read is used at once: one place for all runs.
 */
const FIELDS = ['total_rss', 'total_shmem', 'total_swap', 'total_swapcached'] as const;
const fields = new KeyedFields(FIELDS);
const oomFields = new KeyedFields(['oom_kill']);
const [RSS, SHMEM, SWAP, SWAP_CACHED] = [0, 1, 2, 3] as const;

export class Memory1 implements MemoryPart {
  readonly highSupport = { reason: 'cgroup v1 has no memory.high: only the hard limit at the emergency stage' };
  isNearLimit = false;
  readonly #directory: string;
  readonly #tempOnTmpfs: boolean;
  readonly #usage: KeptFile;
  readonly #stat: KeptFile;
  readonly #oomControl: KeptFile;
  readonly #cache = new StatCache();
  readonly #hasSwapLimit: boolean;
  #shmemBytes = 0;

  /** @throws the errno of open(2) when the group has no memory controller */
  constructor(directory: string, tempOnTmpfs: boolean) {
    this.#directory = directory;
    this.#tempOnTmpfs = tempOnTmpfs;
    this.#usage = new KeptFile(join(directory, 'memory.usage_in_bytes'));
    this.#stat = new KeptFile(join(directory, 'memory.stat'));
    this.#oomControl = new KeptFile(join(directory, 'memory.oom_control'));
    this.#hasSwapLimit = existsSync(join(directory, 'memory.memsw.limit_in_bytes'));
  }

  unreclaimableBytes(nowMs: number, fresh: boolean, tempBytes: number): number {
    const usage = this.#usage.readNumber();
    if (usage === null) return Number.NaN;
    if (this.#cache.mustRead(usage, nowMs, fresh)) {
      if (!this.#stat.readKeyed(fields)) return Number.NaN;
      this.#cache.store(this.#sum(), usage, nowMs);
    }
    this.isNearLimit = this.#cache.isNear(usage);
    return this.#cache.value - Math.min(tempBytes, this.#shmemBytes);
  }

  stands(): boolean {
    const usage = this.#usage.readNumber();
    return usage !== null && this.#cache.stands(usage);
  }

  #sum(): number {
    const { values } = fields;
    this.#shmemBytes = present(values[SHMEM]);
    // A page in the swap cache is counted in rss and in swap: once is enough.
    const swapOnly = Math.max(0, present(values[SWAP]) - present(values[SWAP_CACHED]));
    return present(values[RSS]) + this.#shmemBytes + swapOnly;
  }

  /** `oom_kill` is there since Linux 4.13. */
  oomKills(): number {
    if (!this.#oomControl.readKeyed(oomFields)) return Number.NaN;
    return present(oomFields.values[0]);
  }

  peakBytes(): number {
    return readOnce(join(this.#directory, 'memory.max_usage_in_bytes'));
  }

  async apply(limits: ResolvedLimits): Promise<LimitOutcome> {
    const cap = memoryCapBytes(limits, this.#tempOnTmpfs);
    this.#cache.watchFrom(limits.memory);
    if (cap === null) {
      if (this.#hasSwapLimit) await this.#write('memory.memsw.limit_in_bytes', '-1');
      await this.#write('memory.limit_in_bytes', '-1');
      return { resource: 'memory', enforcement: 'none', note: 'no limit is set' };
    }
    const used = this.unreclaimableBytes(performance.now(), true, 0);
    if (used >= cap) return follows(cap, used);
    try {
      await this.#setBoth(String(cap));
    } catch (error) {
      // EBUSY: more than the new cap is charged and could not be reclaimed (kernel memory, locked pages).
      if (errnoOf(error) !== 'EBUSY') throw error;
      return follows(cap, this.#usage.readNumber() ?? used);
    }
    const note = 'an OOM kill takes one process; the daemon ends the others';
    return { resource: 'memory', enforcement: 'kernel', note };
  }

  /** Memory plus swap may never be below memory: the one that rises goes first. */
  async #setBoth(cap: string): Promise<void> {
    try {
      await this.#write('memory.limit_in_bytes', cap);
    } catch (error) {
      // EINVAL: above the present limit on memory plus swap, which has to rise first.
      if (errnoOf(error) !== 'EINVAL' || !this.#hasSwapLimit) throw error;
      await this.#write('memory.memsw.limit_in_bytes', cap);
      await this.#write('memory.limit_in_bytes', cap);
      return;
    }
    if (this.#hasSwapLimit) await this.#write('memory.memsw.limit_in_bytes', cap);
  }

  async setHigh(): Promise<void> {
    throw new Error(this.highSupport.reason);
  }

  async #write(file: string, text: string): Promise<void> {
    await writeKernelFile(join(this.#directory, file), text);
  }

  close(): void {
    this.#usage.close();
    this.#stat.close();
    this.#oomControl.close();
  }
}

function follows(cap: number, used: number): LimitOutcome {
  const note = `the kernel cap follows once usage is below ${cap} bytes; ${used} are in use`;
  return { resource: 'memory', enforcement: 'polled', note };
}

/** Older kernels do not print every key. */
function present(value: number | undefined): number {
  return value !== undefined && value > 0 ? value : 0;
}
