/** Several servers described as one. Pure. */

import type { Fields } from '../wire/message.ts';
import { isFields } from '../wire/shape.ts';

/** The union: what any of them has, deeply; where two say different things, true, then the earlier one. */
export function union(one: Fields, other: Fields): Fields {
  const merged: Record<string, unknown> = { ...one };
  for (const [key, value] of Object.entries(other)) {
    const known = merged[key];
    if (known === undefined || known === false) merged[key] = value;
    else if (isFields(known) && isFields(value)) merged[key] = union(known, value);
  }
  return merged;
}

/**
 * Of the merged view itself: servers come and go, so its lists change; Governor itself sends log lines and keeps subscriptions.
 * @param isWhole false: some server could not be asked yet, and may have any of these
 */
export function viewCapabilities(all: readonly Fields[], isWhole: boolean): Fields {
  const found = all.reduce(union, {});
  const own: Record<string, Fields> = { tools: { listChanged: true }, logging: {} };
  const has = (name: string): boolean => !isWhole || found[name] !== undefined;
  if (has('prompts')) own['prompts'] = { listChanged: true };
  if (has('resources')) own['resources'] = isWhole ? { listChanged: true } : { listChanged: true, subscribe: true };
  if (has('completions')) own['completions'] = {};
  return union(own, found);
}

export interface Instructed {
  readonly server: string;
  readonly part: string;
  readonly instructions: string | undefined;
}

/** Each server's own under its name. Undefined where none has any. */
export function mergeInstructions(all: readonly Instructed[], separator: string): string | undefined {
  const sections = all.flatMap(({ server, part, instructions }) => {
    if (instructions === undefined || instructions.trim() === '') return [];
    const heading = part === server ? `# ${server}` : `# ${server} (${part}${separator})`;
    return [`${heading}\n\n${instructions.trim()}`];
  });
  return sections.length === 0 ? undefined : sections.join('\n\n');
}

/** Cache hints of a merged result: no fresher than the stalest, no more public than the most private. */
export function mergeHints(results: readonly Fields[], isWhole: boolean): Fields {
  const times = results.map(({ ttlMs }) => (typeof ttlMs === 'number' && ttlMs >= 0 ? ttlMs : 0));
  const isPublic = results.length > 0 && results.every(({ cacheScope }) => cacheScope === 'public');
  return {
    ttlMs: isWhole && times.length > 0 ? Math.min(...times) : 0,
    cacheScope: isPublic ? 'public' : 'private',
  };
}
