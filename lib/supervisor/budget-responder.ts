/**
 * What is done about a budget that runs out: told, braked all together, and then one run a pass has to go, read anew before
 * each. The only place where a limit that several runs share becomes an act.
 */

import type { BudgetRules } from '../core/budget.ts';
import { rank } from '../core/ladder.ts';
import type { Decision } from '../core/policy.ts';
import type { Resource } from '../core/resource.ts';
import { isEnding, isOfCalls } from '../core/response.ts';
import type { Action } from '../core/response.ts';
import { planResponse } from '../core/response-plan.ts';
import type { PlannedStep } from '../core/response-plan.ts';
import type { Budget } from './budget.ts';
import { canBrake, held, liftBrakes, setBrake } from './budget-brakes.ts';
import { choose, endingRun, endRequest, isCrippled, whyThisOne } from './budget-victim.ts';
import { oomEnd } from './end-for.ts';
import type { SupervisorPorts } from './ports.ts';
import type { EndRequest, Run } from './run.ts';

type Entering = Extract<Decision, { kind: 'enter' | 'repeat' }>;

export interface BudgetActs {
  readonly ports: SupervisorPorts;
  /** Ends one run, with its tool's bookkeeping. Resolves when it is over, proven or not; never rejects. */
  end(run: Run, request: EndRequest): Promise<void>;
  /** One of its runs is over: the next look is to come now. */
  onOver(): void;
}

export async function respondForBudget(
  budget: Budget,
  decision: Decision,
  rules: BudgetRules,
  acts: BudgetActs,
): Promise<void> {
  recordStage(budget, decision, rules, acts.ports);
  const limit = budget.limits[decision.resource];
  if (decision.kind === 'leave' || limit === null) {
    if (decision.kind === 'leave') await liftBrakes(budget, decision.resource, decision.to, acts.ports);
    return;
  }
  const { steps } = planResponse(decision, limit, (action) => canBrake(budget, action), {
    dryRun: rules.dryRun,
    mode: 'managed',
    callsPass: held(budget).some(({ calls }) => calls !== null),
  });
  for (const step of steps) {
    if (isEnding(step.action)) await endOne(budget, decision, step, rules, acts);
    else await holdBack(budget, decision, step, acts.ports);
  }
}

function recordStage(budget: Budget, decision: Decision, { dryRun }: BudgetRules, { recorder }: SupervisorPorts): void {
  if (decision.kind === 'repeat') return;
  const { resource, from, to, usage, limit, ratio } = decision;
  const cause = decision.kind === 'leave' ? 'samples' : decision.cause;
  recorder.record({
    kind: 'budget',
    event: 'stage',
    budget: budget.name,
    resource,
    from,
    to,
    usage,
    limit,
    ratio,
    cause,
    dryRun,
  });
}

type Outcome = 'done' | 'failed' | 'unsupported' | 'withdrawn' | 'dry_run';

function recordAction(
  budget: Budget,
  { resource, to: stage }: Entering,
  action: Action,
  outcome: Outcome,
  ports: SupervisorPorts,
  more: { readonly victim?: Run | undefined; readonly detail?: string | undefined } = {},
): void {
  const { victim, detail } = more;
  ports.recorder.record({
    kind: 'budget',
    event: 'action',
    budget: budget.name,
    resource,
    stage,
    action,
    outcome,
    ...(victim === undefined ? {} : { tool: victim.tool, run: victim.id }),
    ...(detail === undefined ? {} : { detail }),
  });
}

/** What tells, and what holds all of them back. */
async function holdBack(budget: Budget, decision: Entering, step: PlannedStep, ports: SupervisorPorts): Promise<void> {
  const { action } = step;
  if (step.status !== 'do')
    return recordAction(budget, decision, action, step.status, ports, {
      detail: step.status === 'unsupported' ? step.reason : undefined,
    });
  try {
    if (action === 'notify')
      return recordAction(budget, decision, action, 'done', ports, { detail: `${tell(budget, decision)} listeners` });
    // Calls ask by themselves, from the look on that showed the stage.
    if (!isOfCalls(action)) await setBrake(budget, decision.resource, action);
    recordAction(budget, decision, action, 'done', ports);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    recordAction(budget, decision, action, 'failed', ports, { detail });
  }
}

