/** Joins the cache of answers: its levels by the configuration, what it tells to metrics, and what REST asks of it. */

import type { CacheConfig } from '../config/cache-schema.ts';
import { redisLevel } from '../lib/client/redis-level.ts';
import { ResourceCache } from '../lib/client/resource-cache.ts';
import type { CacheOptions, SecondLevel } from '../lib/client/cache-types.ts';
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
  /** Null: off. */
  readonly config: CacheConfig | null;
  readonly tools: ServedTools;
  readonly clock: Clock;
  readonly log: Log;
  readonly recorder: Recorder;
  onCall(record: CallRecord): void;
  onEvent(tool: string, event: CacheEvent): void;
}

export interface DaemonCache {
  readonly answers: AnswerCache;
  /** Holds to this from now on. */
  apply(config: CacheConfig | null): void;
  /** @throws GovernorError invalid_request */
  report(filter: CacheFilter): CacheReport;
  /** @param by who asked, for the audit @throws GovernorError invalid_request */
  clear(filter: CacheFilter, by: string): Promise<CacheCleared>;
  snapshot(): CacheSnapshot | null;
  close(): Promise<void>;
}

export function createCache(input: CacheInput): DaemonCache {
  const { tools, clock, recorder, onCall, onEvent } = input;
  let { config } = input;
  let level = levelOf(config, null);
  const entries = new ResourceCache<Fields>(optionsOf(config, level, input));
  entries.on('accessed', ({ group }) => onEvent(group, 'memory_hit'));
  entries.on('loaded', ({ group, from }) => {
    if (from === 'second_level') onEvent(group, 'redis_hit');
  });
  for (const reason of ['invalidated', 'expired', 'evicted'] as const)
    entries.on(reason, ({ group }) => onEvent(group, reason));
  // Heard from now on: what others invalidate. Where it is not there, the log says so, and nobody waits for it.
  const listen = (): void => void entries.ready().catch(() => undefined);
  listen();
  const answers = new AnswerCache({
    entries,
    tools,
    defaultTtlMs: config?.ttlMs ?? null,
    monotonicMs: () => clock.monotonicMs(),
    onServed: onCall,
    onAsked: (tool) => onEvent(tool, 'miss'),
    onJoined: (tool) => onEvent(tool, 'joined'),
  });
  return {
    answers,
    apply(next) {
      if (JSON.stringify(next) === JSON.stringify(config)) return;
      config = next;
      level = levelOf(next, level);
      // In this order: what goes by it is told to the Redis that it was kept in.
      answers.setDefaultTtl(next?.ttlMs ?? null);
      entries
        .reconfigure(optionsOf(next, level, input))
        .catch((error: unknown) =>
          input.log.warn({ err: error }, 'the former Redis of the cache could not be let go of'),
        );
      listen();
    },
    report: (filter) => (config === null ? DISABLED : report(entries.statistics(), entries.entries(), filter)),
    async clear(filter, by) {
      const { entries: gone, secondLevel } = await entries.invalidate(selectorOf(filter));
      const { tool, uri, pattern } = filter;
      // What stands in a URI may be a secret.
      const only = [tool && { tool }, uri && { uri: maskText(uri) }, pattern && { pattern: maskText(pattern) }];
      const detail = Object.assign({ by, entries: gone, redis: secondLevel }, ...only) as Record<string, unknown>;
      recorder.record({ kind: 'daemon', event: 'cache_clear', detail });
      return { entries: gone, redis: secondLevel };
    },
    snapshot: () => (config === null ? null : snapshotOf(entries)),
    close: () => entries.close(),
  };
}

interface Level {
  readonly url: string;
  readonly prefix: string;
  readonly level: SecondLevel;
}

/** The one there is, as long as it is at the same place. */
function levelOf(config: CacheConfig | null, former: Level | null): Level | null {
  if (config === null || config.redis === null) return null;
  const { url, prefix } = config.redis;
  if (former?.url === url && former.prefix === prefix) return former;
  return { url, prefix, level: redisLevel({ url, prefix }) };
}

function optionsOf(config: CacheConfig | null, level: Level | null, { log, clock }: CacheInput): CacheOptions {
  return {
    ...(config === null
      ? {}
      : {
          ttlMs: config.ttlMs,
          maxEntries: config.maxEntries,
          maxBytes: config.maxBytes,
          sweepIntervalMs: config.sweepIntervalMs,
        }),
    ...(level === null || config === null || config.redis === null
      ? {}
      : {
          secondLevel: level.level,
          secondLevelTimeoutMs: config.redis.timeoutMs,
          firstLevelTtlMs: config.redis.firstLevelTtlMs,
        }),
    log: { info: (message) => log.info({}, message), warn: (message) => log.warn({}, message) },
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
  };
}

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
