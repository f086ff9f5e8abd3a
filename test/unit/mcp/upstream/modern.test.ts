import t from 'tap';
import { FakeChannel, modernServer } from '../../../helpers/fake-channel.ts';
import type { Fields } from '../../../../lib/mcp/wire/message.ts';
import { errorOf, resultOf, soon } from '../../../helpers/fake-mcp-session.ts';
import { manualTime, settled } from '../../../helpers/manual-time.ts';

const LISTEN = 'subscriptions/listen';
const PREFIX = 'io.modelcontextprotocol/';
const of = (id: unknown): Fields => ({ _meta: { [`${PREFIX}subscriptionId`]: id } });

t.test('what a client says of itself is stamped only where it is missing', async (t) => {
  const { join } = await modernServer();
  const one = join('one', { elicitation: {} });
  const bare = one.begin('tools/call', { name: 'x', _meta: { vendor: 1 } });
  await settled(1);
  t.same(bare.request.params, {
    name: 'x',
    _meta: {
      [`${PREFIX}protocolVersion`]: '2026-07-28',
      [`${PREFIX}clientInfo`]: { name: 'tester', version: '9' },
      [`${PREFIX}clientCapabilities`]: { elicitation: {} },
      vendor: 1,
    },
  });
  const own = {
    [`${PREFIX}protocolVersion`]: '2026-07-28',
    [`${PREFIX}clientCapabilities`]: { vendor: {} },
    [`${PREFIX}logLevel`]: 'debug',
  };
  const whole = one.begin('tools/call', { _meta: own });
  const nothing = one.begin('tools/list');
  await settled(1);
  t.same(whole.request.params, { _meta: own });
  t.match(nothing.request.params, { _meta: { [`${PREFIX}protocolVersion`]: '2026-07-28' } });
  const part = one.begin('tools/call', { _meta: { [`${PREFIX}clientCapabilities`]: { vendor: {} } } });
  await settled(1);
  t.match(part.request.params['_meta'], { [`${PREFIX}clientCapabilities`]: { vendor: {} } });
});

t.test('requests of several clients overlap; subscriptions are not Governor’s affair', async (t) => {
  const { channel, join } = await modernServer();
  const calls = ['one', 'two'].map((name) => join(name).begin('tools/call', { _meta: { progressToken: 'same' } }));
  await settled(1);
  const progress = { method: 'notifications/progress', params: { progressToken: calls[1]?.request.id, progress: 1 } };
  channel.say(progress);
  t.same(calls[0]?.exchange.heard, []);
  t.match(calls[1]?.exchange.heard, [{ params: { progressToken: 'same' } }]);
  const old = join('three').begin('resources/subscribe', { uri: 'a:b' });
  await settled(1);
  channel.refuse(old.request, -32_601, 'not of this revision');
  t.match(await errorOf(old.answer), { code: -32_601 });
});

t.test('streams: what belongs to one goes there, by number or by text', async (t) => {
  const { channel, join, upstream } = await modernServer();
  const [one, two] = [join('one'), join('two')];
  const [a, b] = [one.begin(LISTEN, { notifications: {} }), two.begin(LISTEN, { notifications: {} })];
  await settled(1);
  t.match(upstream.holds, { sessions: 2, requests: 0, subscriptions: 2 });
  const news = (id: unknown) => ({ method: 'notifications/resources/updated', params: { uri: 'a:b', ...of(id) } });
  channel.say(news(a.request.id), news(String(b.request.id)), news('no-such-stream'));
  t.same(a.exchange.heard, [news(a.request.id)]);
  t.same(b.exchange.heard, [news(String(b.request.id))]);
  t.same([one.client.heard, two.client.heard], [[], []]);
  a.exchange.cancel();
  await errorOf(a.answer);
  channel.say(news(a.request.id));
  t.equal(a.exchange.heard.length, 1);
  t.match(upstream.holds, { subscriptions: 1 });
  t.match(channel.notifications('notifications/cancelled'), [{ requestId: a.request.id }]);
});

t.test('Governor’s own stream: lists that change are told to all, and it holds nothing awake', async (t) => {
  const capabilities = { tools: { listChanged: true }, prompts: {}, resources: { listChanged: true } };
  const { channel, join, upstream } = await modernServer(capabilities);
  const own = channel.last(LISTEN);
  t.match(own.params, {
    notifications: { toolsListChanged: true, resourcesListChanged: true },
    _meta: { [`${PREFIX}protocolVersion`]: '2026-07-28', [`${PREFIX}clientInfo`]: { name: 'governor' } },
  });
  t.notMatch(own.params, { notifications: { promptsListChanged: true } });
  t.same(upstream.holds, { sessions: 0, requests: 0, progressTokens: 0, subscriptions: 0, tasks: 0 });
  const [one, two] = [join('one'), join('two')];
  const lists: string[] = [];
  upstream.onListChanged((list) => void lists.push(list));
  for (const id of [own.id, String(own.id)])
    channel.say({ method: 'notifications/tools/list_changed', params: of(id) });
  t.same(lists, ['tools', 'tools']);
  const told = { method: 'notifications/tools/list_changed' };
  for (const { client } of [one, two]) t.same(client.heard, [told, told], 'without our number in it');
});

