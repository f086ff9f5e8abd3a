/**
 * Where `governor run` comes in: the words of the launcher become a definition, the definition a run, and the launcher
 * hears what to do next. Every refusal is one line on the launcher's stderr and an exit code of the contract.
 */

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { GovernorError, formatProblem } from '../lib/core/errors.ts';
import type { Problem } from '../lib/core/errors.ts';
import { openFilesCap } from '../lib/core/limits.ts';
import { nameFromCommand } from '../lib/core/names.ts';
import { clientAncestors } from '../lib/process/client-watch.ts';
import type { ProcessFacts } from '../lib/process/facts.ts';
import {
  answerDie,
  answerGo,
  answerProblem,
  environmentText,
  needsEnvironmentFile,
  openFileChange,
} from '../lib/process/launcher-answer.ts';
import type { LaunchRequest } from '../lib/process/rendezvous.ts';
import { resolveCommand } from '../lib/process/resolve-command.ts';
import type { Assembled } from '../lib/supervisor/assembly.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';
import type { Log } from '../lib/supervisor/ports.ts';
import type { Registry } from '../lib/supervisor/registry.ts';
import { errorDocument } from './api/problems.ts';
import { parseRunArguments } from './cli/run-arguments.ts';
import type { RunArguments } from './cli/run-arguments.ts';
import { hasRunFlag } from './cli/run-flags.ts';

export interface LaunchDoorOptions {
  readonly registry: Registry;
  readonly config: () => Config;
  readonly facts: ProcessFacts;
  readonly log: Log;
  /** Private folder for environments that a shell could not pass on. */
  readonly directory: string;
}

export function createLaunchDoor(options: LaunchDoorOptions): (request: LaunchRequest) => void {
  return (request) => {
    serve(request, options).catch((error: unknown) => {
      options.log.info({ reason: describe(error), launcher: request.launcher.pid }, 'a launch was refused');
      request.answer(refusalLines(error, hasRunFlag(request.words, '--json')));
    });
  };
}

async function serve(request: LaunchRequest, { registry, config, facts, directory }: LaunchDoorOptions): Promise<void> {
  const parsed = parseRunArguments(request.words);
  if (!parsed.ok) throw refusal(parsed.error);
  const { flags, command } = parsed.value;
  const environment = variablesOf(request.environment);
  const [program = '', ...args] = command;
  resolveCommand(program, request.cwd, environment['PATH']);
  const definition = define(parsed.value, program, args, environment, request.cwd, config());
  await registry.launch(definition, {
    launcher: request.launcher,
    clients: flags.detach ? [] : clientAncestors(facts.lineage(request.launcher.pid)),
    detached: flags.detach,
    context: flags.context,
    cwd: request.cwd,
    go: (assembled) => request.answer(instructions(request, parsed.value, definition, assembled, facts, directory)),
  });
}

function define(
  { flags }: RunArguments,
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  cwd: string,
  config: Config,
): ToolDefinition {
  const body = {
    name: flags.name ?? nameFromCommand(command, args),
    command,
    args: [...args],
    cwd,
    ...(flags.class === null ? {} : { class: flags.class }),
    ...(flags.grace === null ? {} : { grace: flags.grace }),
    ...(flags.dryRun ? { dry_run: true } : {}),
    limits: { ...flags.limits },
  };
  const defined = config.define({ origin: 'run', body, environment });
  if (!defined.ok) throw refusal(defined.error);
  return defined.value;
}

function instructions(
  request: LaunchRequest,
  { commandIndex }: RunArguments,
  definition: ToolDefinition,
  { run, variables, prefix }: Assembled,
  facts: ProcessFacts,
  directory: string,
): readonly string[] {
  const limit = run.enforced.file_handles;
  let environmentFile: string | null = null;
  if (needsEnvironmentFile(request.environment)) {
    const file = join(directory, `environment-${run.id}`);
    // The launcher deletes it when it has read it, unless it dies before.
    run.init.scope.add('environment file', () => rmSync(file, { force: true }), 1_000);
    environmentFile = file;
    writeFileSync(environmentFile, environmentText(request.environment, variables), { mode: 0o600, flag: 'wx' });
  }
  return answerGo({
    // The launcher still has the word `run` in front.
    skip: commandIndex + 1,
    variables,
    openFiles: openFileChange(facts.openFileLimits(request.launcher.pid), limit === null ? null : openFilesCap(limit)),
    environmentFile,
    prefix,
    notices: run.init.notGoverned === null ? [] : [`${definition.name}: ${run.init.notGoverned}`],
  });
}

function variablesOf(environment: readonly string[]): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const entry of environment) {
    const at = entry.indexOf('=');
    if (at > 0) variables[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return variables;
}

function refusal(problems: readonly Problem[]): GovernorError {
  return new GovernorError('invalid_request', problems.map(formatProblem).join('; '), { problems });
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refusalLines(error: unknown, json: boolean): readonly string[] {
  return json
    ? answerProblem(exitCode(error), JSON.stringify(errorDocument(error)))
    : answerDie(exitCode(error), describe(error));
}

function exitCode(error: unknown): 125 | 126 | 127 {
  if (!(error instanceof GovernorError)) return 125;
  if (error.code === 'command_not_found') return 127;
  return error.code === 'command_not_executable' ? 126 : 125;
}
