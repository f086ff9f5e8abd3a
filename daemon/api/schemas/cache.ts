/** The cache of answers. */

import { z } from 'zod';
import type { CacheCleared, CacheReport } from '../../../lib/mcp/cache/report.ts';
import { component } from '../view-schema.ts';
import { count, time } from './atoms.ts';

const redis = z.object({
  state: z.enum(['up', 'down']),
  hits: count,
  misses: count,
  stored: count,
  refused: count.describe('not stored there, because something was invalidated since it was read'),
  failures: count,
  timeouts: count,
  skipped: count.describe('not asked, because it was down or had still to be told of an invalidation'),
  pendingInvalidations: count,
});

export const cacheReport = component<CacheReport>(
  'Cache',
  'What is kept of the answers of servers: counts since the start of the daemon, and what is in its memory.',
)(
  z.object({
    enabled: z.boolean().describe('false: daemon.cache is off'),
    statistics: z
      .object({
        entries: count,
        bytes: count,
        maxEntries: count,
        maxBytes: count,
        loading: count.describe('requests to servers that are under way'),
        hits: count,
        misses: count,
        joined: count.describe('misses that joined a request which was under way'),
        loads: count,
        failedLoads: count,
        stored: count,
        tooLarge: count.describe('passed on and not kept'),
        notJson: count,
        overtaken: count.describe('not kept, because it was invalidated while it was asked for'),
        invalidated: count,
        expired: count,
        evicted: count.describe('for lack of room'),
        redis: redis.nullable(),
      })
      .nullable(),
    entries: z.array(
      z.object({
        tool: z.string(),
        method: z.string(),
        uri: z.string().nullable().describe('null: of a list'),
        scope: z.enum(['public', 'caller']),
        context: z.string().nullable().describe('whose it is; null: it is for all callers'),
        bytes: count.describe('as JSON'),
        createdAt: time,
        lastAccessAt: time,
        accessCount: count,
        expiresAt: time.describe('in memory; Redis may have it for longer'),
        pattern: z
          .object({
            template: z.string(),
            parameters: z.record(z.string(), z.union([z.string(), z.array(z.string())])),
          })
          .nullable()
          .describe('the pattern of limits.yaml that its URI matches'),
      }),
    ),
  }),
);

export const cacheCleared = component<CacheCleared>(
  'CacheCleared',
  'What an invalidation came to.',
)(
  z.object({
    entries: count.describe('that left the memory of this daemon'),
    redis: z
      .enum(['none', 'done', 'pending'])
      .describe('pending: it does not answer; it is told when it does, and nothing of this is read from it before'),
  }),
);
