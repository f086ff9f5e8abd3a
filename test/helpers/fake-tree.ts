/** The containment of a process tree that exists only in memory: it holds what a test says, and fails where a test says. */

import type { ResolvedLimits } from '../../lib/core/limits.ts';
import { RESOURCES } from '../../lib/core/resource.ts';
import { measured, type Reading } from '../../lib/core/usage.ts';
import type { Brakes, Containment, LimitOutcome, RunSample } from '../../lib/os/backend.ts';
import type { FileView, Pace, ProcessView, SocketView } from '../../lib/os/inspector.ts';
import type { FailPoints } from './fail-points.ts';
import type { FakeProcess, FakeProcesses } from './fake-processes.ts';

export type Brake = Parameters<Brakes['set']>[0];
type Amount = number | Reading;

/** Counters are cumulative, as in the real sample. */
export interface FakeUsage {
  memory: Amount;
  cpuTimeMs: Amount;
  fileHandles: Amount;
  sockets: Amount;
  tempStorage: Amount;
  tasks: Amount;
  oomKills: number;
  cpuThrottledMs: number;
  memoryStallMs: number | null;
  memoryPeakBytes?: number;
}

const IDLE: FakeUsage = {
  memory: 10,
  cpuTimeMs: 0,
  fileHandles: 3,
  sockets: 0,
  tempStorage: 0,
  tasks: 1,
  oomKills: 0,
  cpuThrottledMs: 0,
  memoryStallMs: null,
};

export class FakeTree implements Containment {
  readonly record: Containment['record'];
  readonly wrap: readonly string[] = [];
  readonly pids = new Set<number>();
  /** What a sample finds. */
  holds: FakeUsage = { ...IDLE };
  /** What a fresh look right before an act finds instead. */
  fresh: Partial<FakeUsage> = {};
  /** Nobody in it runs, by the kernel's word: what it holds is what the sample before found. */
  still = false;
  /** False: something may hide from it. */
  isExact = true;
  readonly braked = new Set<Brake>();
  readonly unsupportedBrakes = new Map<Brake, string>();
  listed: readonly ProcessView[] = [];
  openSockets: readonly SocketView[] = [];
  openFiles: readonly FileView[] = [];
  /** Limits as the kernel was last told. */
  applied: ResolvedLimits | null = null;
  enforcement: LimitOutcome['enforcement'] = 'kernel';
  removed = false;
  closed = false;
  readonly #processes: FakeProcesses;
  readonly #points: FailPoints;
  readonly #watchers = new Set<() => void>();

  constructor(cookie: string, processes: FakeProcesses, points: FailPoints) {
    this.record = {
      backend: 'cgroup2',
      directories: [{ hierarchy: 'unified', path: `/groups/${cookie}`, inode: 7 }],
      cookie,
    };
    this.#processes = processes;
    this.#points = points;
  }

  /** One more process in it, as after a fork. */
  fork(): FakeProcess {
    const process = this.#processes.start();
    this.pids.add(process.pid);
    return process;
  }

  /** The kernel's notice that something changed. */
  changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  get watched(): boolean {
    return this.#watchers.size > 0;
  }

  readonly usage: Containment['usage'] = {
    sample: (nowMs: number, fresh = false): RunSample => {
      this.#points.now(fresh ? 'fresh sample' : 'sample');
      const found = { ...this.holds, ...(fresh ? this.fresh : {}) };
      const reading = (amount: Amount): Reading =>
        typeof amount === 'number' ? measured(amount, 'cgroup', nowMs) : amount;
      return {
        atMs: nowMs,
        populated: this.#living().length > 0,
        still: this.still && !fresh,
        memory: reading(found.memory),
        cpuTimeMs: reading(found.cpuTimeMs),
        fileHandles: reading(found.fileHandles),
        sockets: reading(found.sockets),
        tempStorage: reading(found.tempStorage),
        tasks: reading(found.tasks),
        oomKills: found.oomKills,
        cpuThrottledMs: found.cpuThrottledMs,
        memoryStallMs: found.memoryStallMs,
        ...(found.memoryPeakBytes === undefined ? {} : { memoryPeakBytes: found.memoryPeakBytes }),
      };
    },
    cpuTimeMs: (nowMs) => this.usage.sample(nowMs).cpuTimeMs,
    close: () => undefined,
  };

  readonly inspect: Containment['inspect'] = {
    processes: (pace) => {
      this.#points.now('inspect');
      return paced(this.listed, pace);
    },
    sockets: (pace) => paced(this.openSockets, pace),
    files: (pace) => paced(this.openFiles, pace),
  };

  get membership(): Containment['membership'] {
    return {
      exact: this.isExact,
      members: () => {
        this.#points.now('members');
        return this.#living();
      },
    };
  }

  readonly killer: Containment['killer'] = {
    kill: async () => {
      this.#points.say('kill');
      await this.#points.pass('kill');
      for (const { pid } of this.#living()) this.#processes.signal(pid, 'SIGKILL');
    },
    signal: async (signal) => {
      this.#points.say(signal);
      await this.#points.pass('signal');
      const living = this.#living();
      for (const { pid } of living) this.#processes.signal(pid, signal);
      return living.length;
    },
  };

  readonly limits: Containment['limits'] = {
    apply: async (limits) => {
      this.#points.say('limits applied');
      await this.#points.pass('limits.apply');
      this.applied = limits;
      return RESOURCES.map((resource) => ({ resource, enforcement: this.enforcement }));
    },
  };

  readonly brakes: Containment['brakes'] = {
    supports: (brake) => {
      const reason = this.unsupportedBrakes.get(brake);
      return reason === undefined ? true : { reason };
    },
    set: async (brake) => {
      this.#points.say(`brake ${brake}`);
      await this.#points.pass('brakes.set');
      this.braked.add(brake);
    },
    lift: async (brake) => {
      this.#points.say(`lift ${brake ?? 'all brakes'}`);
      await this.#points.pass('brakes.lift');
      if (brake === undefined) this.braked.clear();
      else this.braked.delete(brake);
    },
  };

  async attach(identity: { readonly pid: number }): Promise<void> {
    this.#points.say('attached');
    await this.#points.pass('attach');
    this.pids.add(identity.pid);
  }

  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }

  async remove(): Promise<void> {
    this.#points.say('containment removed');
    await this.#points.pass('containment.remove');
    if (this.#living().length > 0) throw new Error('members are left');
    this.removed = true;
  }

  close(): void {
    this.#points.say('containment closed');
    this.closed = true;
  }

  #living(): readonly { readonly pid: number; readonly startTicks: number }[] {
    return [...this.pids].flatMap((pid) => this.#processes.identity(pid) ?? []);
  }
}

/** One look each, as in /proc. */
function paced<T>(views: readonly T[], pace: Pace | undefined): readonly T[] {
  return views.map((view) => {
    pace?.();
    return view;
  });
}
