/** The cache of answers: real clients, real daemons, a real server that counts, a real Redis. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addressOf, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand } from '../helpers/fixture.ts';
import { connectPeer, type Document, type Peer, type PeerKind } from '../helpers/mcp-peer.ts';
import { startRedis } from '../helpers/redis.ts';
import { lacks } from '../helpers/skip.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux');
const PUBLIC = 'files:///public/a';
const PRIVATE = 'files:///private/a';

interface Counted {
  readonly entry: Readonly<Record<string, unknown>>;
  /** Requests that reached a server of this tool, `method URI`. */
  asked(method: string, uri?: string): number;
}

function files(t: Test, flags: readonly string[], more: object = {}): Counted {
  const log = join(temporaryDirectory(t), 'log');
  writeFileSync(log, '');
  const [command, ...args] = fixtureCommand('mcp-files', [`--log=${log}`, ...flags]);
  return {
    entry: { command, args, class: 'light', autostart: false, health_check: 'none', ...more },
    asked: (method, uri = '') =>
      readFileSync(log, 'utf8')
        .split('\n')
        .filter((line) => line === `${method} ${uri}`).length,
  };
}

const peer = (t: Test, daemon: RunningDaemon, kind: PeerKind, name = kind as string, path = 'files'): Promise<Peer> => {
  const { url, token } = addressOf(daemon);
  return connectPeer(t, { kind, name, to: { url: `${url}/mcp/${path}`, token } });
};

const read = (client: Peer, uri: string): Promise<Document> => client.request('resources/read', { uri });
const told = (result: Document): Document => JSON.parse(result.contents[0].text);
const cache = async (daemon: RunningDaemon, query = ''): Promise<Document> =>
  (await daemon.call('GET', `/v1/cache${query}`)).json;
const clear = async (daemon: RunningDaemon, query = ''): Promise<Document> =>
  (await daemon.call('DELETE', `/v1/cache${query}`)).json;
const metric = async (daemon: RunningDaemon, line: string): Promise<number> =>
  Number(
    (await daemon.call('GET', '/metrics')).text
      .split('\n')
      .find((each) => each.startsWith(`${line} `))
      ?.split(' ')
      .at(-1),
  );

