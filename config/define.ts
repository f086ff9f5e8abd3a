/** Tools that are not in the file: from a REST body, or from the flags of `governor run`. */

import { isAbsolute } from 'node:path';
import type { z } from 'zod';
import type { Problem } from '../lib/core/errors.ts';
import { parseToolName } from '../lib/core/names.ts';
import { RESOURCES } from '../lib/core/resource.ts';
import { err, ok } from '../lib/core/result.ts';
import type { Result } from '../lib/core/result.ts';
import type { LimitPatch, ToolDefinition } from '../lib/supervisor/governor.ts';
import { DEFAULT_CLASS } from './defaults.ts';
import type { Environment } from './interpolate.ts';
import { environmentLayer, unknownClass, writtenLayer } from './layers.ts';
import type { ClassDefinition } from './layers.ts';
import { ToolPatchSchema } from './limit-schema.ts';
import { pointerOf, problemsOf } from './problems.ts';
import type { Locate, Path } from './problems.ts';
import type { Layer } from './resolve.ts';
import { RunBodySchema, ToolBodySchema } from './schema.ts';
import type { ToolFields } from './schema.ts';
import { environmentProblems, programProblem } from './program.ts';
import { buildTool } from './tool.ts';
import type { DaemonDefaults } from './tool.ts';

export type DefineInput =
  /** `body` as in `POST /v1/tools`. */
  | { readonly origin: 'api'; readonly body: unknown }
  /**
   * `body`: name, command, args, cwd, class, limits, grace, dry_run in the notation of the file. `environment` is that
   * of the client, where its `GOVERNOR_LIMIT_*` are to count instead of the daemon's.
   */
  | { readonly origin: 'run'; readonly body: unknown; readonly environment?: Environment };

export type Define = (input: DefineInput) => Result<ToolDefinition, readonly Problem[]>;

/** What of a configuration later definitions stand on. */
export interface DefineContext {
  readonly classes: ReadonlyMap<string, ClassDefinition>;
  readonly environment: Layer;
  readonly daemon: DaemonDefaults;
  /** Entries of the file: what `governor run --name NAME` inherits. */
  readonly entries: ReadonlyMap<string, { readonly fields: ToolFields; readonly layer: Layer }>;
}

export function createDefine(context: DefineContext): Define {
  return (input) =>
    input.origin === 'api' ? defineApi(context, input.body) : defineRun(context, input.body, input.environment);
}

/** `{"memory": "512MiB", "runtime": null}` in the notation of the file → units of each resource; null lifts a limit. */
export function parseLimitPatch(limits: unknown): Result<LimitPatch, readonly Problem[]> {
  // Judged with its key, which may be missing.
  const whole = parse(ToolPatchSchema, limits === undefined ? {} : { limits }, (path) => ({
    pointer: pointerOf(path),
  }));
  if (!whole.ok) return whole;
  const { limits: given } = whole.value;
  const patch: Partial<Record<keyof LimitPatch, number | null>> = {};
  for (const resource of RESOURCES) {
    const value = given[resource];
    if (value !== undefined) patch[resource] = value;
  }
  if (Object.keys(patch).length > 0) return ok(patch);
  return err([
    {
      where: { pointer: '/limits' },
      message: 'no limit is given',
      hint: `name at least one of ${RESOURCES.join(', ')}`,
    },
  ]);
}

function defineApi(context: DefineContext, body: unknown): Result<ToolDefinition, readonly Problem[]> {
  const locate: Locate = (path) => ({ pointer: pointerOf(path) });
  const parsed = parse(ToolBodySchema, body, locate);
  if (!parsed.ok) return parsed;
  const { name, ...fields } = parsed.value;
  const api = writtenLayer(fields.limits ?? {}, () => ({ from: 'api', detail: 'POST /v1/tools' }));
  return finish(context, { name, fields, origin: 'api', layers: [api, context.environment], locate });
}

