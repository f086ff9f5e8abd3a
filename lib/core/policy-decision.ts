/** Decisions of the policy, and what entering and leaving a stage leaves in its memory. */

import type { Stage, ThresholdStage } from './ladder.ts';
import { ratioOf } from './limits.ts';
import type { LadderSettings, ResolvedLimit } from './limits.ts';
import { initialResource } from './policy-memory.ts';
import type { PolicyMemory, ResourceMemory } from './policy-memory.ts';
import { EXIT_SAMPLES } from './policy-window.ts';
import type { Resource } from './resource.ts';
import type { UsageRecord } from './usage.ts';

/**
 * `samples`: usage itself. `deadline`: a throttle lasted too long. `stall`: a throttled tree made no progress for want
 * of memory. `starvation`: a CPU quota left a run too little. `kernel`: the kernel killed for want of memory.
 * `unanswered`: a call was cancelled, and its server did not answer the ping after it.
 */
export type Cause = 'samples' | 'deadline' | 'stall' | 'starvation' | 'kernel' | 'unanswered';

/** Usage and limit are in the unit of the resource; for temp_storage the ratio may come from inodes. */
export type Decision =
  /**
   * `enter`: a higher stage was entered. `repeat`: the run is still in a cleanup or emergency after its quiet time, or
   * a pressure makes it act in the stage that it already is in; from = to.
   */
  | {
      readonly kind: 'enter' | 'repeat';
      readonly resource: Resource;
      readonly from: Stage;
      readonly to: ThresholdStage;
      readonly cause: Cause;
      readonly usage: number;
      readonly limit: number;
      readonly ratio: number;
      /** runtime of calls: which one. */
      readonly call?: OpenCallRef;
    }
  /** A lower stage; also when the limit was taken away, then with the last known figures. */
  | {
      readonly kind: 'leave';
      readonly resource: Resource;
      readonly from: ThresholdStage;
      readonly to: Stage;
      readonly usage: number;
      readonly limit: number;
      readonly ratio: number;
      readonly call?: OpenCallRef;
    };

/** A call that is open with a run. */
export interface OpenCallRef {
  readonly number: number;
  /** For people: `tools/call search`. */
  readonly label: string;
}

export interface Outcome {
  readonly memory: ResourceMemory;
  readonly decision: Decision | null;
}

/** What one step of one resource is about. */
export interface Situation {
  readonly memory: PolicyMemory;
  readonly record: UsageRecord;
  readonly limit: ResolvedLimit;
  readonly settings: LadderSettings;
  readonly nowMs: number;
}

/** Into a higher stage, or once more into the same one. @param usage where that is not the last reading */
export function enter(
  memory: ResourceMemory,
  to: ThresholdStage,
  cause: Cause,
  { limit, settings, nowMs }: Situation,
  usage?: number,
): Outcome {
  const from = memory.stage;
  const isRepeat = from === to;
  const acting = to === 'cleanup' || to === 'emergency';
  return {
    memory: {
      ...memory,
      stage: to,
      sinceMs: isRepeat ? memory.sinceMs : nowMs,
      boundary: limit.limit * limit.thresholds[to],
      // What led here by another way than usage may lie below the exit: only samples from now on may leave the stage.
      recent: cause === 'samples' ? memory.recent : [],
      // Set here and not only by acted(): an action that was lost is asked for again.
      repeatAtMs: acting ? nowMs + settings.quietMs : null,
    },
    decision: {
      kind: isRepeat ? 'repeat' : 'enter',
      resource: limit.resource,
      from,
      to,
      cause,
      ...(usage === undefined
        ? figures(memory, limit)
        : { usage, limit: limit.limit, ratio: ratioOf({ value: usage }, limit) }),
    },
  };
}

export function leave(memory: ResourceMemory, from: ThresholdStage, to: Stage, { limit, nowMs }: Situation): Outcome {
  return {
    memory: {
      ...memory,
      stage: to,
      sinceMs: nowMs,
      // What was held before must not help to enter again.
      recent: memory.recent.slice(-EXIT_SAMPLES),
      repeatAtMs: to === 'cleanup' ? memory.repeatAtMs : null,
    },
    decision: { kind: 'leave', resource: limit.resource, from, to, ...figures(memory, limit) },
  };
}

/** Of the last known usage; where there never was one (the kernel killed first), the limit stands in for it. */
function figures(
  { last }: ResourceMemory,
  limit: ResolvedLimit,
): { readonly usage: number; readonly limit: number; readonly ratio: number } {
  const usage = last?.value ?? limit.limit;
  return { usage, limit: limit.limit, ratio: last === null ? 1 : ratioOf(last, limit) };
}

/** Without a limit there is no ladder; a stage that had been entered is left, so that its brakes are lifted. */
export function withoutLimit(before: ResourceMemory, resource: Resource, nowMs: number): Outcome {
  const memory = before.stage === 'normal' && before.last === null ? before : initialResource(nowMs);
  if (before.stage === 'normal' || before.last === null) return { memory, decision: null };
  const { value, limit, ratio } = before.last;
  return {
    memory,
    decision: { kind: 'leave', resource, from: before.stage, to: 'normal', usage: value, limit, ratio },
  };
}
