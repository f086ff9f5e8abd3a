/** Changes the limits of a live tool: on record, at once for the ladder, and in the kernel as soon as that kills nothing. */

import { GovernorError } from '../core/errors.ts';
import type { AdaptiveBounds, Provenance, ResolvedLimit, ResolvedLimits, Source } from '../core/limits.ts';
import { ratioOf, setByHand } from '../core/limits.ts';
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
  tool.recovery.course.setByHand(RESOURCES.filter((resource) => patch[resource] !== undefined));
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
    return isFollowing(before) ? { ...limits, [resource]: adaptedTo(before, to, reason) } : null;
  };
  const limits = adapted(tool.definition.limits);
  if (limits === null) return false;
  const before = tool.definition.limits[resource]?.limit ?? null;
  tool.definition = { ...tool.definition, limits };
  const concerned = [...tool.runs.values()].filter(({ run }) => run.alive && isFollowing(run.limits[resource]));
  if (concerned.length === 0)
    ports.recorder.record({ kind: 'limits', tool: tool.name, resource, before, after: to, by: 'adaptive', reason });
  for (const { run } of concerned) {
    // Somebody may have set it while the kernel was told of the run before.
    const wanted = run.alive ? adapted(run.limits) : null;
    if (wanted !== null) await setRunLimits(run, keptDegraded(tool, run, wanted), 'adaptive', ports);
  }
  return true;
}

/** Of runs whose start was under way while a limit of the tool followed usage, or was set by hand. */
export async function catchUp(tool: Tool, ports: SupervisorPorts): Promise<void> {
  for (const { run } of tool.runs.values()) {
    const held = tool.definition.limits;
    const wanted = keptDegraded(tool, run, withHeld(run.limits, held));
    const behind = RESOURCES.filter((resource) => wanted[resource]?.limit !== run.limits[resource]?.limit);
    if (behind.length === 0 || !run.alive) continue;
    const setBy = behind.map((resource) => setByHand(held, resource)).find((source) => source !== null);
    await setRunLimits(run, wanted, setBy?.detail ?? 'adaptive', ports);
  }
}

/** The same for a start, which goes on whatever the kernel says. Never rejects. */
export async function catchUpSafely(tool: Tool, ports: SupervisorPorts): Promise<void> {
  try {
    await catchUp(tool, ports);
  } catch (error) {
    ports.log.error({ tool: tool.name, err: error }, 'the kernel refused a limit that was changed during a start');
  }
}

/** Limits of a launch begin where those of its tool are by now: set by hand, or from usage. Its own flags stay. */
export function withHeld(launched: ResolvedLimits, held: ResolvedLimits): ResolvedLimits {
  const limits: Partial<Record<Resource, ResolvedLimit | null>> = {};
  const lifted: Partial<Record<Resource, Source>> = { ...launched.lifted };
  for (const resource of RESOURCES) {
    const [own, limit, by] = [launched[resource], held[resource], setByHand(held, resource)];
    if (by !== null && !isOfALaunch(own?.source ?? launched.lifted?.[resource])) {
      limits[resource] = limit === null ? null : setTo(own, limit, by);
      if (limit === null) lifted[resource] = by;
      else delete lifted[resource];
    } else if (limit?.source.from === 'adaptive' && isFollowing(own))
      limits[resource] = adaptedTo(own, limit.limit, limit.reason);
  }
  return Object.keys(limits).length === 0 ? launched : { ...launched, ...limits, lifted };
}

/** Given with a launch: for that run it is the last word. */
const OF_A_LAUNCH: ReadonlySet<Provenance> = new Set<Provenance>(['flag', 'environment']);

export function isOfALaunch(source: Source | undefined): boolean {
  return source !== undefined && OF_A_LAUNCH.has(source.from);
}

/** Stages, actions and bounds stay its own. */
function setTo(own: ResolvedLimit | null, { limit, ...held }: ResolvedLimit, by: Source): ResolvedLimit {
  if (own === null) return { limit, ...held };
  return byHand(own, limit, by);
}

/** The amount, within its own bounds; stages and actions stay its own. */
export function adaptedTo(
  before: ResolvedLimit & { readonly adaptive: AdaptiveBounds },
  to: number,
  reason?: string,
): ResolvedLimit {
  const { min, max } = before.adaptive;
  const within = Math.min(max, Math.max(min, to));
  const why = reason === undefined ? {} : { reason };
  return { ...amountOf(before, within), source: adaptedFrom(before.source), ...why };
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
  putOnRecord(run, ports);
  if (run.capsPending) {
    ports.log.info(
      { tool: run.tool, run: run.id },
      'usage is above a lowered limit: the ladder acts first, the kernel cap follows',
    );
    return;
  }
  run.outcomes = await run.init.containment.limits.apply(run.enforced);
}

/** A daemon that comes after this one takes it up with what it has. What the disk refuses holds here all the same. */
function putOnRecord(run: Run, ports: SupervisorPorts): void {
  // Not of a run that is over: an entry of it would come to life again.
  if (!run.alive || run.keepLimits === null || !ports.ledger.has(run.id)) return;
  try {
    run.keepLimits();
  } catch (error) {
    ports.log.error(
      { tool: run.tool, run: run.id, err: error },
      'the ledger cannot be written: after a restart of the daemon the run has its former limits',
    );
  }
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
  return byHand(before, value, source);
}

function byHand(before: ResolvedLimit, value: number, source: Source): ResolvedLimit {
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
