/**
 * How often a run is sampled: the interval follows the headroom. Pure. After earlyoom's idea that the time to the limit
 * at the fastest believable growth bounds how long one may look away.
 */

import type { Stage } from './ladder.ts';

/** The fastest growth of memory seen on common machines is about 6 GiB/s (one thread touching pages). */
const FASTEST_GROWTH_BYTES_PER_MS = (6 * 1024 ** 3) / 1000;

export interface CadenceInput {
  /** Interval of a calm run. */
  readonly baseMs: number;
  readonly stage: Stage;
  /** Memory without a kernel cap: nothing else stops an allocator. Null where the kernel holds it, or without a limit. */
  readonly uncappedMemory: { readonly usageBytes: number; readonly limitBytes: number; readonly growthBytesPerMs: number } | null;
  /** Time left of a runtime limit to its next stage, or null. */
  readonly untilRuntimeStageMs: number | null;
}

const STAGE_INTERVAL_MS: Readonly<Record<Stage, number>> = { normal: Infinity, warning: 500, throttled: 250, cleanup: 100, emergency: 100 };

/** Milliseconds until the next sample: 10 … baseMs. */
export function nextSampleInMs(input: CadenceInput): number {
  const candidates = [input.baseMs, STAGE_INTERVAL_MS[input.stage]];
  if (input.uncappedMemory !== null) candidates.push(uncappedIntervalMs(input.uncappedMemory));
  // One millisecond late, so that the sample lies beyond the boundary.
  if (input.untilRuntimeStageMs !== null) candidates.push(input.untilRuntimeStageMs + 1);
  return Math.max(10, Math.min(...candidates));
}

function uncappedIntervalMs(memory: NonNullable<CadenceInput['uncappedMemory']>): number {
  const headroomBytes = memory.limitBytes - memory.usageBytes;
  if (headroomBytes <= 0) return 10;
  const near = memory.usageBytes >= 0.7 * memory.limitBytes;
  const growth = near ? FASTEST_GROWTH_BYTES_PER_MS : memory.growthBytesPerMs;
  // 100 ms bounds the overshoot of an allocator that starts from nothing (≈ 260 MB at 3 GB/s, measured).
  return Math.min(100, growth > 0 ? headroomBytes / growth / 2 : 100);
}
