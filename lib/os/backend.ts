/**
 * What the operating system can do for one run, as small capabilities. A backend folder implements them; `select.ts` is
 * the only place that knows all backends. The supervisor sees this file and nothing below it.
 */

import type { ProcessIdentity } from '../core/identity.ts';
import type { ResolvedLimits } from '../core/limits.ts';
import type { Resource } from '../core/resource.ts';
import type { Reading } from '../core/usage.ts';
import type { Inspector } from './inspector.ts';
import type { SharedGroups } from './outer-groups.ts';

/**
 * `cgroup2`: own or delegated subtree. `cgroup2-scope`: a transient scope of the user's systemd around all runs.
 * `cgroup1`: v1 controllers (with the v2 hierarchy for kill and events where it is mounted without controllers).
 * `cgroup2-bare`: a v2 hierarchy without controllers: membership, kill, freeze, CPU usage, PSI; limits are polled.
 * `pidns`: PID namespace. `procfs`: environment cookie and process tree, best effort. `portable`: pidusage, ps.
 */
export type BackendId = 'cgroup2' | 'cgroup2-scope' | 'cgroup1' | 'cgroup2-bare' | 'pidns' | 'procfs' | 'portable';

export const BACKEND_IDS: readonly BackendId[] = [
  'cgroup2',
  'cgroup2-scope',
  'cgroup1',
  'cgroup2-bare',
  'pidns',
  'procfs',
  'portable',
];

/** How a limit is held on this host. */
export type Enforcement = 'kernel' | 'polled' | 'observed' | 'none';

export interface ResourceCapability {
  readonly resource: Resource;
  /** For people: the kernel file or method. */
  readonly measuredBy: string;
  readonly enforcement: Enforcement;
  readonly enforcedBy: string;
  /** What an administrator could do to get more; absent where there is no more to get. */
  readonly toGetMore?: string;
}

/** Outcome of probing one backend at start. */
export interface BackendProbe {
  readonly backend: BackendId;
  readonly usable: boolean;
  readonly reason: string;
}

export type { ProcessIdentity } from '../core/identity.ts';

/** What the ledger keeps of a containment, enough to find and empty it after a crash. JSON. */
export interface ContainmentRecord {
  readonly backend: BackendId;
  /** Directory by hierarchy (`unified`, `memory`, `cpu`, …) with the inode it had. */
  readonly directories: readonly { readonly hierarchy: string; readonly path: string; readonly inode: number }[];
  /** systemd unit name of a scope. */
  readonly unit?: string;
  /** Inode of the PID namespace. */
  readonly pidNamespace?: number;
  /** Value of GOVERNOR_RUN in the environment of every process: the cookie. */
  readonly cookie: string;
}

/** What a creation is about to make, put on record before it does: the daemon may die in the middle of it. JSON. */
export interface ContainmentPlan {
  readonly backend: BackendId;
  /** Paths; none where a run is nothing but its processes. */
  readonly directories: readonly string[];
}

/** What a sweep asks. It asks after it has looked: a run is on record, and a daemon has its lock, before either makes a group. */
export interface SweepQuestions {
  isOnRecord(runId: string): boolean;
  /** Only with proof: no daemon of this instance lives. */
  isDead(instance: string): Promise<boolean>;
}

export interface CreateRequest {
  /** `[0-9a-z]{10}`, unique for the host. */
  readonly runId: string;
  /** Valid tool name; used for human-readable unit descriptions only. */
  readonly tool: string;
  readonly limits: ResolvedLimits;
  /** The run's private TMPDIR. */
  readonly tempDir: string;
  /** Its group is made in that of this context, which is held to these limits from its first moment on. */
  readonly within?: { readonly context: string; readonly limits: ResolvedLimits };
}

/** Raw readings of one instant; cumulative counters where a rate is wanted. Reused between calls: copy to keep. */
export interface RunSample {
  atMs: number;
  /** False once no process of the run is left. */
  populated: boolean;
  /**
   * True when nobody in the tree has run since the sample before, by the kernel's count of its CPU time: who lived then
   * lives now, and every reading has the value that it had. Absent where that is not known.
   */
  still?: boolean;
  memory: Reading;
  /** Milliseconds of CPU time of the whole tree since the run began, exited children included. */
  cpuTimeMs: Reading;
  fileHandles: Reading;
  sockets: Reading;
  tempStorage: Reading;
  tasks: Reading;
  /** Cumulative. */
  oomKills: number;
  /** From the first OOM kill on, where the kernel keeps it: what was held then is gone when it can be read. */
  memoryPeakBytes?: number;
  /** Cumulative. */
  cpuThrottledMs: number;
  /** Cumulative PSI full milliseconds on memory, or null. */
  memoryStallMs: number | null;
}

/** `processes`: all but the files of the temp dir, which take 50 ms to count where they are 50,000. */
export type Fresh = boolean | 'processes';

export interface UsageReader {
  /**
   * Reads the kernel now, synchronously and cheaply: kept-open files, fd tables only when their size changed.
   * @param nowMs monotonic milliseconds
   * @param fresh re-read what is otherwise cached (before an irreversible act)
   */
  sample(nowMs: number, fresh?: Fresh): RunSample;
  /** CPU time alone, as in a sample: for whoever asks at each call. @param nowMs monotonic milliseconds */
  cpuTimeMs(nowMs: number): Reading;
  close(): void;
}

