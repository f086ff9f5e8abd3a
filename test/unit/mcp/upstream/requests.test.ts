import t from 'tap';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import { FakeChannel, legacyServer, scene } from '../../../helpers/fake-channel.ts';
import { errorOf, fakeExchange, resultOf, soon } from '../../../helpers/fake-mcp-session.ts';
import { settled } from '../../../helpers/manual-time.ts';

const progress = (token: unknown, value: number) => ({
  method: 'notifications/progress',
  params: { progressToken: token, progress: value },
});

t.test('two clients with equal ids and equal progress tokens', async (t) => {
  const { channel, join } = await legacyServer();
  const [one, two] = [join('one'), join('two')];
  const params = { name: 'sum', _meta: { progressToken: 7, mine: 'kept' }, unknown: { whole: true } };
  const [a, b] = [one.begin('tools/call', params), two.begin('tools/call', params)];
  await settled(1);
  t.not(a.request.id, b.request.id, 'each has a number of its own');
  t.match(a.request.params, { name: 'sum', unknown: { whole: true }, _meta: { mine: 'kept' } });
  const tokenOf = ({ request }: typeof a): unknown =>
    (request.params['_meta'] as { progressToken: unknown }).progressToken;
  t.not(tokenOf(a), tokenOf(b), 'and a token of its own');

  channel.say(progress(tokenOf(b), 1), progress(tokenOf(a), 2), progress(tokenOf(b), 3));
  t.same(a.exchange.heard, [progress(7, 2)], 'with the token that the asker gave');
  t.same(b.exchange.heard, [progress(7, 1), progress(7, 3)]);
  channel.answer(b.request, { for: 'two' });
  channel.answer(a.request, { for: 'one', extra: { field: 1 } });
  t.same(await resultOf(a.answer), { for: 'one', extra: { field: 1 } });
  t.same(await resultOf(b.answer), { for: 'two' });
  t.same([one.client.heard, two.client.heard], [[], []], 'nothing was for the client at large');
});

t.test('a string is a token too, and no token is none', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join();
  const named = one.begin('tools/call', { _meta: { progressToken: 'abc' } });
  const silent = one.begin('tools/call', { name: 'x' });
  await settled(1);
  t.same(silent.request.params, { name: 'x' }, 'nothing is added');
  channel.say(progress(named.request.id, 1), progress(silent.request.id, 1), progress('abc', 9));
  t.same(named.exchange.heard, [progress('abc', 1)]);
  t.same(silent.exchange.heard, []);
});

t.test('no progress after the result; unknown tokens are dropped and told once', async (t) => {
  const { channel, join, problems } = await legacyServer();
  const one = join();
  const call = one.begin('tools/call', { _meta: { progressToken: 1 } });
  await settled(1);
  channel.say(progress(call.request.id, 1), { id: call.request.id, result: {} }, progress(call.request.id, 2));
  await resultOf(call.answer);
  t.same(call.exchange.heard, [progress(1, 1)]);
  for (let count = 0; count < 10; count++) channel.say(progress(4711, count));
  t.same(one.client.heard, []);
  t.equal(problems.length, 1, problems.join());
});

t.test('progress comes before its result however they are cut', async (t) => {
  const { channel, join } = await legacyServer();
  const call = join().begin('tools/call', { _meta: { progressToken: 1 } });
  await settled(1);
  const order: string[] = [];
  call.exchange.notify = () => void order.push('progress');
  const answered = call.answer.then(() => order.push('result'));
  channel.say(progress(call.request.id, 1), progress(call.request.id, 2), { id: call.request.id, result: {} });
  await answered;
  t.same(order, ['progress', 'progress', 'result']);
});

t.test('errors of the server pass whole', async (t) => {
  const { channel, join } = await legacyServer();
  const call = join().begin();
  await settled(1);
  const error = { code: -32_042, message: 'go there first', data: { elicitations: [{ url: 'https://x' }] } };
  channel.say({ id: call.request.id, error });
  t.same(await errorOf(call.answer), error);
});

t.test('cancelled by the client: said to the server, answered once, late answers dropped', async (t) => {
  const { channel, join } = await legacyServer();
  const call = join().begin();
  await settled(1);
  call.exchange.cancel('the user pressed escape');
  t.match(await errorOf(call.answer), { message: 'cancelled: the user pressed escape' });
  const cancelled = { requestId: call.request.id, reason: 'the user pressed escape' };
  t.same(channel.notifications('notifications/cancelled'), [cancelled]);
  channel.answer(call.request, { late: true });
  channel.answer(call.request, { later: true });
  await settled(1);
  t.match(await errorOf(call.answer), { message: /cancelled/ });
});

