/** How a tool is recovered, for people and programs. */

import type { RecoveryRecord, Strategy } from '../core/recovery-strategy.ts';
import { STRATEGIES, successRate } from '../core/recovery-strategy.ts';
import type { ToolDefinition } from './governor.ts';
import type { Recovery } from './recovery.ts';
import { iso } from './run-view.ts';
import type { RecoveryView } from './views.ts';

export function recoveryView(recovery: Recovery, { recovery: written }: ToolDefinition): RecoveryView {
  const { course, failure } = recovery;
  const { replaced, degraded } = course;
  return {
    strategy: course.strategy,
    attempts: recovery.attempts,
    nextAttemptAt: recovery.nextAttemptWallMs === null ? null : iso(recovery.nextAttemptWallMs),
    written: written.strategy,
    replaced: replaced === null ? null : { since: iso(replaced.sinceMs), why: replaced.why },
    degraded:
      degraded === null || written.degraded === null
        ? null
        : {
            since: iso(degraded.sinceMs),
            why: degraded.why,
            class: written.degraded.class,
            callsAtOnce: written.degraded.callsAtOnce,
          },
    onTrial: recovery.isOnTrial,
    failure:
      failure === null
        ? null
        : { reason: failure.reason, until: failure.untilWallMs === null ? null : iso(failure.untilWallMs) },
    rates: ratesOf(course.record),
  };
}

function ratesOf({ strategies }: RecoveryRecord): RecoveryView['rates'] {
  return STRATEGIES.flatMap((strategy: Strategy) => {
    const record = strategies[strategy];
    if (record === undefined) return [];
    const { succeeded, failed, gaveUp } = record;
    return [{ strategy, succeeded, failed, gaveUp, rate: successRate(record) }];
  });
}
