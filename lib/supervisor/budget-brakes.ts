/** What holds all runs of a budget back together: a brake on the group around them where there is one, else one on each. */

import { rank, THRESHOLD_STAGES } from '../core/ladder.ts';
import type { Stage } from '../core/ladder.ts';
import type { Resource } from '../core/resource.ts';
import { isBrake } from '../core/response.ts';
import type { Action } from '../core/response.ts';
import type { Budget } from './budget.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';

type GroupBrake = 'cpu_quota' | 'memory_high';
type RunBrake = 'nice' | 'soft_nofile';

/** Runs that it may act on: not those that Governor promised to leave alone, nor what only speaks to something elsewhere. */
export function held(budget: Budget): readonly Run[] {
  return budget.members.filter((run) => run.alive && run.init.notGoverned === null && !run.init.definition.dryRun);
}

export function canBrake(budget: Budget, action: Action): true | { readonly reason: string } {
  if (action === 'cpu_quota' || action === 'memory_high') return budget.caps.supports(action);
  if (!isBrake(action)) return true;
  const answers = held(budget).map((run) => run.init.containment.brakes.supports(action as RunBrake));
  const refusal = answers.find((answer) => answer !== true);
  return refusal === undefined || answers.includes(true) ? true : refusal;
}

export async function setBrake(budget: Budget, resource: Resource, action: Action): Promise<void> {
  if (action === 'cpu_quota' || action === 'memory_high') await budget.caps.setBrake(action, budget.limits);
  else for (const run of held(budget)) await brake(budget, run, action as RunBrake);
  budget.brakes.set(resource, [...(budget.brakes.get(resource) ?? []), action]);
}

async function brake(budget: Budget, run: Run, action: RunBrake): Promise<void> {
  if (run.state === 'stopping' || run.init.containment.brakes.supports(action) !== true) return;
  const wanting = run.sharedBrakes.get(action) ?? new Set();
  run.sharedBrakes.set(action, wanting.add(budget.name));
  await run.init.containment.brakes.set(action, run.limits);
}

/** Runs that came while the others were held back already. */
export async function brakeNewcomers(budget: Budget): Promise<void> {
  for (const action of new Set([...budget.brakes.values()].flat())) {
    if (action !== 'nice' && action !== 'soft_nofile') continue;
    for (const run of held(budget))
      if (run.sharedBrakes.get(action)?.has(budget.name) !== true) await brake(budget, run, action);
  }
}

/** Limits changed while brakes are on: they hold to the new ones. */
export async function refreshBrakes(budget: Budget): Promise<void> {
  for (const action of new Set([...budget.brakes.values()].flat()))
    if (action === 'cpu_quota' || action === 'memory_high') await budget.caps.setBrake(action, budget.limits);
}

/** A run leaves the budget, or the budget no longer wants this. @param action all of them by default */
export async function releaseRun(budget: Budget, run: Run, action?: Action): Promise<void> {
  for (const [held, wanting] of run.sharedBrakes) {
    if ((action !== undefined && held !== action) || !wanting.delete(budget.name) || wanting.size > 0) continue;
    run.sharedBrakes.delete(held);
    if (run.alive && ![...run.brakes.values()].flat().includes(held))
      await run.init.containment.brakes.lift(held as RunBrake);
  }
}

/** A stage keeps the brakes of the stages below it. */
export async function liftBrakes(
  budget: Budget,
  resource: Resource,
  stage: Stage,
  ports: SupervisorPorts,
): Promise<void> {
  const { actions } = budget.limits[resource] ?? {};
  const kept = THRESHOLD_STAGES.flatMap((below) => (rank(below) <= rank(stage) ? (actions?.[below] ?? []) : []));
  const all = budget.brakes.get(resource) ?? [];
  const lifted = all.filter((action) => !kept.includes(action));
  if (lifted.length === 0) return;
  if (lifted.length === all.length) budget.brakes.delete(resource);
  else
    budget.brakes.set(
      resource,
      all.filter((action) => kept.includes(action)),
    );
  const stillWanted = new Set([...budget.brakes.values()].flat());
  for (const action of lifted) {
    if (stillWanted.has(action)) continue;
    if (action === 'nice' || action === 'soft_nofile')
      for (const run of budget.members) await releaseRun(budget, run, action);
    else await budget.caps.setBrake(action as GroupBrake, null);
    ports.log.info({ budget: budget.name, resource, action }, 'brake lifted');
  }
}
