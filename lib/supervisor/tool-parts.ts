/** What an actor is made of, joined with it: each part does one thing and calls back when something has come of it. */

import type { ToolEffect } from '../core/tool-state.ts';
import { AfterRun } from './after-run.ts';
import type { Assembled } from './assembly.ts';
import { catchUpSafely } from './change-limits.ts';
import { Lifecycle } from './lifecycle.ts';
import { Mailbox } from './mailbox.ts';
import { giveBack, othersOf, unanswered } from './recovery-acts.ts';
import { Recovery } from './recovery.ts';
import type { Run } from './run.ts';
import { Starter } from './starter.ts';
import type { FailedStart } from './starter.ts';
import { ToolRuns } from './tool-runs.ts';
import type { Tool, ToolContext } from './tool.ts';
import { UnprovenWatch } from './unproven.ts';
import type { EndView } from './views.ts';

/** What only the actor itself decides. */
export interface PartsCallbacks {
  readonly perform: (effect: ToolEffect) => void;
  readonly ended: (assembled: Assembled, end: EndView, wasReady: boolean) => void;
  readonly startFailed: (failure: FailedStart) => void;
  readonly stopProven: (run: Run) => void;
  readonly startAgain: () => Promise<Run>;
  /** No run, and none under way. */
  readonly isIdle: () => boolean;
}

export interface ToolParts {
  readonly mailbox: Mailbox;
  readonly lifecycle: Lifecycle;
  readonly runs: ToolRuns;
  readonly starter: Starter;
  readonly unproven: UnprovenWatch;
  readonly recovery: Recovery;
  readonly afterRun: AfterRun;
}

export function toolParts(tool: Tool, { ports, monitor, failuresOf }: ToolContext, on: PartsCallbacks): ToolParts {
  const { name } = tool.definition;
  const mailbox = new Mailbox((error) =>
    ports.log.error({ tool: name, err: error }, 'a decision could not be carried out'),
  );
  const lifecycle = new Lifecycle(name, ports.recorder, on.perform);
  const runs = new ToolRuns({ ports, monitor, onEnded: on.ended });
  const recovery: Recovery = new Recovery(() => tool.definition, ports, failuresOf(name), {
    onDue: () => afterRun.recover(),
    onReturn: () => void giveBack(tool, ports),
    onUnanswered: (run, message) => void tool.endRun(run.id, unanswered(message, tool.definition)),
  });
  const starter = new Starter({
    ports,
    monitor,
    lifecycle,
    runs,
    logs: tool.logs,
    definition: () => recovery.course.applied(tool.definition),
    onContained: () => void catchUpSafely(tool, ports),
    onFailed: on.startFailed,
  });
  const unproven = new UnprovenWatch({
    ports,
    runs: () => runs.live.values(),
    onProven: ({ run }) => on.stopProven(run),
  });
  const afterRun: AfterRun = new AfterRun({
    ports,
    lifecycle,
    recovery,
    logs: tool.logs,
    definition: () => tool.definition,
    isIdle: on.isIdle,
    isFinal: () => starter.isFinal,
    startAgain: on.startAgain,
    closeBreaker: () => tool.cleanup(),
    endOthers: (which, message) => runs.endAll(...othersOf(which, message, tool.definition)),
  });
  return { mailbox, lifecycle, runs, starter, unproven, recovery, afterRun };
}