function defineRun(
  context: DefineContext,
  body: unknown,
  environment?: Environment,
): Result<ToolDefinition, readonly Problem[]> {
  const parsed = parse(RunBodySchema, body, locateFlag);
  if (!parsed.ok) return parsed;
  const { name, class: className, grace, dry_run: dryRun, ...own } = parsed.value;
  const fromEnvironment =
    environment === undefined ? { layer: context.environment, problems: [] } : environmentLayer(environment);
  if (fromEnvironment.problems.length > 0) return err(fromEnvironment.problems);
  const entry = context.entries.get(name);
  // What belongs to a process of the daemon (command, env, cwd, recovery) is not inherited by a run of someone else.
  const { env: _env, cwd: _cwd, recovery: _recovery, ...inherited } = entry?.fields ?? { command: own.command };
  const fields: ToolFields = {
    ...inherited,
    command: own.command,
    args: own.args,
    cwd: own.cwd,
    class: className ?? inherited.class,
    grace: grace ?? inherited.grace,
    dry_run: dryRun ?? inherited.dry_run,
  };
  const flags = writtenLayer(own.limits ?? {}, (resource) => ({ from: 'flag', detail: flagOf(resource) }));
  const layers = [flags, fromEnvironment.layer, entry?.layer ?? {}];
  return finish(context, { name, fields, origin: 'run', layers, locate: locateFlag });
}

interface Draft {
  readonly name: string;
  readonly fields: ToolFields;
  readonly origin: 'api' | 'run';
  readonly layers: readonly Layer[];
  readonly locate: Locate;
}

function finish(
  context: DefineContext,
  { name: rawName, fields, origin, layers, locate }: Draft,
): Result<ToolDefinition, readonly Problem[]> {
  const problems: Problem[] = [];
  const problemAt = (path: Path, message: string, hint: string): Problem => place(locate, path, message, hint);
  const name = parseToolName(rawName);
  if (!name.ok) problems.push(problemAt(['name'], `name: ${name.error}`, 'choose another name'));
  const className = fields.class ?? DEFAULT_CLASS;
  const found = context.classes.get(className);
  if (found === undefined) {
    const { message, hint } = unknownClass('class', className, [...context.classes.keys()]);
    problems.push(problemAt(['class'], message, hint));
  }
  if (origin === 'api') {
    if (fields.cwd !== undefined && !isAbsolute(fields.cwd)) {
      problems.push(problemAt(['cwd'], 'cwd: must be an absolute path', 'such as /srv/tool'));
    }
    const program = programProblem(fields);
    if (program !== null) problems.push(problemAt(['command'], program.message, program.hint));
    for (const { key, message, hint } of environmentProblems(fields.env ?? {}))
      problems.push(problemAt(['env', key], message, hint));
  }
  if (!name.ok || found === undefined || problems.length > 0) return err(problems);
  return buildTool({
    name: name.value,
    origin,
    fields,
    env: fields.env ?? {},
    cwd: fields.cwd ?? null,
    class: className,
    classes: context.classes,
    classNames: [...context.classes.keys()],
    layers: [...layers, ...found.layers],
    classCalls: found.calls,
    daemon: context.daemon,
    problemAt,
  });
}

function parse<S extends z.ZodType>(schema: S, input: unknown, locate: Locate): Result<z.infer<S>, readonly Problem[]> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return ok(parsed.data);
  return err(problemsOf(parsed.error.issues, input, locate).map((problem) => withFlag(problem)));
}

/** On the command line a place is a flag. The pointer is only carried as far as `withFlag`. */
const locateFlag: Locate = (path) => ({ pointer: `--${pointerOf(path)}` });

function place(locate: Locate, path: Path, message: string, hint: string): Problem {
  return withFlag({ where: locate(path, 'value'), message, hint });
}

function withFlag(problem: Problem): Problem {
  const pointer = problem.where?.pointer;
  if (pointer === undefined || !pointer.startsWith('--')) return problem;
  const [first = '', second] = pointer.slice(3).split('/');
  const flag = flagOf(first === 'limits' && second !== undefined ? second : first);
  const { where: _where, ...rest } = problem;
  const message = rest.message.replace(/^[a-z_]+(\.limit)?: /, '');
  return { ...rest, message: `${flag}: ${message}` };
}

function flagOf(key: string): string {
  return `--${key.replaceAll('_', '-')}`;
}
