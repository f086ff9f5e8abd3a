/** What the readers of the parts of a file share. */

import type { Problem, Where } from '../lib/core/errors.ts';
import { parseToolName } from '../lib/core/names.ts';
import type { LocatedDocument } from './document.ts';
import { interpolate } from './interpolate.ts';
import type { Environment } from './interpolate.ts';

export interface FileScope {
  readonly document: LocatedDocument;
  readonly env: Environment;
  /** Absolute path of something that is relative to the folder of the file. */
  readonly inFolder: (path: string) => string;
  /** `limits.yaml:12:7`. */
  readonly shortPlace: (where: Where) => string;
}

/** The value where it is a mapping; whatever else it is was reported by the schema. */
export function mapping(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

/** Tools and classes follow one rule of names. */
export function nameProblem(what: 'tool' | 'class', path: readonly string[], { document }: FileScope): Problem | null {
  const parsed = parseToolName(path.at(-1) ?? '');
  if (parsed.ok) return null;
  return {
    where: document.locate(path, 'key'),
    message: `${what} name: ${parsed.error.replace('a tool name', `a ${what} name`)}`,
    hint: 'choose another name',
  };
}

/** Texts with their variables replaced, and what is wrong with those. */
export function replaced(
  path: readonly string[],
  written: Readonly<Record<string, string>>,
  { document, env: environment }: FileScope,
): { readonly values: Readonly<Record<string, string>>; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const values: Record<string, string> = {};
  for (const [key, source] of Object.entries(written)) {
    const { text, problems: found } = interpolate(source, environment);
    values[key] = text;
    for (const { written: token, occurrence, message, hint } of found) {
      problems.push({
        where: document.locateIn([...path, key], token, occurrence),
        message: `${key}: ${message}`,
        hint,
      });
    }
  }
  return { values, problems };
}
