/** Changes the limits of a live tool: on record, at once for the ladder, and in the kernel as soon as that kills nothing. */

import { GovernorError } from '../core/errors.ts';
import type { AdaptiveBounds, ResolvedLimit, ResolvedLimits, Source } from '../core/limits.ts';
import { ratioOf } from '../core/limits.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES } from '../core/resource.ts';
import { defaultActions } from '../core/response.ts';
import { DEFAULT_THRESHOLDS } from '../core/ladder.ts';
import type { LimitPatch } from './governor.ts';
import { keptDegraded } from './kept-degraded.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';
import type { Tool } from './tool.ts';

/** In the unit of the resource, with the reason for people. */
export interface LimitAdaption {
  readonly resource: Resource;
  readonly to: number;
  readonly reason: string;
}

/** By hand: where the limit followed usage, it does not any more. */
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

/**
 * From usage, within the bounds of the file: of the tool, and of each run whose limit follows usage. The same path as by hand.
 * @returns false, and changes nothing, where none does (any more)
 */
export async function adaptLimit(
  tool: Tool,
  { resource, to, reason }: LimitAdaption,
  ports: SupervisorPorts,
): Promise<boolean> {
  const adapted = (limits: ResolvedLimits): ResolvedLimits | null => {
    const before = limits[resource];
    if (before === null || !isFollowing(before)) return null;
    return { ...limits, [resource]: { ...amountOf(before, to), source: adaptedFrom(before.source), reason } };
  };
  const limits = adapted(tool.definition.limits);
  if (limits === null) return false;
  const before = tool.definition.limits[resource]?.limit ?? null;
  tool.definition = { ...tool.definition, limits };
  const runs = [...tool.runs.values()].flatMap(({ run }) => {
    const wanted = run.alive ? adapted(run.limits) : null;
    return wanted === null ? [] : [{ run, wanted }];
  });
  if (runs.length === 0)
    ports.recorder.record({ kind: 'limits', tool: tool.name, resource, before, after: to, by: 'adaptive', reason });
  for (const { run, wanted } of runs) await setRunLimits(run, keptDegraded(tool, run, wanted), 'adaptive', ports);
  return true;
}

/** Of runs whose start was under way while a limit of the tool followed usage. */
export async function catchUp(tool: Tool, ports: SupervisorPorts): Promise<void> {
  for (const { run } of tool.runs.values()) {
    const wanted = keptDegraded(tool, run, withAdapted(run.limits, tool.definition.limits));
    const isBehind = RESOURCES.some((resource) => wanted[resource]?.limit !== run.limits[resource]?.limit);
    if (isBehind && run.alive) await setRunLimits(run, wanted, 'adaptive', ports);
  }
}

/** Limits of a launch that follow usage begin where those of its tool are by now. */
export function withAdapted(launched: ResolvedLimits, held: ResolvedLimits): ResolvedLimits {
  const adapted = RESOURCES.flatMap((resource) => {
    const limit = held[resource];
    return limit?.source.from === 'adaptive' && isFollowing(launched[resource]) ? [[resource, limit] as const] : [];
  });
  return adapted.length === 0 ? launched : { ...launched, ...Object.fromEntries(adapted) };
}

/** It is to follow usage, and nobody has set it by hand since. */
export function isFollowing(
  limit: ResolvedLimit | null,
): limit is ResolvedLimit & { readonly adaptive: AdaptiveBounds } {
  return limit?.adaptive !== undefined && limit.adaptive.stoppedBy === undefined;
}

/** With the place of the bounds, also after the first change. */
export function adaptedFrom(source: Source): Source {
  return source.from === 'adaptive' ? source : { from: 'adaptive', detail: `within the bounds of ${source.detail}` };
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
  const { adaptive } = before;
  return {
    ...amountOf(before, value),
    source,
    ...(adaptive === undefined ? {} : { adaptive: { ...adaptive, stoppedBy: source.detail } }),
  };
}

/** The former reason was for the former limit. */
function amountOf(before: ResolvedLimit, value: number): ResolvedLimit {
  const { reason: _former, ...kept } = before;
  // Inodes keep their proportion to the bytes.
  const inodes =
    before.inodes === undefined ? {} : { inodes: Math.max(1, Math.round((before.inodes * value) / before.limit)) };
  return { ...kept, limit: value, ...inodes };
}
