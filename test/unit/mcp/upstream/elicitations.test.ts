import t from 'tap';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import { errorOf } from '../../../helpers/fake-mcp-session.ts';
import { settled } from '../../../helpers/manual-time.ts';

const ASKS = { elicitation: { url: {} } };
const asks = (id: number, elicitationId: unknown) => ({
  id,
  method: 'elicitation/create',
  params: { mode: 'url', url: 'https://a.example/', message: 'open it', elicitationId },
});
const done = (elicitationId: unknown) => ({ method: 'notifications/elicitation/complete', params: { elicitationId } });

t.test('that a page is done with is told to the client that was asked to open it, and to it alone', async (t) => {
  const { channel, join, problems } = await legacyServer();
  const [one, two] = [join('one', ASKS), join('two', ASKS)];
  one.client.answer = () => ({ kind: 'result', result: { action: 'accept' } });
  const asked = one.begin();
  asked.exchange.answer = one.client.answer;
  await settled(1);
  channel.say(asks(1, 'page-1'));
  await settled(2);
  channel.answer(asked.request);
  await asked.answer;
  const busy = two.begin();
  await settled(1);
  channel.say(done('page-1'));
  t.same(one.client.heard, [done('page-1')], 'though another one is busy');
  t.same([two.client.heard, busy.exchange.heard, asked.exchange.heard], [[], [], []]);
  channel.say(done('page-1'), done('page-2'), done(undefined));
  t.equal(one.client.heard.length, 1, 'once, and no other');
  t.same([two.client.heard, busy.exchange.heard], [[], []], 'not even to the one that is busy');
  t.match(problems, [/belongs to no client/]);
});

t.test('beside its open call, where it has one', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join('one', ASKS);
  const call = one.begin();
  await settled(1);
  channel.say(asks(1, 'page-1'));
  await settled(2);
  channel.say(done('page-1'));
  t.same(call.exchange.heard, [done('page-1')]);
  t.same(one.client.heard, []);
});

t.test('a page that an error names', async (t) => {
  const { channel, join } = await legacyServer();
  const [one, two] = [join('one', ASKS), join('two', ASKS)];
  for (const { begin } of [one, two]) {
    const call = begin();
    await settled(1);
    const data = { elicitations: [{ mode: 'url', elicitationId: `of call ${call.request.id}` }, 'no page'] };
    channel.say({ id: call.request.id, error: { code: -32_042, message: 'log in', data } });
    await errorOf(call.answer);
    channel.say({ method: 'notifications/x' });
  }
  const [first, second] = channel.requests('tools/call').map(({ id }) => done(`of call ${id}`));
  channel.say(second!, first!);
  t.same(one.client.heard, [first]);
  t.same(two.client.heard, [second]);
});

t.test('nothing is kept of a client that has gone, nor more than 1,000 pages', async (t) => {
  const { channel, join } = await legacyServer();
  const [one, two] = [join('one', ASKS), join('two', ASKS)];
  const call = one.begin();
  await settled(1);
  const pages = Array.from({ length: 1_000 }, (_, index) => ({ elicitationId: `${index}` }));
  channel.say({ id: call.request.id, error: { code: -32_042, message: 'x', data: { elicitations: pages } } });
  const more = two.begin();
  await settled(1);
  channel.say({
    id: more.request.id,
    error: { code: -32_042, message: 'x', data: { elicitations: [{ elicitationId: 'more' }] } },
  });
  channel.say(done('0'), done('1'), done('more'));
  t.same(one.client.heard, [done('1')], 'the oldest is forgotten');
  t.same(two.client.heard, [done('more')]);
  await one.session.close('gone');
  channel.say(done('2'));
  t.equal(one.client.heard.length, 1);
  t.equal(two.client.heard.length, 1, 'nor is it anybody else’s then');
});
