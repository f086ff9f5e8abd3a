/** What is kept of a run that failed, once it is over and it is decided what comes next. */

import { wallOf } from '../core/clock.ts';
import type { Clock } from '../core/clock.ts';
import type { Decided } from './decision-ring.ts';
import { isFailure } from './failure-snapshot.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { DecisionView, PostMortem } from './post-mortem-view.ts';
import { hasDoneItsWork } from './recovery-words.ts';
import type { Run } from './run.ts';
import { iso, limitViews } from './run-view.ts';
import type { EndView, RecoveryView } from './views.ts';

const LINES_KEPT = 50;
const CHARACTERS_KEPT = 32_768;

/** @returns null where the end is no failure of the tool */
export function postMortem(
  run: Run,
  end: EndView,
  around: {
    readonly definition: ToolDefinition;
    readonly lines: (count: number) => readonly string[];
    readonly recovery: RecoveryView;
  },
  ports: SupervisorPorts,
): PostMortem | null {
  const { init, snapshot } = run;
  if (snapshot === null || !isFailure(run, end.reason) || hasDoneItsWork(end, around.definition.recovery.strategy))
    return null;
  const endedWallMs = run.endedWallMs ?? ports.clock.wallMs();
  return {
    version: 1,
    id: run.id,
    tool: run.tool,
    at: iso(endedWallMs),
    startedAt: iso(init.startedWallMs),
    livedMs: Math.round(run.livedMs),
    mode: init.mode,
    context: run.context,
    backend: ports.backend.id,
    command: init.command,
    class: init.definition.class,
    end,
    snapshot,
    limits: limitViews(run.limits, run.outcomes, init.notGoverned, run.calls !== null),
    decisions: run.decided.all.map((decided) => decisionView(decided, ports.clock)),
    logs: bounded(around.lines(LINES_KEPT)),
    recovery: around.recovery,
  };
}

function decisionView({ decision, atMs }: Decided, clock: Clock): DecisionView {
  const { kind, resource, from, to, usage, limit, ratio, call } = decision;
  return {
    at: iso(wallOf(clock, atMs)),
    kind,
    resource,
    from,
    to,
    cause: kind === 'leave' ? null : decision.cause,
    usage,
    limit,
    ratio,
    ...(call === undefined ? {} : { call: call.label }),
  };
}

/** The newest. */
function bounded(lines: readonly string[]): readonly string[] {
  let characters = 0;
  let kept = 0;
  for (const line of lines.toReversed()) {
    characters += line.length;
    if (characters > CHARACTERS_KEPT) break;
    kept++;
  }
  return lines.slice(lines.length - kept);
}
