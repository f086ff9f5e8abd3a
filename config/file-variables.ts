/** Values of the file in which variables of the environment are replaced, with the places of what is wrong. */

import type { Problem } from '../lib/core/errors.ts';
import type { FileScope } from './file-scope.ts';
import { interpolate } from './interpolate.ts';

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
