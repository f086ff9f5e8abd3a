import t from 'tap';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import { FakeChannel, legacyServer, scene } from '../../../helpers/fake-channel.ts';
import { errorOf, fakeExchange, resultOf, soon } from '../../../helpers/fake-mcp-session.ts';
import { settled } from '../../../helpers/manual-time.ts';
import { pause } from '../../../helpers/wait-for.ts';

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

t.test('1,000 requests at once find their answers, in any order', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const clients = Array.from({ length: 10 }, (_, index) => join(`client ${index}`));
  const calls = Array.from({ length: 1_000 }, (_, index) => clients[index % 10]?.begin('tools/call', { index }));
  await settled(1);
  t.match(upstream.holds, { sessions: 10, requests: 1_000 });
  t.equal(new Set(channel.requests('tools/call').map(({ id }) => id)).size, 1_000);
  for (const request of channel.requests('tools/call').toReversed())
    channel.answer(request, { index: request.params['index'] });
  const answers = await Promise.all(calls.flatMap((call) => (call === undefined ? [] : [call.answer])));
  t.ok(answers.every((answer, index) => answer?.kind === 'result' && answer.result['index'] === index));
  t.match(upstream.holds, { requests: 0 });
});

t.test('more than 10,000 open requests are refused, with a time to try again', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join();
  const first = one.begin();
  for (let count = 1; count < 10_000; count++) void one.session.request({ method: 'tools/call' }, first.exchange);
  await settled(1);
  t.match(await errorOf(one.begin().answer), { code: RPC_CODE.refused, data: { retryAfterMs: 1_000 } });
  t.equal(channel.requests('tools/call').length, 10_000);
  channel.answer(first.request);
  await settled(1);
  t.equal(await soon(one.begin().answer), null, 'one ended, one goes through');
});

t.test('a server that does not read: refused, and nothing piles up', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const one = join();
  const before = one.begin();
  await settled(1);
  channel.pendingBytes = 16 * 1024 * 1024 + 1;
  const sent = channel.sent.length;
  t.match(await errorOf(one.begin().answer), { code: RPC_CODE.refused, message: /does not read/ });
  one.session.notify({ method: 'notifications/x' });
  upstream.tell('notifications/y', {});
  for (let id = 0; id < 100; id++) channel.say({ id, method: 'ping' });
  before.exchange.cancel();
  await settled(1);
  t.equal(channel.sent.length, sent, 'neither notifications nor answers nor cancellations');
  channel.pendingBytes = 0;
  channel.say({ id: 'p', method: 'ping' });
  await settled(1);
  t.same(channel.answersTo('p'), [{ kind: 'result', result: {} }]);
});

t.test('a message that cannot be handed over', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  channel.problem = new Error('broken pipe');
  t.match(await errorOf(join().begin().answer), {
    code: RPC_CODE.stopped,
    message: /could not be handed over: broken pipe/,
  });
  t.match(upstream.holds, { requests: 0 });
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

t.test('what a client throws is not the end of the others', async (t) => {
  const { channel, join, problems } = await legacyServer();
  const [one, two] = [join('one'), join('two')];
  const [a, b] = [one.begin('tools/call', { _meta: { progressToken: 1 } }), two.begin()];
  await settled(1);
  a.exchange.notify = () => {
    throw new Error('its stream is gone');
  };
  channel.say(progress(a.request.id, 1));
  channel.answer(b.request, { fine: true });
  t.same(await resultOf(b.answer), { fine: true });
  t.match(problems, [/its stream is gone/]);
});

t.test('check: ping, and what counts as an answer', async (t) => {
  const { channel, upstream } = await legacyServer();
  const checked = upstream.check(60_000);
  t.match(upstream.holds, { sessions: 0, requests: 0 }, 'it keeps nothing awake');
  channel.answer(channel.last('ping'));
  t.equal(await checked, true);
  channel.handlers['ping'] = () => ({ error: { code: -32_601, message: 'no ping here' } });
  t.equal(await upstream.check(60_000), true, 'a server that knows no ping has answered');
  channel.handlers['ping'] = () => ({ error: { code: -32_603, message: 'broken' } });
  t.equal(await upstream.check(60_000), false);
  channel.handlers['ping'] = () => null;
  // Its timer alone holds no process.
  const [inTime] = await Promise.all([upstream.check(20), pause(100)]);
  t.equal(inTime, false, 'no answer in time');
  await upstream.close('over');
  t.equal(await upstream.check(60_000), false);
});
