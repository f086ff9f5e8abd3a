/** The cache as people and programs see it: what it counts, and what it holds, without contents. Pure. */

import type { CacheStatistics, EntryInfo } from '../../client/cache-types.ts';
import { matcherOf } from '../../client/cache-selector.ts';
import type { Selector } from '../../client/cache-selector.ts';
import { GovernorError } from '../../core/errors.ts';
import { readKey } from './cacheable.ts';

/** Which entries; all of them where nothing is given. */
export interface CacheFilter {
  readonly tool?: string;
  readonly uri?: string;
  /** An RFC 6570 template. */
  readonly pattern?: string;
}

export interface CacheReport {
  /** False: `daemon.cache` is off, and everything else here is empty. */
  readonly enabled: boolean;
  readonly statistics: CacheCounts | null;
  /** In memory, latest used first. */
  readonly entries: readonly CacheEntryView[];
}

export interface CacheCounts extends Omit<CacheStatistics, 'secondLevel' | 'listenerErrors'> {
  readonly redis: CacheStatistics['secondLevel'];
}

export interface CacheEntryView {
  readonly tool: string;
  readonly method: string;
  /** Null: of a list. */
  readonly uri: string | null;
  readonly scope: 'public' | 'caller';
  /** Whose it is; null: all callers'. */
  readonly context: string | null;
  readonly bytes: number;
  readonly createdAt: string;
  readonly lastAccessAt: string;
  readonly accessCount: number;
  readonly expiresAt: string;
  readonly pattern: {
    readonly template: string;
    readonly parameters: Readonly<Record<string, string | readonly string[]>>;
  } | null;
}

export interface CacheCleared {
  /** Of the memory of this daemon. */
  readonly entries: number;
  /** `pending`: it does not answer; it is told when it does, and none of these is read from it before. `none`: there is no Redis. */
  readonly redis: 'none' | 'done' | 'pending';
}

/** @throws GovernorError invalid_request */
export function selectorOf({ tool, uri, pattern }: CacheFilter): Selector {
  if (uri !== undefined && pattern !== undefined)
    throw new GovernorError('invalid_request', 'give uri or pattern, not both');
  const group = tool === undefined ? {} : { group: tool };
  if (uri !== undefined) return { uri, ...group };
  if (pattern !== undefined) return { pattern, ...group };
  return tool === undefined ? { all: true } : { group: tool };
}

/** @throws GovernorError invalid_request for a pattern that is none */
export function report(statistics: CacheStatistics, entries: readonly EntryInfo[], filter: CacheFilter): CacheReport {
  const matches = matcherOf(selectorOf(filter));
  const { secondLevel: redis, listenerErrors: _own, ...counts } = statistics;
  return { enabled: true, statistics: { ...counts, redis }, entries: entries.filter(matches).map(entryView) };
}

export const DISABLED: CacheReport = { enabled: false, statistics: null, entries: [] };

function entryView(info: EntryInfo): CacheEntryView {
  const { method, context } = readKey(info.key);
  return {
    tool: info.group,
    method,
    uri: info.uri === method ? null : info.uri,
    scope: context === null ? 'public' : 'caller',
    context,
    bytes: info.bytes,
    createdAt: new Date(info.createdMs).toISOString(),
    lastAccessAt: new Date(info.lastAccessMs).toISOString(),
    accessCount: info.accessCount,
    expiresAt: new Date(info.expiresMs).toISOString(),
    pattern:
      info.pattern === null ? null : { template: info.pattern.template, parameters: { ...info.pattern.parameters } },
  };
}
