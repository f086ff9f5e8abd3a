/** Clients of one shared process with equal request ids and progress tokens: each gets its own, and nothing of another's. */

import t from 'tap';
import { addressOf, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand } from '../helpers/fixture.ts';
import { connectPeer, type Document, type Peer, PEER_KINDS } from '../helpers/mcp-peer.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const CALLS = 200;
const AT_ONCE = 8;
const [command, ...args] = fixtureCommand('mcp-probe');
const env = { FIXTURE_LIFE_MS: String(patience(120_000)) };
const text = ({ content }: Document): string => content[0].text;

t.setTimeout(patience(120_000));

for (const kind of PEER_KINDS) {
  t.test(`two clients (${kind}) of one process`, async (t) => {
    const daemon = await startDaemon(t, { config: { tools: { probe: { command, args, env, sharing: 'shared' } } } });
    const { url, token } = addressOf(daemon);
    const to = { url: new URL('/mcp/probe', url).href, token };
    const peers = await Promise.all(
      ['left', 'right'].map((name) =>
        connectPeer(t, { kind, name, to, roots: [{ uri: 'file:///same', name: 'same' }] }),
      ),
    );
    const [left, right] = peers as [Peer, Peer];
    const pids = await Promise.all(peers.map(async (peer) => JSON.parse(text(await peer.call('seen'))).pid));
    t.equal(pids[0], pids[1], 'they share it');

    t.test('what is asked for a call that was cancelled is asked of nobody', async (t) => {
      const [mine, its] = [new AbortController(), new AbortController()];
      let began = 0;
      const onprogress = (): void => void (began += 1);
      const open = [
        right.call('wait', { key: 'right' }, { signal: its.signal, onprogress }),
        left.call('wait', { key: 'left', late: 'left, late' }, { signal: mine.signal, onprogress }),
      ].map((call) => call.catch(() => 'cancelled'));
      await waitFor('both to begin', () => began === 2);
      mine.abort(new Error('no longer wanted'));
      t.equal(await open[1], 'cancelled');
      const late = async (): Promise<Document> => JSON.parse(text(await right.call('seen'))).late;
      await waitFor('what came of it', async () => (await late()).length > 0);
      t.match(await late(), [/a call that was cancelled just now/]);
      const asked = [left.asked, right.asked].flat().filter(({ method }) => method === 'sampling/createMessage');
      t.same(asked, []);
      t.equal(
        JSON.parse(text(await right.call('sample', { prompt: 'right' }))).content.text,
        'right: right',
        'it goes on',
      );
      its.abort(new Error('nor that'));
      t.equal(await open[0], 'cancelled');
    });

    t.test(`${2 * CALLS} calls that overlap`, async (t) => {
      const wrong = (await Promise.all([callMany(left, 'left'), callMany(right, 'right')])).flat();
      t.same(wrong, []);
    });

    t.test('what they are asked comes to who called', async (t) => {
      const burst = (count: number): Promise<readonly { name: string; index: number; answer: string }[]> =>
        Promise.all(
          Array.from({ length: count }, (_, index) => index).flatMap((index) =>
            (
              [
                ['left', left],
                ['right', right],
              ] as const
            ).map(async ([name, peer]) => {
              const answer = await peer
                .call('sample', { prompt: `${name} ${index}` })
                .catch((error: unknown) => String(error));
              return {
                name,
                index,
                answer: typeof answer === 'string' ? answer : JSON.parse(text(answer)).content.text,
              };
            }),
          ),
        );
      const isOwn = ({ name, index, answer }: { name: string; index: number; answer: string }): boolean =>
        answer === `${name}: ${name} ${index}`;
      // The first questions that overlap cannot be told apart: they are refused, be it all of them, never put to the wrong client.
      const first = await burst(20);
      t.same(
        first.filter((each) => !isOwn(each) && !/several clients/.test(each.answer)),
        [],
      );
      t.same(
        (await burst(20)).filter((each) => !isOwn(each)),
        [],
        'from then on they take turns',
      );
      const strange = (
        [
          ['left', left],
          ['right', right],
        ] as const
      ).flatMap(([name, peer]) =>
        peer.asked.filter(({ params }) => !String(params.messages?.[0].content.text).startsWith(name)),
      );
      t.same(
        strange.filter(({ method }) => method === 'sampling/createMessage'),
        [],
        'nobody was asked for the other',
      );
    });

    t.test('an update comes to who has subscribed', async (t) => {
      const end = await left.watch('probe://note');
      await right.call('touch', { uri: 'probe://note' });
      await left.hears('notifications/resources/updated');
      await right.call('echo', { value: 'after it' });
      t.same(right.heard('notifications/resources/updated'), []);
      await end();
    });

    t.test('what one cancels is its own', async (t) => {
      const aborted = new AbortController();
      let began = 0;
      const onprogress = (): void => void (began += 1);
      const cancelled = left
        .call('wait', { key: 'left' }, { signal: aborted.signal, onprogress })
        .catch(() => 'cancelled');
      await waitFor('it to begin', () => began === 1);
      aborted.abort(new Error('no longer wanted'));
      t.equal(await cancelled, 'cancelled');
      t.equal(text(await right.call('echo', { value: 'untouched', ms: 20 })), 'untouched');
      await waitFor(
        'the server to know',
        async () => JSON.parse(text(await right.call('seen'))).cancelled.length === 3,
      );
    });
  });
}

/** @returns what was wrong, in words */
async function callMany(peer: Peer, name: string): Promise<readonly string[]> {
  const wrong: string[] = [];
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < CALLS) {
      const value = `${name}-${(next += 1)}`;
      const onprogress = ({ message }: Document): void => {
        if (message !== value) wrong.push(`${value} was told of ${message}`);
      };
      const got = text(await peer.call('echo', { value, ms: next % 4, steps: 2 }, { onprogress }));
      if (got !== value) wrong.push(`${value} got ${got}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, caller));
  return wrong;
}
