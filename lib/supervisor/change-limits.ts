/** Changes the limits of a live tool: on record, at once for the ladder, and in the kernel as soon as that kills nothing. */

import { GovernorError } from '../core/errors.ts';
import type { ResolvedLimit, ResolvedLimits, Source } from '../core/limits.ts';
import { ratioOf } from '../core/limits.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES } from '../core/resource.ts';
import { defaultActions } from '../core/response.ts';
import { DEFAULT_THRESHOLDS } from '../core/ladder.ts';
import type { LimitPatch } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';
import type { Tool } from './tool.ts';

export async function changeLimits(tool: Tool, patch: LimitPatch, by: string, ports: SupervisorPorts): Promise<void> {
  if (tool.definition.remote !== undefined && Object.keys(patch).some((resource) => resource !== 'runtime'))
    throw new GovernorError(
      'unsupported',
      `${tool.name} runs on another host: only the runtime of its calls can be limited here`,
    );
  refuseUnlimitedTmpfs(tool, patch);
  const source: Source = { from: 'api', detail: by };
  const { definition } = tool;
  const callsPass = definition.readiness === 'mcp' && definition.origin !== 'run';
  tool.definition = { ...definition, limits: patched(definition.limits, patch, source, callsPass) };
  for (const { run } of tool.runs.values())
    await setRunLimits(run, patched(run.limits, patch, source, run.calls !== null), by, ports);
}

/** @param by who asked, for the audit */
export async function setRunLimits(
  run: Run,
  wanted: ResolvedLimits,
  by: string,
  ports: SupervisorPorts,
): Promise<void> {
  const limits = forLiveRun(run.limits, wanted);
  for (const resource of RESOURCES) {
    const before = run.limits[resource]?.limit ?? null;
    const after = limits[resource]?.limit ?? null;
    if (before === after) continue;
    const reason = limits[resource]?.reason;
    ports.recorder.record({
      kind: 'limits',
      tool: run.tool,
      run: run.id,
      resource,
      before,
      after,
      by,
      ...(reason === undefined ? {} : { reason }),
    });
  }
  run.limits = limits;
  run.capsPending = !capsFit(run);
  if (run.capsPending) {
    ports.log.info(
      { tool: run.tool, run: run.id },
      'usage is above a lowered limit: the ladder acts first, the kernel cap follows',
    );
    return;
  }
  run.outcomes = await run.init.containment.limits.apply(run.enforced);
}

/** False while usage is at or above where a kernel cap would come to lie: setting it would kill at once. */
export function capsFit({ limits, last }: Run): boolean {
  return (['memory', 'tasks', 'temp_storage'] as const).every((resource) => {
    const limit = limits[resource];
    const reading = last?.readings[resource];
    return limit === null || reading?.kind !== 'measured' || ratioOf(reading, limit) < limit.thresholds.emergency;
  });
}

/** A live run stays on the file system that it has, whatever is wanted of its next start. */
export function forLiveRun(before: ResolvedLimits, wanted: ResolvedLimits): ResolvedLimits {
  return { ...wanted, temp_storage: onItsBacking(before.temp_storage, wanted.temp_storage) };
}

/** True where a live run has to be started again before TMPDIR lies where the new limit wants it. */
export function changesBacking(before: ResolvedLimits, wanted: ResolvedLimits): boolean {
  return before.temp_storage?.backing !== wanted.temp_storage?.backing;
}

/** A tmpfs always has a size. */
function onItsBacking(before: ResolvedLimit | null, wanted: ResolvedLimit | null): ResolvedLimit | null {
  if (before?.backing === 'tmpfs') return wanted === null ? before : { ...wanted, backing: 'tmpfs' };
  if (wanted === null) return null;
  const { backing: _later, ...onDisk } = wanted;
  return onDisk;
}

function refuseUnlimitedTmpfs(tool: Tool, patch: LimitPatch): void {
  const held = [tool.definition.limits, ...[...tool.runs.values()].map(({ run }) => run.limits)];
  if (patch.temp_storage !== null || !held.some(({ temp_storage }) => temp_storage?.backing === 'tmpfs')) return;
  throw new GovernorError(
    'invalid_limit',
    `${tool.name}: temp_storage: backing: tmpfs is not possible without a limit; give it a larger one`,
  );
}

function patched(limits: ResolvedLimits, patch: LimitPatch, source: Source, callsPass: boolean): ResolvedLimits {
  const changed: Partial<Record<Resource, ResolvedLimit | null>> = {};
  const lifted: Partial<Record<Resource, Source>> = { ...limits.lifted };
  for (const resource of RESOURCES) {
    const value = patch[resource];
    if (value === undefined) continue;
    changed[resource] = value === null ? null : withLimit(resource, value, limits[resource], source, callsPass);
    if (value === null) lifted[resource] = source;
    else delete lifted[resource];
  }
  return { ...limits, ...changed, lifted };
}

function withLimit(
  resource: Resource,
  value: number,
  before: ResolvedLimit | null,
  source: Source,
  callsPass: boolean,
): ResolvedLimit {
  if (before === null) {
    const actions = defaultActions(resource, callsPass);
    return { resource, limit: value, thresholds: DEFAULT_THRESHOLDS, actions, source };
  }
  const { reason: _former, ...kept } = before;
  // Inodes keep their proportion to the bytes.
  const inodes =
    before.inodes === undefined ? {} : { inodes: Math.max(1, Math.round((before.inodes * value) / before.limit)) };
  return { ...kept, limit: value, source, ...inodes };
}
