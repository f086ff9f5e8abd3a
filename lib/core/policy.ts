/**
 * The ladder as one pure function: (memory, record, limits, settings, now) → (memory, decisions). It knows no clock, no
 * process and no action; what becomes of a decision is the responder's part. At most one decision a resource and step.
 *
 * Only fresh samples count: newer than the last one counted, not older than `staleAfterMs`, taken while the daemon was
 * not stalled. Anything else neither fills nor empties a window. A stage is entered when enough of the last samples,
 * the latest among them, lie in it, and left when two in a row lie `exitMargin` below its threshold.
 */

import { higher, rank, stageOf, THRESHOLD_STAGES } from './ladder.ts';
import type { Stage, ThresholdStage } from './ladder.ts';
import { ratioOf } from './limits.ts';
import type { LadderSettings, ResolvedLimit, ResolvedLimits } from './limits.ts';
import { enter, leave, withoutLimit } from './policy-decision.ts';
import type { Decision, Outcome, Situation } from './policy-decision.ts';
import type { CountedSample, PolicyMemory, ResourceMemory } from './policy-memory.ts';
import { followPressure, pressureCause } from './policy-pressure.ts';
import { fallsFast, heldStage, isBelowExit, windowSize } from './policy-window.ts';
import { ONE_WAY, RESOURCES } from './resource.ts';
import type { Resource } from './resource.ts';
import type { Measured, Reading, UsageRecord } from './usage.ts';

export type { Cause, Decision } from './policy-decision.ts';
export { initialMemory } from './policy-memory.ts';
export type { PolicyMemory, ResourceMemory } from './policy-memory.ts';

export interface Verdict {
  readonly memory: PolicyMemory;
  readonly decisions: readonly Decision[];
  /** No resource is near a stage or under any pressure: the same readings again would change nothing, however late. */
  readonly steady: boolean;
}

/** Mostly: one for all. */
const NOTHING_DECIDED: readonly Decision[] = [];

/**
 * One pure step. Same arguments, same answer.
 * @param record the readings of one instant; kernel events since the previous record. `cpuThrottledMs` is per core.
 * @param nowMs monotonic ms, not before the record was taken
 */
export function decide(
  memory: PolicyMemory,
  record: UsageRecord,
  limits: ResolvedLimits,
  settings: LadderSettings,
  nowMs: number,
): Verdict {
  const followed = followPressure(memory, record, settings, nowMs);
  let { resources } = followed;
  let decisions = NOTHING_DECIDED;
  let steady = !followed.oomPending && followed.stallSinceMs === null && followed.starvingSinceMs === null;
  for (const resource of RESOURCES) {
    const limit = limits[resource];
    const before = resources[resource];
    if (isSteady(before, record, limit, resource, settings) && !followed.oomPending) continue;
    steady = false;
    const outcome =
      limit === null
        ? withoutLimit(before, resource, nowMs)
        : step(before, { memory: followed, record, limit, settings, nowMs });
    if (outcome.memory !== before) resources = { ...resources, [resource]: outcome.memory };
    if (outcome.decision !== null) decisions = [...decisions, outcome.decision];
  }
  // A starvation that was answered has to build up anew.
  const spent = decisions.some((decision) => decision.kind !== 'leave' && decision.cause === 'starvation');
  const oomPending = record.stalled && followed.oomPending;
  if (resources === followed.resources && oomPending === followed.oomPending && !spent)
    return { memory: followed, decisions, steady };
  return {
    memory: {
      startedAtMs: followed.startedAtMs,
      recordAtMs: followed.recordAtMs,
      resources,
      stallSinceMs: followed.stallSinceMs,
      starvingSinceMs: spent ? null : followed.starvingSinceMs,
      oomPending,
    },
    decisions,
    steady,
  };
}

/** After a steady verdict: the same readings again, and nothing that the kernel tells of. */
export function sameAgain(memory: PolicyMemory, record: UsageRecord): PolicyMemory {
  return {
    startedAtMs: memory.startedAtMs,
    recordAtMs: record.atMs,
    resources: memory.resources,
    stallSinceMs: memory.stallSinceMs,
    starvingSinceMs: memory.starvingSinceMs,
    oomPending: memory.oomPending,
  };
}

