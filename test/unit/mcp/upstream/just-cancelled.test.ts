import t from 'tap';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import type { FakeChannel } from '../../../helpers/fake-channel.ts';
import { errorOf } from '../../../helpers/fake-mcp-session.ts';
import { settled } from '../../../helpers/manual-time.ts';
import type { Fields } from '../../../../lib/mcp/wire/message.ts';

const ALL = { sampling: {}, elicitation: {}, roots: {} };
const TASK = { _meta: { 'io.modelcontextprotocol/related-task': { taskId: 'task-1' } } };
const elicit = (id: string, params: Fields = {}) => ({ id, method: 'elicitation/create', params });
const log = { method: 'notifications/message', params: { level: 'info', data: 'of the call' } };
const notKnown = [{ kind: 'error', error: { code: -32_603, message: /a call that was cancelled just now/ } }];
const over = [{ kind: 'error', error: { code: -32_603, message: /the call on whose stream .+ came is over/ } }];

function pong(channel: FakeChannel): Promise<void> {
  channel.answer(channel.last('ping'));
  return settled(2);
}

/** Two clients with a call each. */
async function two() {
  const scene = await legacyServer();
  const [one, other] = [scene.join('one', ALL), scene.join('two', ALL)];
  const [mine, its] = [one.begin(), other.begin()];
  await settled(1);
  const asked = () => [one.client, mine.exchange, other.client, its.exchange].map((each) => each.asked.length);
  return { ...scene, one, other, mine, its, asked };
}

t.test('what the server asks before it has read of a cancellation is asked of nobody else', async (t) => {
  const { channel, upstream, mine, its, asked } = await two();
  mine.exchange.cancel();
  await errorOf(mine.answer);
  await settled(2);
  t.match(channel.sent.slice(-2), [{ method: 'notifications/cancelled' }, { method: 'ping' }], 'in this order');
  channel.say(elicit('early'), log);
  await settled(2);
  t.match(channel.answersTo('early'), notKnown);
  t.same(asked(), [0, 0, 0, 0]);
  t.same(its.exchange.heard, [], 'nor is its log told');
  t.equal(upstream.takesTurns, false, 'that is no reason to take turns');

  await pong(channel);
  its.exchange.answer = () => ({ kind: 'result', result: { action: 'accept' } });
  channel.say(elicit('late'), log);
  await settled(2);
  t.match(channel.answersTo('late'), [{ kind: 'result', result: { action: 'accept' } }]);
  t.same(asked(), [0, 0, 0, 1]);
  t.match(its.exchange.heard, [log]);
});

t.test('nor when its client has gone', async (t) => {
  const { channel, one, its, asked } = await two();
  channel.answer(its.request);
  await one.session.close('gone');
  await settled(2);
  channel.say(elicit('early'), log);
  await settled(2);
  t.match(channel.answersTo('early'), notKnown);
  t.same(asked(), [0, 0, 0, 0]);
  t.same([one.client.heard, its.exchange.heard], [[], []]);
  await pong(channel);
  channel.say(elicit('late'));
  await settled(2);
  t.same(asked(), [0, 0, 1, 0], 'the one that is there');
});

t.test('roots are asked of a client that is there', async (t) => {
  const { channel, other, one, asked } = await two();
  await one.session.close('gone');
  await settled(2);
  other.client.answer = () => ({ kind: 'result', result: { roots: [] } });
  channel.say({ id: 'r', method: 'roots/list' });
  await settled(2);
  t.equal(channel.answersTo('r').length, 1);
  t.same(asked(), [0, 0, 0, 1]);
});

t.test('who has another call open is asked for that', async (t) => {
  const { channel, other, one, mine, its, asked } = await two();
  channel.answer(its.request);
  const again = one.begin();
  again.exchange.answer = () => ({ kind: 'result', result: { action: 'accept' } });
  mine.exchange.cancel();
  await settled(2);
  channel.say(elicit('q'));
  await settled(2);
  t.match(channel.answersTo('q'), [{ kind: 'result' }]);
  t.same([asked(), again.exchange.asked.length], [[0, 0, 0, 0], 1]);
  t.same(other.client.asked, []);
});

t.test('several who call are ambiguous all the same', async (t) => {
  const { channel, upstream, join, mine } = await two();
  join('three', ALL).begin();
  mine.exchange.cancel();
  await settled(2);
  channel.say(elicit('q'));
  await settled(2);
  t.match(channel.answersTo('q'), [{ kind: 'error', error: { message: /any of several clients/ } }]);
  t.equal(upstream.takesTurns, true);
});

t.test('a turn is over when the server has read that it is', async (t) => {
  const { channel, join } = await legacyServer({}, { takesTurns: true });
  const [one, other] = [join('one', ALL), join('two', ALL)];
  const mine = one.begin();
  const its = other.begin();
  await settled(1);
  mine.exchange.cancel();
  await errorOf(mine.answer);
  await settled(2);
  t.equal(channel.requests('tools/call').length, 1);
  await pong(channel);
  t.equal(channel.requests('tools/call').length, 2);
  t.equal(its.request.id, channel.last('tools/call').id);
});

t.test(
  'one ping for all that are cancelled at once; none where nobody else is there, or nothing is asked',
  async (t) => {
    const { channel, join } = await legacyServer();
    const one = join('one', ALL);
    const alone = one.begin();
    await settled(1);
    alone.exchange.cancel();
    await settled(2);
    t.equal(channel.requests('ping').length, 0, 'whom else?');
    join('two', ALL);
    const list = one.begin('tools/list');
    await settled(1);
    list.exchange.cancel();
    await settled(2);
    t.equal(channel.requests('ping').length, 0, 'for a list nothing is asked');
    const calls = Array.from({ length: 20 }, () => one.begin());
    await settled(1);
    for (const { exchange } of calls) exchange.cancel();
    await settled(2);
    t.equal(channel.requests('ping').length, 1);
  },
);

t.test('on the stream of a call that is over: for nobody, however many there are', async (t) => {
  const { channel, mine, its, asked } = await two();
  mine.exchange.cancel();
  await errorOf(mine.answer);
  await settled(2);
  await pong(channel);
  channel.sayOn(mine.request, elicit('cancelled'));
  channel.sayOn(mine.request, log);
  channel.answer(its.request);
  channel.sayOn(its.request, elicit('answered'));
  await settled(2);
  for (const id of ['cancelled', 'answered']) t.match(channel.answersTo(id), over, id);
  t.same(asked(), [0, 0, 0, 0]);
  t.same([mine.exchange.heard, its.exchange.heard], [[], []]);
});

t.test('there too: what belongs to a task, and what is for all', async (t) => {
  const { channel, join } = await legacyServer();
  const [one, other] = [join('one', ALL), join('two', ALL)];
  one.client.answer = () => ({ kind: 'result', result: { action: 'accept' } });
  const begun = one.begin('tools/call', { task: {} });
  await settled(1);
  channel.answer(begun.request, { task: { taskId: 'task-1', status: 'working' } });
  await settled(1);
  channel.sayOn(begun.request, elicit('q', TASK));
  channel.sayOn(begun.request, { method: 'notifications/tools/list_changed' });
  await settled(2);
  t.match(channel.answersTo('q'), [{ kind: 'result', result: { action: 'accept' } }]);
  for (const { client } of [one, other]) t.match(client.heard, [{ method: 'notifications/tools/list_changed' }]);
});
