/** `daemon.cache`, and `cache` of a tool. */

import t from 'tap';
import { loadConfig } from '../../../config/load.ts';
import type { Config } from '../../../config/config.ts';
import { CACHE_DEFAULTS } from '../../../lib/client/cache-settings.ts';
import { formatProblem } from '../../../lib/core/errors.ts';

const load = (text: string, env: Readonly<Record<string, string>> = {}): Config => {
  const host = { memoryBytes: 24 * 1024 ** 3, cores: 4 };
  const loaded = loadConfig({ path: '/etc/governor/limits.yaml', text: `version: 1\n${text}`, host, env });
  if (!loaded.ok) throw new Error(loaded.error.map(formatProblem).join('\n'));
  return loaded.value;
};

t.test('defaults are those of the library', async (t) => {
  const { ttlMs, maxEntries, maxBytes, sweepIntervalMs } = CACHE_DEFAULTS;
  t.same(load('').daemon.cache, { ttlMs, maxEntries, maxBytes, sweepIntervalMs, redis: null });
  t.same(load('daemon: { cache: { redis: { url: "redis://localhost" } } }').daemon.cache, {
    ttlMs,
    maxEntries: CACHE_DEFAULTS.maxEntriesBeforeSecondLevel,
    maxBytes,
    sweepIntervalMs,
    redis: {
      url: 'redis://localhost',
      prefix: 'governor:cache',
      timeoutMs: CACHE_DEFAULTS.secondLevelTimeoutMs,
      firstLevelTtlMs: CACHE_DEFAULTS.firstLevelTtlMs,
    },
  });
  t.notOk('cache' in (load('tools: { web: { command: x } }').tools[0] ?? {}));
});

t.test('every setting arrives', async (t) => {
  const text = `daemon:
  cache:
    ttl: 5m
    size: 1MiB
    sweep: 1s
    redis:
      url: "rediss://:\${SECRET}@cache:6380/2"
      prefix: fleet
      timeout: 50ms
      first_level: { ttl: 10s, entries: 20 }
`;
  t.same(load(text, { SECRET: 'hush' }).daemon.cache, {
    ttlMs: 300_000,
    maxEntries: 20,
    maxBytes: 2 ** 20,
    sweepIntervalMs: 1_000,
    redis: { url: 'rediss://:hush@cache:6380/2', prefix: 'fleet', timeoutMs: 50, firstLevelTtlMs: 10_000 },
  });
  t.equal(load('daemon: { cache: { entries: 7 } }').daemon.cache?.maxEntries, 7);
  t.equal(load('daemon: { cache: off }').daemon.cache, null);
});

t.test('tools over REST', async (t) => {
  const body = { name: 'x', command: 'node', cache: { ttl: '5m', patterns: [{ uri: 'a/{b}', scope: 'caller' }] } };
  const defined = load('').define({ origin: 'api', body });
  t.match(defined, {
    value: { cache: { ttlMs: 300_000, patterns: [{ uri: 'a/{b}', ttlMs: null, scope: 'caller' }] } },
  });
  const problems = (config: Config, cache: unknown): readonly unknown[] => {
    const result = config.define({ origin: 'api', body: { ...body, cache } });
    return result.ok ? [] : result.error.map(({ where, message }) => [where?.pointer, message]);
  };
  t.same(problems(load(''), { patterns: [{ uri: 'a{' }] }), [
    ['/cache/patterns/0/uri', 'uri: is no URI template: character 2: this { is not closed'],
  ]);
  t.same(problems(load('daemon: { cache: off }'), body.cache), [
    ['/cache', 'cache has no effect: daemon.cache is off'],
  ]);
});

t.test('a run of a client has no answers that could be kept', async (t) => {
  const config = load('tools: { web: { command: x, cache: { ttl: 5m } } }');
  const run = config.define({ origin: 'run', body: { name: 'web', command: 'x' } });
  t.ok(run.ok && !('cache' in run.value));
});

t.test('an address of Redis that is wrong is not shown: it may have a password', async (t) => {
  try {
    load('daemon: { cache: { redis: { url: "${URL}" } } }', { URL: 'http://user:hush@host' });
    t.fail('was accepted');
  } catch (error) {
    t.match(String(error), /is no address of a Redis/);
    t.notMatch(String(error), /hush/);
  }
});
