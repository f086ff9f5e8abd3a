/** `tools:` of the file. */

import type { Problem } from '../lib/core/errors.ts';
import { parseToolName } from '../lib/core/names.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';
import { DEFAULT_CLASS } from './defaults.ts';
import { mapping, nameProblem } from './file-scope.ts';
import type { FileScope } from './file-scope.ts';
import { fileLayer, isBuiltIn, unknownClass } from './layers.ts';
import type { ClassDefinition } from './layers.ts';
import { environmentProblems, programProblem } from './program.ts';
import type { Layer } from './resolve.ts';
import { readRemote } from './file-remote.ts';
import { replaced } from './file-variables.ts';
import { salvagedTool } from './salvage.ts';
import { ToolSchema } from './schema.ts';
import type { ToolFields } from './schema.ts';
import { buildTool } from './tool.ts';
import type { DaemonDefaults } from './tool.ts';
import { quote } from './notation.ts';

export interface ToolContext {
  readonly classes: ReadonlyMap<string, ClassDefinition>;
  readonly classNames: readonly string[];
  readonly environment: Layer;
  readonly daemon: DaemonDefaults;
}

export interface FileTools {
  readonly tools: readonly ToolDefinition[];
  readonly entries: ReadonlyMap<string, { readonly fields: ToolFields; readonly layer: Layer }>;
  readonly problems: readonly Problem[];
}

export function readTools(
  written: Readonly<Record<string, unknown>>,
  scope: FileScope,
  context: ToolContext,
): FileTools {
  const { locate } = scope.document;
  const tools: ToolDefinition[] = [];
  const entries = new Map<string, { readonly fields: ToolFields; readonly layer: Layer }>();
  const problems: Problem[] = [];
  const lines = new Map<string, number>();
  for (const [rawName, raw] of Object.entries(written)) {
    const path = ['tools', rawName];
    const wrongName = nameProblem('tool', path, scope);
    if (wrongName !== null) problems.push(wrongName);
    const parsedName = parseToolName(rawName);
    const name = parsedName.ok ? parsedName.value : rawName;
    const first = lines.get(name);
    const where = locate(path, 'key');
    // Two spellings of one name; the same spelling twice was found while reading.
    if (first !== undefined)
      problems.push({ where, message: `tool ${quote(name)} is given twice`, hint: `it is on line ${first} already` });
    lines.set(name, where.line ?? 0);
    if (Object.hasOwn(mapping(raw), 'url')) {
      const remote = readRemote(name, path, raw, scope, context.daemon, context.environment);
      problems.push(...remote.problems);
      if (remote.tool !== null) tools.push(remote.tool);
      continue;
    }
    problems.push(...classProblems(path, mapping(raw)['class'], scope, context));
    const parsed = ToolSchema.safeParse(raw);
    if (!parsed.success) {
      problems.push(...otherProblems(name, path, raw, scope, context));
      continue;
    }
    const layer = fileLayer(path, parsed.data.limits ?? {}, scope);
    const built = readTool(name, path, parsed.data, layer, scope, context);
    problems.push(...built.problems);
    if (built.tool === null) continue;
    tools.push(built.tool);
    entries.set(name, { fields: parsed.data, layer });
  }
  return { tools, entries, problems };
}

/** Of an entry that the schema refuses: what it cannot see. */
function otherProblems(
  name: string,
  path: readonly string[],
  raw: unknown,
  scope: FileScope,
  context: ToolContext,
): readonly Problem[] {
  const { fields, isWhole } = salvagedTool(raw);
  if (!isWhole) return writtenProblems(path, fields, scope).problems;
  return readTool(name, path, fields, fileLayer(path, fields.limits ?? {}, scope), scope, context).problems;
}

function readTool(
  name: string,
  path: readonly string[],
  fields: ToolFields,
  layer: Layer,
  scope: FileScope,
  context: ToolContext,
): { readonly tool: ToolDefinition | null; readonly problems: readonly Problem[] } {
  const { problemAt, env, problems } = writtenProblems(path, fields, scope);
  const className = fields.class ?? DEFAULT_CLASS;
  const built = buildTool({
    name,
    origin: 'file',
    fields,
    env,
    cwd: scope.inFolder(fields.cwd ?? '.'),
    class: className,
    classes: context.classes,
    classNames: context.classNames,
    layers: [context.environment, layer, ...(context.classes.get(className)?.layers ?? [])],
    classCalls: context.classes.get(className)?.calls ?? {},
    daemon: context.daemon,
    problemAt,
  });
  if (!built.ok) return { tool: null, problems: [...problems, ...built.error] };
  return { tool: built.value, problems };
}

type ProblemAt = (below: readonly PropertyKey[], message: string, hint: string, at?: 'key' | 'value') => Problem;

/** What is wrong with the program and its surroundings, each by itself. */
function writtenProblems(
  path: readonly string[],
  fields: ToolFields,
  scope: FileScope,
): {
  readonly problemAt: ProblemAt;
  readonly env: Readonly<Record<string, string>>;
  readonly problems: readonly Problem[];
} {
  const problemAt: ProblemAt = (below, message, hint, at = 'value') => ({
    where: scope.document.locate([...path, ...below], at),
    message,
    hint,
  });
  const problems: Problem[] = [];
  const program = programProblem(fields);
  if (program !== null) problems.push(problemAt(['command'], program.message, program.hint));
  if (fields.cwd?.startsWith('~') === true) {
    problems.push(
      problemAt(
        ['cwd'],
        'cwd: "~" is not replaced',
        'write an absolute path, or one relative to the folder of this file',
      ),
    );
  }
  for (const { key, message, hint } of environmentProblems(fields.env ?? {}))
    problems.push(problemAt(['env', key], message, hint, 'key'));
  const env = replaced([...path, 'env'], fields.env ?? {}, scope);
  return { problemAt, env: env.values, problems: [...problems, ...env.problems] };
}

function classProblems(
  path: readonly string[],
  name: unknown,
  scope: FileScope,
  { classNames }: ToolContext,
): readonly Problem[] {
  if (typeof name !== 'string' || name.trim() === '' || isBuiltIn(name) || classNames.includes(name)) return [];
  return [{ where: scope.document.locate([...path, 'class'], 'value'), ...unknownClass('class', name, classNames) }];
}
