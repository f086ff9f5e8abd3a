/**
 * What a legacy server elsewhere asks its client, on the stream of a call and on the stream of what belongs to none: it comes to the one
 * client that it belongs to, whose answer comes back; what belongs to nobody, or to one who has gone, is an error for the server.
 */

import t, { type Test } from 'tap';
import { addressOf, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { connectPeer, type Document, type Peer, PEER_KINDS, type PeerKind } from '../helpers/mcp-peer.ts';
import {
  type AskClient,
  remoteLegacy,
  type RemoteCall,
  type RemoteLegacy,
  type Told,
} from '../helpers/remote-legacy.ts';
import { startFixture } from '../helpers/fixture.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

t.setTimeout(patience(300_000));

const METHODS = ['sampling/createMessage', 'elicitation/create', 'roots/list'] as const;
const AMBIGUOUS = { error: { code: -32_603, message: /could be for any of several clients/ } };
const never = (): Promise<void> => new Promise(() => undefined);

interface Stand {
  readonly daemon: RunningDaemon;
  readonly remote: RemoteLegacy;
  readonly left: Peer;
  readonly right: Peer;
  /** Has called, and does nothing more. */
  readonly idle: Peer;
}

/** Of `context`, each client has roots of its own. */
async function stand(t: Test, kind: PeerKind, sharing: 'shared' | 'context'): Promise<Stand> {
  const remote = await remoteLegacy(t);
  const daemon = await startDaemon(t, {
    config: { tools: { far: { url: remote.url, sharing, autostart: false, health_check: 'none' } } },
  });
  const { url, token } = addressOf(daemon);
  const [left, right, idle] = await Promise.all(
    ['left', 'right', 'idle'].map((name) => {
      const root = sharing === 'shared' ? 'all' : name;
      const to = { url: new URL('/mcp/far', url).href, token };
      return connectPeer(t, { kind, name, to, roots: [{ uri: `file:///${root}`, name: root }] });
    }),
  );
  for (const peer of [left!, right!, idle!]) {
    const [open, call] = await begin(remote, peer, 'first');
    call.finish('known');
    await open;
  }
  return { daemon, remote, left: left!, right: right!, idle: idle! };
}

/** @returns the answer that its client waits for, and the call as the server has it */
async function begin(remote: RemoteLegacy, peer: Peer, key: string): Promise<readonly [Promise<Document>, RemoteCall]> {
  const before = remote.calls.length;
  const open = peer.call('hold', { key });
  open.catch(() => undefined);
  await waitFor(`the call ${key}`, () => remote.calls.length > before);
  return [open, await remote.call(key)];
}

/** Every question there is, one after the other. */
async function askAll(ask: AskClient, word: string): Promise<readonly Told[]> {
  const told: Told[] = [];
  for (const method of METHODS) told.push(await ask(method, paramsOf(method, word)));
  return told;
}

function paramsOf(method: string, word: string): object | undefined {
  if (method === 'roots/list') return undefined;
  if (method === 'sampling/createMessage')
    return { messages: [{ role: 'user', content: { type: 'text', text: word } }], maxTokens: 10 };
  return { message: word, requestedSchema: { type: 'object', properties: { name: { type: 'string' } } } };
}

/** What a peer says to all of them. */
function answersOf(peer: Peer, name: string, word: string): readonly object[] {
  return [
    { result: { content: { text: `${name}: ${word}` } } },
    { result: { action: 'accept', content: { name } } },
    { result: { roots: peer.roots } },
  ];
}

/** What the peers are asked from now on, each in words. */
function watch(...peers: readonly Peer[]): () => readonly (readonly string[])[] {
  const before = peers.map(({ asked }) => asked.length);
  return () => peers.map(({ asked }, index) => asked.slice(before[index]).map(inWords));
}

function inWords({ method, params }: { readonly method: string; readonly params: Document }): string {
  return `${method} ${params.messages?.[0].content.text ?? params.message ?? ''}`.trim();
}

const allOf = (word: string): readonly string[] =>
  METHODS.map((method) => inWords({ method, params: paramsOf(method, word) ?? {} }));

async function finished(open: Promise<Document>, call: RemoteCall): Promise<string> {
  call.finish(`end of ${call.key}`);
  return (await open).content[0].text;
}

for (const kind of PEER_KINDS) {
  for (const sharing of ['shared', 'context'] as const) {
    t.test(`on the stream of a call: ${kind}, ${sharing}`, async (t) => {
      const { remote, left, right, idle } = await stand(t, kind, sharing);
      t.equal(remote.sessions().length, sharing === 'shared' ? 1 : 3);
      const asked = watch(left, right, idle);
      const [leftOpen, leftCall] = await begin(remote, left, 'of left');
      const [rightOpen, rightCall] = await begin(remote, right, 'of right');
      await rightCall.log('of right');
      await leftCall.log('of left');
      // In another order than they came, and at once.
      const [rightTold, leftTold] = await Promise.all([
        askAll(rightCall.ask, 'of right'),
        askAll(leftCall.ask, 'of left'),
      ]);
      t.match(leftTold, answersOf(left, 'left', 'of left'));
      t.match(rightTold, answersOf(right, 'right', 'of right'));
      t.same(asked(), [allOf('of left'), allOf('of right'), []], 'nobody else was asked');
      // A client of 2026-07-28 hears of no log that it has not asked for.
      const lines = left.modern ? [[], [], []] : [['of left'], ['of right'], []];
      const heard = [left, right, idle].map((peer) => peer.heard('notifications/message').map(({ data }) => data));
      t.same(heard, lines, 'nor told what was logged there');
      t.equal(await finished(rightOpen, rightCall), 'end of of right');
      t.equal(await finished(leftOpen, leftCall), 'end of of left');

      const both = [await begin(remote, left, 'left again'), await begin(remote, right, 'right again')];
      t.match(await both[0]![1].ask(METHODS[0], paramsOf(METHODS[0], 'x')), answersOf(left, 'left', 'x')[0]!);
      for (const [open, call] of both) t.equal(await finished(open, call), `end of ${call.key}`, 'no turns are taken');
    });
  }

  t.test(`on the stream of none, each client with a session of its own: ${kind}`, async (t) => {
    const { remote, left, right, idle } = await stand(t, kind, 'context');
    const asked = watch(left, right, idle);
    const [leftOpen, leftCall] = await begin(remote, left, 'of left');
    const [rightOpen, rightCall] = await begin(remote, right, 'of right');
    const [rightTold, leftTold] = await Promise.all([
      askAll(rightCall.session.ask, 'of right'),
      askAll(leftCall.session.ask, 'of left'),
    ]);
    t.match(leftTold, answersOf(left, 'left', 'of left'));
    t.match(rightTold, answersOf(right, 'right', 'of right'));
    t.same(asked(), [allOf('of left'), allOf('of right'), []]);
    for (const [open, call] of [
      [leftOpen, leftCall],
      [rightOpen, rightCall],
    ] as const)
      t.equal(await finished(open, call), `end of ${call.key}`);
  });

  t.test(`on the stream of none, one session for all: ${kind}`, async (t) => {
    const { remote, left, right, idle } = await stand(t, kind, 'shared');
    const [session] = remote.sessions();
    const asked = watch(left, right, idle);

    await t.test('of the one who calls', async (t) => {
      const asked = watch(left, right, idle);
      const [open, call] = await begin(remote, left, 'alone');
      t.match(await askAll(session!.ask, 'for left'), answersOf(left, 'left', 'for left'));
      t.same(asked(), [allOf('for left'), [], []]);
      const page = { mode: 'url', message: 'sign in', url: 'https://example.org/', elicitationId: 'one' };
      const refusal = { code: -32_602, message: /elicitation\.url/ };
      t.match(await session!.ask('elicitation/create', page), { error: refusal });
      t.same(asked(), [allOf('for left'), [], []], 'who cannot do that is not asked');
      t.equal(await finished(open, call), 'end of alone');
    });

    await t.test('of several who call: refused, and from then on they take turns', async (t) => {
      const asked = watch(left, right, idle);
      const both = [await begin(remote, left, 'left'), await begin(remote, right, 'right')];
      t.match(await session!.ask('roots/list'), { result: { roots: left.roots } }, 'theirs are equal');
      t.equal(asked().flat().length, 1, 'one of them was asked');
      t.same(asked()[2], [], 'who does not call was not');
      for (const method of METHODS.slice(0, 2))
        t.match(await session!.ask(method, paramsOf(method, 'for whom?')), AMBIGUOUS);
      t.equal(asked().flat().length, 1, 'nobody was asked');
      for (const [open, call] of both) t.equal(await finished(open, call), `end of ${call.key}`);

      const open = new Map<string, number>();
      const overlaps: string[] = [];
      const told = new Map<string, Told>();
      remote.onCall = (call) => {
        const [who = ''] = call.key.split(' ');
        open.set(who, (open.get(who) ?? 0) + 1);
        if (open.size > 1) overlaps.push(call.key);
        void session!.ask(METHODS[0], paramsOf(METHODS[0], call.key)).then((answer) => {
          told.set(call.key, answer);
          if (open.get(who) === 1) open.delete(who);
          else open.set(who, open.get(who)! - 1);
          call.finish(call.key);
        });
      };
      const keys = Array.from({ length: 5 }, (_, index) => [`left ${index}`, `right ${index}`]).flat();
      await Promise.all(keys.map((key) => (key.startsWith('left') ? left : right).call('hold', { key })));
      remote.onCall = null;
      t.same(overlaps, []);
      for (const key of keys)
        t.match(told.get(key), { result: { content: { text: `${key.split(' ')[0]}: ${key}` } } }, key);
    });

    await t.test('of nobody', async (t) => {
      for (const method of METHODS.slice(0, 2)) t.match(await session!.ask(method, paramsOf(method, 'x')), AMBIGUOUS);
    });
    t.same(asked()[2], [], 'who never calls was never asked');
  });

  t.test(`of a call that was cancelled: ${kind}`, async (t) => {
    const { remote, left, right, idle } = await stand(t, kind, 'shared');
    const [session] = remote.sessions();
    const [rightOpen, rightCall] = await begin(remote, right, 'of right');
    const asked = watch(left, right, idle);
    for (const word of ['one', 'two']) {
      const wanted = new AbortController();
      const open = left.call('hold', { key: word }, { signal: wanted.signal }).catch(() => 'cancelled');
      const call = await remote.call(word);
      const late: Promise<Told>[] = [];
      // As soon as it hears of that, where nothing says whose they are; what it says on the stream of the call, nobody hears any more.
      call.cancelled.addEventListener('abort', () => {
        for (const method of METHODS.slice(0, 2)) late.push(session!.ask(method, paramsOf(method, word)));
        call.insist(METHODS[0], paramsOf(METHODS[0], word));
      });
      wanted.abort(new Error('no longer wanted'));
      t.equal(await open, 'cancelled');
      await waitFor('the questions', () => late.length === 2);
      for (const told of await Promise.all(late))
        t.match(told, { error: { code: -32_603, message: /a call that was cancelled just now/ } });
    }
    t.same(asked(), [[], [], []], 'nobody was asked');
    const later = async (): Promise<boolean> =>
      'result' in (await session!.ask(METHODS[0], paramsOf(METHODS[0], 'for right')));
    await waitFor('it to be clear again', later);
    t.same(asked(), [[], ['sampling/createMessage for right'], []], 'no turns were taken');

    // Asked and cancelled at the same moment, either may be first.
    for (let round = 0; round < 20; round++) {
      const wanted = new AbortController();
      const open = left.call('hold', { key: `at once ${round}` }, { signal: wanted.signal }).catch(() => 'cancelled');
      const call = await remote.call(`at once ${round}`);
      call.insist(METHODS[0], paramsOf(METHODS[0], `at once ${round}`));
      wanted.abort(new Error('no longer wanted'));
      t.equal(await open, 'cancelled');
      // One of 2026-07-28 may have been asked by then: its call waits for it to come back.
      if (left.modern) call.finish('over');
      else await waitFor('the server to hear of it', () => call.cancelled.aborted);
    }
    t.equal(await finished(rightOpen, rightCall), 'end of of right');
    t.same(asked().slice(1), [['sampling/createMessage for right'], []], 'nobody else was asked');
  });

  t.test(`of a client that has gone: ${kind}`, async (t) => {
    const { daemon, remote, left, right, idle } = await stand(t, kind, 'shared');
    const [session] = remote.sessions();
    await gone(daemon, idle, 'idle');
    const asked = watch(left, right);
    const [, call] = await begin(remote, left, 'of left');
    left.think = never;
    const onCall = call.ask(METHODS[0], paramsOf(METHODS[0], 'on the call'));
    await waitFor('it to be asked', () => asked()[0]!.length === 1);
    // One of 2026-07-28 has its questions by its call, and is away with them.
    const onNone = kind === 'sdk-2-modern' ? null : session!.ask(METHODS[1], paramsOf(METHODS[1], 'on none'));
    if (onNone !== null) await waitFor('it to be asked both', () => asked()[0]!.length === 2);
    t.same(asked()[1], []);

    await gone(daemon, left, 'left');
    t.match(await onCall, { error: { code: -32_603 } });
    if (onNone !== null) t.match(await onNone, { error: { code: -32_603, message: /taken back/ } });
    await waitFor('the call to be cancelled', () => call.cancelled.aborted);
    t.same(asked()[1], [], 'and nobody else was asked in its place');

    const [open, own] = await begin(remote, right, 'of right');
    t.match(await askAll(session!.ask, 'for right'), answersOf(right, 'right', 'for right'));
    t.same(asked()[1], allOf('for right'));
    t.equal(await finished(open, own), 'end of of right');
    await gone(daemon, right, 'right');
    t.match(await session!.ask('roots/list'), { error: { code: -32_601, message: /no client is there/ } });
  });
}

t.test('of a client that is killed', async (t) => {
  const { daemon, remote, left, right, idle } = await stand(t, 'sdk-2', 'shared');
  const asked = watch(left, right, idle);
  const { url, token } = addressOf(daemon);
  const args = [`${url}/mcp/far`, token, 'hold', 'mortal', 'file:///all'];
  const mortal = startFixture(t, 'mcp-http-client', { args });
  const call = await remote.call('mortal');
  t.equal(remote.sessions().length, 1, 'it shares the session of the others');
  const told = call.ask(METHODS[0], paramsOf(METHODS[0], 'alive?'));
  await mortal.said('asked');
  mortal.child.kill('SIGKILL');
  t.match(await told, { error: { code: -32_603, message: /taken back/ } });
  await waitFor('the call to be cancelled', () => call.cancelled.aborted);
  t.same(asked(), [[], [], []]);
});

/** One of 2026-07-28 does not say that it goes: its context is ended by hand. */
async function gone(daemon: RunningDaemon, peer: Peer, name: string): Promise<void> {
  await peer.leave();
  if (!peer.modern) return;
  const { contexts } = (await daemon.call('GET', '/v1/contexts')).json;
  const { id } = contexts.find((each: { readonly id: string }) => each.id.startsWith(`${name}@`));
  const { status } = await daemon.call('DELETE', `/v1/contexts/${encodeURIComponent(id)}`);
  if (status !== 204) throw new Error(`its context could not be ended: ${status}`);
}
