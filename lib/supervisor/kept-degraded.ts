/** A live run of a degraded tool whose limits change. */

import type { ResolvedLimits } from '../core/limits.ts';
import type { Run } from './run.ts';
import type { Tool } from './tool.ts';

/** @returns what these limits of its tool are for this run: of one that was started degraded the less, as long as the tool is */
export function keptDegraded(tool: Tool, run: Run, limits: ResolvedLimits): ResolvedLimits {
  if (run.init.definition.degraded === undefined) return limits;
  const { course } = tool.recovery;
  if (course.degraded !== null) return course.limitsOf(limits);
  run.callsAtOnce = null;
  run.events.held();
  return tool.definition.limits;
}
