/** Memory of a v2 group. Kernel: Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files". */

import { join } from 'node:path';

import type { ResolvedLimits } from '../../core/limits.ts';
import type { LimitOutcome } from '../backend.ts';
import {
  errnoOf,
  isGone,
  KernelParseError,
  KeptFile,
  KeyedFields,
  parseNumber,
  readOnce,
  writeKernelFile,
} from '../kernel-file.ts';
import { memoryCapBytes, type MemoryPart } from './parts.ts';
import { StatCache } from './stat-cache.ts';

/** What of `memory.stat` cannot be dropped: everything but page cache and reclaimable slab. Older kernels lack some. */
const UNRECLAIMABLE = [
  'anon',
  'kernel_stack',
  'pagetables',
  'sec_pagetables',
  'percpu',
  'sock',
  'vmalloc',
  'shmem',
  'swapcached',
  'slab_unreclaimable',
] as const;
/** What is read is used at once: one place for all runs. */
const fields = new KeyedFields(UNRECLAIMABLE);
const oomFields = new KeyedFields(['oom_kill']);
const SHMEM = UNRECLAIMABLE.indexOf('shmem');
const SWAP_CACHED = UNRECLAIMABLE.indexOf('swapcached');

export class Memory2 implements MemoryPart {
  readonly highSupport = true;
  isNearLimit = false;
  readonly #directory: string;
  readonly #tempOnTmpfs: boolean;
  readonly #together: boolean;
  readonly #current: KeptFile;
  readonly #stat: KeptFile;
  readonly #swap: KeptFile | null;
  readonly #events: KeptFile;
  readonly #cache = new StatCache();
  #shmemBytes = 0;

  /**
   * @param together the kernel kills all that is in it at once; else one of the groups below it
   * @throws the errno of open(2) when the group has no memory controller
   */
  constructor(directory: string, tempOnTmpfs: boolean, together = true) {
    this.#directory = directory;
    this.#together = together;
    this.#tempOnTmpfs = tempOnTmpfs;
    this.#current = new KeptFile(join(directory, 'memory.current'));
    this.#stat = new KeptFile(join(directory, 'memory.stat'));
    this.#events = new KeptFile(join(directory, 'memory.events'));
    this.#swap = KeptFile.tryOpen(join(directory, 'memory.swap.current'));
  }

  unreclaimableBytes(nowMs: number, fresh: boolean, tempBytes: number): number {
    const current = this.#current.readNumber();
    if (current === null) return Number.NaN;
    if (this.#cache.mustRead(current, nowMs, fresh)) {
      if (!this.#stat.readKeyed(fields)) return Number.NaN;
      this.#cache.store(this.#sum(), current, nowMs);
    }
    this.isNearLimit = this.#cache.isNear(current);
    return this.#cache.value - Math.min(tempBytes, this.#shmemBytes);
  }

  stands(): boolean {
    const current = this.#current.readNumber();
    return current !== null && this.#cache.stands(current);
  }

  #sum(): number {
    const { values } = fields;
    let bytes = 0;
    for (let index = 0; index < values.length; index += 1) {
      const value = values[index] as number;
      if (index !== SWAP_CACHED && value > 0) bytes += value;
    }
    const shmem = values[SHMEM] as number;
    this.#shmemBytes = shmem > 0 ? shmem : 0;
    // A page in the swap cache is charged in memory and in swap: counted once.
    const swapped = this.#swap?.readNumber() ?? 0;
    const cached = values[SWAP_CACHED] as number;
    return bytes + Math.max(0, swapped - (cached > 0 ? cached : 0));
  }

  oomKills(): number {
    if (!this.#events.readKeyed(oomFields)) return Number.NaN;
    return oomFields.values[0] as number;
  }

  /** `memory.peak` is there since Linux 5.19. */
  peakBytes(): number {
    return readOnce(join(this.#directory, 'memory.peak'));
  }

  async apply(limits: ResolvedLimits): Promise<LimitOutcome> {
    const cap = memoryCapBytes(limits, this.#tempOnTmpfs);
    this.#cache.watchFrom(limits.memory);
    if (this.#together) await this.#write('memory.oom.group', '1');
    if (cap === null) {
      await this.#write('memory.max', 'max');
      if (!this.#together && this.#swap !== null) await this.#write('memory.swap.max', 'max');
      return { resource: 'memory', enforcement: 'none', note: 'no limit is set' };
    }
    // A cap below what is in use would kill at once: the ladder comes first.
    const used = this.unreclaimableBytes(performance.now(), true, 0);
    if (used >= cap) {
      const note = `the kernel cap follows once usage is below ${cap} bytes; ${used} are in use`;
      return { resource: 'memory', enforcement: 'polled', note };
    }
    if (this.#swap !== null) await this.#write('memory.swap.max', '0');
    await this.#write('memory.max', String(cap));
    return { resource: 'memory', enforcement: 'kernel' };
  }

  async setHigh(bytes: number | null): Promise<void> {
    await this.#write('memory.high', bytes === null ? 'max' : String(Math.round(bytes)));
  }

  async #write(file: string, text: string): Promise<void> {
    await writeKernelFile(join(this.#directory, file), text);
  }

  close(): void {
    this.#current.close();
    this.#stat.close();
    this.#events.close();
    this.#swap?.close();
  }
}

/** Pressure stall information of a group: `full … total=µs` is the last line of `memory.pressure`. */
export class MemoryStall {
  readonly #file: KeptFile;

  private constructor(file: KeptFile) {
    this.#file = file;
  }

  /** Null where the kernel has no PSI or it is switched off (`psi=0`, `cgroup.pressure` 0). */
  static tryOpen(directory: string): MemoryStall | null {
    const file = KeptFile.tryOpen(join(directory, 'memory.pressure'));
    if (file === null) return null;
    try {
      if (file.fill() > 0) return new MemoryStall(file);
    } catch (error) {
      // ENOTSUP: PSI is switched off.
      if (errnoOf(error) !== 'ENOTSUP' && !isGone(error)) throw error;
    }
    file.close();
    return null;
  }

  /** Cumulative milliseconds in which every task stalled, or null when the group is gone. */
  fullMs(): number | null {
    const length = this.#file.fill();
    return length <= 0 ? null : fullTotalUs(this.#file.buffer, length, this.#file.path) / 1000;
  }

  close(): void {
    this.#file.close();
  }
}

/** @throws KernelParseError */
export function fullTotalUs(text: Buffer, length: number, path: string): number {
  let at = length - 1;
  while (at > 0 && text[at] !== 0x3d) at -= 1;
  const total = parseNumber(text, at + 1, length);
  if (Number.isNaN(total)) throw new KernelParseError(path, text.toString('latin1', 0, Math.min(length, 120)));
  return total;
}
