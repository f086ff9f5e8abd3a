/** limits.yaml to a `Config`: everything that is wrong with it, or all of it. Never half. */

import { basename, dirname, resolve } from 'node:path';
import type { BudgetRules } from '../lib/core/budget.ts';
import type { Problem, Where } from '../lib/core/errors.ts';
import { NO_LIMITS } from '../lib/core/limits.ts';
import { err, ok } from '../lib/core/result.ts';
import type { Result } from '../lib/core/result.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';
import { DEFAULT_SAMPLE_INTERVAL_MS, daemonConfig } from './config.ts';
import type { Config } from './config.ts';
import type { DaemonFields } from './daemon-schema.ts';
import { createDefine } from './define.ts';
import { DEFAULT_LADDER } from './defaults.ts';
import type { HostFacts } from './defaults.ts';
import { readDocument } from './document.ts';
import type { LocatedDocument } from './document.ts';
import { hostFacts } from './host.ts';
import type { Environment } from './interpolate.ts';
import { environmentLayer, resolveClasses } from './layers.ts';
import type { ClassDefinition } from './layers.ts';
import { isLoopback, parseListen } from './listen.ts';
import type { ListenAddress } from './listen.ts';
import { problemsOf, sorted } from './problems.ts';
import { decode, readConfigFile } from './read-file.ts';
import type { Layer } from './resolve.ts';
import { ConfigSchema } from './schema.ts';
import type { ToolFields } from './schema.ts';
import { readDaemon } from './file-daemon.ts';
import { readClasses } from './file-classes.ts';
import { mapping } from './file-scope.ts';
import type { FileScope } from './file-scope.ts';
import { readSharedLimits } from './file-shared.ts';
import { readTools } from './file-tools.ts';

export interface LoadOptions {
  /** null: no file, everything is built in. */
  readonly path: string | null;
  /** What the file says, where it was read already. */
  readonly text?: string | Uint8Array;
  readonly host: HostFacts;
  /** For `${NAME}` in the file, `GOVERNOR_LIMIT_*` and `GOVERNOR_LISTEN`. */
  readonly env: Environment;
  /** `--listen`, stronger than the environment and the file. */
  readonly listen?: string | null;
}

export function loadConfig(options: LoadOptions): Result<Config, readonly Problem[]> {
  const { path } = options;
  if (path === null) return assemble(options, null);
  const bytes = contents(path, options.text);
  if (!bytes.ok) return err([bytes.error]);
  const text = decode(bytes.value, path);
  if (!text.ok) return err([text.error]);
  const document = readDocument(text.value, path);
  return document.ok ? assemble(options, document.value) : document;
}

/** `governor config check FILE`: with this host and this environment. */
export function checkConfigFile(path: string, env: Environment = process.env): Result<Config, readonly Problem[]> {
  return loadConfig({ path, host: hostFacts(), env });
}

function contents(path: string, text: string | Uint8Array | undefined): Result<Uint8Array, Problem> {
  if (text === undefined) return readConfigFile(path);
  return ok(typeof text === 'string' ? Buffer.from(text) : text);
}

interface Parts {
  readonly daemon: DaemonFields | undefined;
  readonly classes: ReadonlyMap<string, ClassDefinition>;
  readonly tools: readonly ToolDefinition[];
  readonly entries: ReadonlyMap<string, { readonly fields: ToolFields; readonly layer: Layer }>;
  readonly shared: Pick<BudgetRules, 'host' | 'contexts'>;
  readonly problems: readonly Problem[];
}

function assemble(options: LoadOptions, document: LocatedDocument | null): Result<Config, readonly Problem[]> {
  const { path, host, env } = options;
  const environment = environmentLayer(env);
  const inFolder = (relative: string): string => resolve(path === null ? '.' : dirname(path), relative);
  const parts = document === null ? nothing(host) : readParts(options, document, environment.layer, inFolder);
  const listen = overriddenListen(options);
  const problems = [...parts.problems, ...environment.problems, ...(listen.ok ? [] : [listen.error])];
  if (!listen.ok) return err(sorted(problems));
  const daemon = daemonConfig(parts.daemon, listen.value, inFolder);
  for (const key of ['api', 'mcp'] as const) {
    if (daemon.auth[key] !== 'none' || isLoopback(daemon.listen.host)) continue;
    problems.push({
      ...(document === null ? {} : { where: document.locate(['daemon', 'auth', key], 'value') }),
      message: `${key}: none is only possible on a loopback address, and listen is ${daemon.listen.host}`,
      hint: `write ${key}: token, or listen on 127.0.0.1`,
    });
  }
  if (problems.length > 0) return err(sorted(problems));
  const { classes, tools, entries } = parts;
  const define = createDefine({
    classes,
    entries,
    environment: environment.layer,
    daemon: { ...daemon, cacheOff: daemon.cache === null },
  });
  const budgets = { ...parts.shared, ladder: DEFAULT_LADDER, dryRun: daemon.dryRun };
  return ok({ file: path, daemon, classes, tools, budgets, define });
}

function nothing(host: HostFacts): Parts {
  const shared = { host: NO_LIMITS, contexts: [] };
  const classes = resolveClasses(new Map(), host);
  return { daemon: undefined, classes, tools: [], entries: new Map(), shared, problems: [] };
}

function readParts(
  { path, host, env }: LoadOptions,
  document: LocatedDocument,
  environment: Layer,
  inFolder: (path: string) => string,
): Parts {
  const { value, locate } = document;
  const whole = ConfigSchema.safeParse(value);
  const problems = [...document.problems];
  if (!whole.success) problems.push(...problemsOf(whole.error.issues, value, locate));
  const shortPlace = (where: Where): string => [basename(path ?? ''), where.line, where.column].join(':');
  const scope: FileScope = { document, env, inFolder, shortPlace };
  const root = mapping(value);
  // Each part by itself as well, so that a mistake in one does not hide those that only show once a part is valid.
  const daemon = readDaemon(root['daemon'], scope);
  const classes = readClasses(mapping(root['classes']), scope, host);
  const shared = readSharedLimits(root, scope);
  const tools = readTools(mapping(root['tools']), scope, {
    classes: classes.classes,
    classNames: classes.names,
    environment,
    daemon: {
      dryRun: daemon.fields?.dry_run === true,
      calls: daemon.fields?.calls ?? {},
      leaks: daemon.fields?.leaks ?? {},
      sampleIntervalMs: daemon.fields?.sample_interval ?? DEFAULT_SAMPLE_INTERVAL_MS,
      cacheOff: daemon.fields?.cache === 'off',
    },
  });
  return {
    daemon: daemon.fields,
    classes: classes.classes,
    tools: tools.tools,
    entries: tools.entries,
    shared: shared.limits,
    problems: [...problems, ...daemon.problems, ...shared.problems, ...classes.problems, ...tools.problems],
  };
}

function overriddenListen({ listen, env }: LoadOptions): Result<ListenAddress | null, Problem> {
  const variable = env['GOVERNOR_LISTEN'];
  const [name, raw] = listen !== undefined && listen !== null ? ['--listen', listen] : ['GOVERNOR_LISTEN', variable];
  if (raw === undefined || raw === '') return ok(null);
  const parsed = parseListen(raw);
  return parsed.ok ? parsed : err({ message: `${name}: ${parsed.error.message}`, hint: parsed.error.hint });
}
