/** May another run of a tool be started? Each refusal says why, and when or how it ends. */

import { GovernorError } from '../core/errors.ts';
import { formatDuration } from '../core/format.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Recovery } from './recovery.ts';
import type { Run } from './run.ts';

/**
 * @param onDemand a client's request asks for it, and will again; false: a person does
 * @throws GovernorError sign_in_needed; breaker_open with `retryAfterMs` in its data, where it does not stay stopped
 */
export function admitManaged(
  definition: ToolDefinition,
  recovery: Recovery,
  signIn: SupervisorPorts['signIn'],
  onDemand: boolean,
): void {
  const { name } = definition;
  const problem = signIn.problem(definition);
  if (problem !== null) throw new GovernorError('sign_in_needed', `${name}: ${problem}`, { data: { tool: name } });
  const held = recovery.heldBack(onDemand);
  if (held === null) return;
  const data = held.retryAfterMs === null ? {} : { retryAfterMs: Math.ceil(held.retryAfterMs) };
  throw new GovernorError('breaker_open', held.message, { data });
}

/** @throws GovernorError breaker_open */
export function admitDirect({ name, recovery: { budget, windowMs } }: ToolDefinition, recovery: Recovery): void {
  if (recovery.breakerMayClose()) return;
  throw new GovernorError(
    'breaker_open',
    `${name} had more than ${budget} emergency stops in ${formatDuration(windowMs)}; wait until they are past, or write: governor restart ${name}`,
  );
}

/** @throws GovernorError tool_unproven: what an earlier run has left may still be there */
export function admitBeside(name: string, runs: Iterable<{ readonly run: Run }>): void {
  for (const { run } of runs) {
    if (run.state === 'unproven')
      throw new GovernorError(
        'tool_unproven',
        `${name}: run ${run.id} is not proven to be stopped; see governor ls ${name}`,
      );
  }
}