t.test('answer and cancellation at the same moment: the first counts', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join();
  const [answered, cancelled] = [one.begin(), one.begin()];
  await settled(1);
  channel.answer(answered.request, { done: 1 });
  answered.exchange.cancel();
  cancelled.exchange.cancel();
  channel.answer(cancelled.request, { done: 2 });
  t.same(await resultOf(answered.answer), { done: 1 });
  t.match(await errorOf(cancelled.answer), { message: /^cancelled/ });
  t.same(
    channel.notifications('notifications/cancelled').map(({ requestId }) => requestId),
    [cancelled.request.id],
    'what was answered is not cancelled',
  );
});

t.test('cancelled before it was sent', async (t) => {
  const { channel, join } = await legacyServer();
  const exchange = fakeExchange();
  exchange.cancel('too late');
  t.match(await errorOf(join().session.request({ method: 'tools/call' }, exchange)), {
    message: 'cancelled: too late',
  });
  t.same(channel.requests('tools/call'), []);
  t.same(channel.notifications('notifications/cancelled'), []);
});

t.test('answered twice, unknown ids', async (t) => {
  const { channel, join } = await legacyServer();
  const call = join().begin();
  await settled(1);
  channel.say({ id: 999_999, result: { for: 'nobody' } }, { id: 'text', result: {} });
  channel.answer(call.request, { first: true });
  channel.answer(call.request, { second: true });
  t.same(await resultOf(call.answer), { first: true });
});

t.test('a client that closes cancels what it has open, and no one else', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const [one, two] = [join('one'), join('two')];
  const [a, b, other] = [one.begin(), one.begin(), two.begin()];
  await settled(1);
  await one.session.close('the editor was closed');
  t.match(await errorOf(a.answer), { message: 'cancelled: the editor was closed' });
  t.match(await errorOf(b.answer), { message: 'cancelled: the editor was closed' });
  t.same(
    channel.notifications('notifications/cancelled').map(({ requestId }) => requestId),
    [a.request.id, b.request.id],
  );
  t.equal(await soon(other.answer), null);
  t.match(upstream.holds, { sessions: 1, requests: 1 });
  t.match(await errorOf(one.begin().answer), { message: /closed/ });
  one.session.notify({ method: 'notifications/x' });
  t.same(channel.notifications('notifications/x'), [], 'it says nothing any more');
  await one.session.close('again');
});

t.test('the end of the server answers each open request once', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const one = join();
  const calls = [one.begin(), one.begin(), join('two').begin()];
  await settled(1);
  const reasons: string[] = [];
  upstream.onEnd((reason) => void reasons.push(reason));
  channel.end();
  channel.end();
  for (const { answer } of calls)
    t.match(await errorOf(answer), { code: RPC_CODE.stopped, message: /it closed its output/ });
  t.equal(reasons.length, 1);
  t.match(upstream.state, { kind: 'shutdown', reason: /it closed its output/ });
  t.match(await errorOf(one.begin().answer), { code: RPC_CODE.stopped }, 'and so is whatever comes later');
  t.match(await errorOf(join('late').begin().answer), { code: RPC_CODE.stopped });
  t.match(upstream.holds, { requests: 0, progressTokens: 0 });
});

t.test('close(reason, data): each open request hears both, and the channel is closed', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const call = join().begin();
  await settled(1);
  const data = { resource: 'memory', usage: 2, limit: 1 };
  await upstream.close('stopped: memory limit', data);
  t.same(await errorOf(call.answer), { code: RPC_CODE.stopped, message: 'stopped: memory limit', data });
  t.equal(channel.closed, 1);
  channel.answer(call.request);
  await upstream.close('again');
});

t.test('before the handshake is over nothing of a client is sent', async (t) => {
  const { channel, join, upstream } = scene(new FakeChannel());
  const early = join().begin('tools/list');
  await settled(2);
  t.same(
    channel.requests().map(({ method }) => method),
    ['initialize'],
  );
  channel.answer(channel.last('initialize'), { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: {} });
  await settled(2);
  channel.answer(early.request, { tools: [] });
  t.same(await resultOf(early.answer), { tools: [] });
  t.same(
    channel.sent.map((message) => ('method' in message ? message.method : '')),
    ['initialize', 'notifications/initialized', 'tools/list'],
  );
  await upstream.close('over');
});
