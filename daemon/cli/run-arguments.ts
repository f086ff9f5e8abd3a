/**
 * The words after `governor run`: Governor's own flags, an optional `--`, then the command, which passes untouched. The
 * shell launcher hands them to the daemon as they are; the daemon and the command line read them with this one parser.
 * Flags end at `--` or at the first word that is neither a flag nor a flag's value, so a tool's own `--json` stays its own.
 */

import { LIMIT_PARSERS } from '../../config/limit-parsers.ts';
import { quote } from '../../config/notation.ts';
import { nearest } from '../../config/suggest.ts';
import { parseDuration } from '../../config/units.ts';
import type { Problem } from '../../lib/core/errors.ts';
import { parseToolName } from '../../lib/core/names.ts';
import type { Resource } from '../../lib/core/resource.ts';
import { err, ok, type Result } from '../../lib/core/result.ts';
import { RUN_FLAGS, type RunFlagName } from './run-flags.ts';

export interface RunFlags {
  /** As written and already checked, in the form that limits.yaml takes: `256MiB`, `50%`, `30s`. */
  readonly limits: Readonly<Partial<Record<Resource, string>>>;
  readonly name: string | null;
  readonly class: string | null;
  readonly context: string | null;
  /** A duration as written and already checked. */
  readonly grace: string | null;
  readonly detach: boolean;
  readonly dryRun: boolean;
  /** Where the daemon is; only the launcher uses these. */
  readonly stateDir: string | null;
  readonly config: string | null;
  readonly listen: string | null;
  readonly json: boolean;
}

export interface RunArguments {
  readonly flags: RunFlags;
  /** At least one word. */
  readonly command: readonly string[];
  /** How many of the words come before the command. */
  readonly commandIndex: number;
}

/** @param words what follows `run`; never empty strings dropped or words rejoined */
export function parseRunArguments(words: readonly string[]): Result<RunArguments, readonly Problem[]> {
  const given = new Map<RunFlagName, string>();
  const problems: Problem[] = [];
  let index = 0;
  while (index < words.length) {
    const word = words[index] ?? '';
    if (word === '--') {
      index += 1;
      break;
    }
    if (!word.startsWith('-') || word === '-') break;
    index += takeFlag(word, words[index + 1], given, problems);
  }
  const command = words.slice(index);
  for (const [flag, value] of given) {
    const problem = checkValue(flag, value);
    if (problem !== null) problems.push(problem);
  }
  if (problems.length === 0 && (command[0] ?? '') === '') {
    problems.push({
      message: 'there is no command to run',
      hint: 'write: governor run [flags] -- COMMAND [ARGUMENTS]',
    });
  }
  if (problems.length > 0) return err(problems);
  return ok({ flags: toFlags(given), command, commandIndex: index });
}

/** @returns how many words were used */
function takeFlag(word: string, next: string | undefined, given: Map<RunFlagName, string>, problems: Problem[]): 1 | 2 {
  const equals = word.indexOf('=');
  const name = equals === -1 ? word : word.slice(0, equals);
  const flag = RUN_FLAGS.find((candidate) => candidate.flag === name);
  if (flag === undefined) {
    problems.push(unknownFlag(name));
    return 1;
  }
  if (flag.value === null) {
    if (equals !== -1)
      problems.push({ where: { pointer: name }, message: 'this flag takes no value', hint: `write ${name}` });
    given.set(flag.flag, '');
    return 1;
  }
  const value = equals === -1 ? next : word.slice(equals + 1);
  if (value === undefined || value === '--' || value === '') {
    problems.push({ where: { pointer: name }, message: 'a value is missing', hint: `write ${name} ${flag.value}` });
    return 1;
  }
  // One name, two spellings: the last one given counts.
  given.set(flag.flag === '--tool' ? '--name' : flag.flag, value);
  return equals === -1 ? 2 : 1;
}

function unknownFlag(name: string): Problem {
  const near = nearest(
    name,
    RUN_FLAGS.map(({ flag }) => flag),
  );
  const meant = near === null ? '' : `did you mean ${near}? `;
  return {
    where: { pointer: name },
    message: 'governor run has no such flag',
    hint: `${meant}a flag of the tool goes after the command`,
  };
}

function checkValue(flag: RunFlagName, value: string): Problem | null {
  const checked = CHECKS[flag]?.(value) ?? ok(value);
  return checked.ok ? null : { where: { pointer: flag }, ...checked.error };
}

type Check = (value: string) => Result<unknown, { readonly message: string; readonly hint?: string }>;

/** Paths, addresses and class names are judged where they are used. */
const CHECKS: Readonly<Partial<Record<RunFlagName, Check>>> = {
  '--memory': LIMIT_PARSERS.memory,
  '--cpu': LIMIT_PARSERS.cpu,
  '--file-handles': LIMIT_PARSERS.file_handles,
  '--sockets': LIMIT_PARSERS.sockets,
  '--runtime': LIMIT_PARSERS.runtime,
  '--temp-storage': LIMIT_PARSERS.temp_storage,
  '--tasks': LIMIT_PARSERS.tasks,
  '--grace': parseDuration,
  '--name': checkName,
  '--context': checkContext,
};

function checkName(value: string): ReturnType<Check> {
  const name = parseToolName(value);
  return name.ok ? name : err({ message: name.error });
}

const CONTEXT = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]{1,256}$/u;

function checkContext(value: string): ReturnType<Check> {
  return CONTEXT.test(value)
    ? ok(value)
    : err({ message: `${quote(value)} cannot name a context`, hint: '1 to 256 characters, no control characters' });
}

function toFlags(given: ReadonlyMap<RunFlagName, string>): RunFlags {
  const limits: Partial<Record<Resource, string>> = {};
  for (const [resource, flag] of LIMIT_FLAGS) {
    const value = given.get(flag);
    if (value !== undefined) limits[resource] = value;
  }
  return {
    limits,
    name: given.get('--name') ?? null,
    class: given.get('--class') ?? null,
    context: given.get('--context') ?? null,
    grace: given.get('--grace') ?? null,
    detach: given.has('--detach'),
    dryRun: given.has('--dry-run'),
    stateDir: given.get('--state-dir') ?? null,
    config: given.get('--config') ?? null,
    listen: given.get('--listen') ?? null,
    json: given.has('--json'),
  };
}

const LIMIT_FLAGS: readonly (readonly [Resource, RunFlagName])[] = [
  ['memory', '--memory'],
  ['cpu', '--cpu'],
  ['file_handles', '--file-handles'],
  ['sockets', '--sockets'],
  ['runtime', '--runtime'],
  ['temp_storage', '--temp-storage'],
  ['tasks', '--tasks'],
];
