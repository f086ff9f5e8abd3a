/** Groups of contexts, around those of their runs: `context-…` below a top directory. v1 and v2 alike. */

import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';

import { removeIfEmpty } from './directory.ts';

/** An id may be of any length and have any characters. No id of a run looks like this. */
export function contextGroupName(context: string): string {
  return `context-${createHash('sha256').update(context).digest('hex').slice(0, 16)}`;
}

export function isContextGroup(directory: string): boolean {
  return /^context-[0-9a-f]{16}$/.test(basename(directory));
}

/** The top directory that the group of a run lies in. */
export function topOf(group: string): string {
  const parent = dirname(group);
  return isContextGroup(parent) ? dirname(parent) : parent;
}

/** Once its last run is gone, so is the group of a context. @param groups of runs */
export async function removeEmptyContexts(groups: Iterable<string>): Promise<void> {
  for (const parent of new Set([...groups].map((group) => dirname(group))))
    if (isContextGroup(parent)) await removeIfEmpty(parent);
}
