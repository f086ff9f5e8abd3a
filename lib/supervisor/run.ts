/**
 * One run: one life of one process tree. It knows how to look at itself (observe, reread) and how to end itself (end);
 * when to do which is for the monitor and the tool's actor.
 */

import type { EndReason, Inventory } from '../core/audit-record.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import type { Stage, ThresholdStage } from '../core/ladder.ts';
import { higher, stageOf } from '../core/ladder.ts';
import type { LadderSettings, ResolvedLimits } from '../core/limits.ts';
import { NO_LIMITS, ratioOf } from '../core/limits.ts';
import type { OpenCallRef } from '../core/policy-decision.ts';
import type { Decision, PolicyMemory } from '../core/policy.ts';
import { acted, decide, initialMemory, overallStage, sameAgain, withdrawn } from '../core/policy.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES } from '../core/resource.ts';
import type { Action } from '../core/response.ts';
import type { Readings, UsageRecord } from '../core/usage.ts';
import type { Containment, LimitOutcome, RunSample } from '../os/backend.ts';
import type { ExitInfo } from '../process/exit.ts';
import type { ManagedProcess } from '../process/managed-launch.ts';
import type { PressureChannel } from '../process/pressure-channel.ts';
import type { Scope } from '../scope/scope.ts';
import type { ToolDefinition } from './governor.ts';
import { howHeld } from './held-back.ts';
import { OpenCalls } from './open-calls.ts';
import type { Connection, SupervisorPorts } from './ports.ts';
import { RunEvents } from './run-events.ts';
import type { Breach } from './run-events.ts';
import { RecordBuilder } from './usage-record.ts';
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

export interface Observation {
  /** False: the tree has ended. */
  readonly populated: boolean;
  /** Nobody in it has run since the observation before. */
  readonly still: boolean;
  /** Still, judged to need nothing, and what was judged is what there is now. */
  readonly steady: boolean;
  readonly decisions: readonly Decision[];
}

/** Right before an act. */
export interface Reread {
  /** That the fresh reading lies in. */
  readonly stage: Stage;
  /** In the unit of the resource. */
  readonly usage: number;
  readonly limit: number;
  readonly ratio: number;
}

const SAME_AGAIN: Observation = { populated: true, still: true, steady: true, decisions: [] };

/** No throttle escalates by time. */
const NEVER: LadderSettings['escalateAfterMs'] = {
  memory: null,
  cpu: null,
  file_handles: null,
  sockets: null,
  runtime: null,
  temp_storage: null,
  tasks: null,
};

const FREE_LADDERS = new WeakMap<LadderSettings, LadderSettings>();

/** Asked for at every sample, and mostly without a brake: made once for all runs with these settings. */
function withoutEscalation(settings: LadderSettings): LadderSettings {
  const known = FREE_LADDERS.get(settings);
  if (known !== undefined) return known;
  const free = { ...settings, escalateAfterMs: NEVER };
  FREE_LADDERS.set(settings, free);
  return free;
}

