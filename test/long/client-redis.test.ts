/** The second level of the cache in a real Redis, shared by several caches. */

import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import type { CacheOptions } from '../../lib/client/cache-types.ts';
import { redisLevel } from '../../lib/client/redis-level.ts';
import { ResourceCache } from '../../lib/client/resource-cache.ts';
import { isGovernorError } from '../helpers/governor-error.ts';
import { startRedis, type RedisServer } from '../helpers/redis.ts';
import { gate } from '../helpers/pool.ts';
import { lacks } from '../helpers/skip.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('redis');

interface Replica {
  readonly cache: ResourceCache;
  readonly said: string[];
  /** Answers with the value that the source has now. */
  load(uri: string): Promise<unknown>;
  loads: number;
}

/** What all replicas read from. */
type Source = Record<string, unknown>;

function replica(
  t: Test,
  url: string,
  source: Source,
  options: CacheOptions & { readonly prefix?: string } = {},
): Replica {
  const { prefix, ...others } = options;
  const said: string[] = [];
  const cache = new ResourceCache({
    secondLevel: redisLevel({ url, ...(prefix === undefined ? {} : { prefix }) }),
    secondLevelTimeoutMs: patience(10_000),
    log: { info: (message) => said.push(message), warn: (message) => said.push(message) },
    ...others,
  });
  t.teardown(() => cache.close());
  const self: Replica = {
    cache,
    said,
    loads: 0,
    load: (uri) =>
      cache.load({ key: `read ${uri}`, uri, group: 'files' }, () => {
        self.loads++;
        return source[uri];
      }),
  };
  return self;
}

const stored = (one: Replica, count: number): Promise<boolean> =>
  waitFor(`${count} entries to be stored`, () => one.cache.statistics().secondLevel?.stored === count);

