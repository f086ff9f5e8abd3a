/**
 * Roots that are asked for and resources that are read at the same time, through one connection of a client to a shared legacy server:
 * neither waits for the other, and the roots are those of the client that they are asked of. What is asserted is the order of things.
 */

import t, { type Test } from 'tap';
import { addressOf, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand } from '../helpers/fixture.ts';
import { connectPeer, type Document, type Peer, type PeerKind } from '../helpers/mcp-peer.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

t.setTimeout(patience(180_000));

const KINDS: readonly PeerKind[] = ['sdk-2', 'sdk-2-modern'];
const SAME = rootsOf('same');
const [command, ...args] = fixtureCommand('mcp-probe');
const env = { FIXTURE_LIFE_MS: String(patience(120_000)) };

interface Root {
  uri: string;
  name: string;
}

function rootsOf(name: string): Root[] {
  return [{ uri: `file:///${name}`, name }];
}

interface Stand {
  join(name: string, roots?: Root[]): Promise<Peer>;
  /** The probe's tool as these clients see it; its answer is JSON. */
  call(peer: Peer, tool: string, given?: object): Promise<Document>;
}

/** @param path `/mcp` or `/mcp/probe` */
async function stand(t: Test, kind: PeerKind, path: string, more: object = {}): Promise<Stand> {
  const probe = { command, args, env, sharing: 'shared', autostart: false, health_check: 'none', ...more };
  const daemon = await startDaemon(t, { config: { tools: { probe } } });
  const { url, token } = addressOf(daemon);
  const to = { url: new URL(path, url).href, token };
  return {
    join: (name, roots = SAME) => connectPeer(t, { kind, name, to, roots }),
    async call(peer, tool, given) {
      const { content } = await peer.call(path === '/mcp' ? `probe__${tool}` : tool, given);
      return JSON.parse(content[0].text);
    },
  };
}

async function read(peer: Peer, uri: string): Promise<string> {
  return (await peer.request('resources/read', { uri })).contents[0].text;
}

/** What the peer does when it is asked, before it answers, and what happens to the question, noted in order. */
function occupy(peer: Peer, name: string, events: string[], work: () => Promise<unknown>): void {
  peer.think = async () => {
    events.push(`${name}: asked`);
    peer.asked.at(-1)?.signal.addEventListener('abort', () => events.push(`${name}: taken back`));
    await work();
    events.push(`${name}: answers`);
  };
}

