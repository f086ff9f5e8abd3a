/**
 * Every feature of MCP, one by one, through a real daemon: with the official SDK clients, in both eras, to one tool and to all of
 * them, to a process of one's own and to a shared one.
 */

import t, { type Test } from 'tap';
import { addressOf, LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand } from '../helpers/fixture.ts';
import { FEATURES, type Way } from '../helpers/mcp-features.ts';
import { connectPeer, PEER_KINDS, type PeerOptions } from '../helpers/mcp-peer.ts';
import { patience } from '../helpers/wait-for.ts';

const [command, ...args] = fixtureCommand('mcp-probe');
const env = { FIXTURE_LIFE_MS: String(patience(300_000)) };

// Some four hundred checks, each with its own way through two processes.
t.setTimeout(patience(300_000));

t.test('the probe by itself', async (t) => {
  for (const kind of PEER_KINDS.filter((each) => each !== 'sdk-2-modern')) {
    t.test(kind, (t) =>
      everyFeature(
        t,
        { kind, name: 'features', to: { command, args, env } },
        { named: (name) => name, sharing: 'context', merged: false },
      ),
    );
  }
});

for (const sharing of ['context', 'shared'] as const) {
  t.test(`through a daemon, sharing: ${sharing}`, async (t) => {
    const daemon = await startDaemon(t, {
      // A second server, so that `/mcp` has something to merge.
      config: {
        tools: {
          probe: { command, args, env, sharing },
          echo: { command: fixtureCommand('mcp-echo')[0], args: fixtureCommand('mcp-echo').slice(1), env },
        },
      },
    });
    for (const kind of PEER_KINDS) {
      t.test(`${kind} to /mcp/probe`, (t) =>
        everyFeature(t, over(daemon, kind, '/mcp/probe'), { named: (name) => name, sharing, merged: false }),
      );
      t.test(`${kind} to /mcp`, (t) =>
        everyFeature(t, over(daemon, kind, '/mcp'), { named: (name) => `probe__${name}`, sharing, merged: true }),
      );
    }
    t.test('governor connect', (t) =>
      everyFeature(
        t,
        { kind: 'sdk-1', name: 'features', to: { command: LAUNCHER, args: ['connect', 'probe'], env: daemon.env } },
        { named: (name) => name, sharing, merged: false },
      ),
    );
  });
}

async function everyFeature(t: Test, options: PeerOptions, way: Way): Promise<void> {
  const peer = await connectPeer(t, options);
  for (const { name, legacyOnly, run } of FEATURES) {
    if (legacyOnly === true && peer.modern) continue;
    await t.test(name, async (t) => {
      await run(peer, way, t);
    });
  }
}

function over(daemon: RunningDaemon, kind: PeerOptions['kind'], path: string): PeerOptions {
  const { url, token } = addressOf(daemon);
  return { kind, name: 'features', to: { url: new URL(path, url).href, token } };
}
