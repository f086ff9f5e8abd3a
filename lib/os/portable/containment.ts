/** One run, followed by ps. */

import { constants, platform } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessIdentity } from '../../core/identity.ts';
import type { ResolvedLimits } from '../../core/limits.ts';
import { RESOURCES } from '../../core/resource.ts';
import { GONE, measured, type Reading, unsupported } from '../../core/usage.ts';
import type {
  Brakes,
  Containment,
  ContainmentRecord,
  Fresh,
  Killer,
  LimitEnforcer,
  LimitOutcome,
  Membership,
  RunSample,
  UsageReader,
} from '../backend.ts';
import type { Inspector } from '../inspector.ts';
import { isDenied, isGone } from '../kernel-file.ts';
import { NiceBrake } from '../procfs/nice.ts';
import { TempUsage } from '../temp-usage.ts';
import { TmpfsUsage } from '../tmpfs.ts';
import { holdTempStorage } from '../tmpfs-mount.ts';
import { type ListedProcess, listProcessesNow } from './process-list.ts';
import { NO_FILE_HANDLES, NO_SOCKETS } from './reasons.ts';
import type { PortableSampler, SampledRun } from './sampler.ts';
import { PortableTree } from './tree.ts';

const MOST_ROUNDS = 10;
const NOT_YET = unsupported('not measured yet: the first round of ps is under way');

export class PortableContainment implements Containment {
  readonly usage: UsageReader;
  readonly inspect: Inspector;
  readonly membership: Membership;
  readonly killer: Killer;
  readonly limits: LimitEnforcer;
  readonly brakes: Brakes;
  readonly wrap: readonly string[] = [];
  readonly record: ContainmentRecord;
  readonly #sampler: PortableSampler;
  readonly #run: SampledRun = { tree: new PortableTree(), usage: null, failure: null };
  readonly #temp: TempUsage;
  readonly #tmpfs: TmpfsUsage | null;
  /** CPU time of members that ended, as far as it was seen. */
  #endedMs = 0;
  #cpuByPid: ReadonlyMap<number, number> = new Map();
  #totalMs = 0;

