/** `daemon.cache`, and `cache` of a tool: what is kept of the answers of servers. */

import { z } from 'zod';
import { UriTemplate } from '../lib/core/uri-template.ts';
import type { CacheRules } from '../lib/supervisor/governor.ts';
import { DEFAULT_CACHE } from './defaults.ts';
import { amount, closed, count, duration, size, text } from './fields.ts';
import type { Path } from './problems.ts';
import { DURATION_PATTERN, parseDuration } from './units.ts';
import type { Parsed } from './units.ts';

const OFF = 'off';
const DAY_MS = 86_400_000;
/** The memory level reserves its places when it is made. */
const ENTRIES = { min: 1, max: 1_000_000 };
const TTL = { min: 1, max: 30 * DAY_MS };

export const DaemonCacheSchema = z.union([
  z.enum([OFF]).meta({ description: 'Nothing is kept of any tool.' }),
  closed({
    ttl: duration(
      { description: 'How long is kept what neither a server nor a setting gives a time. Default 15m.' },
      TTL,
    ).optional(),
    entries: count(
      {
        description:
          'In memory, at most; what was used longest ago goes. Default 100. With redis: first_level.entries.',
      },
      ENTRIES,
    ).optional(),
    size: size(
      {
        description:
          'In memory, of all together as JSON, and the most that one may have: what is larger is passed on and not kept. Default 100MB.',
      },
      { min: 1, max: 1024 ** 4 },
    ).optional(),
    sweep: duration(
      { description: 'How often expired entries are looked for. Default 1m.' },
      { min: 100, max: DAY_MS },
    ).optional(),
    redis: closed({
      url: text({
        maxLength: 4096,
        description:
          'redis[s]://[[user][:password]@]host[:port][/database], or unix:///path/of/the/socket. ${NAME} and ${NAME:-default} as in env.',
      }),
      prefix: text({
        maxLength: 200,
        description: 'Of its keys: daemons with the same one share entries. Default governor:cache.',
      }).optional(),
      timeout: duration(
        { description: 'How long a request waits for it before it goes on without. Default 250ms.' },
        { min: 1, max: 60_000 },
      ).optional(),
      first_level: closed({
        ttl: duration({ description: 'In memory, of what Redis has too. Default 1m.' }, TTL).optional(),
        entries: count({ description: 'In memory, at most. Default 1000.' }, ENTRIES).optional(),
      }).optional(),
    }).optional(),
  }),
]);

export const ToolCacheSchema = z.union([
  z.enum([OFF]).meta({ description: 'Nothing is kept of it, whatever its server allows.' }),
  closed({
    ttl: duration(
      {
        description:
          'How long is kept what no pattern and no hint of the server gives a time. Default: it is not kept.',
      },
      TTL,
    ).optional(),
    patterns: z
      .array(
        closed({
          uri: amount(parseTemplate, {
            type: 'string',
            examples: ['file:///{+path}', 'db://{table}/{row}'],
            description: 'A URI template (RFC 6570). The first that matches a URI holds.',
          }),
          ttl: amount(parseTtl, {
            type: 'string',
            pattern: `(${DURATION_PATTERN})|(^${OFF}$)`,
            examples: ['5m', OFF],
            description: 'How long it is kept, whatever its server says. off: not at all. Default: daemon.cache.ttl.',
          }).optional(),
          scope: z.enum(['caller', 'public']).optional().meta({
            description:
              'Who gets what one has read: its own context only, or all callers. Default: as the server says, else caller.',
          }),
        }),
      )
      .max(200)
      .optional()
      .meta({ description: 'What is read, by URI.' }),
  }),
]);

export type DaemonCacheFields = z.infer<typeof DaemonCacheSchema>;
export type ToolCacheFields = z.infer<typeof ToolCacheSchema>;

