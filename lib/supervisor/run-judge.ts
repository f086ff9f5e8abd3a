/**
 * How a run is measured and judged: its samples become records, and the policy judges them. What is as it was when it
 * was last judged, and needed nothing then, is not judged again.
 */

import type { Stage, ThresholdStage } from '../core/ladder.ts';
import { stageOf } from '../core/ladder.ts';
import type { LadderSettings, ResolvedLimits } from '../core/limits.ts';
import { ratioOf } from '../core/limits.ts';
import type { OpenCallRef } from '../core/policy-decision.ts';
import type { Decision, PolicyMemory } from '../core/policy.ts';
import { acted, decide, initialMemory, overallStage, sameAgain, withdrawn } from '../core/policy.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES } from '../core/resource.ts';
import type { Readings, UsageRecord } from '../core/usage.ts';
import type { Fresh, RunSample } from '../os/backend.ts';
import { howHeld } from './held-back.ts';
import { LastLived } from './last-lived.ts';
import type { Run } from './run.ts';
import { RecordBuilder } from './usage-record.ts';

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

const NOTHING: readonly Decision[] = [];
const SAME_AGAIN: Observation = { populated: true, still: true, steady: true, decisions: NOTHING };

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

/** The part of a run that decides how it is judged: its limits may change, its brakes come and go. */
type Judged = Pick<Run, 'init' | 'limits' | 'brakes' | 'calls' | 'nowMs'>;

export class RunJudge {
  /** As last built: a reused object. */
  last: UsageRecord | null = null;
  /** The last sample was of a tree that had ended: its zeros are no usage of the run. */
  isEmpty = false;
  /** Before that. */
  readonly lived = new LastLived();
  /** The kernel has killed a process of it for lack of memory. */
  oomKilled = false;
  /** Milliseconds of CPU time as last read; null before that or where it cannot be read. */
  cpuTimeMs: number | null = null;
  readonly #run: Judged;
  readonly #records: RecordBuilder;
  #memory: PolicyMemory;
  /** The limits and the CPU rate of the last verdict, if that was steady; null otherwise. */
  #steadyLimits: ResolvedLimits | null = null;
  #steadyCpuPercent = 0;
  readonly #freeLadder: LadderSettings;
  /** Its limits but for what is judged by call, and the limits that this was made of. */
  #judged: { readonly of: ResolvedLimits; readonly limits: ResolvedLimits };

