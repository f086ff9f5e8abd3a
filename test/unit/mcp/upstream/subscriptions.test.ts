import t from 'tap';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import type { UpstreamScene } from '../../../helpers/fake-channel.ts';
import { errorOf, resultOf, soon } from '../../../helpers/fake-mcp-session.ts';
import { refusalFields } from '../../../helpers/refusal-fields.ts';
import { settled } from '../../../helpers/manual-time.ts';

const URI = 'demo://resource/1';
const updated = (uri: string) => ({ method: 'notifications/resources/updated', params: { uri } });
const SUBSCRIBE = 'resources/subscribe';
const UNSUBSCRIBE = 'resources/unsubscribe';

function counts({ channel }: UpstreamScene): readonly [number, number] {
  return [channel.requests(SUBSCRIBE).length, channel.requests(UNSUBSCRIBE).length];
}

t.test('two clients, one subscription of the server; its updates to both, its end by the last', async (t) => {
  const scene = await legacyServer({ [SUBSCRIBE]: () => ({}), [UNSUBSCRIBE]: () => ({}) });
  const { channel, upstream } = scene;
  const [one, two, other] = [scene.join('one'), scene.join('two'), scene.join('other')];
  t.same(await resultOf(one.begin(SUBSCRIBE, { uri: URI }).answer), {});
  t.same(await resultOf(two.begin(SUBSCRIBE, { uri: URI }).answer), {});
  t.same(await resultOf(two.begin(SUBSCRIBE, { uri: URI }).answer), {}, 'once more is the same');
  t.same(counts(scene), [1, 0]);
  t.match(upstream.holds, { subscriptions: 1 });

  channel.say(updated(URI));
  t.same(
    [one, two, other].map(({ client }) => client.heard),
    [[updated(URI)], [updated(URI)], []],
  );
  await resultOf(one.begin(UNSUBSCRIBE, { uri: URI }).answer);
  t.same(counts(scene), [1, 0], 'the other still wants it');
  channel.say(updated(URI));
  t.equal(one.client.heard.length, 1);
  t.equal(two.client.heard.length, 2);
  await resultOf(two.begin(UNSUBSCRIBE, { uri: URI }).answer);
  t.same(counts(scene), [1, 1]);
  channel.say(updated(URI));
  t.equal(two.client.heard.length, 2);
  t.match(upstream.holds, { subscriptions: 0, requests: 0 });
});

t.test('a client that has no subscription cannot end that of another', async (t) => {
  const scene = await legacyServer({ [SUBSCRIBE]: () => ({}) });
  const [one, two] = [scene.join('one'), scene.join('two')];
  await resultOf(one.begin(SUBSCRIBE, { uri: URI }).answer);
  t.same(await resultOf(two.begin(UNSUBSCRIBE, { uri: URI }).answer), {});
  t.same(counts(scene), [1, 0]);
  const unknown = two.begin(UNSUBSCRIBE, { uri: 'demo://nobody-has-it' });
  await settled(1);
  scene.channel.refuse(unknown.request, -32_602, 'no such subscription');
  t.match(await errorOf(unknown.answer), { message: 'no such subscription' }, 'what nobody has, the server answers');
});

t.test('the second waits for what the first is told', async (t) => {
  const scene = await legacyServer();
  const [one, two, three] = [scene.join('one'), scene.join('two'), scene.join('three')];
  const first = one.begin(SUBSCRIBE, { uri: URI });
  const second = two.begin(SUBSCRIBE, { uri: URI });
  const third = three.begin(SUBSCRIBE, { uri: URI });
  t.equal(await soon(second.answer), null);
  scene.channel.refuse(first.request, -32_602, 'no such resource');
  t.match(await errorOf(first.answer), { message: 'no such resource' });
  t.equal(await soon(second.answer), null);
  t.same(counts(scene), [2, 0], 'it asks for itself');
  scene.channel.answer(scene.channel.last(SUBSCRIBE));
  t.same(await resultOf(second.answer), {});
  t.same(await resultOf(third.answer), {});
  t.same(counts(scene), [2, 0], 'and the third has it by the second');
  scene.channel.say(updated(URI));
  t.same(
    [one, two, three].map(({ client }) => client.heard.length),
    [0, 1, 1],
  );
});

t.test('the first gives up, or goes, while the second waits', async (t) => {
  for (const leave of ['cancel', 'close'] as const) {
    const scene = await legacyServer();
    const [one, two] = [scene.join('one'), scene.join('two')];
    const first = one.begin(SUBSCRIBE, { uri: URI });
    const second = two.begin(SUBSCRIBE, { uri: URI });
    await settled(1);
    if (leave === 'cancel') first.exchange.cancel();
    else await one.session.close('gone');
    await errorOf(first.answer);
    await settled(2);
    const asked = scene.channel.requests().map(({ method }) => method);
    t.equal(asked.at(-1), SUBSCRIBE, `${leave}: the last word to the server is what the second wants`);
    scene.channel.answer(scene.channel.last(SUBSCRIBE));
    t.same(await resultOf(second.answer), {});
    scene.channel.say(updated(URI));
    t.same(
      [one, two].map(({ client }) => client.heard.length),
      [0, 1],
    );
  }
});

