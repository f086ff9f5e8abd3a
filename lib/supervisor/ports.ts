/** What the supervisor needs from the rooms around it, as interfaces; daemon/compose.ts plugs the real ones in. */

import type { BudgetRules } from '../core/budget.ts';
import type { Clock } from '../core/clock.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import type { ResolvedLimits } from '../core/limits.ts';
import type { RecoveryRecord } from '../core/recovery-strategy.ts';
import type { Backend, BackendId, HostReport } from '../os/backend.ts';
import type { Recorder } from '../observe/recorder.ts';
import type { ProcessFacts } from '../process/facts.ts';
import type { LedgerEntry } from '../process/ledger.ts';
import type { ManagedLaunch, ManagedProcess } from '../process/managed-launch.ts';
import type { ToolDefinition } from './governor.ts';
import type { PressureChannel } from '../process/pressure-channel.ts';
import type { Target, TerminateOptions, Termination } from '../process/terminate.ts';
import type { LeakWatch } from './leak-watch.ts';
import type { PostMortem } from './post-mortem-view.ts';
import type { SignInView } from './views.ts';

export interface Log {
  debug(data: object, message: string): void;
  info(data: object, message: string): void;
  warn(data: object, message: string): void;
  error(data: object, message: string): void;
}

export interface LedgerPort {
  write(entry: LedgerEntry): void;
  remove(runId: string): void;
  has(runId: string): boolean;
  readAll(): {
    readonly entries: readonly LedgerEntry[];
    readonly problems: readonly { readonly file: string; readonly message: string }[];
  };
}

export interface TempDirPort {
  /** Private roots: an adopted run's directory must lie in one of its own daemon's roots. */
  readonly root: string;
  /**
   * `<root>/<runId>`, mode 0700; a tmpfs where the limit is backed by one.
   * @throws GovernorError `unsupported` where that cannot be mounted
   */
  create(runId: string, limits: ResolvedLimits): Promise<string>;
  /** False where the process has another file system at this path: it lives in another mount namespace. */
  seenBy(pid: number, directory: string): boolean;
  /** `note`: what was not as it should be, for people. */
  remove(
    directory: string,
    root: string,
  ): Promise<{
    readonly files: number;
    readonly bytes: number;
    readonly left: readonly string[];
    readonly note: string | null;
  }>;
}

/** The tool's stderr, opened before a stop and written after it. */
export interface LastWordPort {
  open(pid: number): { write(line: string): boolean; close(): void } | null;
}

/** Pressure notices to the tool, in systemd's MEMORY_PRESSURE_WATCH form, and the handles that it registered. */
export interface PressurePort {
  /** Listens at `path`; variables for the tool's environment. */
  open(path: string): Promise<PressureChannel>;
}

/** What an MCP server told in its handshake. */
export interface ServerInfo {
  readonly name: string;
  readonly version: string;
  readonly protocol: string;
  readonly tools: readonly string[];
}

export interface Connection {
  readonly server: ServerInfo;
  /** Whether its server answers (`ping`, `server/discover`) in this time. Absent: it cannot be asked. */
  check?(timeoutMs: number): Promise<boolean>;
  /** Ends the session; never throws. */
  close(): Promise<void>;
}

/** What became of recoveries, kept across the daemon's restarts. Neither waits for a disk, neither throws. */
export interface RecoveryRecordsPort {
  of(tool: string): RecoveryRecord;
  keep(tool: string, record: RecoveryRecord): void;
}

/** Takes it at once and writes it when it can; never throws. */
export interface PostMortemsPort {
  add(document: PostMortem): void;
}

export interface ConnectPort {
  /**
   * Handshake and tools/list over the tool's stdio.
   * @param process null: the definition says where the server is
   * @throws GovernorError not_ready-like with the reason
   */
  connect(
    process: ManagedProcess | null,
    options: {
      readonly timeoutMs: number;
      readonly onProtocolError: (message: string) => void;
      readonly definition: ToolDefinition;
    },
  ): Promise<Connection>;
}

/** OAuth at servers elsewhere. */
export interface SignInPort {
  /** What a person has to do before the tool can be started; null: nothing. */
  problem(definition: ToolDefinition): string | null;
  /** Null for a tool without `auth`. */
  view(definition: ToolDefinition): SignInView | null;
}

/** Closes sockets in CLOSE_WAIT of these processes; resolves to what was closed. */
export interface StaleSocketPort {
  destroy(
    sockets: readonly { readonly local: string; readonly remote: string }[],
  ): Promise<{ readonly closed: number; readonly refused: string | null }>;
}

export interface SupervisorPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly recorder: Recorder;
  readonly ledger: LedgerPort;
  readonly tempDirs: TempDirPort;
  readonly lastWord: LastWordPort;
  readonly pressure: PressurePort;
  readonly facts: ProcessFacts;
  readonly backend: Backend;
  /** Another backend by id, for runs that an earlier daemon contained differently; null when not usable here. */
  backendFor(id: BackendId): Promise<Backend | null>;
  /** Only with proof: no daemon lives whose groups have this name. */
  isDeadInstance(instance: string): Promise<boolean>;
  host(): HostReport;
  /** For managed tools: what every tool may see of the daemon's environment, and where it starts by default. */
  readonly baseEnvironment: Readonly<Record<string, string>>;
  readonly defaultCwd: string;
  /** @throws GovernorError command_not_found, command_not_executable */
  resolveCommand(command: string, cwd: string, path: string | undefined): string;
  launch(request: ManagedLaunch): Promise<ManagedProcess>;
  terminate(target: Target, options: TerminateOptions): Promise<Termination>;
  readonly connect: ConnectPort;
  readonly signIn: SignInPort;
  readonly leaks: LeakWatch;
  readonly staleSockets: StaleSocketPort;
  readonly recoveries: RecoveryRecordsPort;
  readonly postMortems: PostMortemsPort;
  /** CPUs that the kernel counts throttling over. */
  readonly cores: number;
  readonly bootId: string;
  /** Monotonic milliseconds since about the boot of the host: the same for every process, so that it outlives a daemon. Stands still as `clock` does. */
  hostMs(): number;
  readonly self: ProcessIdentity;
  newRunId(): string;
  random01(): number;
  /** Limits that runs share, as they are now: another object once they have changed. */
  budgets(): BudgetRules;
  /** Sampling interval of a calm run. */
  readonly sampleIntervalMs: number;
}