  /** @param cores CPUs of the host */
  constructor(run: Judged, cores: number) {
    const { init, limits, calls } = run;
    this.#run = run;
    this.#judged = { of: limits, limits: { ...limits, runtime: null } };
    this.#records = new RecordBuilder(
      init.id,
      calls === null ? (atMs) => atMs - init.startedMs : (atMs) => calls.longestMs(atMs),
      cores,
    );
    this.#memory = initialMemory(init.startedMs);
    this.#freeLadder = withoutEscalation(init.definition.ladder);
  }

  stage(resource: Resource): Stage {
    const { calls } = this.#run;
    return resource === 'runtime' && calls !== null ? calls.stage : this.#memory.resources[resource].stage;
  }

  /** The highest over what samples are taken for: a call's deadline is known without. */
  get sampledStage(): Stage {
    return overallStage(this.#memory);
  }

  /** Samples now and lets the policy judge. */
  observe(stalled: boolean): Observation {
    const { nowMs } = this.#run;
    const sample = this.#run.init.containment.usage.sample(nowMs);
    const record = this.#records.build(sample, stalled);
    this.last = record;
    if (sample.still === true && this.#isSteadyAgain(record)) {
      this.#memory = sameAgain(this.#memory, record);
      return SAME_AGAIN;
    }
    this.isEmpty = !sample.populated;
    if (sample.populated) this.lived.note(record.readings);
    this.oomKilled ||= record.kernel.oomKills > 0;
    if (sample.cpuTimeMs.kind === 'measured') this.cpuTimeMs = sample.cpuTimeMs.value;
    const verdict = decide(this.#memory, record, this.#sampledLimits(), this.#ladder(), nowMs);
    this.#memory = verdict.memory;
    const { cpu } = record.readings;
    this.#steadyLimits = verdict.steady && cpu.kind === 'measured' ? this.#run.limits : null;
    if (cpu.kind === 'measured') this.#steadyCpuPercent = cpu.value;
    const ofCalls = stalled ? NOTHING : this.#judgeCalls(nowMs);
    const decisions = ofCalls.length === 0 ? verdict.decisions : [...verdict.decisions, ...ofCalls];
    return { populated: sample.populated, still: sample.still === true, steady: false, decisions };
  }

  #judgeCalls(nowMs: number): readonly Decision[] {
    const { calls, limits, init } = this.#run;
    if (calls === null || calls.isEmpty) return NOTHING;
    return calls.observe(limits.runtime, nowMs, init.definition.ladder.exitMargin);
  }

  #sampledLimits(): ResolvedLimits {
    const { calls, limits } = this.#run;
    if (calls === null) return limits;
    if (this.#judged.of !== limits) this.#judged = { of: limits, limits: { ...limits, runtime: null } };
    return this.#judged.limits;
  }

  /** Of a tree that has not run only the CPU rate still changes, and the runtime, whose stages are entered by time. */
  #isSteadyAgain({ readings: { cpu }, kernel, stalled }: UsageRecord): boolean {
    const { limits, calls } = this.#run;
    return (
      this.#steadyLimits === limits &&
      (limits.runtime === null || calls?.isEmpty === true) &&
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
    const { calls, limits, nowMs } = this.#run;
    const limit = limits[resource];
    if (limit === null) return { stage: 'normal', usage: 0, limit: 0, ratio: 0 };
    if (call !== undefined) return calls?.reread(call.number, limit, nowMs) ?? null;
    const reading = this.readNow()[resource];
    if (reading.kind !== 'measured') return null;
    const ratio = ratioOf(reading, limit);
    return { stage: stageOf(ratio, limit.thresholds), usage: reading.value, limit: limit.limit, ratio };
  }

  /** Everything that it uses, read from the kernel anew. */
  readNow(): Readings {
    const sample = this.look(true);
    const readings = this.#records.readings(sample);
    if (this.last !== null) this.last = { ...this.last, atMs: sample.atMs, readings };
    return readings;
  }

  /** A look that the policy does not get to judge: what comes after it is not the same again. */
  look(fresh: Fresh): RunSample {
    this.#steadyLimits = null;
    return this.#run.init.containment.usage.sample(this.#run.nowMs, fresh);
  }

  /**
   * The escalation deadline keeps a throttle from becoming a livelock. Where nothing holds the tool back there is no
   * throttle, and a tool that stays at 92 % of its limit breaks no rule.
   */
  #ladder(): LadderSettings {
    const { brakes, calls, init } = this.#run;
    const mayHold = calls !== null && this.sampledStage !== 'normal';
    if (brakes.size === 0 && !mayHold) return this.#freeLadder;
    const settings = init.definition.ladder;
    const escalateAfterMs = { ...settings.escalateAfterMs };
    for (const resource of RESOURCES) {
      if (!brakes.has(resource) && !(mayHold && this.#holdsCalls(resource))) escalateAfterMs[resource] = null;
    }
    return { ...settings, escalateAfterMs };
  }

  /** A tool that gets no calls uses no less by that alone: it would be held back for ever. */
  #holdsCalls(resource: Resource): boolean {
    const limit = this.#run.limits[resource];
    return limit !== null && howHeld(limit, this.stage(resource)) !== null;
  }

  /** CPU time until now, milliseconds, of all that it ever was: read from the kernel. Null where that cannot be read. */
  readCpuTimeMs(): number | null {
    const cpuTimeMs = this.#run.init.containment.usage.cpuTimeMs(this.#run.nowMs);
    if (cpuTimeMs.kind === 'measured') this.cpuTimeMs = Math.max(this.cpuTimeMs ?? 0, cpuTimeMs.value);
    return this.cpuTimeMs;
  }

  markActed(resource: Resource, stage: ThresholdStage): void {
    this.#steadyLimits = null;
    this.#memory = acted(this.#memory, resource, stage, this.#run.init.definition.ladder, this.#run.nowMs);
  }

  markWithdrawn(resource: Resource, stage: Stage, call?: OpenCallRef): void {
    const limit = this.#run.limits[resource];
    if (call !== undefined && limit !== null) return this.#run.calls?.withdraw(call.number, stage, limit);
    this.#steadyLimits = null;
    this.#memory = withdrawn(this.#memory, resource, stage, this.#run.nowMs);
  }
}