t.test('Redis', { skip, timeout: patience(120_000) }, async (t) => {
  const redis = await startRedis(t);
  const fresh = async (t: Test): Promise<RedisServer> => {
    t.equal(await redis.raw('FLUSHALL'), '+OK\r\n+OK\r\n');
    return redis;
  };

  t.test('what one has loaded, another finds', async (t) => {
    const { url, raw } = await fresh(t);
    const source: Source = { 'file:///ä b': { text: 'grüezi', list: [1, null, true] } };
    const [one, two] = [replica(t, url, source), replica(t, url, source, { ttlMs: 1 })];
    t.same(await one.load('file:///ä b'), source['file:///ä b']);
    await stored(one, 1);
    t.same(await two.load('file:///ä b'), source['file:///ä b']);
    t.equal(two.loads, 0);
    t.match(two.cache.statistics().secondLevel, { state: 'up', hits: 1 });
    const keys = (await raw('KEYS *')).match(/governor\S+/g)?.sort();
    t.match(keys, [/^governor:cache:1:e:files:file%3A%2F%2F%2F%C3%A4%20b:[\w-]{43}$/]);
    t.match(await raw(`PTTL ${keys?.[0]}`), /^:(8\d{5}|900000)\r/, 'for 15 minutes');
  });

  t.test('by another prefix it is another cache', async (t) => {
    const { url } = await fresh(t);
    const source: Source = { a: 1 };
    const [one, two] = [replica(t, url, source), replica(t, url, source, { prefix: 'other' })];
    await one.load('a');
    await stored(one, 1);
    await two.load('a');
    t.equal(two.loads, 1);
    await one.cache.invalidate({ all: true });
    t.not(two.cache.info('read a'), null);
  });

  t.test('each way to invalidate reaches Redis, and the memory of others', async (t) => {
    const { url, raw } = await fresh(t);
    const source: Source = {};
    const uris = ['file:///a/1', 'file:///a/2', 'file:///b*[x]?', 'db://ü'];
    const [one, two] = [replica(t, url, source), replica(t, url, source)];
    for (const [selector, gone] of [
      [{ uri: 'file:///a/1' }, ['file:///a/1']],
      [{ pattern: 'file:///a/{n}' }, ['file:///a/1', 'file:///a/2']],
      [{ key: 'read file:///b*[x]?' }, ['file:///b*[x]?']],
      [{ uri: 'db://%c3%bc', group: 'files' }, ['db://ü']],
      [{ group: 'files' }, uris],
      [{ group: 'f*' }, []],
      [{ any: [{ key: 'read db://ü' }, { pattern: 'file:///a/{n}' }] }, ['file:///a/1', 'file:///a/2', 'db://ü']],
      [{ uri: 'file:///a/1/deep', above: true }, ['file:///a/1']],
      [{ uri: 'file:///a/1', group: 'others' }, []],
      [{ all: true }, uris],
    ] as const) {
      for (const uri of uris) source[uri] = `${uri} before`;
      for (const uri of uris) await one.load(uri);
      await waitFor('Redis to have all', async () => (await raw('KEYS *:e:*')).match(/:e:/g)?.length === 4);
      for (const uri of uris) await two.load(uri);
      for (const uri of uris) source[uri] = `${uri} after`;
      t.same(
        await one.cache.invalidate(selector),
        { entries: gone.length, secondLevel: 'done' },
        JSON.stringify(selector),
      );
      await waitFor(
        'the other to hear',
        () => uris.filter((uri) => two.cache.info(`read ${uri}`) === null).length === gone.length,
      );
      for (const uri of uris) {
        const expected = `${uri} ${gone.includes(uri as never) ? 'after' : 'before'}`;
        t.equal(await two.load(uri), expected);
        t.equal(await one.load(uri), expected);
      }
      await one.cache.invalidate({ all: true });
      await waitFor('both to be empty', () => two.cache.statistics().entries === 0);
    }
  });

  t.test('a load that began before an invalidation elsewhere stores nothing', async (t) => {
    const { url, raw } = await fresh(t);
    const [one, two] = [replica(t, url, {}), replica(t, url, {})];
    await two.load('warm');
    const answer = gate<string>();
    const slow = one.cache.load('k', () => answer.passed);
    await waitFor('the loader to be asked', () => one.cache.statistics().loads === 1);
    await two.cache.invalidate({ uri: 'k' });
    answer.open('old');
    t.equal(await slow, 'old');
    await waitFor('it to be over', () => {
      const { overtaken, secondLevel } = one.cache.statistics();
      return overtaken === 1 || secondLevel?.refused === 1;
    });
    t.notMatch(await raw('KEYS *'), /e::k:/);
  });

  t.test('who has read before an invalidation cannot store after it, heard of it or not', async (t) => {
    const { url, raw } = await fresh(t);
    const [one, two] = [redisLevel({ url }), redisLevel({ url })];
    t.teardown(async () => {
      await one.close();
      await two.close();
    });
    const id = { key: 'k', uri: 'u', group: '' };
    const stored = { text: '1', ttlMs: 60_000 };
    const signal = (): AbortSignal => new AbortController().signal;
    const heard: object[] = [];
    one.listen?.((selector) => void heard.push(selector));
    const before = await one.get(id, signal());
    t.same(before, { found: null, stamp: '' });
    await two.invalidate({ uri: 'another' }, signal());
    t.equal(await one.set(id, stored, before.stamp, signal()), false, 'whatever was invalidated: rather too much');
    t.notMatch(await raw('KEYS *'), /:e:/);
    await waitFor('it to be told before and after', () => heard.length === 2);
    t.same(heard, [{ uri: 'another' }, { uri: 'another' }]);
    const after = await one.get(id, signal());
    t.not(after.stamp, before.stamp);
    t.equal(await one.set(id, stored, after.stamp, signal()), true);
    t.match(await two.get(id, signal()), { found: { text: '1' }, stamp: after.stamp });
    await raw(`DEL governor:cache:1:epoch`);
    await two.invalidate({ uri: 'another' }, signal());
    t.equal(await one.set(id, stored, after.stamp, signal()), false, 'also when Redis had forgotten the epoch');
    await two.delete(id, signal());
    t.match(await one.get(id, signal()), { found: null });
  });

  t.test('what is set is seen by others at once', async (t) => {
    const { url } = await fresh(t);
    const [one, two] = [replica(t, url, { a: 'old' }), replica(t, url, { a: 'old' })];
    await two.load('a');
    await stored(two, 1);
    t.equal(one.cache.set({ key: 'read a', uri: 'a', group: 'files' }, 'new'), true);
    await waitFor('the other to drop its own', () => two.cache.info('read a') === null);
    t.equal(await two.load('a'), 'new');
  });

  t.test('thousands of entries, many of others', async (t) => {
    const { url, raw } = await fresh(t);
    const one = replica(t, url, {});
    await raw(`EVAL "for i = 1, 20000 do redis.call('SET', 'foreign:' .. i, i) end" 0`);
    for (let index = 0; index < 900; index++)
      one.cache.set({ key: `k${index}`, uri: `u://${index % 3}/${index}` }, index);
    await stored(one, 900);
    t.same(await one.cache.invalidate({ pattern: 'u://1/{n}' }), { entries: 300, secondLevel: 'done' });
    t.equal((await raw('KEYS *:e:*')).match(/:e:/g)?.length, 600);
    t.match(await raw('DBSIZE'), /^:20601/, 'nothing else was touched: 20,000, 600 and the epoch');
  });

  t.test('something else under its key is no entry', async (t) => {
    const { url, raw } = await fresh(t);
    const one = replica(t, url, { a: 'good' });
    await one.load('a');
    await stored(one, 1);
    const key = /governor\S+:e:\S+/.exec(await raw('KEYS *:e:*'))?.[0];
    await raw(`SET ${key} {broken PX 60000`);
    const two = replica(t, url, { a: 'good' });
    t.equal(await two.load('a'), 'good');
    t.equal(two.loads, 1);
  });

  t.test('gone and back', async (t) => {
    const { url } = await fresh(t);
    const source: Source = { a: 'a1', b: 'b1', c: 'c1' };
    const [one, two] = [replica(t, url, source), replica(t, url, source)];
    await one.load('a');
    await two.load('a');
    await redis.stop();
    await waitFor('the memory to be dropped', () => one.cache.info('read a') === null);
    const before = one.loads;
    t.equal(await one.load('a'), 'a1');
    t.equal(
      one.loads,
      before + 1,
      'whoever cannot hear of invalidations does not trust what it has: asked of the source',
    );
    t.equal(await one.load('b'), 'b1');
    t.match(one.said, [/does not answer, calls go on without it/]);
    t.equal(one.said.length, 1, 'said once');
    t.same((await one.cache.invalidate({ uri: 'c' })).secondLevel, 'pending');
    await redis.start();
    await waitFor('it to be healed by itself', () => one.cache.statistics().secondLevel?.state === 'up', {
      timeoutMs: 30_000,
    });
    t.match(one.said, [/./, /answers again/]);
    t.equal(one.cache.statistics().secondLevel?.pendingInvalidations, 0);
    t.equal(one.cache.info('read b'), null, 'what was loaded while nothing could be heard is gone too');
    await one.load('b');
    await waitFor('it to be stored again', async () => (await redis.raw('KEYS *:e:*')).includes(':b:'));
  });

  t.test('there and silent: the call goes on after the time-out', async (t) => {
    const { url } = await fresh(t);
    const one = replica(t, url, { a: 1, b: 2, c: 3 }, { secondLevelTimeoutMs: patience(500) });
    await one.cache.ready();
    await one.load('a');
    await stored(one, 1);
    redis.pause();
    t.equal(await one.load('b'), 2);
    t.equal(await one.load('c'), 3);
    t.match(one.cache.statistics().secondLevel, { state: 'down', timeouts: 1 });
    redis.resume();
    await waitFor('it to be healed', () => one.cache.statistics().secondLevel?.state === 'up', { timeoutMs: 30_000 });
  });

  t.test('it is loaded when it is used, and keeps no process alive', async (t) => {
    const { url } = await fresh(t);
    const index = new URL('../../lib/client/index.js', import.meta.url).href;
    const script = `
      import { createRequire } from 'node:module';
      import { ResourceCache, redisLevel } from ${JSON.stringify(index)};
      const cache = new ResourceCache({ secondLevel: redisLevel({ url: ${JSON.stringify(url)} }), secondLevelTimeoutMs: ${patience(5_000)} });
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('@redis'));
      const before = loaded();
      await cache.load('a', () => 1);
      console.log(before, loaded(), JSON.stringify(await cache.invalidate({ all: true })));
    `;
    const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
      encoding: 'utf8',
      timeout: patience(60_000),
      cwd: import.meta.dirname,
    });
    t.match(child, { status: 0, signal: null, stdout: 'false true {"entries":1,"secondLevel":"done"}\n', stderr: '' });
  });
});

t.test('nobody there, somebody else there', async (t) => {
  const server = createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  for (const url of ['unix:///nowhere/redis.sock', `redis://127.0.0.1:${port}`]) {
    const one = replica(t, url, { a: 1 });
    await t.rejects(one.cache.ready(), Error, url);
    t.equal(await one.load('a'), 1, url);
    t.equal(one.cache.statistics().secondLevel?.state, 'down');
    t.equal(one.said.length, 1);
  }
});

t.test('a level belongs to one cache', async (t) => {
  const level = redisLevel({ url: 'redis://127.0.0.1:1' });
  const cache = new ResourceCache({ secondLevel: level });
  t.teardown(() => cache.close());
  t.throws(() => new ResourceCache({ secondLevel: level }), isGovernorError('invalid_request'));
});

t.test('a URL that is none', async (t) => {
  for (const url of ['', 'localhost:6379', 'http://localhost', 'redis//x'])
    t.throws(() => redisLevel({ url }), isGovernorError('invalid_request'), url);
});
