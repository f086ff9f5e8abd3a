/** Carries decisions out: tells, brakes, re-reads, and asks for an end. The only place where a limit becomes an act. */

import type { Decision } from '../core/policy.ts';
import type { Stage } from '../core/ladder.ts';
import { THRESHOLD_STAGES, rank } from '../core/ladder.ts';
import { describeUsage } from '../core/message.ts';
import type { Resource } from '../core/resource.ts';
import type { Action } from '../core/response.ts';
import { isBrake, isEnding, isOfCalls } from '../core/response.ts';
import type { PlannedStep } from '../core/response-plan.ts';
import { planResponse } from '../core/response-plan.ts';
import { atHardLimits } from './end-for.ts';
import type { SupervisorPorts } from './ports.ts';
import type { EndRequest, Run } from './run.ts';

type Brake = 'cpu_quota' | 'nice' | 'memory_high' | 'soft_nofile';
type Entering = Extract<Decision, { kind: 'enter' | 'repeat' }>;

export interface Responder {
  respond(run: Run, decision: Decision, end: (request: EndRequest, action: Action) => void): Promise<void>;
}

export function createResponder(ports: SupervisorPorts): Responder {
  return {
    async respond(run, decision, end) {
      if (!run.alive) return;
      recordStage(run, decision, ports);
      holdLastWord(run, ports);
      if (decision.kind === 'leave') return liftBrakes(run, decision.resource, decision.to, ports);
      const limit = run.limits[decision.resource];
      if (limit === null) return;
      const plan = planResponse(decision, limit, (action) => can(run, action), {
        dryRun: run.init.definition.dryRun,
        mode: run.init.mode,
        callsPass: run.calls !== null,
      });
      let acted = false;
      for (const step of plan.steps) {
        const outcome = await carryOut(run, decision, step, end, ports);
        acted ||= outcome === 'done' || outcome === 'wait';
        if (outcome === 'enough' || outcome === 'wait') break;
      }
      if (acted) run.judge.markActed(decision.resource, decision.to);
    },
  };
}

function recordStage(run: Run, decision: Decision, ports: SupervisorPorts): void {
  if (decision.kind === 'repeat') return;
  const { resource, from, to, usage, limit, ratio } = decision;
  run.events.stage({ resource, from, to, usage, limit, ratio });
  ports.recorder.record({
    kind: 'stage',
    tool: run.tool,
    run: run.id,
    resource: decision.resource,
    from: decision.from,
    to: decision.to,
    usage: decision.usage,
    limit: decision.limit,
    ratio: decision.ratio,
    cause: decision.kind === 'leave' ? 'samples' : decision.cause,
    dryRun: run.init.definition.dryRun,
    ...callOf(decision),
  });
}

function callOf({ call }: Decision): { readonly call?: string } {
  return call === undefined ? {} : { call: call.label };
}

function holdLastWord(run: Run, ports: SupervisorPorts): void {
  if (run.init.mode !== 'direct' || run.leader === null || run.state !== 'running') return;
  if (run.overallStage() !== 'normal') run.lastWord ??= ports.lastWord.open(run.leader.pid);
  else {
    run.lastWord?.close();
    run.lastWord = null;
  }
}

function can(run: Run, action: Action): true | { readonly reason: string } {
  // What a call is to somebody elsewhere may take is known here.
  if (run.init.notGoverned !== null && action !== 'notify' && action !== 'cancel_call')
    return { reason: run.init.notGoverned };
  return isBrake(action) ? run.init.containment.brakes.supports(action as Brake) : true;
}

