/** What a decision asks for against what can be done here: wanted, impossible and only-pretended are all visible. */

import { rank, THRESHOLD_STAGES } from './ladder.ts';
import type { ResolvedLimit } from './limits.ts';
import type { Decision } from './policy.ts';
import { isBrake, isEnding, withoutCalls } from './response.ts';
import type { Action } from './response.ts';

export type PlannedStep =
  | { readonly action: Action; readonly status: 'do' }
  | { readonly action: Action; readonly status: 'unsupported'; readonly reason: string }
  | { readonly action: Action; readonly status: 'dry_run' };

export interface ResponsePlan {
  /** In the order in which they are to be carried out; at most one of those to do ends the run, and it is the last. */
  readonly steps: readonly PlannedStep[];
}

/**
 * The configured actions of the stage, ending ones last and only the strongest of them. Leaving a stage plans nothing:
 * lifting brakes is not an action of a stage.
 * @param can whether an action is possible for this run, or why not
 * @param options `direct`: the client owns the process, so a recycle is a stop: nobody but the client can start it again.
 *   `callsPass`: its calls pass Governor
 */
export function planResponse(
  decision: Decision,
  limit: ResolvedLimit,
  can: (action: Action) => true | { readonly reason: string },
  options: { readonly dryRun: boolean; readonly mode: 'direct' | 'managed'; readonly callsPass: boolean },
): ResponsePlan {
  if (decision.kind === 'leave') return { steps: [] };
  const configured = wantedActions(decision, limit, options);
  const ends = configured.some((action) => isEnding(action) && can(action) === true);
  const wanted = ends ? configured : [...new Set([...skippedSteps(decision, limit), ...configured])];
  const holding = withoutNeedlessNice(
    wanted.filter((action) => !isEnding(action)),
    can,
  );
  const steps = [
    ...holding.map((action) => plan(action, can, options.dryRun)),
    ...planEnding(wanted.filter(isEnding), can, options.dryRun),
  ];
  return { steps };
}

function wantedActions(
  decision: Exclude<Decision, { kind: 'leave' }>,
  limit: ResolvedLimit,
  { mode, callsPass }: { readonly mode: 'direct' | 'managed'; readonly callsPass: boolean },
): readonly Action[] {
  const configured = callsPass ? limit.actions[decision.to] : withoutCalls(limit.actions[decision.to]);
  // Its call is cancelled already, and that was not enough.
  if (decision.cause === 'unanswered') {
    const ending = configured.filter(isEnding);
    return ending.length > 0 ? ending : ['recycle'];
  }
  // `on_starvation: recycle` is a setting of its own: CPU usage at the same stage only tells.
  const actions: readonly Action[] =
    decision.cause === 'starvation' && !configured.some(isEnding) ? [...configured, 'recycle'] : configured;
  return [...new Set(actions.map((action) => (action === 'recycle' && mode === 'direct' ? 'stop' : action)))];
}

/**
 * Usage that jumps passes stages over: what they tell is told, once for all of them, and what they hold back with is still
 * needed, unless the run ends anyway.
 */
function skippedSteps(decision: Exclude<Decision, { kind: 'leave' }>, limit: ResolvedLimit): readonly Action[] {
  const skipped = THRESHOLD_STAGES.filter(
    (stage) => rank(stage) > rank(decision.from) && rank(stage) < rank(decision.to),
  );
  return skipped.flatMap((stage) => limit.actions[stage].filter((action) => action === 'notify' || isBrake(action)));
}

/** Nice is the stand-in for a CPU quota: where both are listed, a quota that works leaves nice out. */
function withoutNeedlessNice(
  actions: readonly Action[],
  can: (action: Action) => true | { readonly reason: string },
): readonly Action[] {
  const quota = actions.includes('cpu_quota') && can('cpu_quota') === true;
  return quota ? actions.filter((action) => action !== 'nice') : actions;
}

const STRONGEST_FIRST: readonly Action[] = ['kill', 'stop', 'recycle'];

/** The strongest that is possible; stronger ones that are not are named before it. */
function planEnding(
  wanted: readonly Action[],
  can: (action: Action) => true | { readonly reason: string },
  dryRun: boolean,
): PlannedStep[] {
  const steps: PlannedStep[] = [];
  for (const action of STRONGEST_FIRST) {
    if (!wanted.includes(action)) continue;
    const step = plan(action, can, dryRun);
    steps.push(step);
    if (step.status !== 'unsupported') break;
  }
  return steps;
}

function plan(
  action: Action,
  can: (action: Action) => true | { readonly reason: string },
  dryRun: boolean,
): PlannedStep {
  const possible = can(action);
  if (possible !== true) return { action, status: 'unsupported', reason: possible.reason };
  return { action, status: dryRun ? 'dry_run' : 'do' };
}
