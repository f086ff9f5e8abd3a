/**
 * A limit that several runs share, of a context or of the host: what they use together, and which stage that is. It knows
 * its runs; what is done about them is for `budget-responder.ts`.
 */

import { HOST_BUDGET, sumReadings } from '../core/budget.ts';
import { nextSampleInMs } from '../core/cadence.ts';
import type { Approach } from '../core/cadence.ts';
import { stageOf } from '../core/ladder.ts';
import type { Stage, ThresholdStage } from '../core/ladder.ts';
import { ratioOf } from '../core/limits.ts';
import type { LadderSettings, ResolvedLimits } from '../core/limits.ts';
import { acted, decide, initialMemory, overallStage, withdrawn } from '../core/policy.ts';
import type { Decision, PolicyMemory } from '../core/policy.ts';
import { RESOURCES } from '../core/resource.ts';
import type { Resource } from '../core/resource.ts';
import type { Action } from '../core/response.ts';
import { NO_KERNEL_EVENTS, unsupported } from '../core/usage.ts';
import type { Reading, Readings } from '../core/usage.ts';
import type { Enforcement } from '../os/backend.ts';
import { holdsCalls } from './budget-calls.ts';
import { BudgetCaps } from './budget-caps.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';

/** All of its runs are looked at each time. */
const LEAST_LOOK_MS = 50;
const NOT_SHARED = unsupported('each run has its own');

export class Budget {
  /** As it is named in records and messages: `host`, or `context ID`. */
  readonly name: string;
  /** null: of the host. */
  readonly context: string | null;
  readonly caps: BudgetCaps;
  /** Of this budget, by the resource that asked for them. */
  readonly brakes = new Map<Resource, Action[]>();
  /** That this budget has stopped, and that still end. */
  readonly victims = new Set<Run>();
  /** Whose new calls it holds back. */
  readonly holding = new Set<Run>();
  limits: ResolvedLimits;
  members: readonly Run[] = [];
  readings: Readings | null = null;
  readonly #ports: SupervisorPorts;
  readonly #lastRatios = new Map<Resource, { readonly ratio: number; readonly atMs: number }>();
  #memory: PolicyMemory;
  #stall: { readonly totalMs: number; readonly atMs: number } | null = null;

  constructor(context: string | null, limits: ResolvedLimits, ports: SupervisorPorts) {
    this.context = context;
    this.name = context === null ? HOST_BUDGET : `context ${context}`;
    this.limits = limits;
    this.#ports = ports;
    this.caps = new BudgetCaps(ports.backend.shared, context);
    this.#memory = initialMemory(ports.clock.monotonicMs());
  }

  stage(resource: Resource): Stage {
    return this.#memory.resources[resource].stage;
  }