export interface CacheConfig {
  readonly ttlMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly sweepIntervalMs: number;
  readonly redis: {
    /** May have a password in it. */
    readonly url: string;
    readonly prefix: string;
    readonly timeoutMs: number;
    readonly firstLevelTtlMs: number;
  } | null;
}

/** Null: it is off. */
export function cacheConfig(fields: DaemonCacheFields | undefined): CacheConfig | null {
  if (fields === OFF) return null;
  const { redis } = fields ?? {};
  const entries = redis === undefined ? fields?.entries : redis.first_level?.entries;
  return {
    ttlMs: fields?.ttl ?? DEFAULT_CACHE.ttlMs,
    maxEntries: entries ?? (redis === undefined ? DEFAULT_CACHE.maxEntries : DEFAULT_CACHE.maxEntriesBeforeRedis),
    maxBytes: fields?.size ?? DEFAULT_CACHE.maxBytes,
    sweepIntervalMs: fields?.sweep ?? DEFAULT_CACHE.sweepIntervalMs,
    redis:
      redis === undefined
        ? null
        : {
            url: redis.url,
            prefix: redis.prefix ?? DEFAULT_CACHE.redisPrefix,
            timeoutMs: redis.timeout ?? DEFAULT_CACHE.redisTimeoutMs,
            firstLevelTtlMs: redis.first_level?.ttl ?? DEFAULT_CACHE.firstLevelTtlMs,
          },
  };
}

export function cacheRules(fields: ToolCacheFields | undefined): { readonly cache?: CacheRules | 'off' } {
  if (fields === undefined) return {};
  if (fields === OFF) return { cache: OFF };
  const patterns = (fields.patterns ?? []).map(({ uri, ttl, scope }) => ({
    uri,
    ttlMs: ttl ?? null,
    scope: scope ?? null,
  }));
  return { cache: { ttlMs: fields.ttl ?? null, patterns } };
}

interface CacheProblem {
  /** Below `cache`. */
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
}

/** Settings that are valid each, but of which one would have no effect. */
export function cacheProblems(fields: ToolCacheFields | undefined, isDaemonOff: boolean): readonly CacheProblem[] {
  if (fields === undefined || fields === OFF) return [];
  if (isDaemonOff)
    return [{ path: [], message: 'cache has no effect: daemon.cache is off', hint: 'take one of them out' }];
  const patterns = fields.patterns ?? [];
  return patterns.flatMap(({ uri, ttl, scope }, index): CacheProblem[] => {
    const path = ['patterns', index];
    if (patterns.findIndex((other) => other.uri === uri) < index)
      return [{ path: [...path, 'uri'], message: `uri: ${uri} is given twice`, hint: 'the first one holds' }];
    if (ttl === 0 && scope !== undefined)
      return [{ path: [...path, 'scope'], message: 'scope has no effect with ttl: off', hint: 'take one of them out' }];
    return [];
  });
}

/** What is wrong with the address of a Redis; it may have a password in it, which no message shows. */
export function redisUrlProblem(url: string): Pick<CacheProblem, 'message' | 'hint'> | null {
  if (/^(rediss?|unix):\/\/[^\s]/.test(url) && URL.canParse(url)) return null;
  return { message: 'url: is no address of a Redis', hint: 'write redis://host:6379, rediss://… or unix:///path' };
}

function parseTemplate(raw: unknown): Parsed<string> {
  if (typeof raw !== 'string')
    return { ok: false, error: { message: 'must be text', hint: 'write a URI template such as file:///{+path}' } };
  const parsed = UriTemplate.parse(raw);
  if (parsed.ok) return { ok: true, value: raw };
  const { message, position } = parsed.error;
  return {
    ok: false,
    error: {
      message: `is no URI template: character ${position}: ${message}`,
      hint: 'write one such as file:///{+path}, as RFC 6570 has it',
    },
  };
}

function parseTtl(raw: unknown): Parsed<number> {
  return raw === OFF ? { ok: true, value: 0 } : parseDuration(raw, TTL);
}
