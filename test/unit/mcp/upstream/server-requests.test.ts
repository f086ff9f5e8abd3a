import t from 'tap';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import type { Joined } from '../../../helpers/fake-channel.ts';
import { resultOf } from '../../../helpers/fake-mcp-session.ts';
import { settled } from '../../../helpers/manual-time.ts';
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

t.test('a client is asked only what it has declared, down to the mode and the tools', async (t) => {
  const elicit = (mode?: string) => ({ method: 'elicitation/create', params: mode === undefined ? {} : { mode } });
  const sample = (params: Fields) => ({ method: 'sampling/createMessage', params });
  const cases: readonly (readonly [
    capabilities: Fields,
    request: { method: string; params: Fields },
    missing: string,
  ])[] = [
    [{ elicitation: {} }, elicit(), ''],
    [{ elicitation: {} }, elicit('form'), ''],
    [{ elicitation: {} }, elicit('url'), 'elicitation.url'],
    [{ elicitation: { form: {} } }, elicit('url'), 'elicitation.url'],
    [{ elicitation: { url: {} } }, elicit('url'), ''],
    [{ elicitation: { url: {} } }, elicit(), 'elicitation.form'],
    [{ elicitation: { url: {} } }, elicit('form'), 'elicitation.form'],
    [{ elicitation: { url: {}, form: {} } }, elicit('form'), ''],
    [{ sampling: {} }, sample({}), ''],
    [{ sampling: {} }, sample({ tools: [] }), 'sampling.tools'],
    [{ sampling: {} }, sample({ toolChoice: { mode: 'auto' } }), 'sampling.tools'],
    [{ sampling: { tools: {} } }, sample({ tools: [] }), ''],
  ];
  for (const [capabilities, request, missing] of cases) {
    const { channel, join } = await legacyServer();
    const one = answering(join('one', capabilities), 'asked');
    channel.say({ id: 1, ...request });
    await settled(2);
    const name = JSON.stringify([capabilities, request]);
    t.equal(one.client.asked.length, missing === '' ? 1 : 0, name);
    const refused = { kind: 'error', error: { code: -32_602, message: `the client has no capability ${missing}` } };
    t.same(channel.answersTo(1), [missing === '' ? said('asked') : refused], name);
  }
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