t.test('a stream that the server ends is over for its client, and for no other', async (t) => {
  const { channel, join, upstream } = await modernServer();
  const [one, two] = [join('one'), join('two')];
  const [a, b, c] = [one.begin(LISTEN), two.begin(LISTEN), two.begin()];
  await settled(1);
  const ends = (requestId: unknown) => ({ method: 'notifications/cancelled', params: { requestId } });
  channel.say(ends('no-such-stream'), ends(undefined), ends(c.request.id));
  t.equal(await soon(Promise.race([a.answer, b.answer, c.answer])), null, 'nothing but streams is ended so');
  channel.say(ends(a.request.id));
  t.same(await resultOf(a.answer), { resultType: 'complete' });
  t.equal(await soon(b.answer), null);
  t.match(upstream.holds, { subscriptions: 1 });
  channel.say(ends(String(b.request.id)), ends(b.request.id));
  t.same(await resultOf(b.answer), { resultType: 'complete' });
  t.same(channel.notifications('notifications/cancelled'), [], 'what has ended is not cancelled again');
});

t.test('a stream of ours that the server ends is opened again', async (t) => {
  const time = manualTime(t);
  const { channel } = await modernServer({ tools: { listChanged: true } });
  channel.say({ method: 'notifications/cancelled', params: { requestId: channel.last(LISTEN).id } });
  await time.pass(1_100);
  t.equal(channel.requests(LISTEN).length, 2);
});

t.test('no lists that change, no stream', async (t) => {
  const { channel } = await modernServer({ tools: {}, prompts: { listChanged: false } });
  t.same(channel.requests(LISTEN), []);
});

t.test('a stream of ours that ends is opened again, ever less often', async (t) => {
  const time = manualTime(t);
  const { channel, upstream } = await modernServer({ tools: { listChanged: true } });
  const lists: string[] = [];
  upstream.onListChanged((list) => void lists.push(list));
  channel.answer(channel.last(LISTEN));
  await time.pass(900);
  t.equal(channel.requests(LISTEN).length, 1);
  await time.pass(200);
  t.equal(channel.requests(LISTEN).length, 2);
  t.same(lists, ['tools'], 'what changed meanwhile was told to nobody');
  channel.refuse(channel.last(LISTEN), -32_603, 'overloaded');
  await time.pass(1_500);
  t.equal(channel.requests(LISTEN).length, 2);
  await time.pass(1_000);
  t.equal(channel.requests(LISTEN).length, 3);
  channel.refuse(channel.last(LISTEN), -32_601, 'no streams here');
  await time.pass(600_000);
  t.equal(channel.requests(LISTEN).length, 3);
  t.equal(time.pending, 0);
});

t.test('nor when all is over', async (t) => {
  const time = manualTime(t);
  const { channel, upstream } = await modernServer({ tools: { listChanged: true } });
  await upstream.close('over');
  await time.pass(600_000);
  t.equal(channel.requests(LISTEN).length, 1);
});

t.test('check: discover, stamped', async (t) => {
  const { channel, upstream } = await modernServer();
  t.equal(await upstream.check(60_000), true);
  t.equal(channel.requests('server/discover').length, 2);
  t.match(channel.last('server/discover').params, { _meta: { [`${PREFIX}protocolVersion`]: '2026-07-28' } });
});

t.test('input_required and other results pass whole', async (t) => {
  const { channel, join } = await modernServer();
  const call = join().begin();
  await settled(1);
  const result = {
    resultType: 'input_required',
    inputRequests: { a: { method: 'elicitation/create' } },
    requestState: 'x',
  };
  channel.answer(call.request, result);
  t.same(await resultOf(call.answer), result);
});

t.test('a channel with streams of its own is told which to close', async (t) => {
  const aborted: (readonly [number, unknown])[] = [];
  const { channel, join } = await modernServer();
  Object.assign(channel, { abort: (id: number, message: unknown) => void aborted.push([id, message]) });
  const call = join().begin();
  await settled(1);
  call.exchange.cancel('enough');
  await errorOf(call.answer);
  t.match(aborted, [
    [call.request.id, { method: 'notifications/cancelled', params: { requestId: call.request.id, reason: 'enough' } }],
  ]);
  t.ok(channel instanceof FakeChannel);
  t.same(channel.notifications(), []);
});
