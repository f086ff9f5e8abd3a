/** `daemon.cache` of a daemon that runs: bounds, times, Redis and off, by a real reload. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { formatConfig } from '../helpers/config-text.ts';
import { addressOf, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand } from '../helpers/fixture.ts';
import { connectPeer, type Document } from '../helpers/mcp-peer.ts';
import { startRedis } from '../helpers/redis.ts';
import { lacks } from '../helpers/skip.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

t.test('daemon.cache changes', { skip: lacks('linux', 'redis'), timeout: patience(90_000) }, async (t) => {
  const [former, latter] = [await startRedis(t), await startRedis(t)];
  const log = join(temporaryDirectory(t), 'log');
  writeFileSync(log, '');
  const [command, ...args] = fixtureCommand('mcp-files', ['--modern', `--log=${log}`]);
  const config = (cache: unknown, more: object = {}) => ({
    daemon: { cache },
    tools: { files: { command, args, class: 'light', autostart: false, sharing: 'shared', ...more } },
  });
  const daemon = await startDaemon(t, { config: config({}) });
  const { url, token } = addressOf(daemon);
  const peer = await connectPeer(t, { kind: 'sdk-2-modern', name: 'one', to: { url: `${url}/mcp/files`, token } });
  const read = (uri: string): Promise<Document> => peer.request('resources/read', { uri: `files:///${uri}` });
  const asked = (uri: string): number =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line === `resources/read files:///${uri}`).length;
  const cache = async (): Promise<Document> => (await daemon.call('GET', '/v1/cache')).json;
  const reads = async (): Promise<readonly string[]> =>
    (await cache()).entries
      .filter(({ method }: Document) => method === 'resources/read')
      .map(({ uri }: Document) => uri.slice('files:///'.length));
  const reloads = async (): Promise<readonly Document[]> =>
    (await daemon.call('GET', '/v1/audit?kind=daemon&limit=1000')).json.entries
      .map((entry: Document) => entry.record ?? entry)
      .filter(({ event }: Document) => event === 'config_reload');
  /** @returns its notes, also where the watch of the file was faster than the request */
  const reload = async (next: unknown, more: object = {}): Promise<readonly string[]> => {
    const before = (await reloads()).length;
    writeFileSync(daemon.configPath ?? '', formatConfig(config(next, more)));
    const { status, text } = await daemon.call('POST', '/v1/config/reload', {});
    if (status !== 200) throw new Error(text);
    return (await reloads()).slice(before).flatMap(({ detail }: Document) => detail.notes as string[]);
  };

  await t.test('bounds: what no longer fits goes, the rest is served', async (t) => {
    for (const uri of ['public/a', 'public/b', 'private/c', 'public/d']) await read(uri);
    await read('public/a');
    const { entries } = await cache();
    const kept = entries.slice(0, 2).map(({ uri, method }: Document) => `${method} ${uri}`);
    t.same(await reload({ entries: 2 }), ['daemon.cache: the new values hold from now on']);
    const now = await cache();
    t.same(
      now.entries.map(({ uri, method }: Document) => `${method} ${uri}`),
      kept,
      'what was used last',
    );
    t.match(now.statistics, { maxEntries: 2, evicted: entries.length - 2 });
    t.same(await reload({ entries: 2 }), [], 'the same again is no change');
    await read('public/a');
    t.equal(asked('public/a'), 1, 'kept over it');
    await read('public/b');
    t.equal(asked('public/b'), 2);
    await reload({ entries: 2, size: '1B' });
    t.match(await cache(), { entries: [], statistics: { maxBytes: 1, tooLarge: 0 } });
    await read('public/a');
    t.match(await cache(), { entries: [], statistics: { tooLarge: 1 } });
  });

  await t.test('the time of what nobody gives one, and that alone', async (t) => {
    const more = { cache: { patterns: [{ uri: 'files:///none/{x}' }] } };
    await reload({}, more);
    await read('none/a');
    await read('public/a');
    await reload({ ttl: '1h' }, more);
    t.notOk((await reads()).includes('none/a'), 'it had the former time');
    await read('none/a');
    const [entry] = (await cache()).entries.filter(({ uri }: Document) => uri === 'files:///none/a');
    t.equal(Date.parse(entry.expiresAt) - Date.parse(entry.createdAt), 3_600_000);
  });

  await t.test('a Redis comes, another one, and none', async (t) => {
    // Nobody waits for a first connection longer than for an answer: what was told to forget has one.
    const connected = (): Promise<unknown> =>
      waitFor('a connection', async () => (await daemon.call('DELETE', '/v1/cache?uri=x')).json.redis === 'done');
    const keys = (redis: typeof former): Promise<string> => redis.raw('KEYS *');
    await reload({ redis: { url: former.url } });
    t.match((await cache()).statistics, { maxEntries: 1000, redis: { state: 'up' } });
    t.same(await reads(), [], 'what was learned without is not kept beside it');
    await connected();
    await read('public/r');
    await waitFor('Redis to have it', async () => /public%2Fr/.test(await keys(former)));
    const before = asked('public/r');

    const [note] = await reload({ redis: { url: latter.url } });
    t.notMatch(note, /unix:/, 'no address in what is said');
    await connected();
    await read('public/r');
    t.equal(asked('public/r'), before + 1, 'the other one knows nothing of it');
    await waitFor('the other one to have it', async () => /public%2Fr/.test(await keys(latter)));
    t.match(await keys(former), /public%2Fr/, 'the former keeps what it has');
    await waitFor('nobody to be there any more', async () =>
      /connected_clients:1\r/.test(await former.raw('INFO clients')),
    );
    await former.stop();
    await read('public/s');
    t.match((await cache()).statistics.redis, { state: 'up' });
    t.match((await daemon.call('DELETE', '/v1/cache?uri=files:///public/r')).json, { entries: 1, redis: 'done' });
    t.notMatch(await keys(latter), /public%2Fr/);

    await read('public/r');
    await waitFor('it to be back there', async () => /public%2Fr/.test(await keys(latter)));
    await reload({ redis: { url: latter.url, timeout: '1s', first_level: { entries: 5 } } });
    t.ok((await reads()).includes('public/r'), 'of the same Redis nothing is forgotten');
    t.match((await cache()).statistics, { maxEntries: 5 });
    await reload({});
    t.match((await cache()).statistics, { redis: null, maxEntries: 100 });
    t.notMatch(daemon.output(), /second level of the cache does not answer/);
  });

  await t.test('off, and on again', async (t) => {
    await read('public/o');
    await reload('off');
    t.match(await cache(), { enabled: false, statistics: null, entries: [] });
    const before = asked('public/o');
    await read('public/o');
    await read('public/o');
    t.equal(asked('public/o'), before + 2);
    await reload({});
    t.same(await reads(), []);
    await read('public/o');
    await read('public/o');
    t.equal(asked('public/o'), before + 3);
  });
});
