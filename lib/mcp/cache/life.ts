/**
 * How long an answer may be kept, and for whom. Pure. In this order:
 *
 * 1. a pattern of the user that the URI matches;
 * 2. the server's own word: `ttlMs` above 0 (2026-07-28). An older server has no such word;
 * 3. the time that the user gave to the whole tool;
 * 4. for a client of an older server that has subscribed to the resource: until the server says that it has changed.
 *
 * What a server promises by `listChanged` alone counts for nothing: SDKs declare it for lists that they make anew at each
 * request, of which no change is ever told. It is kept for the caller alone, unless a pattern or the server says `public`.
 */

import type { UriMatch } from '../../core/uri-patterns.ts';
import type { CachePattern } from '../../supervisor/governor.ts';
import type { Fields } from '../wire/message.ts';
import type { Era } from '../wire/protocol.ts';

export interface Life {
  /** Above 0. */
  readonly ttlMs: number;
  readonly scope: 'public' | 'caller';
}

export interface Grounds {
  /** Of the server. */
  readonly era: Era;
  readonly pattern: UriMatch<CachePattern> | null;
  /** Of the user, for the whole tool; null: none. */
  readonly toolTtlMs: number | null;
  /** Where something is to be kept, and nobody says for how long. */
  readonly defaultTtlMs: number;
  /** This caller has, and the server has agreed. */
  readonly isSubscribed: boolean;
}

/** A server that says years means: for as long as you like. */
const HINT_MAX_MS = 24 * 3_600_000;

/** Null: it is passed on and not kept. */
export function lifeOf(grounds: Grounds, result: Fields): Life | null {
  // Without the field it is complete: so are all results of the legacy era.
  const { resultType = 'complete', task } = result;
  if (resultType !== 'complete' || task !== undefined) return null;
  const ttlMs = ttlOf(grounds, result);
  return ttlMs > 0 ? { ttlMs, scope: scopeOf(grounds, result) } : null;
}

/** Whether any result could be: where not, nothing is looked up. */
export function canLive({ era, pattern, toolTtlMs, isSubscribed }: Grounds): boolean {
  if (pattern !== null) return pattern.value.ttlMs !== 0;
  return era === 'modern' || toolTtlMs !== null || isSubscribed;
}

/** Whether it could be kept for all: the server, or the pattern, may say so. */
export function mayBePublic({ era, pattern }: Grounds): boolean {
  const said = pattern?.value.scope ?? null;
  return said === null ? era === 'modern' : said === 'public';
}

/** It ends with the subscription, whenever that is: nobody may be told how long it lives. */
export function livesByNotice(grounds: Grounds): boolean {
  return grounds.era === 'legacy' && grounds.isSubscribed && grounds.pattern === null && grounds.toolTtlMs === null;
}

function ttlOf(grounds: Grounds, result: Fields): number {
  const { era, pattern, toolTtlMs, defaultTtlMs } = grounds;
  if (pattern !== null) return pattern.value.ttlMs ?? defaultTtlMs;
  const hint = era === 'modern' ? result['ttlMs'] : undefined;
  if (typeof hint === 'number' && hint > 0) return Math.min(hint, HINT_MAX_MS);
  if (toolTtlMs !== null) return toolTtlMs;
  return livesByNotice(grounds) ? defaultTtlMs : 0;
}

function scopeOf({ era, pattern }: Grounds, result: Fields): Life['scope'] {
  const said = pattern?.value.scope ?? null;
  if (said !== null) return said;
  return era === 'modern' && result['cacheScope'] === 'public' ? 'public' : 'caller';
}
