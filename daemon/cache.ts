/** Joins the cache of answers: its levels by the configuration, what it tells to metrics, and what REST asks of it. */

import type { CacheConfig } from '../config/cache-schema.ts';
import { redisLevel } from '../lib/client/redis-level.ts';
import { ResourceCache } from '../lib/client/resource-cache.ts';
import type { Clock } from '../lib/core/clock.ts';
import { maskText } from '../lib/core/mask.ts';
import { AnswerCache } from '../lib/mcp/cache/answer-cache.ts';
import { DISABLED, report, selectorOf } from '../lib/mcp/cache/report.ts';
import type { CacheCleared, CacheFilter, CacheReport } from '../lib/mcp/cache/report.ts';
import type { CallRecord } from '../lib/mcp/calls/account.ts';
import type { Fields } from '../lib/mcp/wire/message.ts';
import type { CacheEvent, CacheSnapshot } from '../lib/observe/cache-metrics.ts';
import type { Recorder } from '../lib/observe/recorder.ts';
import type { Log } from '../lib/supervisor/ports.ts';
import type { ServedTools } from '../lib/supervisor/served.ts';

export interface CacheInput {
  readonly config: CacheConfig | null;
  readonly tools: ServedTools;
  readonly clock: Clock;
  readonly log: Log;
  readonly recorder: Recorder;
  onCall(record: CallRecord): void;
  onEvent(tool: string, event: CacheEvent): void;
}

export interface DaemonCache {
  /** Null: it is off. */
  readonly answers: AnswerCache | null;
  /** @throws GovernorError invalid_request */
  report(filter: CacheFilter): CacheReport;
  /** @param by who asked, for the audit @throws GovernorError invalid_request */
  clear(filter: CacheFilter, by: string): Promise<CacheCleared>;
  snapshot(): CacheSnapshot | null;
  close(): Promise<void>;
}

export function createCache({ config, tools, clock, log, recorder, onCall, onEvent }: CacheInput): DaemonCache {
  if (config === null) return OFF;
  const { redis } = config;
  const entries = new ResourceCache<Fields>({
    ttlMs: config.ttlMs,
    maxEntries: config.maxEntries,
    maxBytes: config.maxBytes,
    sweepIntervalMs: config.sweepIntervalMs,
    ...(redis === null
      ? {}
      : {
          secondLevel: redisLevel({ url: redis.url, prefix: redis.prefix }),
          secondLevelTimeoutMs: redis.timeoutMs,
          firstLevelTtlMs: redis.firstLevelTtlMs,
        }),
    log: { info: (message) => log.info({}, message), warn: (message) => log.warn({}, message) },
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
  });
  entries.on('accessed', ({ group }) => onEvent(group, 'memory_hit'));
  entries.on('loaded', ({ group, from }) => {
    if (from === 'second_level') onEvent(group, 'redis_hit');
  });
  for (const reason of ['invalidated', 'expired', 'evicted'] as const)
    entries.on(reason, ({ group }) => onEvent(group, reason));
  // Heard from now on: what others invalidate. Where it is not there, the log says so, and nobody waits for it.
  entries.ready().catch(() => undefined);
  return {
    answers: new AnswerCache({
      entries,
      tools,
      defaultTtlMs: config.ttlMs,
      monotonicMs: () => clock.monotonicMs(),
      onServed: onCall,
      onAsked: (tool) => onEvent(tool, 'miss'),
      onJoined: (tool) => onEvent(tool, 'joined'),
    }),
    report: (filter) => report(entries.statistics(), entries.entries(), filter),
    async clear(filter, by) {
      const { entries: gone, secondLevel } = await entries.invalidate(selectorOf(filter));
      const { tool, uri, pattern } = filter;
      // What stands in a URI may be a secret.
      const only = [tool && { tool }, uri && { uri: maskText(uri) }, pattern && { pattern: maskText(pattern) }];
      const detail = Object.assign({ by, entries: gone, redis: secondLevel }, ...only) as Record<string, unknown>;
      recorder.record({ kind: 'daemon', event: 'cache_clear', detail });
      return { entries: gone, redis: secondLevel };
    },
    snapshot: () => snapshotOf(entries),
    close: () => entries.close(),
  };
}

const OFF: DaemonCache = {
  answers: null,
  report: () => DISABLED,
  clear: (filter) => {
    selectorOf(filter);
    return Promise.resolve({ entries: 0, redis: 'none' });
  },
  snapshot: () => null,
  close: () => Promise.resolve(),
};

function snapshotOf(entries: ResourceCache<Fields>): CacheSnapshot {
  const tools = new Map<string, { entries: number; bytes: number }>();
  for (const { group, bytes } of entries.entries()) {
    const sum = tools.get(group) ?? { entries: 0, bytes: 0 };
    tools.set(group, { entries: sum.entries + 1, bytes: sum.bytes + bytes });
  }
  const { secondLevel } = entries.statistics();
  return {
    tools,
    redis: secondLevel === null ? null : { ...secondLevel, up: secondLevel.state === 'up' },
  };
}