for (const kind of KINDS) {
  for (const path of ['/mcp/probe', '/mcp']) {
    t.test(`Governor asks, and the client reads and lists before it answers: ${kind}, ${path}`, async (t) => {
      const { join, call } = await stand(t, kind, path);
      const first = await join('first');
      const { pid } = await call(first, 'seen');
      const before = first.asked.length;

      const events: string[] = [];
      const second = await join('second');
      let apart = '';
      occupy(second, 'second', events, async () => {
        apart = await read(second, 'probe://pid');
        events.push('second: has read');
        await second.list('tools/list', 'tools');
        events.push('second: has the list');
      });
      const seen = await call(second, 'seen');
      t.same(events, ['second: asked', 'second: has read', 'second: has the list', 'second: answers']);
      t.equal(seen.pid, pid, 'its roots were heard in time: it shares the process of those who have the same');
      t.match(apart, /^\d+$/);
      t.not(apart, String(pid), 'what it read for them it read where nobody else is');
      t.equal(await read(second, 'probe://pid'), String(pid), 'and from then on where the others are');
      t.equal(first.asked.length, before, 'nobody else was asked');
      t.equal(events.length, 4, 'nor it again');

      const other = await join('other', rootsOf('other'));
      t.not((await call(other, 'seen')).pid, pid);
      t.same(await call(other, 'roots'), { roots: rootsOf('other') });
      t.same(await call(second, 'roots'), { roots: SAME });
    });
  }

  t.test(`the server asks while another client reads: ${kind}`, async (t) => {
    const { join, call } = await stand(t, kind, '/mcp/probe');
    const [reader, caller] = [await join('reader'), await join('caller')];
    const other = await join('other', rootsOf('other'));
    const pids = [];
    for (const peer of [reader, caller, other]) pids.push((await call(peer, 'seen')).pid);
    t.equal(pids[0], pids[1]);
    t.not(pids[0], pids[2]);
    const asked = [reader, caller, other].map((peer) => peer.asked.length);

    const events: string[] = [];
    for (const [name, peer] of Object.entries({ reader, caller, other }))
      occupy(peer, name, events, async () => {
        t.equal(await read(peer, 'probe://note'), 'a note');
        events.push(`${name}: has read`);
      });
    const held = read(reader, 'probe://held/one').then((text) => {
      events.push('the read is over');
      return text;
    });
    await waitFor('it to be open', async () => (await call(caller, 'seen')).held.includes('one'));
    t.same(await call(caller, 'roots'), { roots: SAME });
    const who = events[0]?.split(':')[0];
    t.same(events, [`${who}: asked`, `${who}: has read`, `${who}: answers`], 'the read is still open');
    t.not(who, 'other', 'one of those whose roots they are');
    t.same(await call(other, 'roots'), { roots: rootsOf('other') });
    t.same(events.slice(3), ['other: asked', 'other: has read', 'other: answers']);
    const now = [reader, caller, other].map((peer) => peer.asked.length);
    t.equal(now[0]! + now[1]!, asked[0]! + asked[1]! + 1, 'one of them, once');
    await call(caller, 'release', { key: 'one' });
    t.equal(await held, String(pids[0]));
    t.equal(events.at(-1), 'the read is over');
  });

  t.test(`the server asks for reads of clients with different roots, all at once: ${kind}`, async (t) => {
    const { join, call } = await stand(t, kind, '/mcp/probe');
    const groups = ['a', 'a', 'b', 'b'];
    const peers: Peer[] = [];
    for (const [index, group] of groups.entries()) {
      const peer = await join(`${group} ${index}`, rootsOf(group));
      await call(peer, 'seen');
      peers.push(peer);
    }
    const asked = peers.map((peer) => peer.asked.length);
    const events: string[] = [];
    for (const [index, peer] of peers.entries())
      occupy(peer, String(index), events, async () => t.equal(await read(peer, 'probe://note'), 'a note'));
    const told = await Promise.all(peers.map((peer, index) => read(peer, `probe://roots/${index}`)));
    for (const [index, text] of told.entries()) t.same(JSON.parse(text), { roots: rootsOf(groups[index]!) });
    const count = (from: number): number =>
      [from, from + 1].reduce((sum, index) => sum + peers[index]!.asked.length - asked[index]!, 0);
    t.same([count(0), count(2)], [2, 2], 'each group was asked for its own reads');
  });

  t.test(`what is kept: who waits for the answer of a client is not waited for: ${kind}`, async (t) => {
    const cache = { patterns: [{ uri: 'probe://{+path}', ttl: '1m', scope: 'public' }] };
    const { join, call } = await stand(t, kind, '/mcp/probe', { cache });
    const [one, two] = [await join('one'), await join('two')];
    const pids = [(await call(one, 'seen')).pid, (await call(two, 'seen')).pid];
    t.equal(pids[0], pids[1]);
    const events: string[] = [];
    const uri = 'probe://roots/kept';
    let isFirst = true;
    occupy(one, 'one', events, async () => {
      if (!isFirst) return;
      isFirst = false;
      await Promise.all([read(one, uri), read(two, uri)]);
      events.push('both have read');
    });
    const outer = await read(one, uri);
    t.same(JSON.parse(outer), { roots: SAME });
    t.equal(events[0], 'one: asked');
    t.same(events.slice(-2), ['both have read', 'one: answers'], 'neither waited for the read that waits for them');
  });
}
