/** `classes:` of the file. */

import type { Problem } from '../lib/core/errors.ts';
import type { HostFacts } from './defaults.ts';
import { extendsProblems, resolveClasses } from './layers.ts';
import type { ClassDefinition, WrittenClass } from './layers.ts';
import { mapping, nameProblem } from './file-scope.ts';
import type { FileScope } from './file-scope.ts';
import { ClassSchema } from './schema.ts';

export interface FileClasses {
  readonly classes: ReadonlyMap<string, ClassDefinition>;
  /** Of every class that was written, also of those that are not valid. */
  readonly names: readonly string[];
  readonly problems: readonly Problem[];
}

export function readClasses(
  written: Readonly<Record<string, unknown>>,
  scope: FileScope,
  host: HostFacts,
): FileClasses {
  const { locate } = scope.document;
  const problems: Problem[] = [];
  const valid = new Map<string, WrittenClass>();
  const extendsOf = new Map<string, string | null>();
  for (const [name, entry] of Object.entries(written)) {
    const wrongName = nameProblem('class', ['classes', name], scope);
    if (wrongName !== null) problems.push(wrongName);
    const parent = mapping(entry)['extends'];
    extendsOf.set(name, typeof parent === 'string' && parent.trim() !== '' ? parent : null);
    const parsed = ClassSchema.safeParse(entry);
    if (!parsed.success) continue;
    const placeOf = (resource: string): string => scope.shortPlace(locate(['classes', name, resource], 'value'));
    valid.set(name, { fields: parsed.data, placeOf });
  }
  problems.push(...extendsProblems(extendsOf, (name) => locate(['classes', name, 'extends'], 'value')));
  return { classes: resolveClasses(valid, host), names: [...extendsOf.keys()], problems };
}
