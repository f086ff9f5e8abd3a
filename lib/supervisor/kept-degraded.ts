/** A live run of a degraded tool whose limits change. */

import type { ResolvedLimits } from '../core/limits.ts';
import type { Run } from './run.ts';
import type { Tool } from './tool.ts';

/** @returns what these limits of its tool are for this run: of one that was started degraded the less, as long as the tool is */
export function keptDegraded(tool: Tool, run: Run, limits: ResolvedLimits): ResolvedLimits {
  if (run.init.definition.degraded === undefined) return limits;
  const { course } = tool.recovery;
  const { degraded } = tool.definition.recovery;
  const callsAtOnce = course.degraded === null ? null : (degraded?.callsAtOnce ?? null);
  if (callsAtOnce !== run.callsAtOnce) {
    run.callsAtOnce = callsAtOnce;
    // Calls that wait for a turn.
    run.events.held();
  }
  // Not of what it has: that is the less already, of the class that was written then.
  return course.limitsOf(tool.definition.limits);
}
