/** One sample of a group: totals from the controllers that are there, everything else summed over its processes. */

import { GONE, type Measured, type Quality, type Reading, unsupported } from '../../core/usage.ts';
import type { RunSample, UsageReader } from '../backend.ts';
import type { TreeReader, TreeSample } from '../procfs/tree-reader.ts';
import type { GroupMembers } from './members.ts';
import type { MemoryStall } from './memory.ts';
import type { CpuPart, MemoryPart, TasksPart } from './parts.ts';

export interface UsageSources {
  readonly members: GroupMembers;
  readonly tree: TreeReader;
  readonly memory: MemoryPart | null;
  readonly cpu: CpuPart | null;
  readonly tasks: TasksPart | null;
  readonly stall: MemoryStall | null;
  readonly tempOnTmpfs: boolean;
}

const NOT_YET = unsupported('not read yet');

export class GroupUsage implements UsageReader {
  readonly #sources: UsageSources;
  readonly #memory = mutable('cgroup');
  readonly #cpu = mutable('cgroup');
  readonly #tasks = mutable('cgroup');
  readonly #sample: RunSample = {
    atMs: 0,
    populated: false,
    memory: NOT_YET,
    cpuTimeMs: NOT_YET,
    fileHandles: NOT_YET,
    sockets: NOT_YET,
    tempStorage: NOT_YET,
    tasks: NOT_YET,
    oomKills: 0,
    cpuThrottledMs: 0,
    memoryStallMs: null,
  };

  constructor(sources: UsageSources) {
    this.#sources = sources;
  }

  sample(nowMs: number, fresh = false): RunSample {
    const { members, tree } = this.#sources;
    const sample = this.#sample;
    const pids = members.pids(nowMs, fresh);
    const perProcess = tree.sample(pids, nowMs, fresh);
    sample.atMs = nowMs;
    sample.populated = pids.length > 0;
    sample.fileHandles = perProcess.fileHandles;
    sample.sockets = perProcess.sockets;
    sample.tempStorage = perProcess.tempStorage;
    this.#readGroup(perProcess, nowMs, fresh);
    return sample;
  }

  /** The part that costs the same for one process and for a thousand. */
  #readGroup(perProcess: TreeSample, nowMs: number, fresh: boolean): void {
    const { memory, cpu, tasks, stall } = this.#sources;
    const sample = this.#sample;
    if (memory === null) sample.memory = perProcess.memory;
    else {
      const bytes = memory.unreclaimableBytes(nowMs, fresh, this.#tempBytes(perProcess.tempStorage));
      sample.memory = set(this.#memory, bytes, nowMs);
      sample.oomKills = largest(sample.oomKills, memory.oomKills());
    }
    if (cpu === null) sample.cpuTimeMs = perProcess.cpuTimeMs;
    else {
      sample.cpuTimeMs = set(this.#cpu, cpu.usageMs(), nowMs);
      sample.cpuThrottledMs = largest(sample.cpuThrottledMs, cpu.throttledMs());
    }
    sample.tasks = tasks === null ? perProcess.tasks : set(this.#tasks, tasks.current(), nowMs);
    if (stall !== null) sample.memoryStallMs = stall.fullMs() ?? sample.memoryStallMs;
  }

  #tempBytes(temp: Reading): number {
    return this.#sources.tempOnTmpfs && temp.kind === 'measured' ? temp.value : 0;
  }

  close(): void {
    const { members, tree, memory, cpu, tasks, stall } = this.#sources;
    for (const source of [members, tree, memory, cpu, tasks, stall]) source?.close();
  }
}

/** A reading that is written over at each sample. */
type MutableMeasured = { -readonly [Key in keyof Measured]: Measured[Key] };

function mutable(quality: Quality): MutableMeasured {
  return { kind: 'measured', value: 0, quality, atMs: 0 };
}

function set(reading: MutableMeasured, value: number, nowMs: number): Reading {
  if (Number.isNaN(value)) return GONE;
  reading.value = value;
  reading.atMs = nowMs;
  return reading;
}

/** Counters that could not be read (NaN) keep what they had. */
function largest(known: number, now: number): number {
  return now > known ? now : known;
}