/** The responder acted at this stage: the same and lower stages are quiet for a while, higher ones are not. */
export function acted(
  memory: PolicyMemory,
  resource: Resource,
  stage: ThresholdStage,
  settings: LadderSettings,
  nowMs: number,
): PolicyMemory {
  const before = memory.resources[resource];
  const untilMs = nowMs + settings.quietMs;
  const quietUntilMs = { ...before.quietUntilMs };
  for (const other of THRESHOLD_STAGES) {
    if (rank(other) <= rank(stage)) quietUntilMs[other] = Math.max(quietUntilMs[other], untilMs);
  }
  return withResource(memory, resource, {
    ...before,
    quietUntilMs,
    repeatAtMs: before.repeatAtMs === null ? null : untilMs,
  });
}

/** The re-read right before acting showed less: the stage falls back to what the re-read shows, with empty windows. */
export function withdrawn(memory: PolicyMemory, resource: Resource, stage: Stage, nowMs: number): PolicyMemory {
  const before = memory.resources[resource];
  // Fallen back to a cleanup that was never acted on: it is asked for as soon as samples hold it.
  const repeatAtMs = stage === 'cleanup' || stage === 'emergency' ? nowMs : null;
  return withResource(memory, resource, { ...before, stage, sinceMs: nowMs, recent: [], repeatAtMs });
}

/** The highest stage over all resources. */
export function overallStage(memory: PolicyMemory): Stage {
  let stage: Stage = 'normal';
  for (const resource of RESOURCES) stage = higher(stage, memory.resources[resource].stage);
  return stage;
}

/**
 * The usual case, and one sample more of it tells nothing new: normal, below the first stage, and the window is full of
 * the very same value. The memory stays as it is; a second's work is not made garbage for every idle tool.
 */
function isSteady(
  { stage, recent, last }: ResourceMemory,
  { readings }: UsageRecord,
  limit: ResolvedLimit | null,
  resource: Resource,
  settings: LadderSettings,
): boolean {
  if (stage !== 'normal') return false;
  if (limit === null) return last === null;
  const reading = readings[resource];
  if (reading.kind !== 'measured' || last === null || last.value !== reading.value || last.limit !== limit.limit)
    return false;
  if (recent.length < windowSize(settings) || ratioOf(reading, limit) >= limit.thresholds.warning) return false;
  for (const { value, inodes } of recent) if (value !== reading.value || inodes !== reading.inodes) return false;
  return true;
}

function step(before: ResourceMemory, situation: Situation): Outcome {
  const { record, limit, settings } = situation;
  const { resource } = limit;
  if (resource === 'memory' && situation.memory.oomPending && !record.stalled) return afterOomKill(before, situation);
  if (resource === 'cpu' && situation.nowMs - situation.memory.startedAtMs < settings.cpuWarmUpMs)
    return { memory: before, decision: null };
  const reading = record.readings[resource];
  if (!isFresh(reading, before, situation)) return byPressure(before, situation, false);

  const ratio = ratioOf(reading, limit);
  const falling = fallsFast(before.last, reading, limit, settings);
  const counted = count(before, reading, situation);
  const mayEnter = (stage: ThresholdStage): boolean => !(falling && (stage === 'throttled' || stage === 'cleanup'));
  const held = heldStage(counted.recent, limit, settings, mayEnter);
  if (held !== 'normal' && rank(held) > rank(counted.stage) && !isQuiet(counted, held, situation))
    return enter(counted, held, 'samples', situation);

  const { stage } = counted;
  if (stage !== 'normal' && isBelowExit(counted.recent, stage, limit, settings) && mayLeave(counted, stage, limit)) {
    return leave(counted, stage, stageOf(ratio, limit.thresholds), situation);
  }
  return wantsRepeat(counted, held, situation)
    ? enter(counted, stage as ThresholdStage, 'samples', situation)
    : byPressure(counted, situation, falling);
}

function isFresh(
  reading: Reading,
  before: ResourceMemory,
  { record, settings, nowMs }: Situation,
): reading is Measured {
  if (record.stalled || reading.kind !== 'measured' || !Number.isFinite(reading.value)) return false;
  return (before.last === null || reading.atMs > before.last.atMs) && nowMs - reading.atMs <= settings.staleAfterMs;
}