t.test(
  'a modern server says what may be kept, for how long, and for whom',
  { skip, timeout: patience(60_000) },
  async (t) => {
    const { entry, asked } = files(t, ['--modern']);
    const daemon = await startDaemon(t, { config: { tools: { files: { ...entry, sharing: 'shared' } } } });
    const [one, two] = [await peer(t, daemon, 'sdk-2-modern', 'one'), await peer(t, daemon, 'sdk-2', 'two')];

    const first = await read(one, PUBLIC);
    t.match(first, {
      ttlMs: Number,
      cacheScope: 'public',
      'files/unknown': { kept: true },
      _meta: { 'files/kept': true },
    });
    t.ok(first.ttlMs > 0 && first.ttlMs <= 60_000);
    const again = await read(one, PUBLIC);
    t.match(again, { cacheScope: 'public', 'files/unknown': { kept: true }, _meta: { 'files/kept': true } });
    t.ok(again.ttlMs > 0 && again.ttlMs < 60_000, `what is left of it: ${again.ttlMs}`);
    const elsewhere = await read(two, PUBLIC);
    t.same(elsewhere.contents, first.contents, 'another caller gets the same');
    t.notOk('ttlMs' in elsewhere, 'of another era, which has no such field');
    t.equal(asked('resources/read', PUBLIC), 1);

    t.same((await read(one, PRIVATE)).contents, (await read(one, PRIVATE)).contents);
    t.equal(asked('resources/read', PRIVATE), 1);
    t.equal(told(await read(two, PRIVATE)).read, 2, 'private is for one caller');
    const none = 'files:///none/a';
    t.same([told(await read(one, none)).read, told(await read(one, none)).read], [1, 2], '0 is not kept');

    t.match(await cache(daemon, '?uri=files:///public/%61'), {
      enabled: true,
      entries: [
        { tool: 'files', method: 'resources/read', uri: PUBLIC, scope: 'public', context: null, accessCount: 2 },
      ],
    });
    const own = (await cache(daemon, '?pattern=files:///private/{x}')).entries as readonly Document[];
    t.equal(own.length, 2);
    t.ok(own.every(({ scope, context }) => scope === 'caller' && typeof context === 'string'));
    t.notMatch(JSON.stringify(await cache(daemon)), /version/, 'no contents');

    await t.test('a change that the server tells of', async (t) => {
      const end = await one.watch(PUBLIC);
      await one.call('change', { uri: PUBLIC });
      await one.hears('notifications/resources/updated');
      t.equal(told(await read(one, PUBLIC)).version, 1);
      t.equal(told(await read(two, PUBLIC)).version, 1);
      await end();
    });

    await t.test('lists, until they change', async (t) => {
      const names = async (client: Peer): Promise<readonly string[]> =>
        (await client.request('resources/list')).resources.map(({ uri }: { uri: string }) => uri);
      await names(one);
      const before = asked('resources/list');
      t.same(await names(two), await names(one));
      t.equal(asked('resources/list'), before);
      await one.call('relist');
      t.ok((await names(one)).includes('files:///public/added-0'));
      t.equal(
        (await cache(daemon, `?uri=${PUBLIC}`)).entries.length,
        0,
        'what is read goes with the list of resources',
      );
    });

    await t.test('by hand, over REST and the command line', async (t) => {
      for (const client of [one, two]) for (const uri of [PUBLIC, PRIVATE]) await read(client, uri);
      t.same(await clear(daemon, `?uri=${PUBLIC}&tool=other`), { entries: 0, redis: 'none' });
      t.same(await clear(daemon, '?pattern=files:///private/{x}&tool=files'), { entries: 2, redis: 'none' });
      t.match(await daemon.cli(['cache', '--uri', PUBLIC]), {
        code: 0,
        stdout: /files +files:\/\/\/public\/a +all[^]*\n\n2 of 100 entries.* 7 of 18 requests answered \(39 %\)\n$/,
      });
      t.match(await daemon.cli(['cache', '--tool', 'files', 'clear', '--uri', PUBLIC]), {
        stdout: '1 entry has left the memory.\n',
      });
      t.match(JSON.parse((await daemon.cli(['cache', 'ls', '--json', '--uri', PUBLIC])).stdout), { entries: [] });
      t.match(await daemon.call('DELETE', `/v1/cache?uri=a&pattern=b`), {
        status: 400,
        json: { code: 'invalid_request' },
      });
      t.match(await daemon.call('GET', '/v1/cache?pattern={'), { status: 400, json: { detail: /URI template/ } });
      t.match(await daemon.cli(['cache', 'clear', '--json']), { code: 0, stdout: /"redis":"none"/ });
      t.equal((await cache(daemon)).entries.length, 0);
      const { entries } = (await daemon.call('GET', '/v1/audit?kind=daemon&limit=1000')).json;
      t.match(
        entries.filter(({ event }: Document) => event === 'cache_clear').slice(-2),
        [
          { detail: { by: 'socket', entries: 1, redis: 'none', tool: 'files', uri: PUBLIC } },
          { detail: { by: 'socket', redis: 'none', tool: undefined, uri: undefined } },
        ],
        'on record',
      );
    });

    t.ok((await metric(daemon, 'governor_cache_hits_total{tool="files",level="memory"}')) >= 4);
    t.ok((await metric(daemon, 'governor_cache_misses_total{tool="files"}')) >= 4);
    t.ok((await metric(daemon, 'governor_cache_removed_total{tool="files",reason="invalidated"}')) >= 4);
    t.equal(
      await metric(daemon, 'governor_tool_calls_total{tool="files",outcome="ok"}'),
      16,
      'every call of a client is counted, whoever answered',
    );
    t.equal((await daemon.call('DELETE', '/v1/tools/files')).status, 204);
    t.notMatch((await daemon.call('GET', '/metrics')).text, /governor_cache_[a-z_]+\{tool="files"/);
  },
);

t.test(
  'an older server: what the user says, and what it was asked to tell of',
  { skip, timeout: patience(60_000) },
  async (t) => {
    const settings = {
      patterns: [
        { uri: 'files:///never/{+path}', ttl: 'off' },
        { uri: 'files:///public/{name}', ttl: '5m', scope: 'public' },
        { uri: 'files:///slow/{name}', ttl: '1m', scope: 'public' },
        { uri: 'files:///big/{bytes}' },
      ],
    };
    const plain = files(t, []);
    const ruled = files(t, [], { cache: settings, idle_timeout: '1500ms' });
    const tools = { plain: plain.entry, ruled: ruled.entry };
    const daemon = await startDaemon(t, { config: { daemon: { cache: { size: '100kB' } }, tools } });
    const legacy = await peer(t, daemon, 'sdk-2', 'legacy', 'plain');

    t.same([told(await read(legacy, PUBLIC)).read, told(await read(legacy, PUBLIC)).read], [1, 2], 'nobody says so');
    const end = await legacy.watch(PUBLIC);
    t.same(
      [told(await read(legacy, PUBLIC)).read, told(await read(legacy, PUBLIC)).read],
      [3, 3],
      'it tells of changes',
    );
    await legacy.call('change', { uri: PUBLIC });
    t.same([told(await read(legacy, PUBLIC)).version, told(await read(legacy, PUBLIC)).read], [1, 4]);
    t.equal((await cache(daemon)).entries.length, 1);
    await end();
    t.equal((await cache(daemon)).entries.length, 0);
    t.equal(told(await read(legacy, PUBLIC)).read, 5);

    const [one, two] = [
      await peer(t, daemon, 'sdk-2', 'one', 'ruled'),
      await peer(t, daemon, 'sdk-2-modern', 'two', 'ruled'),
    ];
    await t.test('one request for all who ask meanwhile; progress is of the first', async (t) => {
      const slow = 'files:///slow/a';
      const progress: unknown[] = [];
      const options = { onprogress: (step: unknown) => void progress.push(step) };
      const results = await Promise.all([
        one.request('resources/read', { uri: slow }, options),
        ...Array.from({ length: 10 }, () => read(two, slow)),
      ]);
      t.equal(new Set(results.map((result) => told(result).read)).size, 1);
      t.equal(ruled.asked('resources/read', slow), 1);
      t.match(progress, [{ progress: 1, total: 2 }]);
    });
    await t.test('by pattern, with its parameters', async (t) => {
      const first = await read(one, PUBLIC);
      const second = await read(two, PUBLIC);
      t.same(second.contents, first.contents);
      t.match(second, { cacheScope: 'public', 'files/unknown': { kept: true } });
      t.ok(second.ttlMs > 200_000 && second.ttlMs <= 300_000);
      t.match((await cache(daemon, `?uri=${PUBLIC}`)).entries, [
        { pattern: { template: 'files:///public/{name}', parameters: { name: 'a' } } },
      ]);
      for (const uri of ['files:///never/a', 'files:///other/a', 'files:///missing/a']) {
        await read(one, uri).catch(() => undefined);
        await read(one, uri).catch(() => undefined);
        t.equal(ruled.asked('resources/read', uri), 2, uri);
      }
    });
    await t.test('a server that sleeps is not woken for it', async (t) => {
      await waitFor('it to sleep', async () => (await daemon.call('GET', '/v1/tools/ruled')).json.runs.length === 0);
      await one.request('logging/setLevel', { level: 'warning' });
      t.equal(told(await read(one, PUBLIC)).read, 1);
      t.equal(told(await read(two, PUBLIC)).read, 1);
      t.match((await daemon.call('GET', '/v1/tools/ruled')).json, { state: 'registered', runs: [] });
    });
    await t.test('what is larger than all of the room is passed on', async (t) => {
      const [fits, larger] = ['files:///big/50000', 'files:///big/100000'];
      const first = await read(one, fits);
      t.same(await read(one, fits), first);
      const [entry] = (await cache(daemon, `?uri=${fits}`)).entries;
      t.equal(entry.bytes, Buffer.byteLength(JSON.stringify(first)), 'counted as it is written');
      t.not(told(await read(one, larger)).read, told(await read(one, larger)).read);
      t.match(await cache(daemon, `?uri=${larger}`), { entries: [], statistics: { tooLarge: 2 } });
    });
    await t.test('another setting, another server, no tool any more', async (t) => {
      const rewrite = (now: object): void => {
        writeFileSync(
          daemon.configPath ?? '',
          JSON.stringify({ version: 1, daemon: { cache: { size: '100kB' } }, tools: now }),
        );
      };
      const reload = async (now: object): Promise<Document> => {
        rewrite(now);
        return (await daemon.call('POST', '/v1/config/reload')).json;
      };
      await read(one, PUBLIC);
      t.not((await cache(daemon, '?tool=ruled')).entries.length, 0);
      await reload({ ...tools, ruled: { ...ruled.entry, cache: 'off' } });
      t.equal((await cache(daemon, '?tool=ruled')).entries.length, 0);
      const reads = ruled.asked('resources/read', PUBLIC);
      await read(one, PUBLIC);
      await read(one, PUBLIC);
      t.equal(ruled.asked('resources/read', PUBLIC), reads + 2, 'off');
      const [command, ...args] = ruled.entry['args'] as readonly string[];
      await reload({ ...tools, ruled: { ...ruled.entry, args: [command, ...args, '--catalogue=two'] } });
      await read(one, PUBLIC);
      t.equal(told(await read(one, PUBLIC)).read, 1, 'of the other server');
      await reload({ plain: plain.entry });
      t.same((await cache(daemon)).entries, []);
    });
  },
);

t.test('two daemons and a Redis', { skip: skip || lacks('redis'), timeout: patience(90_000) }, async (t) => {
  const redis = await startRedis(t);
  // The same in both: with another working directory it would be another server.
  const { entry, asked } = files(t, ['--modern'], { sharing: 'shared', cwd: temporaryDirectory(t) });
  const config = {
    daemon: { cache: { redis: { url: '${REDIS_URL}', timeout: '200ms', prefix: 'test' } } },
    tools: { files: entry },
  };
  const start = (): Promise<RunningDaemon> => startDaemon(t, { config, env: { REDIS_URL: redis.url } });
  const [here, there] = await Promise.all([start(), start()]);
  const [one, two] = await Promise.all([peer(t, here, 'sdk-2-modern', 'one'), peer(t, there, 'sdk-2-modern', 'two')]);
  const ofRedis = async (daemon: RunningDaemon): Promise<Document> => (await cache(daemon)).statistics.redis;
  const stored = (count: number): Promise<unknown> =>
    waitFor('Redis to have it', async () => (await ofRedis(here)).stored >= count);

  await read(one, PUBLIC);
  await read(one, PRIVATE);
  await stored(1);
  const shared = await read(two, PUBLIC);
  t.equal(asked('resources/read', PUBLIC), 1, 'what one daemon has read, the other finds');
  t.ok(shared.ttlMs > 0 && shared.ttlMs < 60_000, 'with what is left of its time');
  t.equal(told(await read(two, PRIVATE)).read, 1, 'but not what is private');
  t.equal(asked('resources/read', PRIVATE), 2);
  t.notMatch(await redis.raw('KEYS *'), /private/);
  t.equal(await metric(there, 'governor_cache_hits_total{tool="files",level="redis"}'), 1);
  t.equal(await metric(there, 'governor_cache_redis_up'), 1);

  await t.test('what one invalidates, the other forgets', async (t) => {
    t.match(await clear(here, `?uri=${PUBLIC}`), { entries: 1, redis: 'done' });
    await waitFor('the other to hear', async () => (await cache(there, `?uri=${PUBLIC}`)).entries.length === 0);
    t.notMatch(await redis.raw('KEYS *'), /public%2Fa/);
    t.not(told(await read(two, PUBLIC)).pid, told(shared).pid, 'asked of its own server');
    await read(one, PUBLIC);
    const watched = await one.watch(PUBLIC);
    await one.call('change', { uri: PUBLIC });
    await one.hears('notifications/resources/updated');
    await waitFor(
      'the other to hear of that too',
      async () => (await cache(there, `?uri=${PUBLIC}`)).entries.length === 0,
    );
    // Nothing is stored there while it is still being told.
    await waitFor('Redis to be told', async () => (await ofRedis(here)).pendingInvalidations === 0);
    t.equal(told(await read(one, PUBLIC)).version, 1);
    await waitFor('Redis to have it again', async () => /public%2Fa/.test(await redis.raw('KEYS *')));
    t.equal(told(await read(two, PUBLIC)).version, 1);
    await watched();
  });

  await t.test('Redis goes, and comes back', async (t) => {
    await redis.stop();
    await clear(here);
    await clear(there);
    const reads = asked('resources/read', PUBLIC);
    t.equal(told(await read(one, PUBLIC)).version, 1, 'calls go on');
    await read(two, PUBLIC);
    t.equal(asked('resources/read', PUBLIC), reads + 2);
    t.match(await ofRedis(here), { state: 'down' });
    t.equal(await metric(here, 'governor_cache_redis_up'), 0);
    t.ok((await metric(here, 'governor_cache_redis_failures_total{reason="error"}')) >= 1);
    t.match(await clear(here, '?tool=files'), { redis: 'pending' });
    for (let each = 0; each < 5; each++) await read(one, `files:///public/${each}`);
    const said = here.output().match(/the second level of the cache does not answer/g) ?? [];
    t.equal(said.length, 1, 'said once');
    await redis.start();
    for (const daemon of [here, there])
      await waitFor('it to be healed by itself', async () => (await ofRedis(daemon)).state === 'up', {
        timeoutMs: 40_000,
      });
    t.match(here.output(), /the second level of the cache answers again/);
    t.match(await ofRedis(here), { pendingInvalidations: 0 });
    await read(one, 'files:///public/back');
    await waitFor('Redis to have it', async () => /back/.test(await redis.raw('KEYS *')));
    await read(two, 'files:///public/back');
    t.equal(asked('resources/read', 'files:///public/back'), 1);
  });

  await t.test('Redis hangs: a call waits no longer than it may', async (t) => {
    redis.pause();
    t.match(told(await read(one, 'files:///public/hangs')), { read: 1 });
    t.match(await ofRedis(here), { state: 'down' });
    redis.resume();
  });
});
