/** What a window of samples shows: which stage it holds, whether usage is below the exit, whether it falls fast. */

import { rank, stageOf } from './ladder.ts';
import type { Stage, ThresholdStage } from './ladder.ts';
import { ratioOf } from './limits.ts';
import type { Hold, LadderSettings, ResolvedLimit } from './limits.ts';
import type { CountedSample } from './policy-memory.ts';
import { ONE_WAY } from './resource.ts';
import type { Resource } from './resource.ts';

/** A stage is left after this many fresh samples in a row below its exit. */
export const EXIT_SAMPLES = 2;

const AT_ONCE: Hold = { needed: 1, of: 1 };
const HIGHEST_FIRST: readonly ThresholdStage[] = ['emergency', 'cleanup', 'throttled', 'warning'];

/** Samples that a step needs to remember. */
export function windowSize(settings: LadderSettings): number {
  const { warning, throttled, cleanup } = settings;
  return Math.max(EXIT_SAMPLES, warning.of, throttled.of, cleanup.of);
}

/**
 * The highest stage that enough of the last samples lie in, the latest among them; `allowed` withholds stages.
 * One sample is enough for an emergency, and for runtime, whose deadlines are exact.
 */
export function heldStage(
  recent: readonly CountedSample[],
  limit: ResolvedLimit,
  settings: LadderSettings,
  allowed: (stage: ThresholdStage) => boolean,
): Stage {
  const latest = recent.at(-1);
  if (latest === undefined || stageOf(ratioOf(latest, limit), limit.thresholds) === 'normal') return 'normal';
  const stages = recent.map((sample) => rank(stageOf(ratioOf(sample, limit), limit.thresholds)));
  for (const stage of HIGHEST_FIRST) {
    const needed = rank(stage);
    if ((stages.at(-1) ?? 0) < needed || !allowed(stage)) continue;
    const hold = holdOf(limit.resource, stage, settings);
    if (stages.slice(-hold.of).filter((reached) => reached >= needed).length >= hold.needed) return stage;
  }
  return 'normal';
}

function holdOf(resource: Resource, stage: ThresholdStage, settings: LadderSettings): Hold {
  return stage === 'emergency' || ONE_WAY.has(resource) ? AT_ONCE : settings[stage];
}

/** True when the last samples all lie below the exit of the stage: its threshold less the margin. */
export function isBelowExit(
  recent: readonly CountedSample[],
  stage: ThresholdStage,
  limit: ResolvedLimit,
  settings: LadderSettings,
): boolean {
  const exit = limit.thresholds[stage] - settings.exitMargin;
  const last = recent.slice(-EXIT_SAMPLES);
  return last.length === EXIT_SAMPLES && last.every((sample) => ratioOf(sample, limit) < exit);
}

/** True when usage fell by at least the configured share of what it was, by the limit that holds now. */
export function fallsFast(
  before: CountedSample | null,
  now: CountedSample,
  limit: ResolvedLimit,
  settings: LadderSettings,
): boolean {
  if (before === null || ONE_WAY.has(limit.resource)) return false;
  const ratio = ratioOf(before, limit);
  return ratio > 0 && (ratio - ratioOf(now, limit)) / ratio >= settings.fallingShare;
}
