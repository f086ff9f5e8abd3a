/**
 * One run: one life of one process tree, and all that is known of it. How it is measured and judged is in RunJudge, how
 * it ends in Ending; when to do which is for the monitor and the tool's actor.
 */

import type { EndReason } from '../core/audit-record.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import type { Stage } from '../core/ladder.ts';
import { higher } from '../core/ladder.ts';
import type { ResolvedLimits } from '../core/limits.ts';
import { NO_LIMITS } from '../core/limits.ts';
import type { Resource } from '../core/resource.ts';
import type { Action } from '../core/response.ts';
import type { UsageRecord } from '../core/usage.ts';
import type { Containment, LimitOutcome } from '../os/backend.ts';
import type { ExitInfo } from '../process/exit.ts';
import type { ManagedProcess } from '../process/managed-launch.ts';
import type { PressureChannel } from '../process/pressure-channel.ts';
import type { Scope } from '../scope/scope.ts';
import { DecisionRing } from './decision-ring.ts';
import type { ToolDefinition } from './governor.ts';
import type { HeldBack } from './held-back.ts';
import { OpenCalls } from './open-calls.ts';
import type { Connection, SupervisorPorts } from './ports.ts';
import type { FailureSnapshot } from './post-mortem-view.ts';
import { RunEvents } from './run-events.ts';
import type { Breach } from './run-events.ts';
import { RunJudge } from './run-judge.ts';
import type { EndView, RunState } from './views.ts';

export interface RunInit {
  readonly id: string;
  readonly mode: 'direct' | 'managed';
  readonly definition: ToolDefinition;
  readonly context: string | null;
  /** Its end is made good by whoever needs it next, not by a timer. */
  readonly onDemand?: boolean;
  readonly detached: boolean;
  readonly clients: readonly ProcessIdentity[];
  readonly tempDir: string;
  readonly cwd: string;
  /** Masked. */
  readonly command: readonly string[];
  readonly notGoverned: string | null;
  readonly containment: Containment;
  readonly scope: Scope;
  readonly startedMs: number;
  readonly startedWallMs: number;
}

export class Run {
  readonly init: RunInit;
  readonly #ports: SupervisorPorts;
  readonly judge: RunJudge;
  readonly events: RunEvents;
  /** Of a managed tool that speaks MCP: each is an activation with a runtime of its own. Null: the run is the activation. */
  readonly calls: OpenCalls | null;
  /** Whose run it is; a spare one gets this when somebody takes it over. */
  context: string | null;
  onDemand: boolean;
  /** Its end is in the account of its tool's recovery. */
  isCounted = false;
  /** The configured action `stop` was taken for it: if that is its end, only a person starts its tool again. */
  endsTool = false;
  state: RunState = 'starting';
  limits: ResolvedLimits;
  outcomes: readonly LimitOutcome[] = [];
  /** A lowered limit whose kernel cap waits until usage is below it. */
  capsPending = false;
  /** Writes its limits as they are to the ledger; throws the file system's error. Null: it is on no ledger. */
  keepLimits: (() => void) | null = null;
  leader: ProcessIdentity | null = null;
  process: ManagedProcess | null = null;
  connection: Connection | null = null;
  /** Where the tool hears of pressure, and has registered handles. */
  channel: PressureChannel | null = null;
  exit: ExitInfo = 'unknown';
  /** Why it ends, from the moment that its end has begun. */
  endRequest: EndRequest | null = null;
  /** Why it is to be ended as soon as nothing is open with it; null: it is not. */
  recycle: (() => string) | null = null;
  end: EndView | null = null;
  endedWallMs: number | null = null;
  /**
   * The tool's stderr, held from the first warning on: when the kernel's own cap strikes first, the process is gone
   * before anyone could open it. Not held by calm runs: a reader of that pipe would wait for the daemon too.
   */
  lastWord: { write(line: string): boolean; close(): void } | null = null;
  /** Calls that it works on at once; null: as many as come. */
  callsAtOnce: number | null;
  /** The last decisions about it. */
  readonly decided = new DecisionRing();
  /** What it was like when its end began, where that is a failure. */
  snapshot: FailureSnapshot | null = null;
  /** Brakes in force, by the resource that asked for them. */
  readonly brakes = new Map<Resource, Action[]>();
  /** Brakes that budgets of several runs want on this one, each with the names of those that do. */
  readonly sharedBrakes = new Map<Action, Set<string>>();
  /** What budgets of several runs hold its new calls back for, by their names. */
  readonly sharedHolds = new Map<string, HeldBack>();
  /** Budgets whose cap on memory the kernel holds it to, with others, beside its own. */
  readonly sharedCaps = new Set<string>();

  constructor(init: RunInit, ports: SupervisorPorts) {
    this.init = init;
    this.#ports = ports;
    this.limits = init.definition.limits;
    this.events = new RunEvents((error) =>
      ports.log.error({ tool: this.tool, run: this.id, err: error }, 'a listener of a run failed'),
    );
    this.context = init.context;
    this.onDemand = init.onDemand ?? false;
    this.callsAtOnce = init.definition.degraded?.callsAtOnce ?? null;
    this.calls = init.mode === 'managed' && init.definition.readiness === 'mcp' ? new OpenCalls() : null;
    this.judge = new RunJudge(this, ports.cores);
  }

  get id(): string {
    return this.init.id;
  }

  get tool(): string {
    return this.init.definition.name;
  }

  stage(resource: Resource): Stage {
    return this.judge.stage(resource);
  }

  /** As last measured; null before that. */
  get last(): UsageRecord | null {
    return this.judge.last;
  }

  /** Monotonic. */
  get nowMs(): number {
    return this.#ports.clock.monotonicMs();
  }

  /** Since it was started. */
  get livedMs(): number {
    return this.nowMs - this.init.startedMs;
  }

  overallStage(): Stage {
    const { sampledStage } = this.judge;
    return this.calls === null ? sampledStage : higher(sampledStage, this.calls.stage);
  }

  /** CPU time until now, milliseconds, of all that it ever was: read from the kernel. Null where that cannot be read. */
  readCpuTimeMs(): number | null {
    return this.alive ? this.judge.readCpuTimeMs() : this.judge.cpuTimeMs;
  }

  /** What the kernel is told to hold: nothing in a dry run, or where it would only hold the client of something elsewhere. */
  get enforced(): ResolvedLimits {
    return this.init.notGoverned === null && !this.init.definition.dryRun ? this.limits : NO_LIMITS;
  }

  get alive(): boolean {
    return this.state === 'starting' || this.state === 'running' || this.state === 'stopping';
  }
}

/** Why and how a run is to end. */
export interface EndRequest {
  readonly reason: EndReason;
  readonly message: string;
  readonly resource?: Resource;
  readonly graceMs: number;
  /** Of several runs, by its name, where it was that and not a limit of its own. */
  readonly budget?: string;
  /** What the ladder saw and did, where it was the ladder. */
  readonly breach?: Breach;
}