export class Run {
  readonly init: RunInit;
  readonly #ports: SupervisorPorts;
  readonly #records: RecordBuilder;
  #memory: PolicyMemory;
  /** The limits and the CPU rate of the last verdict, if that was steady; null otherwise. */
  #steadyLimits: ResolvedLimits | null = null;
  #steadyCpuPercent = 0;
  readonly #freeLadder: LadderSettings;
  readonly events: RunEvents;
  /** Of a managed tool that speaks MCP: each is an activation with a runtime of its own. Null: the run is the activation. */
  readonly calls: OpenCalls | null;
  /** Its limits but for what is judged by call, and the limits that this was made of. */
  #judged: { readonly of: ResolvedLimits; readonly limits: ResolvedLimits };
  /** Whose run it is; a spare one gets this when somebody takes it over. */
  context: string | null;
  onDemand: boolean;
  /** Its end is in the account of its tool's recovery. */
  isCounted = false;
  state: RunState = 'starting';
  limits: ResolvedLimits;
  outcomes: readonly LimitOutcome[] = [];
  /** A lowered limit whose kernel cap waits until usage is below it. */
  capsPending = false;
  leader: ProcessIdentity | null = null;
  process: ManagedProcess | null = null;
  connection: Connection | null = null;
  /** Where the tool hears of pressure, and has registered handles. */
  channel: PressureChannel | null = null;
  exit: ExitInfo = 'unknown';
  last: UsageRecord | null = null;
  /** The kernel has killed a process of it for lack of memory. */
  oomKilled = false;
  /** Milliseconds of CPU time as last read; null before that or where it cannot be read. */
  cpuTimeMs: number | null = null;
  /** Why it ends, from the moment that its end has begun. */
  endRequest: EndRequest | null = null;
  end: EndView | null = null;
  endedWallMs: number | null = null;
  /**
   * The tool's stderr, held from the first warning on: when the kernel's own cap strikes first, the process is gone
   * before anyone could open it. Not held by calm runs: a reader of that pipe would wait for the daemon too.
   */
  lastWord: { write(line: string): boolean; close(): void } | null = null;
  /** Brakes in force, by the resource that asked for them. */
  readonly brakes = new Map<Resource, Action[]>();
  /** Brakes that budgets of several runs want on this one, each with the names of those that do. */
  readonly sharedBrakes = new Map<Action, Set<string>>();
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
    const calls = init.mode === 'managed' && init.definition.readiness === 'mcp' ? new OpenCalls() : null;
    this.calls = calls;
    this.#judged = { of: this.limits, limits: { ...this.limits, runtime: null } };
    this.#records = new RecordBuilder(
      init.id,
      calls === null ? (atMs) => atMs - init.startedMs : (atMs) => calls.longestMs(atMs),
      ports.cores,
    );
    this.#memory = initialMemory(init.startedMs);
    this.#freeLadder = withoutEscalation(init.definition.ladder);
  }

  get id(): string {
    return this.init.id;
  }

  get tool(): string {
    return this.init.definition.name;
  }

  stage(resource: Resource): Stage {
    if (resource === 'runtime' && this.calls !== null) return this.calls.stage;
    return this.#memory.resources[resource].stage;
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
    return this.calls === null ? this.sampledStage : higher(this.sampledStage, this.calls.stage);
  }

  /** The highest over what samples are taken for: a call's deadline is known without. */
  get sampledStage(): Stage {
    return overallStage(this.#memory);
  }

  /** What the kernel is told to hold: nothing in a dry run, or where it would only hold the client of something elsewhere. */
  get enforced(): ResolvedLimits {
    return this.init.notGoverned === null && !this.init.definition.dryRun ? this.limits : NO_LIMITS;
  }

  get alive(): boolean {
    return this.state === 'starting' || this.state === 'running' || this.state === 'stopping';
  }

  /** Samples now and lets the policy judge. */
  observe(stalled: boolean): Observation {
    const nowMs = this.#ports.clock.monotonicMs();
    const sample = this.init.containment.usage.sample(nowMs);
    const record = this.#records.build(sample, stalled);
    this.last = record;
    if (sample.still === true && this.#isSteadyAgain(record)) {
      this.#memory = sameAgain(this.#memory, record);
      return SAME_AGAIN;
    }
    this.oomKilled ||= record.kernel.oomKills > 0;
    if (sample.cpuTimeMs.kind === 'measured') this.cpuTimeMs = sample.cpuTimeMs.value;
    const verdict = decide(this.#memory, record, this.#sampledLimits(), this.#ladder(), nowMs);
    this.#memory = verdict.memory;
    const { cpu } = record.readings;
    this.#steadyLimits = verdict.steady && cpu.kind === 'measured' ? this.limits : null;
    if (cpu.kind === 'measured') this.#steadyCpuPercent = cpu.value;
    const ofCalls = this.calls === null || stalled ? [] : this.#judgeCalls(this.calls, nowMs);
    const decisions = ofCalls.length === 0 ? verdict.decisions : [...verdict.decisions, ...ofCalls];
    return { populated: sample.populated, still: sample.still === true, steady: false, decisions };
  }

  #judgeCalls(calls: OpenCalls, nowMs: number): readonly Decision[] {
    return calls.isEmpty ? [] : calls.observe(this.limits.runtime, nowMs, this.init.definition.ladder.exitMargin);
  }

  #sampledLimits(): ResolvedLimits {
    if (this.calls === null) return this.limits;
    if (this.#judged.of !== this.limits) this.#judged = { of: this.limits, limits: { ...this.limits, runtime: null } };
    return this.#judged.limits;
  }

  /** Of a tree that has not run only the CPU rate still changes, and the runtime, whose stages are entered by time. */
  #isSteadyAgain({ readings: { cpu }, kernel, stalled }: UsageRecord): boolean {
    return (
      this.#steadyLimits === this.limits &&
      (this.limits.runtime === null || this.calls?.isEmpty === true) &&
      !stalled &&
      cpu.kind === 'measured' &&
      cpu.value === this.#steadyCpuPercent &&
      kernel.oomKills === 0 &&
      kernel.cpuThrottledMs === 0 &&
      (kernel.memoryStall === null || kernel.memoryStall === 0)
    );
  }

  /**
   * Reads the resource again right before an irreversible act.
   * @returns null when it cannot be read, or the call that it is of is over
   */
  reread(resource: Resource, call?: OpenCallRef): Reread | null {
    const limit = this.limits[resource];
    if (limit === null) return { stage: 'normal', usage: 0, limit: 0, ratio: 0 };
    if (call !== undefined) return this.calls?.reread(call.number, limit, this.#ports.clock.monotonicMs()) ?? null;
    const reading = this.readNow()[resource];
    if (reading.kind !== 'measured') return null;
    const ratio = ratioOf(reading, limit);
    return { stage: stageOf(ratio, limit.thresholds), usage: reading.value, limit: limit.limit, ratio };
  }

  /** Everything that it uses, read from the kernel anew. */
  readNow(): Readings {
    const sample = this.#look(true);
    const readings = this.#records.readings(sample);
    if (this.last !== null) this.last = { ...this.last, atMs: sample.atMs, readings };
    return readings;
  }

  /** A look that the policy does not get to judge: what comes after it is not the same again. */
  #look(fresh: boolean): RunSample {
    this.#steadyLimits = null;
    return this.init.containment.usage.sample(this.#ports.clock.monotonicMs(), fresh);
  }

  /**
   * The escalation deadline keeps a throttle from becoming a livelock. Where nothing holds the tool back there is no
   * throttle, and a tool that stays at 92 % of its limit breaks no rule.
   */
  #ladder(): LadderSettings {
    const mayHold = this.calls !== null && this.sampledStage !== 'normal';
    if (this.brakes.size === 0 && !mayHold) return this.#freeLadder;
    const settings = this.init.definition.ladder;
    const escalateAfterMs = { ...settings.escalateAfterMs };
    for (const resource of RESOURCES) {
      if (!this.brakes.has(resource) && !(mayHold && this.#holdsCalls(resource))) escalateAfterMs[resource] = null;
    }
    return { ...settings, escalateAfterMs };
  }

  /** A tool that gets no calls uses no less by that alone: it would be held back for ever. */
  #holdsCalls(resource: Resource): boolean {
    const limit = this.limits[resource];
    return limit !== null && howHeld(limit, this.stage(resource)) !== null;
  }

  /** CPU time until now, milliseconds, of all that it ever was: read from the kernel. Null where that cannot be read. */
  readCpuTimeMs(): number | null {
    if (!this.alive) return this.cpuTimeMs;
    const { cpuTimeMs } = this.init.containment.usage.sample(this.#ports.clock.monotonicMs());
    if (cpuTimeMs.kind === 'measured') this.cpuTimeMs = Math.max(this.cpuTimeMs ?? 0, cpuTimeMs.value);
    return this.cpuTimeMs;
  }

  markActed(resource: Resource, stage: ThresholdStage): void {
    this.#steadyLimits = null;
    this.#memory = acted(this.#memory, resource, stage, this.init.definition.ladder, this.#ports.clock.monotonicMs());
  }

  markWithdrawn(resource: Resource, stage: Stage, call?: OpenCallRef): void {
    const limit = this.limits[resource];
    if (call !== undefined && limit !== null) return this.calls?.withdraw(call.number, stage, limit);
    this.#steadyLimits = null;
    this.#memory = withdrawn(this.#memory, resource, stage, this.#ports.clock.monotonicMs());
  }

  /** False while usage is at or above where a kernel cap would come to lie: setting it would kill at once. */
  capsFit(): boolean {
    return (['memory', 'tasks', 'temp_storage'] as const).every((resource) => {
      const limit = this.limits[resource];
      const reading = this.last?.readings[resource];
      return limit === null || reading?.kind !== 'measured' || ratioOf(reading, limit) < limit.thresholds.emergency;
    });
  }

  /**
   * What the run holds right now, by kind; kinds that cannot be read are left out.
   * @param fresh look at everything anew, which may take 50 ms for a temp dir of many files
   */
  inventory(fresh: boolean): Inventory {
    const sample = this.#look(fresh);
    const processes = this.init.containment.membership.members().length;
    const inventory: Record<string, number> = { processes };
    const add = (kind: string, reading: { kind: string; value?: number; inodes?: number }): void => {
      if (reading.kind === 'measured' && reading.value !== undefined) inventory[kind] = reading.value;
    };
    add('memory_bytes', sample.memory);
    add('file_handles', sample.fileHandles);
    add('sockets', sample.sockets);
    add('temp_bytes', sample.tempStorage);
    if (sample.tempStorage.kind === 'measured' && sample.tempStorage.inodes !== undefined)
      inventory['temp_files'] = sample.tempStorage.inodes;
    const handles = processes === 0 ? 0 : (this.channel?.handles ?? 0);
    if (handles > 0) inventory['handles'] = handles;
    inventory['cgroups'] = this.init.containment.record.directories.length;
    return inventory;
  }
}

/** Why and how a run is to end. */
export interface EndRequest {
  readonly reason: EndReason;
  readonly message: string;
  readonly resource?: Resource;
  readonly graceMs: number;
  /** What the ladder saw and did, where it was the ladder. */
  readonly breach?: Breach;
}
