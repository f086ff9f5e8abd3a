/** What a recovery does to the runs of its tool beside the one that failed. */

import { setRunLimits } from './change-limits.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { EndRequest, Run } from './run.ts';
import type { Tool } from './tool.ts';

/** Runs that were started for nobody yet and have a conversation that anybody could take over, or all. In order, with their grace. */
export function othersOf(
  which: 'spares' | 'all',
  message: string,
  { graceMs }: ToolDefinition,
): readonly [request: EndRequest, concerns: (run: Run) => boolean] {
  return [
    { reason: 'recovery', message: `stopped: ${message}`, graceMs },
    // What a client started itself is the client's.
    (run) => run.init.mode === 'managed' && (which === 'all' || (!run.onDemand && run.connection !== null)),
  ];
}

export function unanswered(message: string, { graceMs }: ToolDefinition): EndRequest {
  return { reason: 'unhealthy', message, graceMs };
}

/** The tool is not degraded any more: its live runs get everything back, without a new start. Never rejects. */
export async function giveBack(tool: Tool, ports: SupervisorPorts): Promise<void> {
  for (const { run } of tool.runs.values()) {
    if (run.init.definition.degraded === undefined) continue;
    run.callsAtOnce = null;
    // Calls that wait for a turn.
    run.events.held();
    try {
      await setRunLimits(run, tool.definition.limits, 'recovery', ports);
    } catch (error) {
      ports.log.error(
        { tool: tool.name, run: run.id, err: error },
        'a run stays degraded until its next start: its limits could not be raised',
      );
    }
  }
}
