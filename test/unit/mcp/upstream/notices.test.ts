import t from 'tap';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import type { Joined } from '../../../helpers/fake-channel.ts';
import { errorOf, resultOf } from '../../../helpers/fake-mcp-session.ts';
import { settled } from '../../../helpers/manual-time.ts';

const log = (level: string, data: string) => ({ method: 'notifications/message', params: { level, data } });
const SET = 'logging/setLevel';

const heard = (joined: Joined): readonly unknown[] => joined.client.heard.map(({ params }) => params?.['data']);

t.test('the server has the finest level of all, and each hears its own', async (t) => {
  const { channel, join } = await legacyServer({ [SET]: () => ({}) });
  const [one, two, three] = [join('one'), join('two'), join('three')];
  const levels = (): readonly unknown[] => channel.requests(SET).map(({ params }) => params['level']);
  await resultOf(one.begin(SET, { level: 'warning', _meta: { kept: 1 } }).answer);
  t.match(channel.last(SET).params, { level: 'warning', _meta: { kept: 1 } });
  await resultOf(two.begin(SET, { level: 'debug' }).answer);
  await resultOf(one.begin(SET, { level: 'error' }).answer);
  t.same(levels(), ['warning', 'debug', 'debug']);

  channel.say(log('debug', 'fine'), log('warning', 'middle'), log('emergency', 'grave'));
  t.same(heard(one), ['grave']);
  t.same(heard(two), ['fine', 'middle', 'grave']);
  t.same(heard(three), [], 'it has asked for no level, and others share the server');
});

t.test('the finest listener leaves: the server is set back', async (t) => {
  const { channel, join } = await legacyServer({ [SET]: () => ({}) });
  const [one, two] = [join('one'), join('two')];
  const last = (): unknown => channel.last(SET).params['level'];
  await resultOf(one.begin(SET, { level: 'warning' }).answer);
  await resultOf(two.begin(SET, { level: 'debug' }).answer);
  await two.session.close('gone');
  t.equal(last(), 'warning', 'to what the next finest wants');
  const asked = channel.requests(SET).length;
  await join('nobody').session.close('gone');
  t.equal(channel.requests(SET).length, asked, 'one that set nothing changes nothing');
  await one.session.close('gone');
  t.equal(channel.requests(SET).length, asked, 'nobody is left, and the usual level is finer');

  const three = join('three');
  await resultOf(three.begin(SET, { level: 'debug' }).answer);
  await three.session.close('gone');
  t.equal(last(), 'info', 'nobody is left: the usual level');
  const four = join('four');
  channel.say(log('debug', 'of another'), log('info', 'usual'));
  t.same(heard(four), ['usual'], 'what only others have asked for is not heard');
});

t.test('a level that the server refuses is none', async (t) => {
  const { channel, join } = await legacyServer({ [SET]: () => ({ error: { code: -32_602, message: 'no' } }) });
  const [one, two] = [join('one'), join('two')];
  t.match(await errorOf(one.begin(SET, { level: 'error' }).answer), { message: 'no' });
  await two.session.close('gone');
  channel.say(log('debug', 'everything, as before'));
  t.same(heard(one), ['everything, as before']);
  await errorOf(one.begin(SET, { level: 'nonsense' }).answer);
  t.match(channel.last(SET).params, { level: 'nonsense' }, 'what is no level is for the server to say');
});

t.test('one client: its log goes with its newest request, or to itself', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join();
  channel.say(log('info', 'idle'));
  t.same(heard(one), ['idle']);
  const [older, newer] = [one.begin(), one.begin()];
  await settled(1);
  channel.say(log('info', 'busy'));
  t.same(older.exchange.heard, []);
  t.same(newer.exchange.heard, [log('info', 'busy')]);
});

t.test('several clients: the log of the only busy one is its own; of several, nobody’s', async (t) => {
  const { channel, join, problems } = await legacyServer({ [SET]: () => ({}) });
  const [one, two, three] = [join('one'), join('two'), join('three')];
  await resultOf(three.begin(SET, { level: 'debug' }).answer);
  const call = one.begin();
  await settled(1);
  channel.say(log('info', 'secret of one'));
  t.same(call.exchange.heard, [log('info', 'secret of one')]);
  t.same([heard(one), heard(two), heard(three)], [[], [], []], 'not to one that listens, either');
  channel.say(log('debug', 'finer than one hears'));
  t.equal(call.exchange.heard.length, 1);

  const second = two.begin();
  await settled(1);
  channel.say(log('info', 'of whom?'), log('info', 'of whom again?'));
  t.equal(call.exchange.heard.length, 1);
  t.same(second.exchange.heard, []);
  t.same([heard(one), heard(two), heard(three)], [[], [], []]);
  t.match(problems, [/notifications\/message belongs to no client/], 'told once');

  channel.answer(call.request);
  channel.answer(second.request);
  channel.say(log('info', 'idle'));
  t.same([heard(one), heard(two), heard(three)], [[], [], ['idle']], 'between requests: to who asked for it');
});