/** Who belongs to the run. */
export interface Membership {
  /** Every live process, zombies left out. Always a fresh look. */
  members(): readonly ProcessIdentity[];
  /** Proof of emptiness by this backend: `true` only where nothing can hide from `members()`. */
  readonly exact: boolean;
}

/** Ends processes. */
export interface Killer {
  /** SIGKILL to the whole tree, once, as atomically as the backend can. Safe to repeat; safe on an empty tree. */
  kill(): Promise<void>;
  /** A polite signal to every member, identity checked right before. Stopped members get SIGCONT too. */
  signal(signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP'): Promise<number>;
}

/** What became of one limit. */
export interface LimitOutcome {
  readonly resource: Resource;
  readonly enforcement: Enforcement;
  /** For people, when not everything could be done: `applies from the next run: raising a hard NOFILE needs CAP_SYS_RESOURCE`. */
  readonly note?: string;
}

/** Kernel caps at the emergency stage. */
export interface LimitEnforcer {
  apply(limits: ResolvedLimits): Promise<readonly LimitOutcome[]>;
}

/** Holding back at the throttled stage. Both are idempotent. */
export interface Brakes {
  supports(action: 'cpu_quota' | 'nice' | 'memory_high' | 'soft_nofile'): true | { readonly reason: string };
  set(action: 'cpu_quota' | 'nice' | 'memory_high' | 'soft_nofile', limits: ResolvedLimits): Promise<void>;
  /** Lifts one brake, or all of them; a frozen tree is thawed. */
  lift(action?: 'cpu_quota' | 'nice' | 'memory_high' | 'soft_nofile'): Promise<void>;
}

/** Everything about the containment of one run. */
export interface Containment {
  readonly record: ContainmentRecord;
  readonly usage: UsageReader;
  readonly inspect: Inspector;
  readonly membership: Membership;
  readonly killer: Killer;
  readonly limits: LimitEnforcer;
  readonly brakes: Brakes;
  /**
   * Moves a process in, before it has forked. Only the launcher's own pid, already verified, is ever given.
   * For backends that contain by an argv prefix (`wrap`) or by cookie this only remembers the identity.
   */
  attach(identity: ProcessIdentity): Promise<void>;
  /** Words to put in front of the command (PID namespace), or none. */
  readonly wrap: readonly string[];
  /**
   * Calls back when the tree became empty or the kernel reported an OOM kill; may be spurious, may come late or never:
   * the monitor's own sample is the truth. Returns a disposer.
   */
  watch(onChange: () => void): () => void;
  /** Removes what the backend made (directories, unit). Retries EBUSY for at most `deadlineMs`. Throws with members left. */
  remove(deadlineMs: number): Promise<void>;
  /** Closes kept-open files; never touches processes. */
  close(): void;
}

export interface Backend {
  readonly id: BackendId;
  readonly capabilities: readonly ResourceCapability[];
  /** True where `membership().exact` holds: an escape is impossible. */
  readonly exact: boolean;
  /** Absent where runs cannot be held together. */
  readonly shared?: SharedGroups;
  /** @param context as `within` of the creation to come */
  plan(runId: string, context?: string | null): ContainmentPlan;
  create(request: CreateRequest): Promise<Containment>;
  /** The containment of an earlier daemon; null when it is gone. Directory inodes are verified. */
  adopt(record: ContainmentRecord, limits: ResolvedLimits, tempDir: string): Promise<Containment | null>;
  /**
   * Removes what a creation that was cut short by the daemon's death has left of a run, and only if nobody is in it.
   * @param planned directories of its plan: that daemon may have had its groups elsewhere
   */
  discard(runId: string, planned: readonly string[]): Promise<void>;
  /** Removes empty groups that nobody will ask for again: of this instance those not on record, of dead ones all. @returns their paths */
  sweep(questions: SweepQuestions): Promise<readonly string[]>;
  /** Removes the backend's own, empty, top directories. */
  close(): Promise<void>;
}

/** What there is to share out; read now and then, see `at`. */
export interface HostTotals {
  /** ISO 8601. */
  readonly at: string;
  readonly memoryBytes: number;
  /** What could be had without swapping. */
  readonly memoryAvailableBytes: number;
  readonly cores: number;
  /** Share of all cores in use since the reading before, percent. */
  readonly cpuPercent: number;
  /** Free space where the temp directories lie. */
  readonly tempFreeBytes: number;
}

/** What the chooser reports, for `GET /v1/host` and `governor doctor`. */
export interface HostReport {
  readonly backend: BackendId;
  readonly probes: readonly BackendProbe[];
  readonly capabilities: readonly ResourceCapability[];
  readonly kernel: string;
  readonly bootId: string;
  /** null until the first reading, a few seconds after the start. */
  readonly totals: HostTotals | null;
  /** How limits are held that several runs share. */
  readonly shared: { readonly enforcement: 'kernel' | 'polled'; readonly detail: string };
  /** koffi loaded, with what is missing without it. */
  readonly native: { readonly available: boolean; readonly detail: string };
}
