/** One sample of a group: totals from the controllers that are there, everything else summed over its processes. */

import { GONE, type Measured, measured, type Quality, type Reading, unsupported } from '../../core/usage.ts';
import type { Fresh, RunSample, UsageReader } from '../backend.ts';
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
/**
 * Others may do something to a tree that does not run: put a process into its group, a file into its temp dir, charge or
 * reclaim its memory. That is looked at this often, and everything is read after a minute. Where memory is near a stage
 * everything is read each time: tasks that wait for memory do not run, and the kernel charges for them.
 */
const OUTSIDE_MS = 3000;
const EVERYTHING_MS = 60_000;

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

  /** When everything was read last, and when others were last known to have changed nothing since. */
  #readAtMs = Number.NEGATIVE_INFINITY;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  /** The CPU time right before everything was read, and when that time was first seen. */
  #cpuMs = Number.NaN;
  #activeAtMs = Number.NEGATIVE_INFINITY;
  /** The temp dir, which is not read each time, was read since then. */
  #settled = false;
  /** Members came or went since OOM kills were last asked for. */
  #membersChanged = false;

  constructor(sources: UsageSources) {
    this.#sources = sources;
  }

  /**
   * CPU time comes first: as long as the kernel counts not a microsecond more, nobody in the tree has run, and what did
   * not run has opened, written, mapped and forked nothing since everything was read.
   */
  sample(nowMs: number, fresh: Fresh = false): RunSample {
    const sample = this.#sample;
    sample.atMs = nowMs;
    const { cpu, memory } = this.#sources;
    const isKnown = fresh === false && this.#settled && sample.populated && nowMs - this.#readAtMs < EVERYTHING_MS;
    const mayBeStill = isKnown && memory?.isNearLimit !== true;
    const idleUntilMs = mayBeStill ? (cpu?.idleUntilMs(nowMs) ?? Number.NaN) : Number.NaN;
    const isIdle = !Number.isNaN(idleUntilMs);
    const hasRun = !isIdle && this.#readCpu(nowMs);
    sample.still =
      mayBeStill &&
      !hasRun &&
      (nowMs - this.#lookedAtMs < OUTSIDE_MS || this.#isLeftAlone(nowMs)) &&
      this.#keep(isIdle ? idleUntilMs : nowMs);
    if (sample.still) return sample;
    if (isIdle) this.#readCpu(nowMs);
    this.#read(this.#cpuMs, nowMs, fresh);
    return sample;
  }

  cpuTimeMs(nowMs: number): Reading {
    const { cpu } = this.#sources;
    if (cpu === null) return this.sample(nowMs).cpuTimeMs;
    const usageMs = cpu.usageBesideMs();
    return Number.isNaN(usageMs) ? GONE : measured(usageMs, 'cgroup', nowMs);
  }

  /** @returns true when somebody in the tree has run since the last time, or where that is not known */
  #readCpu(nowMs: number): boolean {
    const cpuMs = this.#sources.cpu?.usageMs(nowMs) ?? Number.NaN;
    if (cpuMs === this.#cpuMs) return false;
    this.#cpuMs = cpuMs;
    this.#activeAtMs = nowMs;
    this.#settled = false;
    return true;
  }

  #isLeftAlone(nowMs: number): boolean {
    const { tree, memory } = this.#sources;
    if (!this.#hasSameMembers(nowMs) || memory?.stands() === false || !tree.tempStands(nowMs)) return false;
    this.#lookedAtMs = nowMs;
    return true;
  }

  /**
   * Who did not run has neither forked nor ended, so that a number tells, sub-groups included: one read in place of a list.
   * Who was put in for another that was taken out is seen as soon as he runs.
   */
  #hasSameMembers(nowMs: number): boolean {
    const { members, tasks } = this.#sources;
    if (tasks !== null) return tasks.current() === this.#tasks.value;
    members.pids(nowMs, false);
    this.#membersChanged ||= members.changed;
    return !members.changed;
  }

  /** @returns false when a reading did change */
  #keep(nowMs: number): boolean {
    this.#memory.atMs = nowMs;
    this.#cpu.atMs = nowMs;
    this.#tasks.atMs = nowMs;
    return this.#sources.tree.keep(nowMs);
  }

  #read(cpuMs: number, nowMs: number, fresh: Fresh): void {
    const { members, tree } = this.#sources;
    const sample = this.#sample;
    const pids = members.pids(nowMs, fresh !== false);
    this.#membersChanged ||= members.changed;
    const perProcess = tree.sample(pids, nowMs, fresh);
    sample.populated = pids.length > 0;
    sample.fileHandles = perProcess.fileHandles;
    sample.sockets = perProcess.sockets;
    sample.tempStorage = perProcess.tempStorage;
    this.#readGroup(perProcess, cpuMs, nowMs, fresh !== false);
    const temp = perProcess.tempStorage;
    this.#settled = temp.kind !== 'measured' || (temp.atMs >= this.#activeAtMs && temp.quality !== 'estimate');
    this.#readAtMs = nowMs;
    this.#lookedAtMs = nowMs;
  }

  /** The part that costs the same for one process and for a thousand. */
  #readGroup(perProcess: TreeSample, cpuMs: number, nowMs: number, fresh: boolean): void {
    const { memory, cpu, tasks, stall } = this.#sources;
    const sample = this.#sample;
    if (memory === null) sample.memory = perProcess.memory;
    else {
      const bytes = memory.unreclaimableBytes(nowMs, fresh, this.#tempBytes(perProcess.tempStorage));
      sample.memory = set(this.#memory, bytes, nowMs);
      // A kill leaves a gap among the members.
      if (this.#membersChanged || memory.isNearLimit) this.#readKills(memory);
      this.#membersChanged = false;
    }
    if (cpu === null) sample.cpuTimeMs = perProcess.cpuTimeMs;
    else {
      sample.cpuTimeMs = set(this.#cpu, cpuMs, nowMs);
      sample.cpuThrottledMs = largest(sample.cpuThrottledMs, cpu.throttledMs());
    }
    sample.tasks = tasks === null ? perProcess.tasks : set(this.#tasks, tasks.current(), nowMs);
    // A stall only counts while memory is throttled.
    if (stall !== null && memory?.isNearLimit !== false) sample.memoryStallMs = stall.fullMs() ?? sample.memoryStallMs;
    else sample.memoryStallMs = null;
  }

  #readKills(memory: MemoryPart): void {
    const sample = this.#sample;
    const kills = memory.oomKills();
    if (!(kills > sample.oomKills)) return;
    sample.oomKills = kills;
    // A temp dir in memory is charged too, and how much of the peak it was is not known.
    const peak = this.#sources.tempOnTmpfs ? Number.NaN : memory.peakBytes();
    if (!Number.isNaN(peak)) sample.memoryPeakBytes = peak;
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
