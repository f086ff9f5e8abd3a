/**
 * How often a run is sampled: the interval follows the headroom. Pure. After earlyoom's idea that the time to the limit
 * at the fastest believable growth bounds how long one may look away.
 */

import type { Stage } from './ladder.ts';

/** The fastest growth of memory seen on common machines is about 6 GiB/s (one thread touching pages). */
const FASTEST_GROWTH_BYTES_PER_MS = (6 * 1024 ** 3) / 1000;

/** A resource on its way up, as ratios of its limit. */
export interface Approach {
  readonly ratio: number;
  readonly growthPerMs: number;
  /** Ratio at which the emergency stage begins. */
  readonly emergency: number;
}

export interface CadenceInput {
  /** Interval of a calm run. */
  readonly baseMs: number;
  /** Time since the run began. */
  readonly ageMs: number;
  readonly stage: Stage;
  readonly approaches: readonly Approach[];
  /** Memory without a kernel cap: nothing else stops an allocator. Null where the kernel holds it, or without a limit. */
  readonly uncappedMemory: { readonly usageBytes: number; readonly limitBytes: number } | null;
  /** Time left of a runtime limit to its next stage, or null. */
  readonly untilRuntimeStageMs: number | null;
}

const STAGE_INTERVAL_MS: Readonly<Record<Stage, number>> = {
  normal: Infinity,
  warning: 500,
  throttled: 250,
  cleanup: 100,
  emergency: 100,
};
/** Looks between now and the emergency stage at the present growth: enough for the holds of every stage on the way. */
const LOOKS_ON_THE_WAY = 12;
/** A run that has just begun may grow at any rate; its growth is not known yet. */
const YOUNG = { ageMs: 2_000, intervalMs: 100 } as const;

/** Milliseconds until the next sample: 10 … baseMs. Asked for at every sample of every run: makes no garbage. */
export function nextSampleInMs(input: CadenceInput): number {
  let inMs = Math.min(input.baseMs, STAGE_INTERVAL_MS[input.stage]);
  if (input.ageMs < YOUNG.ageMs) inMs = Math.min(inMs, YOUNG.intervalMs);
  for (const { ratio, growthPerMs, emergency } of input.approaches) {
    if (growthPerMs > 0) inMs = Math.min(inMs, Math.max(20, (emergency - ratio) / growthPerMs / LOOKS_ON_THE_WAY));
  }
  if (input.uncappedMemory !== null) inMs = Math.min(inMs, uncappedIntervalMs(input.uncappedMemory));
  // One millisecond late, so that the sample lies beyond the boundary.
  if (input.untilRuntimeStageMs !== null) inMs = Math.min(inMs, input.untilRuntimeStageMs + 1);
  return Math.max(10, inMs);
}

function uncappedIntervalMs({ usageBytes, limitBytes }: NonNullable<CadenceInput['uncappedMemory']>): number {
  if (usageBytes >= limitBytes) return 10;
  // 100 ms bounds the overshoot of an allocator that starts from nothing (≈ 260 MB at 3 GB/s, measured).
  if (usageBytes < 0.7 * limitBytes) return 100;
  return Math.min(100, (limitBytes - usageBytes) / FASTEST_GROWTH_BYTES_PER_MS / 2);
}
