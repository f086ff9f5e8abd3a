/** Whether new calls to a run may go: what the stages that it is in say of them (`queue_calls`, `refuse_calls`). */

import { rank, THRESHOLD_STAGES } from '../core/ladder.ts';
import type { Stage } from '../core/ladder.ts';
import { ratioOf } from '../core/limits.ts';
import type { ResolvedLimit } from '../core/limits.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES } from '../core/resource.ts';
import type { Run } from './run.ts';

/** Figures are those of the last sample, in the unit of the resource; null where it could not be read. */
export interface HeldBack {
  readonly how: 'queue_calls' | 'refuse_calls';
  readonly resource: Resource;
  readonly stage: Stage;
  readonly usage: number | null;
  readonly limit: number;
  readonly ratio: number | null;
  /** Whose limit it is, where runs share it: `host`, or `context ID`. Absent: the run's own. */
  readonly sharedBy?: string;
}

/** Null: they may go. A refusal counts more than a queue, and its own limits before shared ones. */
export function heldBack(run: Run): HeldBack | null {
  if (run.init.definition.dryRun || run.init.notGoverned !== null) return null;
  const own = heldByItsOwn(run);
  if (own?.how === 'refuse_calls' || run.sharedHolds.size === 0) return own;
  const shared = [...run.sharedHolds.values()];
  return shared.find(({ how }) => how === 'refuse_calls') ?? own ?? shared[0] ?? null;
}

function heldByItsOwn(run: Run): HeldBack | null {
  if (run.judge.sampledStage === 'normal') return null;
  let found: HeldBack | null = null;
  for (const resource of RESOURCES) {
    const limit = run.limits[resource];
    const stage = run.stage(resource);
    const how = limit === null ? null : howHeld(limit, stage);
    if (limit === null || how === null || (found !== null && how === 'queue_calls')) continue;
    const reading = run.last?.readings[resource];
    const isRead = reading?.kind === 'measured';
    found = {
      how,
      resource,
      stage,
      usage: isRead ? reading.value : null,
      limit: limit.limit,
      ratio: isRead ? ratioOf(reading, limit) : null,
    };
    if (how === 'refuse_calls') return found;
  }
  return found;
}

/** A stage keeps what the stages below it do. */
export function howHeld({ actions }: ResolvedLimit, stage: Stage): HeldBack['how'] | null {
  let isQueued = false;
  for (const below of THRESHOLD_STAGES) {
    if (rank(below) > rank(stage)) break;
    if (actions[below].includes('refuse_calls')) return 'refuse_calls';
    isQueued ||= actions[below].includes('queue_calls');
  }
  return isQueued ? 'queue_calls' : null;
}
