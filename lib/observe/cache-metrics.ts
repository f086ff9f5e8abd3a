/** What the cache of answers counts and holds. */

import type { Registry } from 'prom-client';
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import { ToolCounter } from './metrics-counter.ts';

export type CacheEvent = 'memory_hit' | 'redis_hit' | 'joined' | 'miss' | 'invalidated' | 'expired' | 'evicted';

/** As it is at a scrape. */
export interface CacheSnapshot {
  /** In memory. */
  readonly tools: ReadonlyMap<string, { readonly entries: number; readonly bytes: number }>;
  /** Null: there is no Redis. */
  readonly redis: {
    readonly up: boolean;
    readonly failures: number;
    readonly timeouts: number;
    readonly skipped: number;
    readonly pendingInvalidations: number;
  } | null;
}

export interface CacheMetrics {
  observe(tool: string, event: CacheEvent): void;
  readonly perTool: readonly Pick<ToolCounter<string>, 'remove' | 'keep'>[];
}

/** @param snapshot null: there is no cache */
export function createCacheMetrics(registry: Registry, snapshot: () => CacheSnapshot | null): CacheMetrics {
  const registers = [registry];
  const hits = new ToolCounter({
    name: 'governor_cache_hits_total',
    help: 'Requests that were answered from what is kept, by where it was: memory, redis.',
    labelNames: ['tool', 'level'],
    registers,
  });
  const joined = new ToolCounter({
    name: 'governor_cache_joined_total',
    help: 'Requests that were answered with another that was under way already.',
    labelNames: ['tool'],
    registers,
  });
  const misses = new ToolCounter({
    name: 'governor_cache_misses_total',
    help: 'Requests that could have been answered from what is kept, and were passed to the server.',
    labelNames: ['tool'],
    registers,
  });
  const removed = new ToolCounter({
    name: 'governor_cache_removed_total',
    help: 'Entries that left memory, by reason: invalidated, expired, evicted (for lack of room).',
    labelNames: ['tool', 'reason'],
    registers,
  });
  registerGauges(registry, snapshot);
  return {
    perTool: [hits, joined, misses, removed],
    observe(tool, event) {
      switch (event) {
        case 'memory_hit':
          return hits.add({ tool, level: 'memory' }, 1);
        case 'redis_hit':
          return hits.add({ tool, level: 'redis' }, 1);
        case 'joined':
          return joined.add({ tool }, 1);
        case 'miss':
          return misses.add({ tool }, 1);
        case 'invalidated':
        case 'expired':
        case 'evicted':
          return removed.add({ tool, reason: event }, 1);
      }
    },
  };
}

function registerGauges(registry: Registry, snapshot: () => CacheSnapshot | null): void {
  const registers = [registry];
  const perTool = (name: string, help: string, of: 'entries' | 'bytes'): void =>
    void new Gauge({
      name,
      help,
      labelNames: ['tool'],
      registers,
      collect() {
        this.reset();
        for (const [tool, sums] of snapshot()?.tools ?? []) this.set({ tool }, sums[of]);
      },
    });
  perTool('governor_cache_entries', 'Entries in memory.', 'entries');
  perTool('governor_cache_bytes', 'Bytes of the entries in memory, as JSON.', 'bytes');
  const ofRedis = (name: string, help: string, of: (redis: NonNullable<CacheSnapshot['redis']>) => number): void =>
    void new Gauge({
      name,
      help,
      registers,
      collect() {
        const redis = snapshot()?.redis ?? null;
        this.reset();
        if (redis === null) this.remove();
        else this.set(of(redis));
      },
    });
  ofRedis('governor_cache_redis_up', '1 while Redis answers; absent without one.', ({ up }) => (up ? 1 : 0));
  ofRedis(
    'governor_cache_redis_pending_invalidations',
    'Invalidations that Redis has still to be told of; absent without one.',
    ({ pendingInvalidations }) => pendingInvalidations,
  );
  // oxlint-disable-next-line no-new -- it registers itself
  new Counter({
    name: 'governor_cache_redis_failures_total',
    help: 'Requests that went on without Redis: it failed (error), took too long (timeout), or was not asked because it was down (skipped).',
    labelNames: ['reason'],
    registers,
    collect() {
      const redis = snapshot()?.redis ?? null;
      this.reset();
      if (redis === null) return;
      this.inc({ reason: 'error' }, redis.failures);
      this.inc({ reason: 'timeout' }, redis.timeouts);
      this.inc({ reason: 'skipped' }, redis.skipped);
    },
  });
}
