import t from 'tap';
import { Turns } from '../../../../lib/mcp/upstream/turns.ts';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import { errorOf, resultOf, soon } from '../../../helpers/fake-mcp-session.ts';
import { settled } from '../../../helpers/manual-time.ts';

/** `+a1` wants to begin request 1 of client a; `-a` one of its is over; `xa1` gives up waiting; `?a` it is asked, `=a` it has answered. */
function play(steps: readonly string[], isOn = true): readonly string[] {
  const turns = new Turns<string>(isOn);
  const begun: string[] = [];
  const waiting = new Map<string, () => void>();
  for (const step of steps) {
    const [kind, owner = '', name] = [step[0], step[1], step.slice(1)];
    if (kind === '-') turns.leave(owner);
    else if (kind === 'x') waiting.get(name)?.();
    else if (kind === '!') turns.isOn = true;
    else if (kind === '?') turns.asked(owner);
    else if (kind === '=') turns.answered(owner);
    else if (turns.tryEnter(owner)) begun.push(name);
    else
      waiting.set(
        name,
        turns.wait(owner, () => void begun.push(name)),
      );
  }
  return begun;
}

t.test('whose turn it is', async (t) => {
  const table: readonly (readonly [name: string, steps: string, begun: string])[] = [
    ['free: at once', '+a1', 'a1'],
    ['one client shares its turn', '+a1 +a2', 'a1 a2'],
    ['another waits', '+a1 +b1', 'a1'],
    ['until the first is over', '+a1 +b1 -a', 'a1 b1'],
    ['with all it has open', '+a1 +a2 +b1 -a', 'a1 a2'],
    ['first come, first served', '+a1 +b1 +c1 -a -b', 'a1 b1 c1'],
    ['not in another order', '+a1 +c1 +b1 -a', 'a1 c1'],
    ['all that one waits for go together', '+a1 +b1 +c1 +b2 -a', 'a1 b1 b2'],
    ['and the next waits for all of them', '+a1 +b1 +c1 +b2 -a -b', 'a1 b1 b2'],
    ['until they are over', '+a1 +b1 +c1 +b2 -a -b -b', 'a1 b1 b2 c1'],
    ['who asks for more while others wait, waits: no starvation', '+a1 +b1 +a2 -a', 'a1 b1'],
    ['and comes after them', '+a1 +b1 +a2 -a -b', 'a1 b1 a2'],
    ['who gives up is passed over', '+a1 +b1 +c1 xb1 -a', 'a1 c1'],
    ['giving up the last place frees nothing too early', '+a1 +b1 xb1 +a2', 'a1 a2'],
    ['those behind one of the same client go on when the other gives up', '+a1 +b1 +a2 xb1', 'a1 a2'],
    ['giving up twice', '+a1 +b1 xb1 xb1 -a +c1', 'a1 c1'],
    ['who is asked something may call, though others wait', '+a1 +b1 ?a +a2', 'a1 a2'],
    ['and what it waits for already goes', '+a1 +b1 +a2 ?a', 'a1 a2'],
    ['the others wait for that too', '+a1 +b1 ?a +a2 =a -a', 'a1 a2'],
    ['until it is over', '+a1 +b1 ?a +a2 =a -a -a', 'a1 a2 b1'],
    ['not when it has answered', '+a1 +b1 ?a =a +a2', 'a1'],
    ['not before its last answer', '+a1 +b1 ?a ?a =a +a2', 'a1 a2'],
    ['not whoever is asked without a turn', '+a1 ?b +b1', 'a1'],
    ['all over, free again', '+a1 -a +b1 -b +a2', 'a1 b1 a2'],
  ];
  for (const [name, steps, begun] of table) t.same(play(steps.split(' ')).join(' '), begun, `${name}: ${steps}`);
});

t.test('turns that begin while requests are open', async (t) => {
  t.same(play('+a1 +b1 +a2'.split(' '), false), ['a1', 'b1', 'a2'], 'without turns they overlap');
  t.same(play('+a1 +b1 ! +a2 +c1'.split(' '), false), ['a1', 'b1'], 'whoever comes then waits until they are over');
  t.same(play('+a1 +b1 ! +a2 +c1 -a'.split(' '), false), ['a1', 'b1']);
  t.same(play('+a1 +b1 ! +a2 +c1 -a -b'.split(' '), false), ['a1', 'b1', 'a2']);
});

