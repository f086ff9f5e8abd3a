/** `governor start`, `stop` and `restart`. */

import type { RunView, ToolView } from '../../../lib/supervisor/views.ts';
import { createClient, segment, type Reply } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { printable } from '../text.ts';
import { liveRuns } from '../values.ts';

export async function start(session: Session, name: string, context: string | null): Promise<ExitCode> {
  const reply = await createClient(session.locations()).send(
    'POST',
    `/v1/tools/${segment(name)}/activate`,
    context === null ? {} : { context },
  );
  if (session.json) session.print(reply.text);
  else {
    const run = reply.body as RunView;
    session.print(`${printable(name)}: run ${run.id} is ${run.state}${run.pid === null ? '' : ` (pid ${run.pid})`}`);
  }
  return EXIT.ok;
}

/** Exit code 1 when something of it may still live: an unproven stop is never reported as success. */
export async function stop(session: Session, target: string): Promise<ExitCode> {
  const reply = await act(session, target, 'deactivate');
  const tool = reply.body as ToolView;
  const unproven = tool.runs.filter(({ state }) => state === 'unproven');
  const isProven = unproven.length === 0 && !endedUnproven(tool);
  if (session.json) session.print(reply.text);
  else if (unproven.length > 0) {
    session.print(
      `${printable(target)}: not proven to be stopped: run ${unproven.map(({ id }) => id).join(', ')}; Governor keeps watching (governor ls -v)`,
    );
  } else if (isProven) session.print(`${printable(target)}: stopped${cleanupText(tool, 'nothing left')}`);
  else {
    session.print(
      `${printable(target)}: not proven to be stopped: no process of it is seen any more${cleanupText(tool, 'nothing known is left')}; here a process can leave its tree unseen (governor doctor)`,
    );
  }
  return isProven ? EXIT.ok : EXIT.refused;
}

/** The containment cannot know: nothing of it is seen any more, and that is all. */
function endedUnproven({ lastEnd }: ToolView): boolean {
  return lastEnd?.cleanup?.proven === false;
}

export async function restart(session: Session, target: string): Promise<ExitCode> {
  const reply = await act(session, target, 'restart');
  if (session.json) session.print(reply.text);
  else {
    const tool = reply.body as ToolView;
    const runs = liveRuns(tool.runs).map(({ id, state }) => `run ${id} is ${state}`);
    const before = endedUnproven(tool) ? '; the run before is not proven to be stopped' : '';
    session.print(`${printable(target)}: restarted${runs.length === 0 ? '' : `; ${runs.join(', ')}`}${before}`);
  }
  return EXIT.ok;
}

/** A name has no `/`, so what follows the first one is the id of a run. */
function act(session: Session, target: string, action: 'deactivate' | 'restart'): Promise<Reply> {
  const slash = target.indexOf('/');
  const name = slash === -1 ? target : target.slice(0, slash);
  const body = slash === -1 ? {} : { run: target.slice(slash + 1) };
  return createClient(session.locations()).send('POST', `/v1/tools/${segment(name)}/${action}`, body);
}

function cleanupText({ lastEnd }: ToolView, nothing: string): string {
  const report = lastEnd?.cleanup ?? null;
  if (report === null) return '';
  const left = Object.entries(report.left).filter(([, count]) => count > 0);
  const rest = left.length === 0 ? nothing : `left: ${left.map(([kind, count]) => `${count} ${kind}`).join(', ')}`;
  return ` and cleaned up in ${Math.round(report.durationMs)} ms, ${rest}`;
}
