/** What the cache counts since its start. */

import type { CacheStatistics } from './cache-types.ts';

type Counts = Omit<CacheStatistics, 'entries' | 'bytes' | 'maxEntries' | 'maxBytes' | 'loading' | 'secondLevel'>;

export function newCounts(): { -readonly [K in keyof Counts]: number } {
  return {
    hits: 0,
    misses: 0,
    joined: 0,
    loads: 0,
    failedLoads: 0,
    stored: 0,
    tooLarge: 0,
    notJson: 0,
    overtaken: 0,
    invalidated: 0,
    expired: 0,
    evicted: 0,
    listenerErrors: 0,
  };
}