t.test('an upstream that takes turns from the start', async (t) => {
  const { channel, join, upstream } = await legacyServer({}, { takesTurns: true });
  t.equal(upstream.takesTurns, true);
  const [one, two] = [join('one'), join('two')];
  const [a1, a2, b1] = [one.begin(), one.begin('prompts/get'), two.begin()];
  const [list, read] = [two.begin('tools/list'), two.begin('resources/read')];
  await settled(2);
  const reached = (): readonly string[] => channel.requests().map(({ method }) => method);
  t.same(reached(), ['initialize', 'tools/call', 'prompts/get', 'tools/list'], 'lists need no turn');
  channel.answer(list.request);
  channel.answer(a1.request);
  await settled(1);
  t.equal(reached().length, 4, 'all of its requests are to be over');
  channel.answer(a2.request);
  await settled(2);
  t.same(reached().slice(4), ['tools/call', 'resources/read']);
  channel.refuse(channel.last('tools/call'), -32_000, 'no');
  t.match(await errorOf(b1.answer), { message: 'no' });
  channel.answer(read.request);
  await resultOf(read.answer);
  t.equal(await soon(one.begin().answer), null);
  t.equal(channel.requests('tools/call').length, 3, 'an error ends a turn as an answer does');
});

t.test('a client that is asked something and needs another call for its answer', async (t) => {
  const { channel, join } = await legacyServer({}, { takesTurns: true });
  const [one, two] = [join('one', { elicitation: {} }), join('two')];
  const [a, b] = [one.begin(), two.begin()];
  await settled(1);
  a.exchange.answer = async () => {
    const needed = one.begin('resources/read', { uri: 'a:b' });
    await settled(2);
    channel.answer(needed.request, { contents: [] });
    return { kind: 'result', result: { content: await resultOf(needed.answer) } };
  };
  channel.say({ id: 'q', method: 'elicitation/create', params: { message: 'which?' } });
  await settled(40);
  t.same(channel.answersTo('q'), [{ kind: 'result', result: { content: { contents: [] } } }]);
  t.equal(channel.requests('tools/call').length, 1, 'the other client still waits');
  channel.answer(a.request);
  await resultOf(a.answer);
  await settled(2);
  channel.answer(b.request);
  await resultOf(b.answer);
});

t.test('cancelled before its turn: the server never hears of it', async (t) => {
  const { channel, join } = await legacyServer({}, { takesTurns: true });
  const [one, two, three] = [join('one'), join('two'), join('three')];
  const first = one.begin('tools/call', { name: 'first' });
  const second = two.begin('tools/call', { name: 'second' });
  const third = three.begin('tools/call', { name: 'third' });
  await settled(1);
  second.exchange.cancel();
  t.match(await errorOf(second.answer), { message: 'cancelled before its turn' });
  const calls = (): readonly unknown[] => channel.requests('tools/call').map(({ params }) => params['name']);
  t.same(calls(), ['first']);
  channel.answer(first.request);
  await settled(2);
  t.same(calls(), ['first', 'third']);
  t.same(channel.notifications('notifications/cancelled'), []);
  channel.answer(channel.last('tools/call'));
  await resultOf(third.answer);
});

t.test('its turn and its cancellation at the same moment', async (t) => {
  const { channel, join } = await legacyServer({ ping: () => ({}) }, { takesTurns: true });
  const [one, two, three] = [join('one'), join('two'), join('three')];
  const [first, second] = [one.begin(), two.begin()];
  const third = three.begin();
  await settled(1);
  channel.answer(first.request);
  await first.answer;
  second.exchange.cancel();
  await errorOf(second.answer);
  await settled(2);
  t.equal(await soon(third.answer), null);
  channel.answer(channel.last('tools/call'));
  await resultOf(third.answer);
});

t.test('a client that goes while it waits, and one that goes while it has the turn', async (t) => {
  const { channel, join } = await legacyServer({ ping: () => ({}) }, { takesTurns: true });
  const [one, two, three] = [join('one'), join('two'), join('three')];
  const [first, second, third] = [one.begin(), two.begin(), three.begin()];
  await settled(1);
  await two.session.close('gone');
  await errorOf(second.answer);
  await one.session.close('gone');
  await errorOf(first.answer);
  await settled(2);
  t.equal(channel.requests('tools/call').length, 2, 'the second was never sent');
  channel.answer(channel.last('tools/call'));
  await resultOf(third.answer);
});

t.test('the end of the server ends the waiting', async (t) => {
  const { channel, join } = await legacyServer({}, { takesTurns: true });
  const calls = ['one', 'two', 'three'].map((name) => join(name).begin());
  await settled(1);
  channel.end();
  for (const { answer } of calls) t.match(await errorOf(answer), { message: /has gone/ });
});
