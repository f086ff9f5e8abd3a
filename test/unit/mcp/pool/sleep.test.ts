/** What keeps a process awake, what is seen of one that sleeps, and what wakes it. */

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import t from 'tap';
import type { Holds } from '../../../../lib/mcp/upstream/upstream.ts';
import { poolStand, type PoolStand } from '../../../helpers/pool-stand.ts';

const MINUTE_MS = 60_000;
const IDLE = { idleTimeoutMs: MINUTE_MS } as const;

const ends = (scene: PoolStand): readonly unknown[] =>
  scene.registry.runs('tool').map(({ end }) => end?.reason ?? null);

t.test('idle, it is put to sleep; its lists stay visible, and the next other request wakes it', async (t) => {
  for (const sharing of ['shared', 'context'] as const) {
    const scene = poolStand(t);
    scene.served('tool', { ...IDLE, sharing });
    const session = scene.open(scene.client('a'));
    await scene.call(session);
    await scene.time.pass(MINUTE_MS - 100);
    t.same(ends(scene), [null], 'awake');
    await scene.time.pass(300);
    t.same(ends(scene), ['idle']);
    t.equal(scene.registry.tool('tool').state, 'registered');
    t.match(scene.registry.tool('tool').lastEnd, { message: 'put to sleep: nobody had anything open with it for 1m' });
    t.match(await session.describe(new AbortController().signal), { info: { name: 'fake' } });
    t.match(await scene.call(session, 'tools/list'), { result: { tools: [{ name: 'one' }] } });
    t.equal(scene.launched.length, 1, 'seen without waking it');
    t.match(await scene.call(session), { kind: 'result' });
    t.equal(scene.launched.length, 2);
    t.equal(scene.recordsOf('recovery').length, 0, 'sleep is no failure');
  }
});

t.test('what is open keeps it awake', async (t) => {
  const holds: readonly (keyof Holds)[] = ['requests', 'progressTokens', 'subscriptions', 'tasks'];
  for (const hold of holds) {
    const scene = poolStand(t);
    scene.served('tool', IDLE);
    await scene.call(scene.open(scene.client('a')));
    const [server] = scene.servers;
    if (server === undefined) return t.fail('nothing was started');
    server.held = { [hold]: 1 };
    await scene.time.pass(10 * MINUTE_MS);
    t.same(ends(scene), [null], hold);
    server.held = {};
    await scene.time.pass(2 * MINUTE_MS + 1_000);
    t.same(ends(scene), ['idle'], hold);
  }
  return undefined;
});

t.test('a request that takes long keeps it awake, and its time counts from its end', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', IDLE);
  let release = (): void => undefined;
  scene.offer.behaviour = () => new Promise((resolve) => (release = () => resolve({ kind: 'result', result: {} })));
  const answer = scene.call(scene.open(scene.client('a')));
  await scene.time.pass(5 * MINUTE_MS + 30_000);
  release();
  await answer;
  await scene.time.pass(MINUTE_MS - 100);
  t.same(ends(scene), [null]);
  await scene.time.pass(300);
  t.same(ends(scene), ['idle']);
});

t.test('a question that its client is still to answer keeps it awake, for five minutes', async (t) => {
  for (const comesBack of [true, false]) {
    const scene = poolStand(t);
    scene.served('tool', IDLE);
    const session = scene.open(scene.client('a'));
    scene.offer.behaviour = ({ request }) => ({
      kind: 'result',
      result:
        request.params?.['requestState'] === undefined
          ? { resultType: 'input_required', requestState: 'state' }
          : { content: [] },
    });
    await scene.call(session);
    await scene.time.pass(4.5 * MINUTE_MS);
    t.same(ends(scene), [null], 'a person is asked');
    if (comesBack) {
      await scene.call(session, 'tools/call', { name: 'one', requestState: 'state' });
      await scene.time.pass(MINUTE_MS - 100);
      t.same(ends(scene), [null]);
      await scene.time.pass(300);
    } else await scene.time.pass(2.5 * MINUTE_MS);
    t.same(ends(scene), ['idle'], comesBack ? 'it came back' : 'it does not come back');
  }
});

