/**
 * Usage of a set of processes, summed. What the kernel gives per process is read each time from kept-open files; what is
 * dear (links of file handles, PSS, the temp dir) only when something cheap says that it may have changed.
 */

import { realpathSync } from 'node:fs';
import { GONE, type Reading, type Unsupported, unsupported } from '../../core/usage.ts';
import type { Fresh } from '../backend.ts';
import type { Inspector } from '../inspector.ts';
import { isGone } from '../kernel-file.ts';
import { TempUsage } from '../temp-usage.ts';
import { TmpfsUsage } from '../tmpfs.ts';
import { CpuTotal } from './cpu-total.ts';
import { createInspector } from './inspector.ts';
import { MemoryTotal } from './memory-total.ts';
import { ProcessHandle, unreadable } from './process-table.ts';
import { measure, reusedReading } from './reused-reading.ts';
import { MS_PER_TICK } from './stat.ts';
import { TreeSockets } from './tree-sockets.ts';
import { UnlinkedFiles } from './unlinked-files.ts';

export interface TreeReaderOptions {
  /** For tests on kernel text of other machines. Default `/proc`. */
  readonly procRoot?: string;
  /** The run's private TMPDIR, or null when it has none. */
  readonly tempDir: string | null;
  /** What to read per process; leave out what a cgroup gives for the whole tree. */
  readonly parts: { readonly memory: boolean; readonly cpu: boolean; readonly tasks: boolean };
}

/** Reused between calls: copy to keep. */
export interface TreeSample {
  /** Processes that live, zombies left out. */
  alive: number;
  fileHandles: Reading;
  sockets: Reading;
  tempStorage: Reading;
  memory: Reading;
  cpuTimeMs: Reading;
  tasks: Reading;
}

const NOT_ASKED = unsupported('given by the containment, not per process');
const NO_TEMP_DIR = unsupported('the run has no private temp directory');