t.test('one that gives up or goes while it waits is not subscribed later', async (t) => {
  for (const leave of ['cancel', 'close'] as const) {
    const scene = await legacyServer({ [UNSUBSCRIBE]: () => ({}) });
    const [one, two] = [scene.join('one'), scene.join('two')];
    const first = one.begin(SUBSCRIBE, { uri: URI });
    const second = two.begin(SUBSCRIBE, { uri: URI });
    await settled(1);
    if (leave === 'cancel') second.exchange.cancel();
    else await two.session.close('gone');
    scene.channel.answer(first.request);
    await errorOf(second.answer);
    await resultOf(first.answer);
    await resultOf(one.begin(UNSUBSCRIBE, { uri: URI }).answer);
    t.same(counts(scene), [1, 1], `${leave}: nobody is left`);
    t.match(scene.upstream.holds, { subscriptions: 0 });
  }
});

t.test('a cancelled subscription is taken back at the server', async (t) => {
  const scene = await legacyServer({ [UNSUBSCRIBE]: () => ({}) });
  const first = scene.join().begin(SUBSCRIBE, { uri: URI });
  await settled(1);
  first.exchange.cancel();
  await errorOf(first.answer);
  t.same(scene.channel.last(UNSUBSCRIBE).params, { uri: URI });
});

t.test('a client that goes releases what it alone had; an unanswered release keeps no server awake', async (t) => {
  const scene = await legacyServer({ [SUBSCRIBE]: () => ({}) });
  const [one, two] = [scene.join('one'), scene.join('two')];
  await resultOf(one.begin(SUBSCRIBE, { uri: URI }).answer);
  await resultOf(two.begin(SUBSCRIBE, { uri: URI }).answer);
  await resultOf(one.begin(SUBSCRIBE, { uri: 'demo://mine' }).answer);
  await one.session.close('gone');
  await settled(2);
  t.same(
    scene.channel.requests(UNSUBSCRIBE).map(({ params }) => params['uri']),
    ['demo://mine'],
  );
  t.match(scene.upstream.holds, { sessions: 1, requests: 0, subscriptions: 1 });
});

t.test('unsubscribing and subscribing at the same moment end as they were asked for', async (t) => {
  const scene = await legacyServer({ [SUBSCRIBE]: () => ({}) });
  const [one, two] = [scene.join('one'), scene.join('two')];
  await resultOf(one.begin(SUBSCRIBE, { uri: URI }).answer);
  const left = one.begin(UNSUBSCRIBE, { uri: URI });
  const came = two.begin(SUBSCRIBE, { uri: URI });
  await settled(2);
  t.same(counts(scene), [1, 1], 'the one waits for the other');
  scene.channel.answer(left.request);
  await resultOf(left.answer);
  await resultOf(came.answer);
  t.same(counts(scene), [2, 1]);
  scene.channel.say(updated(URI));
  t.same(
    [one, two].map(({ client }) => client.heard.length),
    [0, 1],
  );
});

t.test('an update of a part goes to who subscribed to the whole', async (t) => {
  const scene = await legacyServer({ [SUBSCRIBE]: () => ({}) });
  const [one, two] = [scene.join('one'), scene.join('two')];
  await resultOf(one.begin(SUBSCRIBE, { uri: 'file:///project' }).answer);
  await resultOf(two.begin(SUBSCRIBE, { uri: 'file:///proj' }).answer);
  scene.channel.say(updated('file:///project/src/a.ts'));
  t.same(one.client.heard, [updated('file:///project/src/a.ts')]);
  t.same(two.client.heard, [], 'a name that begins alike is no part');
});

t.test('a storm: bounds for one client and for all, and URIs without end', async (t) => {
  const scene = await legacyServer({ [SUBSCRIBE]: () => ({}) });
  const storm = scene.join('storm');
  for (let index = 0; index < 1_000; index++) storm.begin(SUBSCRIBE, { uri: `demo://${index}` });
  await settled(2);
  const oneMore = await errorOf(storm.begin(SUBSCRIBE, { uri: 'demo://one-more' }).answer);
  t.equal(oneMore.code, RPC_CODE.refused);
  t.same(oneMore.data, refusalFields(null));
  t.same(await resultOf(storm.begin(SUBSCRIBE, { uri: 'demo://7' }).answer), {}, 'what it has it may ask for again');
  const calm = scene.join('calm');
  t.same(await resultOf(calm.begin(SUBSCRIBE, { uri: 'demo://calm' }).answer), {}, 'others have room');
  for (let client = 1; client < 10; client++) {
    const next = scene.join(`storm ${client}`);
    for (let index = 0; index < 1_000; index++) next.begin(SUBSCRIBE, { uri: `demo://${client}/${index}` });
  }
  await settled(2);
  t.equal(scene.upstream.holds.subscriptions, 10_000);
  t.match(await errorOf(calm.begin(SUBSCRIBE, { uri: 'demo://full' }).answer), { code: RPC_CODE.refused });
  t.same(await resultOf(calm.begin(SUBSCRIBE, { uri: 'demo://1/1' }).answer), {}, 'what others have costs nothing');
  const asked = counts(scene)[0];
  t.match(await errorOf(scene.join('new').begin(SUBSCRIBE, { uri: 'x'.repeat(10_000) }).answer), {
    code: RPC_CODE.refused,
  });
  t.equal(counts(scene)[0], asked);
  // Would take minutes if each of its parts were looked up.
  scene.channel.say(updated(`demo:${'/'.repeat(4_000_000)}`));
});
