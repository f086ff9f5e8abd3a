import t from 'tap';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import type { Joined } from '../../../helpers/fake-channel.ts';
import { errorOf, resultOf } from '../../../helpers/fake-mcp-session.ts';
import { manualTime, settled } from '../../../helpers/manual-time.ts';
import type { Answer, Fields } from '../../../../lib/mcp/wire/message.ts';

const ALL = { sampling: {}, elicitation: {}, roots: {} };
const sampling = (id: string | number, params: Fields = { messages: [] }) => ({
  id,
  method: 'sampling/createMessage',
  params,
});
const said = (text: string): Answer => ({ kind: 'result', result: { text } });
const methodNotFound = [{ kind: 'error', error: { code: -32_601 } }];

function answering(joined: Joined, text: string): Joined {
  joined.client.answer = () => said(text);
  return joined;
}

t.test('the one client that has requests open: with its newest that can make a server ask', async (t) => {
  const { channel, join } = await legacyServer();
  const [one, two] = [join('one', ALL), join('two', ALL)];
  const [older, newer, list] = [one.begin(), one.begin(), one.begin('tools/list')];
  const lists = two.begin('tools/list');
  for (const { exchange } of [older, newer, list, lists]) exchange.answer = () => said('by the request');
  await settled(1);
  const params = { messages: [{ role: 'user' }], _meta: { vendor: 1 }, unknown: true };
  channel.say(sampling('s-1', params));
  await settled(2);
  t.same(channel.answersTo('s-1'), [said('by the request')]);
  t.same(newer.exchange.asked, [{ method: 'sampling/createMessage', params }], 'whole');
  t.same(
    [older, list, lists].map(({ exchange }) => exchange.asked.length),
    [0, 0, 0],
  );
  t.same([one.client.asked, two.client.asked], [[], []]);
});

t.test('no request open, one client: that one', async (t) => {
  const { channel, join } = await legacyServer();
  const one = answering(join('one', ALL), 'by the client');
  channel.say(sampling(0));
  await settled(2);
  t.same(channel.answersTo(0), [said('by the client')]);
  t.equal(one.client.asked.length, 1);
});

t.test('what a server’s progress token is, is its own affair', async (t) => {
  const { channel, join } = await legacyServer();
  const [one, two] = [join('one', ALL), join('two', ALL)];
  const a = one.begin('tools/call', { _meta: { progressToken: 1 } });
  await settled(1);
  channel.answer(a.request);
  await resultOf(a.answer);
  const b = two.begin();
  b.exchange.answer = () => said('two');
  const again = one.begin('tools/list', { _meta: { progressToken: 2 } });
  await settled(1);
  channel.say(sampling(1, { _meta: { progressToken: again.request.id } }));
  await settled(2);
  t.same(channel.answersTo(1), [said('two')], 'and names no request of ours');
});

t.test('a task that it names: whose it is, though others are busy', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const [one, two] = [answering(join('one', ALL), 'one'), join('two', ALL)];
  const task = one.begin('tools/call', { task: {} });
  await settled(1);
  // In one piece: what follows the answer names what the answer has begun.
  channel.say(
    { id: task.request.id, result: { task: { taskId: 'task-1', status: 'working' } } },
    sampling(5, { _meta: { 'io.modelcontextprotocol/related-task': { taskId: 'task-1' } } }),
  );
  two.begin();
  await settled(2);
  t.same(channel.answersTo(5), [said('one')]);
  t.equal(upstream.takesTurns, false);
});

t.test('roots: any that has them, since those who share have equal ones', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  join('none', {});
  const two = join('two', ALL);
  join('three', ALL);
  two.client.answer = () => ({ kind: 'result', result: { roots: [{ uri: 'file:///a' }] } });
  channel.say({ id: 'r', method: 'roots/list' });
  await settled(2);
  t.same(channel.answersTo('r'), [{ kind: 'result', result: { roots: [{ uri: 'file:///a' }] } }]);
  t.equal(upstream.takesTurns, false);
});

t.test('several could be meant: an error that says so, and turns from then on', async (t) => {
  const { channel, join, upstream, problems } = await legacyServer();
  const [one, two] = [join('one', ALL), join('two', ALL)];
  const [a, b] = [one.begin(), two.begin()];
  await settled(1);
  channel.say(sampling(9));
  await settled(2);
  t.match(channel.answersTo(9), [{ kind: 'error', error: { message: /any of several clients/ } }]);
  t.same(
    [a, b].map(({ exchange }) => exchange.asked.length),
    [0, 0],
    'asked nobody',
  );
  t.equal(upstream.takesTurns, true);
  t.match(problems, [/from now on their calls do not overlap/]);

  const next = one.begin();
  await settled(2);
  t.equal(channel.requests('tools/call').length, 2, 'not even beside what was open before');
  channel.answer(a.request);
  await settled(2);
  t.equal(channel.requests('tools/call').length, 2);
  channel.answer(b.request);
  await settled(2);
  next.exchange.answer = () => said('now it is clear');
  channel.say(sampling(10));
  await settled(2);
  t.same(channel.answersTo(10), [said('now it is clear')]);
  t.equal(problems.length, 1);
});

t.test('nobody busy and several there', async (t) => {
  const { channel, join } = await legacyServer();
  join('one', ALL);
  join('two', ALL);
  channel.say({ id: 1, method: 'elicitation/create', params: {} });
  await settled(2);
  t.match(channel.answersTo(1), [{ kind: 'error', error: { message: /any of several/ } }]);
});

