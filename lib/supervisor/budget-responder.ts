/**
 * What is done about a budget that runs out: told, braked all together, and then one run a pass has to go, read anew before
 * each. The only place where a limit that several runs share becomes an act.
 */

import { chooseVictim, isHeavy } from '../core/budget.ts';
import type { BudgetRules, Candidate } from '../core/budget.ts';
import { rank, THRESHOLD_STAGES } from '../core/ladder.ts';
import type { Stage } from '../core/ladder.ts';
import { ratioOf } from '../core/limits.ts';
import { describeUsage, formatAmount } from '../core/message.ts';
import type { Decision } from '../core/policy.ts';
import type { Resource } from '../core/resource.ts';
import { isBrake, isEnding } from '../core/response.ts';
import type { Action } from '../core/response.ts';
import { planResponse } from '../core/response-plan.ts';
import type { PlannedStep } from '../core/response-plan.ts';
import type { Budget } from './budget.ts';
import { oomEnd } from './end-for.ts';
import type { SupervisorPorts } from './ports.ts';
import type { EndRequest, Run } from './run.ts';

type Entering = Extract<Decision, { kind: 'enter' | 'repeat' }>;
type GroupBrake = 'cpu_quota' | 'memory_high';
type RunBrake = 'nice' | 'soft_nofile';

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
  const { steps } = planResponse(decision, limit, (action) => can(budget, action), {
    dryRun: rules.dryRun,
    mode: 'managed',
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

/** Runs that it may act on: not those that Governor promised to leave alone, nor what only speaks to something elsewhere. */
function held(budget: Budget): readonly Run[] {
  return budget.members.filter((run) => run.alive && run.init.notGoverned === null && !run.init.definition.dryRun);
}

function can(budget: Budget, action: Action): true | { readonly reason: string } {
  if (action === 'cpu_quota' || action === 'memory_high') return budget.caps.supports(action);
  if (!isBrake(action)) return true;
  const answers = held(budget).map((run) => run.init.containment.brakes.supports(action as RunBrake));
  const refusal = answers.find((answer) => answer !== true);
  return refusal === undefined || answers.includes(true) ? true : refusal;
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
    if (action === 'cpu_quota' || action === 'memory_high') await budget.caps.setBrake(action, budget.limits);
    else for (const run of held(budget)) await brake(budget, run, action as RunBrake);
    budget.brakes.set(decision.resource, [...(budget.brakes.get(decision.resource) ?? []), action]);
    recordAction(budget, decision, action, 'done', ports);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    recordAction(budget, decision, action, 'failed', ports, { detail });
  }
}

function tell(budget: Budget, { resource, to: stage, usage, limit, ratio }: Entering): number {
  const notice = JSON.stringify({ resource, stage, usage, limit, ratio, budget: budget.name });
  return held(budget).reduce((sum, run) => sum + (run.channel?.notify(notice) ?? 0), 0);
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
  void over.then(() => {
    budget.members = budget.members.filter(({ alive }) => alive);
    const fresh = budget.readNow(resource, ladder);
    if (fresh !== null) budget.markSeen(resource, fresh.stage);
    acts.onOver();
  });
}

/** The kernel has killed a process of it at a shared cap, and nothing that is its own will end the others. */
export function isCrippled(run: Run): boolean {
  return run.oomKilled && run.limits.memory === null && run.state !== 'stopping';
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

function endingRun(budget: Budget, resource: Resource): Run | null {
  const all = budget.members.filter(({ alive }) => alive).map((run) => candidate(run, resource));
  const ending = budget.members.filter(({ state }) => state === 'stopping');
  return ending.find((run) => budget.victims.has(run) || isHeavy(candidate(run, resource), all)) ?? null;
}

function choose(budget: Budget, resource: Resource, limit: number): Run | null {
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

function whyThisOne(budget: Budget, run: Run, resource: Resource): string {
  const { usage, ratio } = candidate(run, resource);
  const total = budget.readings?.[resource];
  const share =
    total?.kind === 'measured' && total.value > 0 && usage !== null ? Math.round((usage / total.value) * 100) : null;
  const own = ratio === null ? 'it has no limit of its own' : `${Math.round(ratio * 100)} % of its own limit`;
  return `${usage === null ? 'unread' : formatAmount(resource, usage)} of it${share === null ? '' : `, ${share} % of all`}; ${own}`;
}

function endRequest(
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
    graceMs: action === 'kill' ? 0 : run.init.definition.graceMs,
    breach: { usage, limit: limit?.limit ?? judged, ratio, stage, action },
  };
}
