/** A run under the policy, sample by sample: the shorthand in which the policy tables are written. */

import { DEFAULT_THRESHOLDS } from '../../../lib/core/ladder.ts';
import type { LadderSettings, ResolvedLimit, ResolvedLimits } from '../../../lib/core/limits.ts';
import { acted, decide, initialMemory, withdrawn } from '../../../lib/core/policy.ts';
import type { Decision, PolicyMemory } from '../../../lib/core/policy.ts';
import type { Stage, ThresholdStage } from '../../../lib/core/ladder.ts';
import { DEFAULT_ACTIONS } from '../../../lib/core/response.ts';
import type { Resource } from '../../../lib/core/resource.ts';
import { measured, NO_KERNEL_EVENTS, unsupported } from '../../../lib/core/usage.ts';
import type { KernelEvents, Reading, Readings, UsageRecord } from '../../../lib/core/usage.ts';
import { manualClock } from '../../helpers/manual-clock.ts';

export const SETTINGS: LadderSettings = {
  exitMargin: 0.05,
  warning: { needed: 3, of: 5 },
  throttled: { needed: 3, of: 5 },
  cleanup: { needed: 2, of: 3 },
  escalateAfterMs: {
    memory: 30_000,
    cpu: null,
    file_handles: 30_000,
    sockets: 30_000,
    runtime: null,
    temp_storage: 30_000,
    tasks: 30_000,
  },
  stall: { share: 0.5, forMs: 2_000 },
  quietMs: 15_000,
  staleAfterMs: 5_000,
  fallingShare: 0.15,
  cpuWarmUpMs: 10_000,
  starvation: null,
};

/** Every limit is 100 units of its resource, so that a value is a percentage of it. */
export function limitOf(resource: Resource, limit = 100, extra: Partial<ResolvedLimit> = {}): ResolvedLimit {
  return {
    resource,
    limit,
    thresholds: DEFAULT_THRESHOLDS,
    actions: DEFAULT_ACTIONS[resource],
    source: { from: 'built-in', detail: 'test' },
    ...extra,
  };
}

const NO_LIMITS: ResolvedLimits = {
  memory: null,
  cpu: null,
  file_handles: null,
  sockets: null,
  runtime: null,
  temp_storage: null,
  tasks: null,
};
const NOTHING = unsupported('not part of the test');
const NO_READINGS: Readings = {
  memory: NOTHING,
  cpu: NOTHING,
  file_handles: NOTHING,
  sockets: NOTHING,
  runtime: NOTHING,
  temp_storage: NOTHING,
  tasks: NOTHING,
};

export interface StepOptions {
  /** Time before the sample; 1 s by default. */
  readonly afterMs?: number;
  /** Age of the reading at the time of the decision. */
  readonly ageMs?: number;
  readonly stalled?: boolean;
  readonly kernel?: Partial<KernelEvents>;
  readonly reading?: Reading;
  readonly inodes?: number;
}

export class Bench {
  readonly clock = manualClock(100_000);
  readonly resource: Resource;
  settings: LadderSettings;
  limits: ResolvedLimits;
  memory: PolicyMemory;

  constructor(
    resource: Resource = 'memory',
    settings: Partial<LadderSettings> = {},
    limit: ResolvedLimit | null = limitOf(resource),
  ) {
    this.resource = resource;
    this.settings = { ...SETTINGS, ...settings };
    this.limits = { ...NO_LIMITS, [resource]: limit };
    this.memory = initialMemory(this.clock.monotonicMs());
  }

  get stage(): Stage {
    return this.memory.resources[this.resource].stage;
  }

  setLimit(limit: ResolvedLimit | number | null): void {
    this.limits = {
      ...this.limits,
      [this.resource]: typeof limit === 'number' ? limitOf(this.resource, limit) : limit,
    };
  }

  /** One step; null takes no reading. */
  step(value: number | null, options: StepOptions = {}): readonly Decision[] {
    this.clock.advance(options.afterMs ?? 1_000);
    const nowMs = this.clock.monotonicMs();
    const atMs = nowMs - (options.ageMs ?? 0);
    const taken =
      value === null
        ? NOTHING
        : { ...measured(value, 'exact', atMs), ...(options.inodes === undefined ? {} : { inodes: options.inodes }) };
    const record: UsageRecord = {
      runId: 'run',
      atMs: nowMs,
      stalled: options.stalled ?? false,
      readings: { ...NO_READINGS, [this.resource]: options.reading ?? taken },
      kernel: { ...NO_KERNEL_EVENTS, ...options.kernel },
    };
    const verdict = decide(this.memory, record, this.limits, this.settings, nowMs);
    this.memory = verdict.memory;
    return verdict.decisions;
  }

  /** Decisions in short: `normal→warning`, `cleanup↻`, `throttled→cleanup (deadline)`; `-` where there was none. */
  run(values: readonly (number | null)[], options: StepOptions = {}): readonly string[] {
    return values.map((value) => this.step(value, options).map(shorten).join(' ') || '-');
  }

  acted(stage: ThresholdStage): void {
    this.memory = acted(this.memory, this.resource, stage, this.settings, this.clock.monotonicMs());
  }

  withdrawn(stage: Stage): void {
    this.memory = withdrawn(this.memory, this.resource, stage, this.clock.monotonicMs());
  }
}

export function shorten(decision: Decision): string {
  const cause = decision.kind === 'leave' || decision.cause === 'samples' ? '' : ` (${decision.cause})`;
  return decision.kind === 'repeat' ? `${decision.to}↻${cause}` : `${decision.from}→${decision.to}${cause}`;
}