function tell(budget: Budget, { resource, to: stage, usage, limit, ratio }: Entering): number {
  const whose = budget.context === null ? 'host' : 'context';
  const notice = JSON.stringify({ resource, stage, usage, limit, ratio, shared: whose });
  return held(budget).reduce((sum, run) => sum + (run.channel?.notify(notice) ?? 0), 0);
}

/** One run a pass has to go; whoever is ending already comes first. */
async function endOne(
  budget: Budget,
  decision: Entering,
  step: PlannedStep,
  rules: BudgetRules,
  acts: BudgetActs,
): Promise<void> {
  const { resource, to: stage, cause } = decision;
  const { action } = step;
  const { ports } = acts;
  const limit = budget.limits[resource];
  const record = (outcome: Outcome, detail: string, victim?: Run): void =>
    recordAction(budget, decision, action, outcome, ports, { victim, detail });
  if (limit === null) return;
  const fresh = budget.readNow(resource, rules.ladder);
  if (fresh === null) return record('withdrawn', 'could not be read again');
  if (rank(fresh.stage) < (cause === 'samples' ? rank(stage) : rank('throttled'))) {
    record('withdrawn', `read again: ${fresh.usage}, stage ${fresh.stage}`);
    budget.markSeen(resource, fresh.stage);
    return liftBrakes(budget, resource, fresh.stage, ports);
  }
  // What one end gives back has to show before another run goes; only an emergency waits no longer than that end takes.
  const quiet = (): void => budget.markActed(resource, 'cleanup', rules.ladder);
  const leaving = endingRun(budget, resource);
  if (leaving !== null) {
    const isHurried = stage === 'emergency' && step.status === 'do';
    record(
      'withdrawn',
      `run ${leaving.id} of ${leaving.tool} is ending already${isHurried ? ', now without grace' : ''}`,
    );
    quiet();
    if (isHurried)
      follow(budget, resource, acts.end(leaving, endRequest(budget, decision, action, fresh, leaving)), rules, acts);
    return undefined;
  }
  const victim = choose(budget, resource, limit.limit);
  if (victim === null) {
    record('unsupported', 'no run of it may be stopped');
    return quiet();
  }
  const why = whyThisOne(budget, victim, resource);
  if (step.status !== 'do') return record(step.status === 'dry_run' ? 'dry_run' : 'unsupported', why, victim);
  record('done', why, victim);
  quiet();
  budget.victims.add(victim);
  const over = acts.end(victim, endRequest(budget, decision, action, fresh, victim));
  void over.then(() => budget.victims.delete(victim));
  if (stage === 'emergency') follow(budget, resource, over, rules, acts);
  return undefined;
}

/** After an end in an emergency: looked at anew at once, and if it still is one, the next run goes. */
function follow(
  budget: Budget,
  resource: Resource,
  over: Promise<void>,
  { ladder }: BudgetRules,
  acts: BudgetActs,
): void {
  over
    .then(() => {
      budget.members = budget.members.filter(({ alive }) => alive);
      const fresh = budget.readNow(resource, ladder);
      if (fresh !== null) budget.markSeen(resource, fresh.stage);
      acts.onOver();
    })
    .catch((error: unknown) =>
      acts.ports.log.error({ budget: budget.name, err: error }, 'a shared limit could not be looked at again'),
    );
}

export function endCrippled(budget: Budget, run: Run, { ports, end }: Pick<BudgetActs, 'ports' | 'end'>): void {
  const { memory } = budget.limits;
  if (!run.alive || !isCrippled(run) || memory === null) return;
  ports.recorder.record({
    kind: 'budget',
    event: 'action',
    budget: budget.name,
    resource: 'memory',
    stage: 'emergency',
    action: 'kill',
    outcome: 'done',
    tool: run.tool,
    run: run.id,
    detail: 'the kernel killed a process of it (OOM)',
  });
  void end(run, oomEnd(run));
}
