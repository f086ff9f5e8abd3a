/** One load of a cache, whoever waits for it: from the second level, else from the loader, and what is kept of it. */

import type { UriPatterns } from '../core/uri-patterns.ts';
import type { newCounts } from './cache-counts.ts';
import type { Flight } from './cache-flight.ts';
import type { CacheSettings } from './cache-settings.ts';
import type { CacheEvents, FullId, Loaded, LoadOptions } from './cache-types.ts';
import type { GuardedLevel } from './guarded-level.ts';
import type { Listeners } from './listeners.ts';
import { NOT_KEPT } from './kept.ts';
import type { Kept, ToKeep } from './kept.ts';

/** Ten years: Redis takes no endless number. */
const MAX_TTL_MS = 10 * 365 * 24 * 3_600_000;

/** The cache that the load is for, as it is at any moment: it may be reconfigured meanwhile. */
export interface LoadsInto {
  readonly settings: CacheSettings;
  readonly patterns: UriPatterns<number>;
  readonly second: GuardedLevel | null;
  readonly count: ReturnType<typeof newCounts>;
  readonly listeners: Listeners<CacheEvents>;
  /** In the first level. */
  keep(id: FullId, value: unknown, how: Pick<ToKeep, 'pattern' | 'ttlMs' | 'inSecond'>): Kept;
}

/** @throws what the loader throws; nothing is kept of that */
export async function loadInto<V>(
  cache: LoadsInto,
  flight: Flight<Loaded<V>>,
  loader: (signal: AbortSignal) => Promise<V> | V,
  options: LoadOptions<V>,
  signal: AbortSignal,
): Promise<Loaded<V>> {
  const { id } = flight;
  const { count, listeners } = cache;
  const startedMs = cache.settings.monotonicMs();
  const done = (loaded: Loaded<V>, from: 'loader' | 'second_level', { bytes, stored }: Kept): Loaded<V> => {
    listeners.tell('loaded', () => {
      const durationMs = cache.settings.monotonicMs() - startedMs;
      return { ...id, from, bytes, stored, durationMs };
    });
    return loaded;
  };
  try {
    const matched = options.pattern === undefined ? cache.patterns.match(id.uri) : null;
    const pattern = options.pattern ?? matched;
    const level = options.firstLevelOnly === true ? null : cache.second;
    const second = (await level?.get(id)) ?? null;
    // What was invalidated meanwhile is asked of the loader.
    if (second !== null && second.found !== null && !flight.overtaken) {
      const { value, ttlMs: freshMs } = second.found;
      const kept = cache.keep(id, value, { pattern, ttlMs: freshMs, inSecond: true });
      return done({ value: value as V, from: 'second_level', freshMs }, 'second_level', kept);
    }
    count.loads++;
    const value = await loader(signal);
    const kind = options.keep?.(value) ?? {};
    const given = kind === 'skip' ? 0 : (kind.ttlMs ?? options.ttlMs ?? matched?.value ?? cache.settings.ttlMs);
    const ttlMs = bounded(given);
    const as = kind === 'skip' ? undefined : kind.as;
    const inSecond = level !== null && as === undefined;
    if (flight.overtaken) count.overtaken++;
    const own = as === undefined ? id : { ...id, key: as };
    const kept = flight.overtaken ? NOT_KEPT : cache.keep(own, value, { pattern, ttlMs, inSecond });
    if (kept.stored && inSecond && second !== null) level.set(id, { text: kept.text, ttlMs }, second.stamp);
    return done({ value, from: 'loader', freshMs: kept.stored ? ttlMs : 0 }, 'loader', kept);
  } catch (error) {
    count.failedLoads++;
    throw error;
  }
}

/** A time to live that every level takes, milliseconds. */
export function bounded(ttlMs: number): number {
  return Number.isNaN(ttlMs) ? 0 : Math.min(ttlMs, MAX_TTL_MS);
}