export class TreeReader {
  readonly #procRoot: string;
  readonly #parts: TreeReaderOptions['parts'];
  readonly #needsStat: boolean;
  readonly #tempPrefix: string | null;
  readonly #temp: TempUsage | null;
  /** Instead of walking, where the kernel keeps count. */
  readonly #tmpfs: TmpfsUsage | null;
  readonly #unlinked: UnlinkedFiles | null;
  readonly #handles = new Map<number, ProcessHandle>();
  readonly #sockets: TreeSockets;
  readonly #memory = new MemoryTotal();
  readonly #cpu = new CpuTotal();
  readonly #values = {
    fileHandles: reusedReading('exact'),
    sockets: reusedReading('exact'),
    tempStorage: reusedReading('exact'),
    memory: reusedReading('rss-sum'),
    cpuTimeMs: reusedReading('exact'),
    tasks: reusedReading('exact'),
  };
  readonly #sample: TreeSample = {
    alive: 0,
    fileHandles: GONE,
    sockets: GONE,
    tempStorage: NO_TEMP_DIR,
    memory: NOT_ASKED,
    cpuTimeMs: NOT_ASKED,
    tasks: NOT_ASKED,
  };
  #round = 0;
  /** Why a part of the tree could not be read: a sum without it would be too small, so there is none. */
  #statDenied: Unsupported | null = null;
  #handlesDenied: Unsupported | null = null;

  constructor(options: TreeReaderOptions) {
    this.#procRoot = options.procRoot ?? '/proc';
    this.#parts = options.parts;
    this.#needsStat = options.parts.memory || options.parts.cpu || options.parts.tasks;
    this.#sockets = new TreeSockets(!this.#needsStat);
    this.#tmpfs = options.tempDir === null ? null : TmpfsUsage.tryOpen(options.tempDir);
    const tempDir = options.tempDir === null || this.#tmpfs !== null ? null : realPath(options.tempDir);
    this.#tempPrefix = tempDir === null ? null : `${tempDir}/`;
    this.#temp = tempDir === null ? null : new TempUsage(tempDir);
    this.#unlinked = tempDir === null ? null : new UnlinkedFiles(tempDir);
  }

  /** Bytes, or null for none: PSS is only read when the cheap sum of RSS is near it. */
  setMemoryLimit(bytes: number | null): void {
    this.#memory.setLimit(bytes);
  }

  /**
   * @param pids every process of the tree, whoever found them
   * @param nowMs monotonic milliseconds
   * @param fresh re-read what is otherwise cached
   * @returns a reused object
   */
  sample(pids: readonly number[], nowMs: number, fresh: Fresh): TreeSample {
    this.#round += 1;
    this.#statDenied = null;
    this.#handlesDenied = null;
    this.#sockets.begin();
    let alive = 0;
    let fds = 0;
    let tasks = 0;
    this.#memory.begin(nowMs, fresh !== false);
    this.#cpu.begin();
    for (let index = 0; index < pids.length; index += 1) {
      const handle = this.#read(pids[index] as number);
      if (handle === null) continue;
      if (this.#needsStat) {
        tasks += handle.stat.threads;
        if (this.#parts.cpu) this.#cpu.add(handle.pid, handle.stat);
        if (handle.stat.dead) {
          this.#sockets.forget(handle);
          continue;
        }
        if (this.#parts.memory) this.#memory.add(handle);
      }
      alive += 1;
      fds += handle.fdCount;
      if (this.#handlesDenied === null) this.#sockets.read(handle, nowMs, fresh !== false);
    }
    this.#sweep();
    this.#publish(alive, fds, tasks, nowMs, fresh === true);
    return this.#sample;
  }

  /**
   * Nobody in the tree has run since the last sample: what was read then holds now.
   * @returns false when somebody else has written into its tmpfs
   */
  keep(nowMs: number): boolean {
    const { fileHandles, sockets, tempStorage, memory, cpuTimeMs, tasks } = this.#values;
    fileHandles.atMs = nowMs;
    sockets.atMs = nowMs;
    tempStorage.atMs = nowMs;
    memory.atMs = nowMs;
    cpuTimeMs.atMs = nowMs;
    tasks.atMs = nowMs;
    return this.#tmpfs === null || this.#tmpfs.stands(nowMs);
  }

  /**
   * What somebody outside of a tree that has not run may change: its temp dir.
   * @returns false when that has to be read anew
   */
  tempStands(nowMs: number): boolean {
    return this.#temp?.standsEmpty(nowMs) ?? true;
  }

  /** Views for people over the processes that `pids` gives at the time. */
  inspector(pids: () => readonly number[]): Inspector {
    return createInspector(pids, this.#procRoot);
  }

  close(): void {
    for (const handle of this.#handles.values()) handle.close();
    this.#handles.clear();
    this.#sockets.clear();
    this.#temp?.close();
  }

  /** Stat and number of handles of one process; null when it is gone. */
  #read(pid: number): ProcessHandle | null {
    // A handle that went stale belongs to a process that was reaped; its pid may be in use again: look once more.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      let handle = this.#handles.get(pid);
      if (handle === undefined) {
        handle = new ProcessHandle(pid, this.#procRoot, this.#tempPrefix);
        this.#handles.set(pid, handle);
        attempt = 1;
      }
      if (this.#readInto(handle)) {
        handle.seen = this.#round;
        return handle;
      }
      this.#drop(handle);
    }
    return null;
  }

  #readInto(handle: ProcessHandle): boolean {
    if (this.#needsStat) {
      const state = handle.readStat();
      if (state === 'gone') return false;
      if (state !== 'ok') this.#statDenied ??= unreadable(handle.pid, state);
      else if (handle.stat.dead) return true;
    }
    const state = handle.countFds();
    if (state === 'gone') return false;
    if (state !== 'ok') this.#handlesDenied ??= unreadable(handle.pid, state);
    return true;
  }

  #drop(handle: ProcessHandle): void {
    this.#sockets.forget(handle);
    this.#memory.forget(handle);
    handle.close();
    this.#handles.delete(handle.pid);
  }

  #sweep(): void {
    for (const handle of this.#handles.values()) if (handle.seen !== this.#round) this.#drop(handle);
  }

  #publish(alive: number, fds: number, tasks: number, nowMs: number, recount: boolean): void {
    const sample = this.#sample;
    const values = this.#values;
    sample.alive = alive;
    const denied = this.#handlesDenied;
    sample.fileHandles = denied ?? measure(values.fileHandles, fds, nowMs);
    sample.sockets = denied ?? this.#sockets.denied ?? measure(values.sockets, this.#sockets.size, nowMs);
    if (this.#parts.tasks) sample.tasks = this.#statDenied ?? measure(values.tasks, tasks, nowMs);
    if (this.#parts.cpu)
      sample.cpuTimeMs = this.#statDenied ?? measure(values.cpuTimeMs, this.#cpu.finish() * MS_PER_TICK, nowMs);
    if (this.#parts.memory) {
      const bytes = this.#memory.finish();
      values.memory.quality = this.#memory.quality;
      sample.memory = this.#statDenied ?? measure(values.memory, bytes, nowMs);
    }
    if (this.#tmpfs !== null) sample.tempStorage = this.#tmpfs.sample(nowMs);
    else if (this.#temp !== null && this.#unlinked !== null)
      sample.tempStorage = this.#readTemp(this.#temp, this.#unlinked, nowMs, recount);
  }

  #readTemp(temp: TempUsage, unlinked: UnlinkedFiles, nowMs: number, recount: boolean): Reading {
    const usage = temp.sample(nowMs, recount);
    if (usage.kind !== 'measured') return usage;
    unlinked.read(this.#handles);
    const value = this.#values.tempStorage;
    value.inodes = usage.inodes + unlinked.inodes;
    const whole = usage.complete && this.#handlesDenied === null && this.#sockets.denied === null;
    value.quality = whole ? 'exact' : 'estimate';
    value.isBeingFound = usage.isBeingFound;
    return measure(value, usage.bytes + unlinked.bytes, usage.atMs);
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (isGone(error)) return path; // removed already: the reading will say gone
    throw error;
  }
}
