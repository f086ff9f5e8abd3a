/** Pressure that builds up over time: a memory stall, a starving CPU quota, a throttle that lasts too long. */

import { rank } from './ladder.ts';
import type { LadderSettings, ResolvedLimit } from './limits.ts';
import type { PolicyMemory, ResourceMemory } from './policy-memory.ts';
import { isBelowExit } from './policy-window.ts';
import type { UsageRecord } from './usage.ts';

/**
 * Takes note of what the kernel reported since the previous record. A record taken while the daemon was stalled covers
 * a time in which nobody looked: it starts and ends nothing, but an OOM kill in it is kept for the next record.
 */
export function followPressure(
  memory: PolicyMemory,
  record: UsageRecord,
  settings: LadderSettings,
  nowMs: number,
): PolicyMemory {
  const oomPending = memory.oomPending || record.kernel.oomKills > 0;
  if (record.stalled) return { ...memory, recordAtMs: record.atMs, oomPending };
  const fromMs = memory.recordAtMs ?? record.atMs;
  return {
    startedAtMs: memory.startedAtMs,
    recordAtMs: record.atMs,
    resources: memory.resources,
    oomPending,
    stallSinceMs: stallSince(memory.stallSinceMs, fromMs, record, settings),
    starvingSinceMs: starvingSince(memory, fromMs, record, settings, nowMs),
  };
}

/** Where the stall is not known, nothing is concluded either way. */
function stallSince(
  since: number | null,
  fromMs: number,
  record: UsageRecord,
  settings: LadderSettings,
): number | null {
  const share = record.kernel.memoryStall;
  if (share === null) return since;
  return share > settings.stall.share ? (since ?? fromMs) : null;
}

/** Share of each interval in which the quota held the run back; the warm-up after a start is left out. */
function starvingSince(
  memory: PolicyMemory,
  fromMs: number,
  record: UsageRecord,
  settings: LadderSettings,
  nowMs: number,
): number | null {
  if (settings.starvation === null || nowMs - memory.startedAtMs < settings.cpuWarmUpMs) return null;
  const elapsedMs = record.atMs - fromMs;
  if (elapsedMs <= 0) return memory.starvingSinceMs;
  return record.kernel.cpuThrottledMs / elapsedMs > settings.starvation.share
    ? (memory.starvingSinceMs ?? fromMs)
    : null;
}

/** Why a throttled resource is cleaned up although its samples do not say so; null = no reason. */
export function pressureCause(
  resource: ResourceMemory,
  memory: PolicyMemory,
  limit: ResolvedLimit,
  settings: LadderSettings,
  nowMs: number,
): 'deadline' | 'stall' | 'starvation' | null {
  const { starvation } = settings;
  // Starvation also counts above the throttled stage: there CPU usage alone does nothing.
  if (limit.resource === 'cpu' && starvation !== null && rank(resource.stage) >= rank('throttled')) {
    if (lasted(memory.starvingSinceMs, resource.sinceMs, starvation.forMs, nowMs)) return 'starvation';
  }
  if (resource.stage !== 'throttled' || isBelowExit(resource.recent, 'throttled', limit, settings)) return null;
  if (limit.resource === 'memory' && lasted(memory.stallSinceMs, resource.sinceMs, settings.stall.forMs, nowMs))
    return 'stall';
  const escalateAfterMs = settings.escalateAfterMs[limit.resource];
  return escalateAfterMs !== null && nowMs - resource.sinceMs >= escalateAfterMs ? 'deadline' : null;
}

/** Only the part of a pressure counts in which the stage already held. */
function lasted(sinceMs: number | null, stageSinceMs: number, forMs: number, nowMs: number): boolean {
  return sinceMs !== null && nowMs - Math.max(sinceMs, stageSinceMs) >= forMs;
}