  overallStage(): Stage {
    return overallStage(this.#memory);
  }

  enforcement(resource: Resource): Enforcement {
    if (this.limits[resource] === null) return 'observed';
    const outcome = this.caps.outcomes.find((candidate) => candidate.resource === resource);
    return outcome?.enforcement === 'kernel' ? 'kernel' : 'polled';
  }

  /** Judges what its runs used when they were last looked at. Reads nothing of them. */
  observe(ladder: LadderSettings): readonly Decision[] {
    const nowMs = this.#ports.clock.monotonicMs();
    this.readings = this.#sum((run) => run.last?.readings ?? null, nowMs, ladder.staleAfterMs, false);
    const stalled = this.members.some(({ last }) => last?.stalled === true);
    const kernel = { ...NO_KERNEL_EVENTS, memoryStall: this.#stallShare(nowMs) };
    const record = { runId: this.name, atMs: nowMs, stalled, readings: this.readings, kernel };
    const verdict = decide(this.#memory, record, this.limits, this.#settings(ladder), nowMs);
    this.#memory = verdict.memory;
    return verdict.decisions;
  }

  /** Reads every run of it anew. @returns null where the resource cannot be read */
  readNow(
    resource: Resource,
    ladder: LadderSettings,
  ): { readonly stage: Stage; readonly usage: number; readonly ratio: number } | null {
    const limit = this.limits[resource];
    if (limit === null) return { stage: 'normal', usage: 0, ratio: 0 };
    const living = this.members.filter(({ alive }) => alive);
    const found = new Map(living.map((run) => [run, this.#readRun(run)]));
    const nowMs = this.#ports.clock.monotonicMs();
    this.readings = this.#sum((run) => found.get(run) ?? null, nowMs, ladder.staleAfterMs, true);
    const reading = this.readings[resource];
    if (reading.kind !== 'measured') return null;
    const ratio = ratioOf(reading, limit);
    return { stage: stageOf(ratio, limit.thresholds), usage: reading.value, ratio };
  }

  /** One that cannot be read must not keep all others where they are. */
  #readRun(run: Run): Readings | null {
    try {
      return run.judge.readNow();
    } catch (error) {
      this.#ports.log.warn({ tool: run.tool, run: run.id, err: error }, 'could not be read for a shared limit');
      return null;
    }
  }

  markActed(resource: Resource, stage: ThresholdStage, ladder: LadderSettings): void {
    this.#memory = acted(this.#memory, resource, stage, ladder, this.#ports.clock.monotonicMs());
  }

  /** A fresh look showed this stage: judged from here on, and acted on again as soon as samples hold it. */
  markSeen(resource: Resource, stage: Stage): void {
    this.#memory = withdrawn(this.#memory, resource, stage, this.#ports.clock.monotonicMs());
  }

  /** Milliseconds until its runs are to be looked at again, all of them; null: whenever they are. */
  nextLookInMs(baseMs: number): number | null {
    const stage = this.overallStage();
    const approaches = this.#approaches();
    const { memory: limit } = this.limits;
    const memory = this.readings?.memory;
    const isNear =
      limit !== null &&
      memory?.kind === 'measured' &&
      memory.value >= 0.7 * limit.limit &&
      // Above it, its stage says how often: there may be nobody left to stop.
      memory.value < limit.limit;
    const uncapped = isNear && this.enforcement('memory') !== 'kernel';
    const inMs = nextSampleInMs({
      baseMs,
      ageMs: Infinity,
      stage,
      approaches,
      uncappedMemory: uncapped ? { usageBytes: memory.value, limitBytes: limit.limit } : null,
      untilRuntimeStageMs: null,
    });
    return inMs < baseMs ? Math.max(LEAST_LOOK_MS, inMs) : null;
  }

  /** Of the time since the look before; read only while memory is short. */
  #stallShare(nowMs: number): number | null {
    const before = this.#stall;
    const totalMs = this.stage('memory') === 'normal' ? null : this.caps.memoryStallMs();
    this.#stall = totalMs === null ? null : { totalMs, atMs: nowMs };
    if (this.stage('memory') === 'normal') return 0;
    if (totalMs === null || before === null || nowMs <= before.atMs) return null;
    return Math.min(1, Math.max(0, (totalMs - before.totalMs) / (nowMs - before.atMs)));
  }

  /** A throttle that holds nobody back is no reason to end anybody. */
  #settings(ladder: LadderSettings): LadderSettings {
    const escalateAfterMs = { ...ladder.escalateAfterMs };
    for (const resource of RESOURCES)
      if (!this.brakes.has(resource) && !holdsCalls(this, resource)) escalateAfterMs[resource] = null;
    return { ...ladder, escalateAfterMs };
  }

  #sum(readingsOf: (run: Run) => Readings | null, nowMs: number, staleAfterMs: number, fresh: boolean): Readings {
    const all = this.members.map((run) => readingsOf(run));
    const sum = (resource: Resource): Reading =>
      sumReadings(
        all.map((readings) => readings?.[resource] ?? unsupported('not sampled yet')),
        nowMs,
        staleAfterMs,
      );
    const totals = this.caps.sample(this.members, nowMs, fresh);
    const total = (resource: 'memory' | 'tasks'): Reading =>
      totals?.[resource].kind === 'measured' ? totals[resource] : sum(resource);
    return {
      memory: total('memory'),
      cpu: sum('cpu'),
      file_handles: sum('file_handles'),
      sockets: sum('sockets'),
      runtime: NOT_SHARED,
      temp_storage: sum('temp_storage'),
      tasks: total('tasks'),
    };
  }

  #approaches(): readonly Approach[] {
    const found: Approach[] = [];
    for (const resource of RESOURCES) {
      const limit = this.limits[resource];
      const reading = this.readings?.[resource];
      if (limit === null || resource === 'cpu' || reading?.kind !== 'measured') continue;
      const ratio = ratioOf(reading, limit);
      const last = this.#lastRatios.get(resource);
      if (last !== undefined && last.atMs >= reading.atMs) continue;
      this.#lastRatios.set(resource, { ratio, atMs: reading.atMs });
      if (last === undefined || ratio <= last.ratio) continue;
      const growthPerMs = (ratio - last.ratio) / (reading.atMs - last.atMs);
      found.push({ ratio, growthPerMs, emergency: limit.thresholds.emergency });
    }
    return found;
  }
}