t.test('a client without the capability is not asked', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join('one', { roots: {} });
  channel.say(sampling(1), { id: 2, method: 'elicitation/create' });
  await settled(2);
  t.match(channel.answersTo(1), methodNotFound);
  t.match(channel.answersTo(2), methodNotFound);
  t.same(one.client.asked, []);
});

t.test('what no revision knows is passed on, and ping is Governor’s', async (t) => {
  const { channel, join } = await legacyServer();
  const one = answering(join('one', {}), 'known to me');
  channel.say(
    { id: 1, method: 'vendor/ask', params: { a: 1 } },
    { id: 2, method: 'constructor' },
    { id: 3, method: 'ping' },
  );
  await settled(2);
  t.same(channel.answersTo(1), [said('known to me')]);
  t.same(channel.answersTo(2), [said('known to me')]);
  t.same(channel.answersTo(3), [{ kind: 'result', result: {} }]);
  t.same(one.client.asked, [{ method: 'vendor/ask', params: { a: 1 } }, { method: 'constructor' }]);
});

t.test('asked while nobody is there: whoever comes is asked, and Governor’s reading is nobody', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  channel.say({ id: 1, method: 'roots/list' });
  const other = join('other', ALL);
  await other.session.close('only to have a client');
  const reader = upstream.attach({ ...other.client, isGovernor: true });
  await settled(3);
  await reader.close('read');
  await settled(3);
  // The one who came went before it could be asked.
  t.same(channel.answersTo(1).length, 1);

  const fresh = await legacyServer();
  fresh.channel.say({ id: 1, method: 'roots/list' });
  await settled(3);
  t.same(fresh.channel.answersTo(1), []);
  const one = fresh.join('one', ALL);
  const call = one.begin();
  call.exchange.answer = () => said('with its request');
  await settled(3);
  t.same(fresh.channel.answersTo(1), [said('with its request')]);
});

t.test('nobody comes', async (t) => {
  const time = manualTime(t);
  const { channel } = await legacyServer();
  channel.say({ id: 1, method: 'roots/list' });
  await time.pass(9_000);
  t.same(channel.answersTo(1), []);
  await time.pass(2_000);
  t.match(channel.answersTo(1), methodNotFound);
});

t.test('the server cancels its own request: its client hears of it, and no answer is sent', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join('one', ALL);
  let aborted: unknown = null;
  let answer!: (answer: Answer) => void;
  one.client.answer = (_request, signal) => {
    signal.addEventListener('abort', () => (aborted = (signal.reason as Error).message));
    return new Promise((resolve) => (answer = resolve));
  };
  channel.say(sampling(4));
  await settled(2);
  channel.say({ method: 'notifications/cancelled', params: { requestId: 4, reason: 'not needed' } });
  t.equal(aborted, 'not needed');
  const late = answer;
  channel.say(sampling(4));
  await settled(2);
  late(said('too late'));
  await settled(2);
  t.same(channel.answersTo(4), [], 'what was cancelled is not answered');
  answer(said('the second'));
  await settled(2);
  t.same(channel.answersTo(4), [said('the second')], 'and its number is free again');
  t.same(one.client.heard, [], 'it is between the server and Governor');
  channel.say(
    { method: 'notifications/cancelled', params: { requestId: 'unknown' } },
    { method: 'notifications/cancelled' },
  );
});

t.test('two requests of the server with one id: the second is refused, the first is answered', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join('one', ALL);
  let answer!: (answer: Answer) => void;
  one.client.answer = () => new Promise((resolve) => (answer = resolve));
  channel.say(sampling(1));
  await settled(2);
  channel.say(sampling(1));
  await settled(2);
  answer(said('first'));
  await settled(2);
  t.match(channel.answersTo(1), [{ kind: 'error', error: { code: -32_600 } }, said('first')]);
  t.equal(one.client.asked.length, 1);
  channel.say(sampling('1'));
  await settled(2);
  t.equal(one.client.asked.length, 2, 'a text is another id than a number');
});

t.test('a flood of them is bounded', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join('one', ALL);
  one.client.answer = () => new Promise(() => undefined);
  for (let id = 0; id < 1_100; id++) channel.say(sampling(id));
  await settled(2);
  t.equal(one.client.asked.length, 1_000);
  t.match(channel.answersTo(1_050), [{ kind: 'error', error: { code: -32_600 } }]);
});

t.test('what a client throws is an answer too, that tells nothing of it', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join('one', ALL);
  one.client.answer = () => Promise.reject(new Error('/home/somebody/secret'));
  channel.say(sampling(1));
  await settled(2);
  const [answer] = channel.answersTo(1);
  t.match(answer, { kind: 'error', error: { code: -32_603 } });
  t.notMatch(JSON.stringify(answer), /secret/);
});

t.test('the end of the server aborts what its clients are asked', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const one = join('one', ALL);
  const signals: AbortSignal[] = [];
  one.client.answer = (_request, signal) => {
    signals.push(signal);
    return new Promise(() => undefined);
  };
  const call = one.begin();
  await settled(1);
  call.exchange.answer = one.client.answer;
  channel.say(sampling(1), sampling(2));
  await settled(2);
  await upstream.close('stopped');
  t.same(
    signals.map(({ aborted }) => aborted),
    [true, true],
  );
  await errorOf(call.answer);
});
