/** One run without a cgroup: members found by scanning /proc, ended by signals in rounds. */

import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import type { ProcessIdentity } from '../../core/identity.ts';
import type { ResolvedLimits } from '../../core/limits.ts';
import { RESOURCES } from '../../core/resource.ts';
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
import { holdTempStorage } from '../tmpfs-mount.ts';
import { limitHardNofile } from './nofile.ts';
import { ProcessBrakes } from './process-brakes.ts';
import type { ScannedRun } from './scanned-run.ts';
import type { ProcfsScanner } from './scanner.ts';
import { type SignalName, signalProcess } from './signal.ts';
import { readStat } from './stat.ts';
import { TreeReader } from './tree-reader.ts';

const MOST_ROUNDS = 50;
/** So many rounds in a row must find nobody new: a child that was forked while the scan ran is found by the next. */
const QUIET_ROUNDS = 2;
/** The longest that rounds go on without a break. */
const TURN_MS = 10;

export interface ProcfsContainmentOptions {
  readonly scanner: ProcfsScanner;
  readonly run: ScannedRun;
  readonly limits: ResolvedLimits;
  readonly tempDir: string;
}

export class ProcfsContainment implements Containment {
  readonly usage: UsageReader;
  readonly inspect: Inspector;
  readonly membership: Membership;
  readonly killer: Killer;
  readonly limits: LimitEnforcer;
  readonly brakes: Brakes;
  protected readonly scanner: ProcfsScanner;
  protected readonly run: ScannedRun;
  readonly #tree: TreeReader;
  readonly #tempDir: string;
  readonly #sample: RunSample;

  constructor(options: ProcfsContainmentOptions) {
    this.scanner = options.scanner;
    this.run = options.run;
    this.#tempDir = options.tempDir;
    this.#tree = new TreeReader({ tempDir: options.tempDir, parts: { memory: true, cpu: true, tasks: true } });
    this.#tree.setMemoryLimit(options.limits.memory?.limit ?? null);
    const members = (): readonly ProcessIdentity[] => this.members();
    const brakes = new ProcessBrakes(members);
    this.#sample = {
      ...this.#tree.sample([], 0, false),
      atMs: 0,
      populated: false,
      oomKills: 0,
      cpuThrottledMs: 0,
      memoryStallMs: null,
    };
    this.usage = {
      sample: (nowMs, fresh) => this.#read(nowMs, fresh ?? false),
      cpuTimeMs: (nowMs) => this.#read(nowMs, false).cpuTimeMs,
      close: () => this.#tree.close(),
    };
    this.inspect = this.#tree.inspector(() => members().map((member) => member.pid));
    this.membership = exactness(members, () => this.exact);
    this.killer = { kill: () => this.kill(), signal: (signal) => this.#signal(signal) };
    this.limits = { apply: (limits) => this.#apply(limits) };
    this.brakes = brakes;
  }

  get record(): ContainmentRecord {
    return { backend: 'procfs', directories: [], cookie: this.run.cookie };
  }

  get wrap(): readonly string[] {
    return [];
  }

  async attach(identity: ProcessIdentity): Promise<void> {
    this.scanner.adopt(this.run, identity, performance.now());
  }

  /** The kernel does not report anything here: the monitor's samples find it out. */
  watch(): () => void {
    return () => undefined;
  }

  async remove(): Promise<void> {
    const left = this.members();
    if (left.length > 0)
      throw new Error(
        `run ${this.run.cookie} still has ${left.length} processes: ${left.map((member) => member.pid).join(', ')}`,
      );
    this.close();
  }

  close(): void {
    this.scanner.unregister(this.run);
    this.#tree.close();
  }

  /** A process may hide from the scan: emptiness is never proven. */
  protected get exact(): boolean {
    return false;
  }

  /** Live members by a fresh scan. */
  protected members(): readonly ProcessIdentity[] {
    this.scanner.scan(performance.now(), true);
    return this.run.pids.flatMap((pid) => {
      const identity = this.scanner.identityOf(this.run, pid);
      const stat = readStat(pid);
      const alive = identity !== null && stat !== null && !stat.dead && stat.startTicks === identity.startTicks;
      return alive ? identity : [];
    });
  }

  /** Stops everybody first, so that nobody forks on, then kills; until two rounds in a row find nobody new. */
  protected async kill(): Promise<void> {
    const stopped = await this.#rounds('SIGSTOP');
    for (const identity of stopped.values()) signalProcess(identity, 'SIGKILL');
    // A member that was not to be stopped in time may have left children.
    await this.#rounds('SIGKILL');
    await sleep(1);
    await this.#rounds('SIGKILL');
  }

  /** A tree that forks faster than it can be found must not hold up the daemon: others have their turn in between. */
  async #rounds(signal: SignalName): Promise<ReadonlyMap<string, ProcessIdentity>> {
    const hit = new Map<string, ProcessIdentity>();
    let quiet = 0;
    let beganMs = performance.now();
    for (let round = 0; round < MOST_ROUNDS && quiet < QUIET_ROUNDS; round += 1) {
      quiet += 1;
      for (const identity of this.members()) {
        const key = `${identity.pid}:${identity.startTicks}`;
        if (hit.has(key)) continue;
        hit.set(key, identity);
        quiet = 0;
        signalProcess(identity, signal);
      }
      if (performance.now() - beganMs < TURN_MS) continue;
      await immediate();
      beganMs = performance.now();
    }
    return hit;
  }

  async #signal(signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP'): Promise<number> {
    let sent = 0;
    for (const identity of this.members()) {
      if (signalProcess(identity, signal) !== 'sent') continue;
      sent += 1;
      signalProcess(identity, 'SIGCONT');
    }
    return sent;
  }

  #read(nowMs: number, fresh: Fresh): RunSample {
    this.beforeScan();
    this.scanner.scan(nowMs, fresh !== false);
    const tree = this.#tree.sample(this.run.pids, nowMs, fresh);
    const sample = this.#sample;
    sample.atMs = nowMs;
    sample.populated = tree.alive > 0;
    sample.memory = tree.memory;
    sample.cpuTimeMs = tree.cpuTimeMs;
    sample.fileHandles = tree.fileHandles;
    sample.sockets = tree.sockets;
    sample.tempStorage = tree.tempStorage;
    sample.tasks = tree.tasks;
    return sample;
  }

  /** For a backend that learns more about the run as it goes on. */
  protected beforeScan(): void {}

  async #apply(limits: ResolvedLimits): Promise<readonly LimitOutcome[]> {
    this.#tree.setMemoryLimit(limits.memory?.limit ?? null);
    const temp = await holdTempStorage(this.#tempDir, limits.temp_storage);
    return RESOURCES.map((resource) => {
      if (resource === 'temp_storage') return temp;
      if (resource === 'file_handles') return limitHardNofile(this.members(), limits.file_handles);
      return { resource, enforcement: limits[resource] === null ? 'none' : 'polled' };
    });
  }
}

function exactness(members: () => readonly ProcessIdentity[], exact: () => boolean): Membership {
  return {
    members,
    get exact() {
      return exact();
    },
  };
}
