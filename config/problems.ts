/** From what the schema found to sentences with a place: one problem a mistake, sorted as in the file. */

import type { z } from 'zod';
import { isResource } from '../lib/core/resource.ts';
import { assertNever } from '../lib/core/result.ts';
import type { Problem, Where } from '../lib/core/errors.ts';
import type { IssueParams } from './fields.ts';
import { NOT_ENFORCED_VALUES } from './schema.ts';
import { nearest, suggestion } from './suggest.ts';
import { quote, word } from './notation.ts';

export type Path = readonly PropertyKey[];
type Issue = z.core.$ZodIssue;

/** Where the key or the value at a path was written; the nearest ancestor when the path itself was not. */
export type Locate = (path: Path, at: 'key' | 'value') => Where;

/**
 * @param input the value that was validated, for what a message shows of it
 * @param prefix path of `input` in the whole document
 */
export function problemsOf(issues: readonly Issue[], input: unknown, locate: Locate, prefix: Path = []): Problem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, input, locate, prefix, []));
}

/** By line, then column; those without a place last. The same problem at the same place (an alias) is given once. */
export function sorted(problems: readonly Problem[]): readonly Problem[] {
  const last = Number.MAX_SAFE_INTEGER;
  const unique = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
  return [...unique.values()].sort(
    (a, b) =>
      (a.where?.line ?? last) - (b.where?.line ?? last) || (a.where?.column ?? last) - (b.where?.column ?? last),
  );
}

/** RFC 6901. */
export function pointerOf(path: Path): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** Places in a JSON body. */
export const locateByPointer: Locate = (path) => ({ pointer: pointerOf(path) });

function problemsOfIssue(issue: Issue, input: unknown, locate: Locate, prefix: Path, above: Path): Problem[] {
  const path = [...above, ...issue.path];
  const full = [...prefix, ...path];
  const value = valueAt(input, path);
  const problem = (message: string, hint?: string, at: 'key' | 'value' = 'value'): Problem[] => [
    { where: locate(full, at), message, ...(hint === undefined ? {} : { hint }) },
  ];
  const label = labelOf(full);
  if (value === undefined && issue.code !== 'custom')
    return problem(`${quote(full.at(-1))} is missing`, missingHint(full), 'key');
  switch (issue.code) {
    case 'custom':
      return ofCustom(issue, full, value, problem);
    case 'invalid_union':
      return branchFor(full, value, issue.errors).flatMap((inner) =>
        problemsOfIssue(inner, input, locate, prefix, path),
      );
    case 'invalid_type':
      return problem(...wrongType(label, issue.expected, value));
    case 'invalid_value':
      return problem(...wrongValue(label, full, issue.values, value));
    case 'too_big':
      return problem(`${label}: has too many entries`, `at most ${issue.maximum}`);
    case 'unrecognized_keys':
    case 'invalid_key':
    case 'invalid_element':
    case 'too_small':
    case 'invalid_format':
    case 'not_multiple_of':
      // The schema has no such rules today; should one be added, its own message is at least true.
      return problem(`${label}: ${issue.message}`);
  }
  return assertNever(issue);
}

type Report = (message: string, hint?: string, at?: 'key' | 'value') => Problem[];

function ofCustom(issue: z.core.$ZodIssueCustom, path: Path, value: unknown, problem: Report): Problem[] {
  const params = issue.params as IssueParams | undefined;
  if (params === undefined) return problem(`${labelOf(path)}: ${issue.message}`);
  if (params.kind === 'value') {
    if (value === undefined && params.plain !== true)
      return problem(`${quote(path.at(-1))} is missing`, params.hint, 'key');
    return problem(params.plain === true ? issue.message : `${labelOf(path)}: ${issue.message}`, params.hint);
  }
  const key = String(path.at(-1));
  if (isEntry(path.slice(0, -1)) && (key === 'command' || key === 'url'))
    return problem('a tool has a command or a url, and this one has both', 'take one of them out', 'key');
  const reason = Object.hasOwn(params.notEnforced, key) ? params.notEnforced[key] : undefined;
  if (reason !== undefined) return problem(notEnforced(key), `${reason}; take it out`, 'key');
  // A limit right in a tool, as it is written in a class.
  const isMisplaced = params.known.includes('limits') && isResource(key);
  const hint = isMisplaced ? `write limits: { ${key}: … }` : suggestion(key, params.known, 'known keys');
  return problem(`${quote(key)} is not a known key${isMisplaced ? ' here' : ''}`, hint, 'key');
}

