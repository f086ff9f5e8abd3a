/** The document of a limit that several runs share. Reads nothing from the kernel. */

import { BUDGET_RESOURCES, hasLimits, sumReadings } from '../core/budget.ts';
import type { BudgetResource } from '../core/budget.ts';
import { UNIT } from '../core/resource.ts';
import type { Reading } from '../core/usage.ts';
import { unsupported } from '../core/usage.ts';
import { Budget } from './budget.ts';
import type { Budgets } from './budgets.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';
import { readingView } from './run-view.ts';
import type { BudgetResourceView, BudgetView } from './views.ts';

export function budgetView(budget: Budget, ports: SupervisorPorts): BudgetView {
  const { caps, context } = budget;
  return {
    scope: context === null ? 'host' : 'context',
    context,
    stage: budget.overallStage(),
    runs: budget.members.length,
    resources: BUDGET_RESOURCES.map((resource) =>
      resourceView(resource, budget.readings?.[resource] ?? unsupported('no run has been read yet'), budget, ports),
    ),
    ...(caps.note === null ? {} : { note: caps.note }),
  };
}

/** Those with limits: the host's first, also while it has no run. */
export function limitedBudgets(budgets: Budgets, ports: SupervisorPorts): readonly BudgetView[] {
  const { host } = ports.budgets();
  const all = budgets.all().filter(({ limits }) => hasLimits(limits));
  const isHostMissing = hasLimits(host) && all[0]?.context !== null;
  return [...(isHostMissing ? [new Budget(null, host, ports)] : []), ...all].map((budget) => budgetView(budget, ports));
}

/** Of runs that share no limit: what they use. */
export function unlimitedView(context: string, runs: readonly Run[], ports: SupervisorPorts): BudgetView {
  const nowMs = ports.clock.monotonicMs();
  return {
    scope: 'context',
    context,
    stage: 'normal',
    runs: runs.length,
    resources: BUDGET_RESOURCES.map((resource) => {
      const readings = runs.map(({ last }) => last?.readings[resource] ?? unsupported('not sampled yet'));
      return resourceView(resource, sumReadings(readings, nowMs, Infinity), null, ports);
    }),
  };
}

function resourceView(
  resource: BudgetResource,
  reading: Reading,
  budget: Budget | null,
  { clock }: SupervisorPorts,
): BudgetResourceView {
  const limit = budget?.limits[resource] ?? null;
  const base = {
    resource,
    unit: UNIT[resource],
    limit: limit?.limit ?? null,
    stage: budget?.stage(resource) ?? 'normal',
    enforcement: budget?.enforcement(resource) ?? 'observed',
    source: limit?.source ?? null,
    ...(limit?.reason === undefined ? {} : { reason: limit.reason }),
  } as const;
  return { ...base, ...readingView(reading, limit, clock) };
}