/** `enough`: the later steps are not needed any more. `wait`: what was done needs its quiet time to show. */
async function carryOut(
  run: Run,
  decision: Entering,
  step: PlannedStep,
  end: (request: EndRequest, action: Action) => void,
  ports: SupervisorPorts,
): Promise<'done' | 'wait' | 'enough' | 'nothing'> {
  const { resource, to: stage } = decision;
  const record = (outcome: 'done' | 'failed' | 'unsupported' | 'withdrawn' | 'dry_run', detail?: string): void =>
    ports.recorder.record({
      kind: 'action',
      tool: run.tool,
      run: run.id,
      resource,
      stage,
      action: step.action,
      outcome,
      ...(detail === undefined ? {} : { detail }),
      ...callOf(decision),
    });
  if (step.status !== 'do') {
    record(step.status, step.status === 'unsupported' ? step.reason : undefined);
    return 'nothing';
  }
  if (isEnding(step.action) || step.action === 'cancel_call') {
    const stillThere = confirm(run, decision);
    const isDone = stillThere.confirmed && (isEnding(step.action) || cancelCall(run, decision, stillThere));
    if (!isDone) {
      record('withdrawn', stillThere.detail);
      await liftBrakes(run, resource, run.stage(resource), ports);
      return 'enough';
    }
    record('done', stillThere.detail);
    if (isEnding(step.action)) end(endRequest(run, decision, step.action, stillThere), step.action);
    return 'done';
  }
  if (isOfCalls(step.action)) {
    // In force as long as the stage is: whoever passes calls on asks the run.
    record('done');
    return 'nothing';
  }
  if (run.state === 'stopping' && step.action !== 'notify') {
    // A brake would eat the time that it has to end by itself.
    record('withdrawn', 'the run is ending');
    return 'nothing';
  }
  try {
    if (step.action === 'destroy_stale_sockets') {
      const closed = await destroyStaleSockets(run, ports);
      record('done', `${closed} sockets in CLOSE_WAIT closed`);
      return closed > 0 ? 'wait' : 'nothing';
    }
    record('done', await act(run, decision, step.action));
  } catch (error) {
    record('failed', error instanceof Error ? error.message : String(error));
    return 'nothing';
  }
  return step.action === 'notify' ? 'nothing' : 'done';
}

interface Confirmation {
  readonly confirmed: boolean;
  readonly usage: number;
  readonly limit: number;
  readonly ratio: number;
  readonly detail: string;
}

/** The re-read right before the irreversible act (earlyoom): what recovered meanwhile is left alone. */
function confirm(run: Run, decision: Entering): Confirmation {
  // The kernel has already killed; there is nothing to confirm.
  const { usage, limit, ratio, call } = decision;
  if (decision.cause === 'kernel') return { confirmed: true, usage, limit, ratio, detail: 'the kernel reported it' };
  const fresh = run.judge.reread(decision.resource, call);
  if (fresh === null) {
    const detail = call === undefined ? 'could not be read again' : 'the call is over';
    return { confirmed: false, usage, limit, ratio, detail };
  }
  if (decision.cause === 'unanswered') return { confirmed: true, ...fresh, detail: 'it did not answer its ping' };
  const needed = decision.cause === 'samples' ? rank(decision.to) : rank('throttled');
  if (rank(fresh.stage) >= needed) return { confirmed: true, ...fresh, detail: `read again: ${fresh.usage}` };
  run.judge.markWithdrawn(decision.resource, fresh.stage, call);
  return { confirmed: false, ...fresh, detail: `read again: ${fresh.usage}, stage ${fresh.stage}` };
}

async function act(run: Run, decision: Entering, action: Action): Promise<string | undefined> {
  if (action === 'notify') {
    const { resource, to: stage, usage, limit, ratio } = decision;
    const pressure = { resource, stage, usage, limit, ratio, ...callOf(decision) };
    const listeners = run.channel?.notify(JSON.stringify(pressure)) ?? 0;
    run.events.pressure(pressure);
    return `${listeners} listeners`;
  }
  await run.init.containment.brakes.set(action as Brake, run.limits);
  run.brakes.set(decision.resource, [...(run.brakes.get(decision.resource) ?? []), action]);
  return undefined;
}

