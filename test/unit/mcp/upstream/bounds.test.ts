import t from 'tap';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import { errorOf, resultOf, soon } from '../../../helpers/fake-mcp-session.ts';
import { refusalFields } from '../../../helpers/refusal-fields.ts';
import { settled } from '../../../helpers/manual-time.ts';
import { pause } from '../../../helpers/wait-for.ts';

const progress = (token: unknown, value: number) => ({
  method: 'notifications/progress',
  params: { progressToken: token, progress: value },
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
  const refused = await errorOf(one.begin().answer);
  t.equal(refused.code, RPC_CODE.refused);
  t.same(refused.data, refusalFields(1_000));
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
  const refused = await errorOf(one.begin().answer);
  t.match(refused, { code: RPC_CODE.refused, message: /does not read/ });
  t.same(refused.data, refusalFields(1_000));
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
