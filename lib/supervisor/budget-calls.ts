/** New calls to the runs of a budget that runs out: they wait, or are refused, as at a limit of the run's own. */

import { rank } from '../core/ladder.ts';
import { ratioOf } from '../core/limits.ts';
import { RESOURCES } from '../core/resource.ts';
import type { Resource } from '../core/resource.ts';
import type { Budget } from './budget.ts';
import { held } from './budget-brakes.ts';
import { howHeld } from './held-back.ts';
import type { HeldBack } from './held-back.ts';
import type { Run } from './run.ts';

/** Of a run that gets no calls any more usage need not fall: it would be held back for ever. */
export function holdsCalls(budget: Budget, resource: Resource): boolean {
  const limit = budget.limits[resource];
  return budget.holding.size > 0 && limit !== null && howHeld(limit, budget.stage(resource)) !== null;
}

/** After each look. @param dryRun nobody is held back */
export function holdCalls(budget: Budget, dryRun: boolean): void {
  const hold = dryRun ? null : holdOf(budget);
  const wanted = new Set(hold === null ? [] : held(budget).filter(({ calls }) => calls !== null));
  for (const run of budget.holding) if (!wanted.has(run)) letCallsGo(budget, run);
  if (hold === null) return;
  for (const run of wanted) {
    const before = run.sharedHolds.get(budget.name);
    run.sharedHolds.set(budget.name, hold);
    budget.holding.add(run);
    if (before?.how !== hold.how) run.events.held();
  }
}

export function letCallsGo(budget: Budget, run: Run): void {
  budget.holding.delete(run);
  if (run.sharedHolds.delete(budget.name)) run.events.held();
}

/** The strictest, of the highest stage. */
function holdOf(budget: Budget): HeldBack | null {
  const holds = RESOURCES.flatMap((resource): HeldBack[] => {
    const limit = budget.limits[resource];
    const stage = budget.stage(resource);
    const how = limit === null ? null : howHeld(limit, stage);
    if (limit === null || how === null) return [];
    const reading = budget.readings?.[resource];
    const isRead = reading?.kind === 'measured';
    return [
      {
        how,
        resource,
        stage,
        usage: isRead ? reading.value : null,
        limit: limit.limit,
        ratio: isRead ? ratioOf(reading, limit) : null,
        sharedBy: budget.name,
      },
    ];
  });
  const [first] = holds.toSorted((a, b) => strictness(b) - strictness(a) || rank(b.stage) - rank(a.stage));
  return first ?? null;
}

function strictness({ how }: HeldBack): number {
  return how === 'refuse_calls' ? 1 : 0;
}