/** The tool sees an error on each and closes it; resolves to how many. */
async function destroyStaleSockets(run: Run, ports: SupervisorPorts): Promise<number> {
  const stale = run.init.containment.inspect
    .sockets()
    .flatMap(({ state, local, remote }) =>
      state === 'CLOSE-WAIT' && local !== null && remote !== null ? [{ local, remote }] : [],
    );
  if (stale.length === 0) return 0;
  ports.recorder.record({
    kind: 'intent',
    tool: run.tool,
    run: run.id,
    action: 'destroy_sockets',
    reason: 'limit',
    target: { sockets: stale.length },
  });
  const { closed, refused } = await ports.staleSockets.destroy(stale);
  ports.recorder.record({
    kind: 'outcome',
    tool: run.tool,
    run: run.id,
    action: 'destroy_sockets',
    ok: refused === null,
    detail: { closed, refused },
  });
  if (refused !== null) throw new Error(refused);
  return closed;
}

/** A stage keeps the brakes of the stages below it. */
async function liftBrakes(run: Run, resource: Resource, stage: Stage, ports: SupervisorPorts): Promise<void> {
  const { actions } = run.limits[resource] ?? {};
  const kept = THRESHOLD_STAGES.flatMap((below) => (rank(below) <= rank(stage) ? (actions?.[below] ?? []) : []));
  const all = run.brakes.get(resource) ?? [];
  const set = all.filter((action) => !kept.includes(action));
  if (set.length === 0) return;
  if (set.length === all.length) run.brakes.delete(resource);
  else
    run.brakes.set(
      resource,
      all.filter((action) => kept.includes(action)),
    );
  const stillWanted = new Set([...[...run.brakes.values()].flat(), ...run.sharedBrakes.keys()]);
  for (const action of set) {
    if (stillWanted.has(action)) continue;
    await run.init.containment.brakes.lift(action as Brake);
    ports.log.info({ tool: run.tool, run: run.id, resource, action }, 'brake lifted');
  }
}

/** @returns false where it is over, or cancelled already */
function cancelCall(run: Run, decision: Entering, { usage, limit, ratio }: Confirmation): boolean {
  const { call, to: stage } = decision;
  if (call === undefined || run.calls === null) return false;
  const message = `cancelled: ${described(run, decision, { usage, limit, ratio })}, stage ${stage}${becauseOf(run, decision)}`;
  return run.calls.cancel(call.number, { usage, limit, ratio, stage, action: 'cancel_call', message });
}

type Figures = Pick<Confirmation, 'usage' | 'limit' | 'ratio'>;

function described(run: Run, { resource, call }: Entering, { usage, limit, ratio }: Figures): string {
  const isCap = call !== undefined && limit !== run.limits[resource]?.limit;
  const what = describeUsage(resource, usage, limit, ratio);
  return isCap ? what.replace(' of its limit of ', ' of its hard cap of ') : what;
}

function becauseOf(run: Run, { resource }: Entering): string {
  const reason = run.limits[resource]?.reason;
  return reason === undefined ? '' : ` (limit because: ${reason})`;
}

function endRequest(run: Run, decision: Entering, action: Action, read: Confirmation): EndRequest {
  const { usage, limit, ratio } = read;
  const what = described(run, decision, read);
  const ofCall = decision.call === undefined ? '' : `${decision.call.label}: `;
  const why: Readonly<Record<Entering['cause'], string>> = {
    samples: `${ofCall}${what}, stage ${decision.to}`,
    deadline: `${what}: throttled for too long`,
    stall: `${what}: stalled on memory while throttled`,
    starvation: `${what}: starved of CPU while throttled`,
    unanswered: `${ofCall}${what}; it was cancelled, and the server did not answer its ping`,
    kernel: `the kernel killed a process of it for lack of memory (OOM)${atHardLimits(run)}: ${what} at the most that was seen, stage ${decision.to}`,
  };
  return {
    reason: decision.cause === 'kernel' ? 'oom_kill' : 'limit',
    message: `stopped: ${why[decision.cause]}${becauseOf(run, decision)}`,
    resource: decision.resource,
    graceMs: action === 'kill' ? 0 : run.init.definition.graceMs,
    breach: { usage, limit, ratio, stage: decision.to, action },
  };
}