/** Field by field: a spread costs ten times as much, and this is done for every sample that differs from the last. */
function count(before: ResourceMemory, reading: Measured, { limit, settings }: Situation): ResourceMemory {
  const { value, inodes, atMs } = reading;
  const counted = { atMs, limit: limit.limit, ratio: ratioOf(reading, limit) };
  const newest = before.recent.at(-1);
  const same = newest !== undefined && newest.value === value && newest.inodes === inodes;
  const sample = same ? newest : inodes === undefined ? { value } : { value, inodes };
  return {
    stage: before.stage,
    sinceMs: before.sinceMs,
    recent: appended(before.recent, sample, windowSize(settings)),
    last: inodes === undefined ? { value, ...counted } : { value, inodes, ...counted },
    quietUntilMs: before.quietUntilMs,
    repeatAtMs: before.repeatAtMs,
    boundary: before.boundary,
  };
}

/** The last `size` of both. Of its exact length: grown by a push it would have room for seventeen. */
function appended(recent: readonly CountedSample[], sample: CountedSample, size: number): readonly CountedSample[] {
  if (recent.length < size) return recent.concat(sample);
  const samples = recent.slice(recent.length - size).copyWithin(0, 1);
  samples[size - 1] = sample;
  return samples;
}

/** A deadline or a pressure escalates what is throttled, on the evidence of the last fresh sample. */
function byPressure(memory: ResourceMemory, situation: Situation, falling: boolean): Outcome {
  const nothing = { memory, decision: null };
  const { record, limit, settings, nowMs } = situation;
  if (record.stalled || falling || memory.last === null || nowMs - memory.last.atMs > settings.staleAfterMs)
    return nothing;
  if (record.readings[limit.resource].kind !== 'measured') return nothing;
  const cause = pressureCause(memory, situation.memory, limit, settings, nowMs);
  if (cause === null) return nothing;
  const to = rank(memory.stage) > rank('cleanup') ? 'emergency' : 'cleanup';
  return isQuiet(memory, to, situation) ? nothing : enter(memory, to, cause, situation);
}

/** The kernel's word needs no second sample, nor a reading: the tree may already be gone. */
function afterOomKill(before: ResourceMemory, situation: Situation): Outcome {
  const reading = situation.record.readings.memory;
  const memory = isFresh(reading, before, situation) ? count(before, reading, situation) : before;
  if (memory.stage === 'emergency' && isQuiet(memory, 'emergency', situation)) return { memory, decision: null };
  return enter(memory, 'emergency', 'kernel', situation, usageAtKill(before, memory, situation));
}

/** What is read after the kill is what the kill has left: the most that was ever seen; seen by nobody, at least the limit. */
function usageAtKill(before: ResourceMemory, now: ResourceMemory, { record, limit }: Situation): number {
  const seen = Math.max(before.last?.value ?? 0, now.last?.value ?? 0, record.kernel.memoryPeakBytes ?? 0);
  return seen > 0 ? seen : limit.limit;
}

/** Usage that never falls gets below an exit only by a raised limit. */
function mayLeave(memory: ResourceMemory, stage: ThresholdStage, limit: ResolvedLimit): boolean {
  return !ONE_WAY.has(limit.resource) || limit.limit * limit.thresholds[stage] > memory.boundary;
}

/** Asked for again only where the stage does more than tell, and while samples still hold it. */
function wantsRepeat(memory: ResourceMemory, held: Stage, situation: Situation): boolean {
  const { stage, repeatAtMs } = memory;
  if (stage !== 'cleanup' && stage !== 'emergency') return false;
  if (
    repeatAtMs === null ||
    situation.nowMs < repeatAtMs ||
    rank(held) < rank(stage) ||
    isQuiet(memory, stage, situation)
  )
    return false;
  return situation.limit.actions[stage].some((action) => action !== 'notify');
}

function isQuiet(memory: ResourceMemory, stage: ThresholdStage, { nowMs }: Situation): boolean {
  return nowMs < memory.quietUntilMs[stage];
}

function withResource(memory: PolicyMemory, resource: Resource, changed: ResourceMemory): PolicyMemory {
  return { ...memory, resources: { ...memory.resources, [resource]: changed } };
}