t.test('none: it never sleeps', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { idleTimeoutMs: null });
  await scene.call(scene.open(scene.client('a')));
  await scene.time.pass(24 * 60 * MINUTE_MS);
  t.same(ends(scene), [null]);
});

t.test('what the client believes to have set is set again', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', IDLE);
  const session = scene.open(scene.client('a'));
  await scene.call(session, 'logging/setLevel', { level: 'debug' });
  await scene.call(session, 'resources/subscribe', { uri: 'x:1' });
  await scene.call(session, 'resources/subscribe', { uri: 'x:2' });
  await scene.call(session, 'resources/unsubscribe', { uri: 'x:2' });
  await scene.time.pass(MINUTE_MS + 300);
  await scene.call(session);
  t.same(
    scene.servers[1]?.asked
      .filter(({ client }) => client.context === 'a')
      .map(({ request }) => [request.method, request.params?.['uri'] ?? request.params?.['level'] ?? null]),
    [
      ['logging/setLevel', 'debug'],
      ['resources/subscribe', 'x:1'],
      ['tools/call', null],
    ],
  );
});

t.test('who was told something else hears that the lists have changed', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', IDLE);
  const [one, other] = [scene.client('a'), scene.client('b')];
  const [session, second] = [scene.open(one), scene.open(other)];
  await scene.call(session);
  await scene.call(second, 'tools/list');
  await scene.time.pass(MINUTE_MS + 300);
  await scene.call(session);
  await scene.time.pass(10);
  t.same([one.heard, other.heard], [[], []], 'the same as before');
  await scene.time.pass(MINUTE_MS + 300);
  scene.offer.tools = ['one', 'two'];
  await scene.call(session);
  await scene.time.pass(10);
  const told = [{ method: 'notifications/tools/list_changed' }];
  t.same([one.heard, other.heard], [told, told]);
  t.match(await scene.call(second, 'tools/list'), { result: { tools: [{ name: 'one' }, { name: 'two' }] } });
});

t.test('what a running server says of its lists is seen by those who let it sleep', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { ...IDLE, sharing: 'shared' });
  const [user, looker] = [scene.client('a'), scene.client('b')];
  await scene.call(scene.open(user));
  await scene.time.pass(10);
  const session = scene.open(looker);
  scene.offer.tools = ['three'];
  scene.servers[0]?.listChanged();
  await scene.time.pass(500);
  t.same(looker.heard, [{ method: 'notifications/tools/list_changed' }]);
  t.same(user.heard, [], 'whom the server itself has told');
  await scene.time.pass(2 * MINUTE_MS);
  t.match(await scene.call(session, 'tools/list'), { result: { tools: [{ name: 'three' }] } });
});

t.test('all pages of a list are kept as one; what fails or does not end is not kept', async (t) => {
  const scene = poolStand(t);
  scene.offer.capabilities = { resources: {}, prompts: {}, logging: {} };
  scene.served('tool', { ...IDLE, sharing: 'shared' });
  const pages = new Map<unknown, unknown>([
    [undefined, { resources: [{ uri: 'x:1' }], nextCursor: '2', extra: true }],
    ['2', { resources: [{ uri: 'x:2' }] }],
  ]);
  scene.offer.behaviour = ({ request: { method, params } }) => {
    if (method === 'resources/list')
      return { kind: 'result', result: pages.get(params?.['cursor']) as object as never };
    if (method === 'prompts/list') return { kind: 'error', error: { code: -32603, message: 'broken' } };
    return { kind: 'result', result: { resourceTemplates: [], nextCursor: 'again' } };
  };
  const session = scene.open(scene.client('a'));
  await scene.call(session);
  await scene.time.pass(MINUTE_MS + 300);
  t.same(await scene.call(session, 'resources/list'), {
    kind: 'result',
    result: { resources: [{ uri: 'x:1' }, { uri: 'x:2' }], extra: true },
  });
  t.equal(scene.launched.length, 1);
  t.match(await scene.call(session, 'prompts/list'), { error: { message: 'broken' } });
  t.equal(scene.launched.length, 2, 'its server is asked');
});

