/** Applies a new configuration to the live tools: what is new comes, what is gone goes, changed limits hold at once. */

import type { Provenance, ResolvedLimits, Source } from '../core/limits.ts';
import { RESOURCES } from '../core/resource.ts';
import type { ReloadOutcome, ToolDefinition } from './governor.ts';
import { changesBacking, setRunLimits } from './change-limits.ts';
import type { SupervisorPorts } from './ports.ts';
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
  tool.written = definition;
  tool.definition = { ...definition, limits: newLimits(tool.definition.limits) };
  if (same(before, definition)) {
    // At most the lines have moved.
    for (const { run } of tool.runs.values()) run.limits = newLimits(run.limits);
    return false;
  }
  for (const { run } of tool.runs.values()) await setRunLimits(run, newLimits(run.limits), 'config reload', ports);
  if ([...tool.runs.values()].some(({ run }) => changesBacking(run.limits, definition.limits))) {
    notes.push(
      `${tool.name}: temp_storage moves to its new backing with its next start (governor restart ${tool.name})`,
    );
  }
  const server = ({ command, args, env, cwd, remote, sharing }: ToolDefinition): string =>
    JSON.stringify([command, args, env, cwd, remote, sharing]);
  const manner = (d: ToolDefinition): string =>
    JSON.stringify([d.readiness, d.ladder, d.graceMs, d.dryRun, d.idleTimeoutMs, d.healthCheckMs]);
  const isServed = definition.readiness === 'mcp';
  const isOther = server(before) !== server(definition);
  if (tool.runs.size > 0 && isOther && isServed)
    notes.push(`${tool.name}: what runs now gets no new request, and goes when none is open with it`);
  if (tool.runs.size > 0 && ((isOther && !isServed) || manner(before) !== manner(definition))) {
    notes.push(
      `${tool.name}: limits hold now; what else changed holds from its next start (governor restart ${tool.name})`,
    );
  }
  return true;
}

/** Stronger than the file: set by hand, given as a flag, or in the environment of whoever started the run. */
const STRONGER: ReadonlySet<Provenance> = new Set<Provenance>(['api', 'flag', 'environment']);

/** What a run or tool is held to after a reload. Where the file says the same as before, a limit lifted by hand stays lifted. */
function reloaded(held: ResolvedLimits, before: ResolvedLimits, next: ResolvedLimits): ResolvedLimits {
  const limits = { ...held };
  for (const resource of RESOURCES) {
    const now = held[resource];
    if (now !== null && STRONGER.has(now.source.from) && next[resource]?.source.from !== now.source.from) continue;
    if (same(before[resource], next[resource]) && !same(now, next[resource])) continue;
    limits[resource] = next[resource];
  }
  return limits;
}

/** But for the place in the file. */
function same(a: unknown, b: unknown): boolean {
  const text = (value: unknown): string =>
    JSON.stringify(value, (key, part: unknown) => (key === 'source' ? (part as Source).from : part));
  return text(a) === text(b);
}

function start(tool: Tool, ports: SupervisorPorts): void {
  if (!tool.definition.autostart) return;
  tool.activate(null).catch((error: unknown) => ports.log.warn({ tool: tool.name, err: error }, 'did not start'));
}