function notEnforced(name: string): string {
  return `${quote(name)} is not enforced by this version of Governor`;
}

/** Of a union only the branch for this kind of value has anything to say. */
function branchFor(path: Path, value: unknown, branches: readonly (readonly Issue[])[]): readonly Issue[] {
  const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (isEntry(path)) return (isMapping && Object.hasOwn(value, 'url') ? branches.at(-1) : branches[0]) ?? [];
  return (isMapping ? branches.at(-1) : branches[0]) ?? [];
}

function isEntry(path: Path): boolean {
  return path.length === 2 && path[0] === 'tools';
}

const KINDS: Readonly<Record<string, string>> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  string: 'text',
  boolean: 'true or false',
};

function wrongType(label: string, expected: string, value: unknown): [string, string] {
  const wanted = KINDS[expected] ?? expected;
  const start = label === '' ? '' : `${label}: `;
  if (value === null) return [`${start}has no value`, `write ${wanted}, or leave the key out`];
  const message = `${start}must be ${wanted}, not ${kindOf(value)}`;
  if (expected === 'string' && typeof value !== 'object') return [message, 'put it in quotes'];
  if (expected === 'array') return [message, 'write [one, two]'];
  if (expected === 'boolean') return [message, 'write true or false, without quotes'];
  return [message, expected === 'string' ? 'write text' : 'write key: value pairs'];
}

function wrongValue(label: string, path: Path, values: readonly unknown[], value: unknown): [string, string] {
  if (path.length === 1 && path[0] === 'version') {
    const shown = typeof value === 'object' ? kindOf(value) : quote(value);
    return [
      `version: ${shown} is not known`,
      value === '1' ? 'write version: 1, without quotes' : 'this build reads version: 1',
    ];
  }
  const known = values.map(String);
  if (typeof value !== 'string') {
    const start = label === '' ? '' : `${label}: `;
    if (value === null) return [`${start}has no value`, `possible: ${known.join(', ')}`];
    return [`${label}: must be one word, not ${kindOf(value)}`, `possible: ${known.join(', ')}`];
  }
  const reason = Object.hasOwn(NOT_ENFORCED_VALUES, value) ? NOT_ENFORCED_VALUES[value] : undefined;
  if (reason !== undefined) return [notEnforced(value), `${reason}; possible: ${known.join(', ')}`];
  const near = nearest(value, known);
  const where = path.includes('actions') ? `possible for ${String(path.at(-3))}` : 'possible';
  const hint = near === null ? `${where}: ${known.join(', ')}` : `did you mean ${quote(near)}?`;
  return [`${label}: ${quote(value)} is not possible here`, hint];
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (typeof value === 'string') return 'text';
  return typeof value === 'boolean' ? 'true or false' : 'a number';
}

const MISSING_HINTS: Readonly<Record<string, string>> = {
  version: 'write version: 1',
  command: 'the program to run, such as command: node',
  limit: 'such as limit: 512MiB',
  name: 'the name of the tool',
  limits: 'what to change, such as {"limits": {"memory": "512MiB"}}',
};

function missingHint(path: Path): string | undefined {
  return MISSING_HINTS[String(path.at(-1))];
}

/** What a message calls the place: its key, with the key above where that alone says little. */
export function labelOf(path: Path): string {
  const last = path.at(-1);
  if (last === undefined) return '';
  if (typeof last === 'number') return `${labelOf(path.slice(0, -1))}[${last}]`;
  const name = word(last);
  if (['limit', 'inodes', 'renew', 'cap', 'reason', 'min', 'max'].includes(name) && path.length > 1)
    return `${word(path.at(-2) ?? '')}.${name}`;
  return name;
}

function valueAt(input: unknown, path: Path): unknown {
  let value = input;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Readonly<Record<PropertyKey, unknown>>)[part];
  }
  return value;
}
