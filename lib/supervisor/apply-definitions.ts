/** Applies a new configuration to the live tools: what is new comes, what is gone goes, changed limits hold at once. */

import { isSame } from '../core/degraded.ts';
import { formatAmount } from '../core/format.ts';
import type { ResolvedLimit, ResolvedLimits, Source } from '../core/limits.ts';
import { NO_LIMITS } from '../core/limits.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES } from '../core/resource.ts';
import type { ReloadOutcome, ToolDefinition } from './governor.ts';
import {
  adaptedFrom,
  adaptedTo,
  changesBacking,
  forLiveRun,
  isFollowing,
  isOfALaunch,
  setRunLimits,
} from './change-limits.ts';
import type { SupervisorPorts } from './ports.ts';
import { keptDegraded } from './kept-degraded.ts';
import type { Tool } from './tool.ts';

export interface LoadedDefinitions {
  readonly definitions: readonly ToolDefinition[];
  /** What else the file says, and when that takes effect. */
  readonly notes: readonly string[];
}

export interface Applicable {
  readonly live: ReadonlyMap<string, Tool>;
  add(definition: ToolDefinition): Tool;
}

export async function applyDefinitions(
  registry: Applicable,
  { definitions, notes }: LoadedDefinitions,
  ports: SupervisorPorts,
): Promise<ReloadOutcome> {
  const wanted = new Map(definitions.map((definition) => [definition.name, definition]));
  const outcome = { changed: [] as string[], added: [] as string[], removed: [] as string[], notes: [...notes] };
  for (const tool of registry.live.values()) {
    if (tool.definition.origin !== 'file' || wanted.has(tool.name)) continue;
    outcome.removed.push(tool.name);
    await tool.unregister();
  }
  for (const definition of wanted.values()) {
    const tool = registry.live.get(definition.name);
    if (tool === undefined) {
      outcome.added.push(definition.name);
      start(registry.add(definition), ports);
    } else if (tool.definition.origin !== 'file') {
      outcome.notes.push(
        `${definition.name}: a tool of this name is registered by ${tool.definition.origin}; the entry of the file is left out until that is gone`,
      );
    } else if (await change(tool, definition, outcome.notes, ports)) {
      outcome.changed.push(definition.name);
    }
  }
  ports.recorder.record({ kind: 'daemon', event: 'config_reload', detail: outcome });
  return outcome;
}

async function change(
  tool: Tool,
  definition: ToolDefinition,
  notes: string[],
  ports: SupervisorPorts,
): Promise<boolean> {
  const before = tool.written;
  const newLimits = (held: ResolvedLimits): ResolvedLimits => reloaded(held, before.limits, definition.limits);
  notes.push(...replacedByHand(tool.name, tool.definition.limits, before.limits, definition.limits));
  tool.written = definition;
  tool.definition = { ...definition, limits: newLimits(tool.definition.limits) };
  if (same(before, definition)) {
    // At most the lines have moved.
    for (const { run } of tool.runs.values()) run.limits = forLiveRun(run.limits, newLimits(run.limits));
    return false;
  }
  if (!isSame(lessOf(before), lessOf(definition))) tool.recovery.course.rewritten();
  for (const { run } of tool.runs.values())
    await setRunLimits(run, keptDegraded(tool, run, newLimits(run.limits)), 'config reload', ports);
  if ([...tool.runs.values()].some(({ run }) => changesBacking(run.limits, definition.limits))) {
    notes.push(
      `${tool.name}: temp_storage moves to its new backing with its next start (governor restart ${tool.name})`,
    );
  }
  const server = ({ command, args, env, cwd, remote, sharing }: ToolDefinition): string =>
    JSON.stringify([command, args, env, cwd, remote, sharing]);
  const manner = (d: ToolDefinition): string =>
    JSON.stringify([d.readiness, d.ladder, d.graceMs, d.dryRun, d.idleTimeoutMs, d.healthCheckMs, d.leaks]);
  const isServed = definition.readiness === 'mcp';
  const isOther = server(before) !== server(definition);
  // What was held against the one that it was before is nothing against this one.
  if (isOther) tool.recovery.course.reset('program');
  if (tool.runs.size > 0 && isOther && isServed)
    notes.push(`${tool.name}: what runs now gets no new request, and goes when none is open with it`);
  if (tool.runs.size > 0 && ((isOther && !isServed) || manner(before) !== manner(definition))) {
    notes.push(
      `${tool.name}: limits hold now; what else changed holds from its next start (governor restart ${tool.name})`,
    );
  }
  return true;
}