t.test('list_changed: everyone, whole; and whoever keeps lists', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const [one, two] = [join('one'), join('two')];
  const lists: string[] = [];
  const stop = upstream.onListChanged((list) => void lists.push(list));
  const changed = (list: string) => ({ method: `notifications/${list}/list_changed`, params: { _meta: { since: 1 } } });
  channel.say(changed('tools'), changed('resources'), changed('prompts'));
  const all = ['tools', 'resources', 'prompts'];
  t.same(lists, all);
  t.same(one.client.heard, all.map(changed));
  t.same(two.client.heard, all.map(changed));
  stop();
  channel.say(changed('tools'));
  t.equal(lists.length, 3);
});

t.test('names that every object has are no methods', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const one = join();
  const lists: unknown[] = [];
  upstream.onListChanged((list) => void lists.push(list));
  for (const method of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) channel.say({ method });
  t.same(lists, []);
  t.equal(one.client.heard.length, 4, 'unknown ones pass to the one who is there');
});

t.test('unknown notifications: to the only client, else to nobody', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join('one');
  const news = { method: 'notifications/vendor/news', params: { deep: { er: 1 } } };
  channel.say(news);
  t.same(one.client.heard, [news]);
  const two = join('two');
  channel.say(news);
  t.same([one.client.heard.length, two.client.heard.length], [1, 0]);
  const call = two.begin();
  await settled(1);
  channel.say(news);
  t.same(call.exchange.heard, [news], 'but for the one that has requests open');
});

t.test('Governor reading lists is nobody who could be told, and makes no two of one', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const one = join('one');
  const reader = upstream.attach({ ...one.client, context: 'governor', isGovernor: true });
  void reader.request({ method: 'tools/list' }, one.begin('ping').exchange);
  const call = one.begin();
  await settled(1);
  channel.say(log('info', 'mine'));
  t.same(call.exchange.heard, [log('info', 'mine')]);
  t.match(upstream.holds, { sessions: 1 });
  await reader.close('read');
  t.match(upstream.holds, { sessions: 1 });
});

t.test('a listener that throws keeps nothing from the others', async (t) => {
  const { channel, join, upstream, problems } = await legacyServer({
    'resources/subscribe': () => ({}),
    [SET]: () => ({}),
  });
  const [one, two] = [join('one'), join('two')];
  for (const { begin } of [one, two]) {
    await resultOf(begin('resources/subscribe', { uri: 'a:b' }).answer);
    await resultOf(begin(SET, { level: 'info' }).answer);
  }
  Object.assign(one.client, {
    notify: () => {
      throw new Error('one is broken');
    },
  });
  const told: string[] = [];
  for (const name of ['first', 'second']) {
    upstream.onListChanged((list) => {
      told.push(`${name}: ${list}`);
      throw new Error(`${name} is broken`);
    });
    upstream.onEnd(() => {
      told.push(`${name}: end`);
      throw new Error(`${name} is broken`);
    });
  }
  const news = [
    { method: 'notifications/tools/list_changed' },
    { method: 'notifications/resources/updated', params: { uri: 'a:b' } },
    log('info', 'to both'),
  ];
  channel.say(...news);
  t.same(two.client.heard, news);
  channel.end();
  t.same(told, ['first: tools', 'second: tools', 'first: end', 'second: end']);
  t.match(problems.join('\n'), /one is broken[^]*second is broken/, 'and what they throw is told');
});

t.test('what is stale is told before any client hears of it, whoever it is for', async (t) => {
  const { channel, upstream, join } = await legacyServer();
  const order: unknown[] = [];
  const dispose = upstream.onStale((what) => order.push(what));
  const one = join();
  one.client.notify = ({ method }) => void order.push(method);
  const updated = { method: 'notifications/resources/updated', params: { uri: 'file:///a' } };
  channel.say({ method: 'notifications/resources/list_changed' }, updated, { ...updated, params: { uri: 7 } });
  t.same(order, [
    { kind: 'list', list: 'resources' },
    'notifications/resources/list_changed',
    { kind: 'resource', uri: 'file:///a' },
  ]);
  dispose();
  channel.say(updated);
  t.equal(order.length, 3);
});