  constructor(sampler: PortableSampler, cookie: string, tempDir: string) {
    this.#sampler = sampler;
    this.#temp = new TempUsage(tempDir);
    this.#tmpfs = TmpfsUsage.tryOpen(tempDir);
    this.record = { backend: 'portable', directories: [], cookie };
    this.usage = {
      sample: (nowMs, fresh) => this.#sample(nowMs, fresh ?? false),
      cpuTimeMs: (nowMs) => this.#sample(nowMs, false).cpuTimeMs,
      close: () => this.#temp.close(),
    };
    this.inspect = { processes: () => this.#listMembers().map(viewOf), sockets: () => [], files: () => [] };
    this.membership = { members: () => this.#listMembers(), exact: false };
    this.killer = { kill: () => this.#kill(), signal: async (signal) => this.#signal(signal) };
    this.limits = { apply: (limits) => outcomes(limits, tempDir) };
    this.brakes = brakesOf(new NiceBrake(() => this.#listMembers()));
  }

  async attach(identity: ProcessIdentity): Promise<void> {
    // Outside of Linux the start time that identifies a process is the one that ps shows.
    const listed = platform() === 'linux' ? undefined : listProcessesNow().find((entry) => entry.pid === identity.pid);
    this.#run.tree.add(listed ?? identity);
    this.#sampler.add(this.#run);
  }

  watch(): () => void {
    return () => undefined;
  }

  async remove(): Promise<void> {
    const left = this.#listMembers();
    if (left.length > 0)
      throw new Error(
        `run ${this.record.cookie} still has ${left.length} processes: ${left.map((member) => member.pid).join(', ')}`,
      );
    this.close();
  }

  close(): void {
    this.#sampler.remove(this.#run);
    this.#temp.close();
  }

  #listMembers(): readonly ListedProcess[] {
    return this.#run.tree.update(listProcessesNow());
  }

  #sample(nowMs: number, fresh: Fresh): RunSample {
    if (fresh !== false) this.#readNow(nowMs);
    const usage = this.#run.usage;
    const reading = (value: () => Reading): Reading => {
      if (this.#run.failure !== null) return unsupported(this.#run.failure);
      if (usage === null) return NOT_YET;
      return usage.members.length === 0 ? GONE : value();
    };
    return {
      atMs: nowMs,
      populated: usage === null || usage.members.length > 0,
      memory: reading(() => measured(usage?.memoryBytes ?? 0, 'rss-sum', usage?.atMs ?? nowMs)),
      cpuTimeMs: reading(() => measured(this.#cpuTotal(), 'estimate', usage?.atMs ?? nowMs)),
      fileHandles: unsupported(NO_FILE_HANDLES),
      sockets: unsupported(NO_SOCKETS),
      tempStorage: this.#readTemp(nowMs, fresh === true),
      tasks: reading(() => measured(usage?.members.length ?? 0, 'estimate', usage?.atMs ?? nowMs)),
      oomKills: 0,
      cpuThrottledMs: 0,
      memoryStallMs: null,
    };
  }

  #readNow(nowMs: number): void {
    const members = this.#listMembers();
    this.#run.usage = {
      atMs: nowMs,
      members,
      memoryBytes: members.reduce((sum, member) => sum + member.rssBytes, 0),
      cpuByPid: new Map(members.map((member) => [member.pid, member.cpuTimeMs])),
    };
    this.#run.failure = null;
  }

  /** What a member that ended had used is kept; the total never falls. */
  #cpuTotal(): number {
    const now = this.#run.usage?.cpuByPid ?? new Map<number, number>();
    if (now !== this.#cpuByPid) {
      for (const [pid, ms] of this.#cpuByPid) if (!now.has(pid)) this.#endedMs += ms;
      this.#cpuByPid = now;
    }
    const living = [...now.values()].reduce((sum, ms) => sum + ms, 0);
    this.#totalMs = Math.max(this.#totalMs, living + this.#endedMs);
    return this.#totalMs;
  }

  #readTemp(nowMs: number, recount: boolean): Reading {
    if (this.#tmpfs !== null) return this.#tmpfs.sample(nowMs);
    const usage = this.#temp.sample(nowMs, recount);
    if (usage.kind !== 'measured') return usage;
    // Files that were unlinked while open are not seen here: a lower bound.
    return { ...measured(usage.bytes, 'estimate', usage.atMs), inodes: usage.inodes };
  }

  /** Stops all, then kills all: until a list shows nobody who was not hit. */
  async #kill(): Promise<void> {
    for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
      const hit = new Set<string>();
      for (let round = 0; round < MOST_ROUNDS; round += 1) {
        const fresh = this.#listMembers().filter((member) => !hit.has(`${member.pid}:${member.startTicks}`));
        if (fresh.length === 0) break;
        for (const member of fresh) {
          hit.add(`${member.pid}:${member.startTicks}`);
          send(member, signal);
        }
        await sleep(1);
      }
    }
  }

  #signal(signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP'): number {
    const members = this.#listMembers();
    return members.filter((member) => send(member, signal) && (send(member, 'SIGCONT') || true)).length;
  }
}

/** The list is milliseconds old: the closest to a check right before that ps allows. */
function send(
  member: ListedProcess,
  signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGSTOP' | 'SIGKILL' | 'SIGCONT',
): boolean {
  try {
    process.kill(member.pid, constants.signals[signal]);
    return true;
  } catch (error) {
    if (isGone(error) || isDenied(error)) return false;
    throw error;
  }
}

async function outcomes(limits: ResolvedLimits, tempDir: string): Promise<readonly LimitOutcome[]> {
  const temp = await holdTempStorage(tempDir, limits.temp_storage);
  return RESOURCES.map((resource) => {
    if (resource === 'temp_storage') return temp;
    if (limits[resource] === null) return { resource, enforcement: 'none' };
    if (resource === 'file_handles') return { resource, enforcement: 'none', note: NO_FILE_HANDLES };
    if (resource === 'sockets') return { resource, enforcement: 'none', note: NO_SOCKETS };
    return { resource, enforcement: 'polled' };
  });
}

function brakesOf(nice: NiceBrake): Brakes {
  return {
    supports: (action) => (action === 'nice' ? true : { reason: `${action} needs Linux` }),
    async set(action) {
      if (action !== 'nice') throw new Error(`${action} is not supported by the portable backend`);
      nice.set();
    },
    async lift(action) {
      if (action === undefined || action === 'nice') nice.lift();
    },
  };
}

function viewOf(member: ListedProcess): ReturnType<Inspector['processes']>[number] {
  const { pid, ppid, startTicks, name, state, cpuTimeMs } = member;
  const memory = measured(member.rssBytes, 'rss-sum', performance.now());
  return {
    pid,
    ppid,
    startTicks,
    name,
    state,
    memory,
    cpuTimeMs,
    fileHandles: unsupported(NO_FILE_HANDLES),
    sockets: unsupported(NO_SOCKETS),
    threads: 1,
  };
}
