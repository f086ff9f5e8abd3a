/** Changes the limits of a live tool: on record, at once for the ladder, and in the kernel as soon as that kills nothing. */

import type { ResolvedLimit, ResolvedLimits, Source } from '../core/limits.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES } from '../core/resource.ts';
import { DEFAULT_ACTIONS } from '../core/response.ts';
import { DEFAULT_THRESHOLDS } from '../core/ladder.ts';
import type { LimitPatch } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';
import type { Tool } from './tool.ts';

export async function changeLimits(tool: Tool, patch: LimitPatch, by: string, ports: SupervisorPorts): Promise<void> {
  const source: Source = { from: 'api', detail: by };
  tool.definition = { ...tool.definition, limits: patched(tool.definition.limits, patch, source) };
  for (const { run } of tool.runs.values()) await setRunLimits(run, patched(run.limits, patch, source), by, ports);
}

/** @param by who asked, for the audit */
export async function setRunLimits(run: Run, limits: ResolvedLimits, by: string, ports: SupervisorPorts): Promise<void> {
  for (const resource of RESOURCES) {
    const before = run.limits[resource]?.limit ?? null;
    const after = limits[resource]?.limit ?? null;
    if (before === after) continue;
    const reason = limits[resource]?.reason;
    ports.recorder.record({ kind: 'limits', tool: run.tool, run: run.id, resource, before, after, by, ...(reason === undefined ? {} : { reason }) });
  }
  run.limits = limits;
  run.capsPending = !run.capsFit();
  if (run.capsPending) {
    ports.log.info({ tool: run.tool, run: run.id }, 'usage is above a lowered limit: the ladder acts first, the kernel cap follows');
    return;
  }
  run.outcomes = await run.init.containment.limits.apply(limits);
}

function patched(limits: ResolvedLimits, patch: LimitPatch, source: Source): ResolvedLimits {
  const changed: Partial<Record<Resource, ResolvedLimit | null>> = {};
  for (const resource of RESOURCES) {
    const value = patch[resource];
    if (value === undefined) continue;
    changed[resource] = value === null ? null : withLimit(resource, value, limits[resource], source);
  }
  return { ...limits, ...changed };
}

function withLimit(resource: Resource, value: number, before: ResolvedLimit | null, source: Source): ResolvedLimit {
  if (before === null) return { resource, limit: value, thresholds: DEFAULT_THRESHOLDS, actions: DEFAULT_ACTIONS[resource], source };
  const { reason: _former, ...kept } = before;
  // Inodes keep their proportion to the bytes.
  const inodes = before.inodes === undefined ? {} : { inodes: Math.max(1, Math.round((before.inodes * value) / before.limit)) };
  return { ...kept, limit: value, source, ...inodes };
}
