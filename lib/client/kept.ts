/** Keeps values in the first level, and says what became of each. */

import type { newCounts } from './cache-counts.ts';
import type { EntryInfo, FullId } from './cache-types.ts';
import type { FirstLevel } from './first-level.ts';

export interface Kept {
  /** Its JSON. */
  readonly text: string;
  /** Null where it was not looked at, or is no JSON. */
  readonly bytes: number | null;
  readonly stored: boolean;
}

export const NOT_KEPT: Kept = { text: '', bytes: null, stored: false };

export interface ToKeep {
  readonly id: FullId;
  readonly value: unknown;
  readonly pattern: EntryInfo['pattern'];
  readonly ttlMs: number;
  /** It is in the second level, too. */
  readonly inSecond: boolean;
  readonly maxBytes: number;
  readonly firstLevelTtlMs: number;
}

export function keep(
  { id, value, pattern, ttlMs, inSecond, maxBytes, firstLevelTtlMs }: ToKeep,
  first: FirstLevel,
  count: ReturnType<typeof newCounts>,
): Kept {
  // What was there is older, whatever becomes of this.
  first.remove(id.key);
  if (ttlMs <= 0) return NOT_KEPT;
  const text = jsonOf(value);
  if (text === null) {
    count.notJson++;
    return NOT_KEPT;
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) {
    count.tooLarge++;
    return { text, bytes, stored: false };
  }
  const matched = pattern === null ? null : { template: pattern.template, parameters: pattern.parameters };
  const ownMs = inSecond ? Math.min(ttlMs, firstLevelTtlMs) : ttlMs;
  first.store(value, id, { pattern: matched, bytes, ttlMs: ownMs, freshMs: ttlMs, inSecond });
  count.stored++;
  return { text, bytes, stored: true };
}

/** Null for what JSON cannot hold. */
function jsonOf(value: unknown): string | null {
  try {
    // Of undefined and functions there is no text, whatever the type says.
    const text: unknown = JSON.stringify(value);
    return typeof text === 'string' ? text : null;
  } catch {
    // A circle, a BigInt, a toJSON that throws.
    return null;
  }
}
