/**
 * A context changes under a running tool: what the tool has registered for the old one is closed, in reverse; what it
 * shares, and the process with its temp directory, is carried over. From then on the limits of the new context count it.
 */

import { GovernorError } from '../core/errors.ts';
import { describeHandles } from '../core/tool-protocol.ts';
import type { Assembled } from './assembly.ts';
import type { Budgets } from './budgets.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';
import type { RunView } from './views.ts';

/** As much of the tool's grace as an end leaves to its handles. */
const HANDLES_SHARE = 0.5;

/** @throws GovernorError illegal_state, not_managed, launch_failed where the ledger cannot be written */
export async function moveRun(
  { run, progress }: Assembled,
  context: string | null,
  by: string,
  budgets: Budgets,
  ports: SupervisorPorts,
): Promise<void> {
  refuseUnmovable(run);
  const from = run.context;
  if (from === context) return;
  const handles = await closeHandles(run);
  // It may have ended meanwhile, with a cleanup of its own.
  if (run.state !== 'running') throw notRunning(run.id, run.state);
  run.context = context;
  progress('running');
  await budgets.moved(run, from);
  ports.recorder.record({
    kind: 'lifecycle',
    tool: run.tool,
    run: run.id,
    from: run.state,
    to: run.state,
    event: 'context_changed',
    detail: { context: { from, to: context }, by, handles },
  });
}

export function refuseToMove({ id, state }: RunView): never {
  throw notRunning(id, state);
}

function notRunning(id: string, state: string): GovernorError {
  return new GovernorError('illegal_state', `run ${id} is ${state}: only one that is running can change its context`);
}

function refuseUnmovable(run: Run): void {
  if (run.state !== 'running') throw notRunning(run.id, run.state);
  const { definition, mode } = run.init;
  if (mode === 'managed' && definition.readiness === 'mcp')
    throw new GovernorError(
      'illegal_state',
      definition.sharing === 'shared'
        ? `run ${run.id} of ${run.tool} is shared by all contexts (sharing: shared)`
        : `run ${run.id} of ${run.tool} serves the clients of its context, and changes it with them`,
    );
}

/** Those of the old context; shared ones stay open. @returns what became of them, for people */
async function closeHandles(run: Run): Promise<string> {
  const registered = run.channel?.handles ?? 0;
  if (run.channel === null || registered === 0) return 'none registered';
  const outcome = await run.channel.closeHandles({
    reason: 'context_changed',
    deadlineMs: Math.floor(run.init.definition.graceMs * HANDLES_SHARE),
    // Its own end has no time for this.
    hurry: endOf(run),
    keepShared: true,
  });
  return `${describeHandles(outcome)}; ${Math.max(0, registered - outcome.held)} carried over`;
}

function endOf(run: Run): AbortSignal {
  const end = new AbortController();
  run.events.add({ onEnding: () => end.abort() });
  return end.signal;
}
