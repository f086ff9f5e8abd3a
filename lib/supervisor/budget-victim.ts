/** Which run of a budget goes, and why it is that one. */

import { chooseVictim, isHeavy } from '../core/budget.ts';
import type { Candidate } from '../core/budget.ts';
import { ratioOf } from '../core/limits.ts';
import { describeUsage, formatAmount } from '../core/message.ts';
import type { Decision } from '../core/policy.ts';
import type { Resource } from '../core/resource.ts';
import type { Action } from '../core/response.ts';
import type { Budget } from './budget.ts';
import { held } from './budget-brakes.ts';
import type { EndRequest, Run } from './run.ts';

type Entering = Extract<Decision, { kind: 'enter' | 'repeat' }>;

export function endingRun(budget: Budget, resource: Resource): Run | null {
  const all = budget.members.filter(({ alive }) => alive).map((run) => candidate(run, resource));
  const ending = budget.members.filter(({ state }) => state === 'stopping');
  return ending.find((run) => budget.victims.has(run) || isHeavy(candidate(run, resource), all)) ?? null;
}

export function choose(budget: Budget, resource: Resource, limit: number): Run | null {
  const runs = held(budget).filter(({ state }) => state !== 'stopping');
  const victim = chooseVictim(
    runs.map((run) => candidate(run, resource)),
    limit,
  );
  return runs.find(({ id }) => id === victim?.run) ?? null;
}

function candidate(run: Run, resource: Resource): Candidate {
  const reading = run.last?.readings[resource];
  const limit = run.limits[resource];
  const usage = reading?.kind === 'measured' ? reading.value : null;
  return {
    run: run.id,
    isShared: run.init.mode === 'managed' && run.init.definition.sharing === 'shared',
    usage,
    ratio: reading?.kind !== 'measured' || limit === null ? null : ratioOf(reading, limit),
    startedMs: run.init.startedMs,
  };
}

export function whyThisOne(budget: Budget, run: Run, resource: Resource): string {
  const { usage, ratio } = candidate(run, resource);
  const total = budget.readings?.[resource];
  const share =
    total?.kind === 'measured' && total.value > 0 && usage !== null ? Math.round((usage / total.value) * 100) : null;
  const own = ratio === null ? 'it has no limit of its own' : `${Math.round(ratio * 100)} % of its own limit`;
  return `${usage === null ? 'unread' : formatAmount(resource, usage)} of it${share === null ? '' : `, ${share} % of all`}; ${own}`;
}

export function endRequest(
  budget: Budget,
  { resource, to: stage, limit: judged, cause }: Entering,
  action: Action,
  { usage, ratio }: { readonly usage: number; readonly ratio: number },
  run: Run,
): EndRequest {
  const limit = budget.limits[resource];
  const what = describeUsage(resource, usage, limit?.limit ?? judged, ratio);
  const of = budget.context === null ? 'of all tools together' : `of ${budget.name}`;
  const how = cause === 'samples' ? `stage ${stage}` : 'throttled for too long';
  const reason = limit?.reason === undefined ? '' : ` (limit because: ${limit.reason})`;
  return {
    reason: 'limit',
    message: `stopped: ${of}: ${what}, ${how}; this run goes first: ${whyThisOne(budget, run, resource)}${reason}`,
    resource,
    budget: budget.name,
    graceMs: action === 'kill' ? 0 : run.init.definition.graceMs,
    breach: { usage, limit: limit?.limit ?? judged, ratio, stage, action },
  };
}

/** The kernel has killed a process of it at a shared cap, and nothing that is its own will end the others. */
export function isCrippled(run: Run): boolean {
  return run.judge.oomKilled && run.limits.memory === null && run.state !== 'stopping';
}
