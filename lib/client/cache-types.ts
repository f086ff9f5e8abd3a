/** What the cache takes, tells and counts. */

import type { UriParameters } from '../core/uri-template.ts';
import type { Selector } from './cache-selector.ts';

/** Names one entry. The key alone tells two entries apart; the others are what it can be invalidated by. */
export interface EntryId {
  readonly key: string;
  /** Default: the key. */
  readonly uri?: string;
  /** Whose it is, such as the server that was asked. Default: none, the empty text. */
  readonly group?: string;
}

export type FullId = Required<EntryId>;

/** Times are milliseconds since the epoch. */
export interface EntryInfo extends FullId {
  readonly createdMs: number;
  readonly lastAccessMs: number;
  readonly accessCount: number;
  readonly expiresMs: number;
  /** Of its JSON in UTF-8. */
  readonly bytes: number;
  /** The pattern that its URI matches, with what the URI has in the places of its variables; null without one. */
  readonly pattern: { readonly template: string; readonly parameters: UriParameters } | null;
}

export interface CacheEvents {
  readonly loaded: FullId & {
    readonly from: 'loader' | 'second_level';
    /** Null where it is no JSON. */
    readonly bytes: number | null;
    /** False: passed through, because it is too large, no JSON, not to be kept, or was invalidated meanwhile. */
    readonly stored: boolean;
    readonly durationMs: number;
  };
  readonly accessed: EntryInfo;
  readonly invalidated: EntryInfo & { readonly by: Selector; readonly from: 'here' | 'elsewhere' };
  readonly expired: EntryInfo;
  /** For lack of room. */
  readonly evicted: EntryInfo;
}

export type CacheEvent = keyof CacheEvents;

export interface PatternRule {
  /** RFC 6570; the first that matches a URI wins. */
  readonly template: string;
  /** 0: not kept at all. */
  readonly ttlMs: number;
}

export interface CacheLog {
  info(message: string): void;
  warn(message: string): void;
}

export interface CacheOptions {
  /** Default: 15 minutes. */
  readonly ttlMs?: number;
  /** Default: 100; 1,000 before a second level. */
  readonly maxEntries?: number;
  /** Of all entries together, and of each: what is larger is passed through and not stored. Default: 100 MB (100,000,000). */
  readonly maxBytes?: number;
  readonly patterns?: readonly PatternRule[];
  /** How often expired entries are looked for. Default: 1 minute. */
  readonly sweepIntervalMs?: number;
  readonly secondLevel?: SecondLevel;
  /** How long the first level keeps what the second has too. Default: 1 minute. */
  readonly firstLevelTtlMs?: number;
  /** How long a call waits for the second level before it goes on without. Default: 250 ms. */
  readonly secondLevelTimeoutMs?: number;
  /** Default: warnings are warnings of the process. */
  readonly log?: CacheLog;
  readonly monotonicMs?: () => number;
  readonly wallMs?: () => number;
}

export interface LoadOptions<V> {
  /** Default: that of the first pattern that matches the URI, else the cache's. 0: not kept. */
  readonly ttlMs?: number;
  /** Aborted: this caller waits no more. The loader is told when no caller waits any more. */
  readonly signal?: AbortSignal;
  /** Looks at what was loaded: `skip` passes it through, `ttlMs` keeps it for that long. */
  readonly keep?: (value: V) => 'skip' | Keep;
  /** It is not looked for in the second level, nor stored there. */
  readonly firstLevelOnly?: boolean;
  /** Who asks, for `setApart`. */
  readonly party?: string;
  /** Asked before each look at what is under way. True: it joins no other load, and its own takes the place of that. */
  readonly isAlone?: () => boolean;
  /** Found by the caller, in place of the first of the cache's own patterns that matches. Null: none. */
  readonly pattern?: EntryInfo['pattern'];
}

export interface Keep {
  readonly ttlMs?: number;
  /** Kept under this key in place of that which was asked for, in the first level only; URI and group stay. */
  readonly as?: string;
}

export interface Loaded<V> {
  readonly value: V;
  /** `loader`: also of a load that was under way already. */
  readonly from: 'first_level' | 'second_level' | 'loader';
  /** How long it is still good for, wherever it is kept, in milliseconds; 0 where it is not kept. */
  readonly freshMs: number;
}

export interface Invalidation {
  /** Entries of the first level that went. */
  readonly entries: number;
  /** `pending`: it does not answer; it is told when it does, and not asked for any of these before. */
  readonly secondLevel: 'none' | 'done' | 'pending';
}

export interface CacheStatistics {
  readonly entries: number;
  readonly bytes: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** Loads that are under way. */
  readonly loading: number;
  /** From here on: since the start. */
  readonly hits: number;
  readonly misses: number;
  /** Misses that joined a load that was under way. */
  readonly joined: number;
  readonly loads: number;
  readonly failedLoads: number;
  readonly stored: number;
  readonly tooLarge: number;
  readonly notJson: number;
  /** Loaded, and not stored because it was invalidated meanwhile, or loaded anew. */
  readonly overtaken: number;
  readonly invalidated: number;
  readonly expired: number;
  readonly evicted: number;
  readonly listenerErrors: number;
  readonly secondLevel: SecondLevelStatistics | null;
}

export interface SecondLevelStatistics {
  readonly state: 'up' | 'down';
  readonly hits: number;
  readonly misses: number;
  readonly stored: number;
  /** Not stored there, because something was invalidated since it was read. */
  readonly refused: number;
  readonly failures: number;
  readonly timeouts: number;
  /** Not asked because it was down, or had still to be told of an invalidation. */
  readonly skipped: number;
  readonly pendingInvalidations: number;
}

/** JSON text, and how long it is still good for. */
export interface StoredText {
  readonly text: string;
  readonly ttlMs: number;
}

/** A shared store behind the cache. Every method may reject or hang: the cache goes on without it. */
export interface SecondLevel {
  /**
   * `stamp`: handed back with `set`, which then does nothing when anything was invalidated since; empty where the store
   * has no such thing.
   */
  get(id: FullId, signal: AbortSignal): Promise<{ readonly found: StoredText | null; readonly stamp: string }>;
  /** @returns false when it was refused for its stamp. @param stamp null: whatever was invalidated */
  set(id: FullId, stored: StoredText, stamp: string | null, signal: AbortSignal): Promise<boolean>;
  delete(id: FullId, signal: AbortSignal): Promise<void>;
  /** Of all that use the store. */
  invalidate(selector: Selector, signal: AbortSignal): Promise<void>;
  /** Called once: `listener` is to hear what others invalidate, and `{ all: true }` when something may have been missed. */
  listen?(listener: (selector: Selector) => void): void;
  /** Resolves when it can be asked. Until then calls go on without it, and nothing is wrong yet. */
  ready?(): Promise<unknown>;
  close(): Promise<void>;
}