t.test('the catalogue outlives the daemon, and is for its owner only', async (t) => {
  const before = poolStand(t);
  before.served();
  await before.call(before.open(before.client('a')));
  await before.time.pass(10);
  const { directory } = before;
  const [file = ''] = readdirSync(directory);
  t.equal(statSync(`${directory}/${file}`).mode & 0o777, 0o600);
  t.notMatch(readFileSync(`${directory}/${file}`, 'utf8'), /server\.js/, 'of the definition only a hash');

  const after = poolStand(t, { directory });
  after.served();
  const session = after.open(after.client('a'));
  t.match(await session.describe(new AbortController().signal), { info: { name: 'fake' }, era: 'legacy' });
  t.match(await after.call(session, 'tools/list'), { result: { tools: [{ name: 'one' }] } });
  t.equal(after.launched.length, 0);
});

t.test('a catalogue that is damaged is said and ignored', async (t) => {
  for (const damage of ['{', '{}', '[]', '{"format":1,"catalogues":{"x":{"lists":{}}}}', 'null']) {
    const before = poolStand(t);
    before.served();
    await before.call(before.open(before.client('a')));
    await before.time.pass(10);
    const [file = ''] = readdirSync(before.directory);
    writeFileSync(`${before.directory}/${file}`, damage);
    const after = poolStand(t, { directory: before.directory });
    after.served();
    t.match(await after.call(after.open(after.client('a')), 'tools/list'), { kind: 'result' });
    t.equal(after.launched.length, 1, damage);
    t.match(after.complaintsOfStore, [/is ignored/], damage);
  }
});

t.test('a directory that cannot be written to is said, and nothing else fails', async (t) => {
  const before = poolStand(t);
  writeFileSync(`${before.directory}/file`, '');
  const scene = poolStand(t, { directory: `${before.directory}/file` });
  scene.served();
  t.match(await scene.call(scene.open(scene.client('a'))), { kind: 'result' });
  await scene.time.pass(10);
  t.ok(scene.complaintsOfStore.length > 0);
});

t.test('clients that can do other things may be offered other tools', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', IDLE);
  await scene.call(scene.open(scene.client('a')));
  await scene.time.pass(10);
  scene.offer.tools = ['sampling'];
  const able = scene.open(scene.client('b', { capabilities: { sampling: {} } }));
  t.match(await scene.call(able, 'tools/list'), { result: { tools: [{ name: 'sampling' }] } });
  await scene.time.pass(MINUTE_MS + 300);
  t.match(await scene.call(scene.open(scene.client('c')), 'tools/list'), { result: { tools: [{ name: 'one' }] } });
  t.match(await scene.call(able, 'tools/list'), { result: { tools: [{ name: 'sampling' }] } });
});

t.test(
  'describe starts one process where nothing is known; shared with roots, whoever fits takes it over',
  async (t) => {
    const scene = poolStand(t);
    scene.served('tool', { sharing: 'shared' });
    const session = scene.open(scene.client('a', { capabilities: { roots: {} }, roots: ['file:///x'] }));
    const { signal } = new AbortController();
    const [first, second] = await Promise.all([session.describe(signal), session.describe(signal)]);
    t.same(first, second);
    await scene.call(session);
    t.equal(scene.launched.length, 1);
    t.same(
      scene.servers[0]?.notified,
      [{ method: 'notifications/roots/list_changed' }],
      'now there is somebody to ask',
    );
  },
);

t.test('the supervisor goes on naming what sleeps', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', IDLE);
  await scene.call(scene.open(scene.client('a')));
  await scene.time.pass(MINUTE_MS + 300);
  t.match(scene.registry.tool('tool'), { state: 'registered', server: { name: 'fake', tools: ['one'] } });
  await scene.registry.activate('tool', { context: null });
  await scene.registry.deactivate('tool');
  t.equal(scene.registry.tool('tool').server, null);
});
