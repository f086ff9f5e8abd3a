/**
 * Limits that several runs share, as Prometheus text. The host's are shown as they are; of contexts, whose ids would be
 * labels without end, the highest and how many are in which stage.
 */

import { STAGES, type Stage } from '../core/ladder.ts';
import type { Resource } from '../core/resource.ts';
import { Family, SCALE } from './metrics-text.ts';

/** As in `BudgetView`, in the unit of each resource. */
export interface BudgetSnapshot {
  readonly scope: 'host' | 'context';
  readonly stage: Stage;
  readonly resources: Iterable<{
    readonly resource: Resource;
    /** null without a limit: its series are absent then. */
    readonly limit: number | null;
    /** null where it is not known. */
    readonly ratio: number | null;
    readonly stage: Stage;
  }>;
}

export function budgetText(budgets: readonly BudgetSnapshot[]): string {
  const limit = new Family(
    'governor_budget_limit',
    'gauge',
    'Limit of all tools together. memory, temp_storage: bytes; cpu: cores (CPU seconds per second); file_handles, sockets, tasks: count.',
  );
  const ratio = new Family('governor_budget_usage_ratio', 'gauge', 'Usage of all tools together over their limit.');
  const stage = new Family(
    'governor_budget_stage',
    'gauge',
    '1 for the stage that the resource of all tools together is in, 0 for the others.',
  );
  const highest = new Family(
    'governor_context_usage_ratio',
    'gauge',
    'Usage of a context over its limit, the highest of all contexts.',
  );
  const contexts = new Family('governor_contexts', 'gauge', 'Contexts that have limits and runs, by their stage.');
  const ratios = new Map<Resource, number>();
  const stages = new Map<Stage, number>(STAGES.map((name) => [name, 0]));
  for (const budget of budgets) {
    if (budget.scope === 'context') stages.set(budget.stage, (stages.get(budget.stage) ?? 0) + 1);
    for (const { resource, limit: most, ratio: used, stage: now } of budget.resources) {
      if (most === null) continue;
      const label = `{resource="${resource}"`;
      if (budget.scope === 'context') {
        if (used !== null) ratios.set(resource, Math.max(used, ratios.get(resource) ?? 0));
        continue;
      }
      limit.add(`governor_budget_limit${label}} `, most * SCALE[resource]);
      if (used !== null) ratio.add(`governor_budget_usage_ratio${label}} `, used);
      for (const name of STAGES) stage.add(`governor_budget_stage${label},stage="${name}"} `, name === now ? 1 : 0);
    }
  }
  for (const [resource, used] of ratios) highest.add(`governor_context_usage_ratio{resource="${resource}"} `, used);
  if (budgets.some(({ scope }) => scope === 'context'))
    for (const [name, count] of stages) contexts.add(`governor_contexts{stage="${name}"} `, count);
  return [limit, ratio, stage, highest, contexts].map((family) => family.take()).join('');
}