function lessOf({ recovery }: ToolDefinition): ResolvedLimits {
  return recovery.degraded?.limits ?? NO_LIMITS;
}

/** What a run or tool is held to after a reload: a limit that the file changes is the newer word, except for a flag's. */
function reloaded(held: ResolvedLimits, before: ResolvedLimits, next: ResolvedLimits): ResolvedLimits {
  const limits: Partial<Record<Resource, ResolvedLimit | null>> = {};
  const lifted: Partial<Record<Resource, Source>> = {};
  for (const resource of RESOURCES) {
    const limit = reloadedLimit(held[resource], before[resource], next[resource]);
    limits[resource] = limit;
    // Where the file lifts it too, that is who does.
    const by =
      limit !== null
        ? undefined
        : ((next[resource] === null ? next.lifted?.[resource] : undefined) ?? held.lifted?.[resource]);
    if (by !== undefined) lifted[resource] = by;
  }
  return { ...held, ...limits, lifted };
}

function reloadedLimit(
  held: ResolvedLimit | null,
  before: ResolvedLimit | null,
  next: ResolvedLimit | null,
): ResolvedLimit | null {
  // Given with a launch, and not from where the file's own limit comes.
  if (held !== null && isOfALaunch(held.source) && next?.source.from !== held.source.from) return held;
  // Where it began is not where it is: what it needs was learnt, and holds within the new bounds.
  if (held?.source.from === 'adaptive' && before?.adaptive !== undefined && isFollowing(next))
    return { ...adaptedTo(next, held.limit, held.reason), source: adaptedFrom(next.source) };
  const isChanged = !sameAmount(before, next);
  const isPinned = held?.adaptive?.stoppedBy !== undefined && next?.adaptive !== undefined;
  if (isChanged || (sameAmount(held, next) && !isPinned)) return next;
  if (held === null || next === null) return held;
  const { from } = held.source;
  if (from === 'adaptive') return next;
  if (from !== 'api') return held;
  // Only the amount was set: stages, actions and bounds are the file's. A person's word stands until the file's changes.
  const { inodes: _inodes, reason: _reason, adaptive, ...stages } = next;
  const inodes = held.inodes === undefined ? {} : { inodes: held.inodes };
  const stopped = adaptive === undefined ? {} : { adaptive: { ...adaptive, stoppedBy: held.source.detail } };
  return { ...stages, ...stopped, limit: held.limit, source: held.source, ...inodes };
}

/** Limits that were set by hand and do not hold any more because the file says something else from now on. */
function replacedByHand(
  name: string,
  held: ResolvedLimits,
  before: ResolvedLimits,
  next: ResolvedLimits,
): readonly string[] {
  return RESOURCES.flatMap((resource) => {
    const [was, set, now] = [before[resource], held[resource], next[resource]];
    const isByHand = set === null ? was !== null : set.source.from === 'api';
    if (!isByHand || sameAmount(was, now) || sameAmount(set, now)) return [];
    const text = (limit: ResolvedLimit | null): string =>
      limit === null ? 'none' : formatAmount(resource, limit.limit);
    return `${name}: ${resource} is ${text(now)} from now on (${now?.source.detail ?? 'no limit is written'}); it was set to ${text(set)} by hand`;
  });
}

function sameAmount(a: ResolvedLimit | null, b: ResolvedLimit | null): boolean {
  return a?.limit === b?.limit && a?.inodes === b?.inodes;
}

/** But for the place in the file. */
function same(a: unknown, b: unknown): boolean {
  const text = (value: unknown): string =>
    JSON.stringify(value, (key, part: unknown) =>
      key === 'source' ? (part as Source).from : key === 'lifted' ? undefined : part,
    );
  return text(a) === text(b);
}

function start(tool: Tool, ports: SupervisorPorts): void {
  if (!tool.definition.autostart) return;
  tool.activate(null).catch((error: unknown) => ports.log.warn({ tool: tool.name, err: error }, 'did not start'));
}
