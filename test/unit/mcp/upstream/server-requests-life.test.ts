import t from 'tap';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import { errorOf } from '../../../helpers/fake-mcp-session.ts';
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

t.test('a call that its client cancels: what the server asked for it is taken back, and the server told', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join('one', ALL);
  const reasons: string[] = [];
  const never = (_request: unknown, signal: AbortSignal): Promise<Answer> => {
    signal.addEventListener('abort', () => reasons.push((signal.reason as Error).message));
    return new Promise(() => undefined);
  };
  const [older, newer] = [one.begin(), one.begin()];
  for (const { exchange } of [older, newer]) exchange.answer = never;
  await settled(1);
  channel.say(sampling(1));
  await settled(2);
  newer.exchange.cancel();
  await errorOf(newer.answer);
  t.same(reasons, [], 'it may be of the other call');
  older.exchange.cancel();
  await errorOf(older.answer);
  t.same(reasons, ['the call was cancelled']);
  t.match(channel.answersTo(1), [{ kind: 'error', error: { message: /taken back: the call was cancelled/ } }]);
  channel.say(sampling(2));
  const later = one.begin();
  await settled(2);
  later.exchange.cancel();
  await settled(2);
  t.same(reasons.length, 1, 'one that came between calls is of none');
});

t.test('a task goes on when a call is cancelled, and so does what is asked for it', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join('one', ALL);
  const begun = one.begin('tools/call', { task: {} });
  await settled(1);
  channel.say({ id: begun.request.id, result: { task: { taskId: 'task-1', status: 'working' } } });
  const waits = one.begin('tasks/result', { taskId: 'task-1' });
  await settled(1);
  let answer!: (answer: Answer) => void;
  waits.exchange.answer = () => new Promise((resolve) => (answer = resolve));
  channel.say(sampling(1, { _meta: { 'io.modelcontextprotocol/related-task': { taskId: 'task-1' } } }));
  await settled(2);
  waits.exchange.cancel();
  await settled(2);
  t.same(channel.answersTo(1), []);
  answer(said('all the same'));
  await settled(2);
  t.same(channel.answersTo(1), [said('all the same')]);
});

t.test('a client that goes is asked no more, and the server told', async (t) => {
  const { channel, join } = await legacyServer();
  const [one, two] = [join('one', ALL), join('two', ALL)];
  let reason: unknown = null;
  const call = one.begin();
  call.exchange.answer = (_request, signal) => {
    signal.addEventListener('abort', () => (reason = (signal.reason as Error).message));
    return new Promise(() => undefined);
  };
  await settled(1);
  channel.say(sampling(1));
  await settled(2);
  await two.session.close('another goes');
  t.same(channel.answersTo(1), []);
  await one.session.close('closed by hand');
  await settled(2);
  t.equal(reason, 'closed by hand');
  t.match(channel.answersTo(1), [{ kind: 'error' }]);
  await errorOf(call.answer);
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
