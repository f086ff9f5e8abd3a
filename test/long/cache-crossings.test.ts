/** What is kept of answers, together with everything else: questions of servers, runtimes, contexts, shared limits. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RPC_CODE } from '../../lib/mcp/wire/protocol.ts';
import { addressOf, LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, lacksFixture } from '../helpers/fixture.ts';
import { connectPeer, type Document, type Peer, type PeerKind } from '../helpers/mcp-peer.ts';
import { lacks } from '../helpers/skip.ts';
import { failure, ms, slow, usageOf } from '../helpers/slow-server.ts';
import { runStairs } from '../helpers/stairs.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux');

interface Files {
  readonly entry: Readonly<Record<string, unknown>>;
  /** Reads that reached a server. */
  asked(uri: string): number;
}

function files(t: Test, flags: readonly string[], more: object): Files {
  const log = join(temporaryDirectory(t), 'log');
  writeFileSync(log, '');
  const [command, ...args] = fixtureCommand('mcp-files', [`--log=${log}`, ...flags]);
  return {
    entry: { command, args, class: 'light', autostart: false, ...more },
    asked: (uri) =>
      readFileSync(log, 'utf8')
        .split('\n')
        .filter((line) => line === `resources/read ${uri}`).length,
  };
}

const peer = (t: Test, daemon: RunningDaemon, kind: PeerKind, name: string, tool = 'files'): Promise<Peer> => {
  const { url, token } = addressOf(daemon);
  return connectPeer(t, { kind, name, to: { url: `${url}/mcp/${tool}`, token } });
};
const read = (client: Peer, uri: string): Promise<Document> => client.request('resources/read', { uri });
const countOf = (result: Document): number => JSON.parse(result.contents[0].text).read;
const entries = async (daemon: RunningDaemon): Promise<readonly Document[]> =>
  (await daemon.call('GET', '/v1/cache')).json.entries.filter(({ method }: Document) => method === 'resources/read');

t.test('a client that reads what it is being asked about', { skip, timeout: patience(60_000) }, async (t) => {
  const uri = 'files:///asks/a';
  const cache = { patterns: [{ uri: 'files:///asks/{x}', scope: 'public' }] };
  const { entry, asked } = files(t, [], { cache, sharing: 'shared', limits: { runtime: 'none' } });
  const daemon = await startDaemon(t, { config: { tools: { files: entry } } });
  for (const kind of ['sdk-1', 'sdk-2', 'sdk-2-modern'] as const) {
    await t.test(kind, async (t) => {
      await daemon.call('DELETE', '/v1/cache');
      const before = asked(uri);
      const one = await peer(t, daemon, kind, `${kind} one`);
      const nested: Document[] = [];
      const questions = (): number => one.asked.filter(({ method }) => method === 'sampling/createMessage').length;
      one.think = async () => {
        // Its second read asks as well, and that one is answered at once.
        if (one.asked.at(-1)?.method === 'sampling/createMessage' && questions() === 1)
          nested.push(await read(one, uri));
      };
      const outer = await read(one, uri);
      t.equal(nested.length, 1, 'the inner read did not wait for the outer one');
      t.equal(asked(uri), before + 2, 'each was asked of the server');
      t.equal(questions(), 2);
      t.not(countOf(outer), countOf(nested[0]));
      t.equal(countOf(await read(one, uri)), countOf(nested[0]), 'the later one is what is kept');
      t.equal(asked(uri), before + 2);
    });
  }
});

t.test('a read that its runtime limit cancels', { skip, timeout: patience(60_000) }, async (t) => {
  const [slowUri, keptUri] = ['files:///slow/a', 'files:///public/a'];
  const cache = { patterns: [{ uri: 'files:///{+path}', scope: 'public' }] };
  const { entry, asked } = files(t, ['--slow-ms=3600000'], {
    cache,
    sharing: 'shared',
    limits: { runtime: ms(patience(1_500)) },
    idle_timeout: '1s',
  });
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' }, tools: { files: entry } } });
  const [one, two] = [await peer(t, daemon, 'sdk-2', 'one'), await peer(t, daemon, 'sdk-2', 'two')];
  await read(one, keptUri);

  const both = [failure(read(one, slowUri)), failure(read(two, slowUri))];
  await waitFor('the read to be open', async () => (await usageOf(daemon, 'files', 'runtime')).usage > 0);
  t.equal(asked(slowUri), 1, 'one for both');
  const errors = await Promise.all(both);
  for (const error of errors)
    t.match(error, { code: RPC_CODE.deadline, data: { resource: 'runtime', action: 'cancel_call', tool: 'files' } });
  t.equal(asked(slowUri), 2, 'who had waited was not told of the other’s limit, but asked, and had one of its own');
  t.same(
    (await entries(daemon)).map(({ uri }) => uri),
    [keptUri],
    'nothing of it is kept',
  );

  await waitFor('it to sleep', async () => (await daemon.call('GET', '/v1/tools/files')).json.runs.length === 0);
  t.equal(countOf(await read(two, keptUri)), 1);
  t.match((await daemon.call('GET', '/v1/tools/files')).json, { runs: [] }, 'no call was opened for what is kept');
});

t.test('what is private to a context', { skip, timeout: patience(60_000) }, async (t) => {
  const uri = 'files:///private/a';
  for (const sharing of ['shared', 'context', 'call'] as const) {
    await t.test(sharing, async (t) => {
      const { entry, asked } = files(t, ['--modern'], { sharing });
      const daemon = await startDaemon(t, { config: { tools: { files: entry } } });
      const inContext = (context: string): Promise<Peer> =>
        connectPeer(t, {
          kind: 'sdk-2',
          name: 'same',
          to: {
            command: LAUNCHER,
            args: ['connect', '--context', context, 'files'],
            env: daemon.env as Record<string, string>,
          },
        });
      const [one, two] = [await inContext('one'), await inContext('two')];
      for (const client of [one, one, two, two]) await read(client, uri);
      t.equal(asked(uri), 2, 'once for each context, however alike its clients are');
      await read(one, 'files:///public/a');
      const contexts = async (): Promise<readonly unknown[]> =>
        (await entries(daemon)).map(({ context }) => context ?? 'all').toSorted();
      t.same(await contexts(), ['all', 'one', 'two']);

      t.equal((await daemon.call('DELETE', '/v1/contexts/one')).status, 204);
      t.same(await contexts(), ['all', 'two']);
      await read(two, uri);
      t.equal(asked(uri), 2, 'the other has still its own');
      const again = await inContext('one');
      await read(again, uri);
      t.equal(asked(uri), 3, 'who comes with the name of the one that has ended asks anew');
    });
  }
});

t.test(
  'a call that is held back by a limit of its context hears of that one',
  { skip: skip || lacksFixture('stairs'), timeout: patience(90_000) },
  async (t) => {
    const limit = 400;
    const waitMs = patience(1_000);
    const { entry, asked } = files(t, ['--modern'], { sharing: 'context', calls: { wait: ms(waitMs) } });
    const daemon = await startDaemon(t, {
      config: {
        daemon: { sample_interval: '100ms' },
        classes: { own: { memory: '1GiB', cpu: 'none', tasks: 2000, file_handles: 'none' } },
        contexts: { team: { tasks: limit } },
        tools: {
          files: { ...entry, class: 'own' },
          slow: slow('none', { class: 'own', sharing: 'context', calls: { wait: ms(waitMs) } }),
          holder: { command: 'true', autostart: false, class: 'own' },
        },
      },
    });
    const connect = (tool: string): Promise<Peer> =>
      connectPeer(t, {
        kind: 'sdk-2',
        name: tool,
        to: {
          command: LAUNCHER,
          args: ['connect', '--context', 'team', tool],
          env: daemon.env as Record<string, string>,
        },
      });
    const [reader, caller] = [await connect('files'), await connect('slow')];
    await read(reader, 'files:///public/a');
    await caller.call('seen');
    const budget = async (): Promise<Document> =>
      (await daemon.call('GET', '/v1/contexts')).json.contexts.find(({ id }: Document) => id === 'team')?.budget;
    const base = await waitFor('what the servers hold', async () => {
      const found = await budget();
      const usage = found?.resources[5].usage;
      return found?.runs === 2 && usage > 0 && (usage as number);
    });
    const holder = runStairs(t, daemon, 'other', { flags: ['--context', 'team', '--class', 'own'] });
    await holder.said('ready');
    await holder.hold('tasks', Math.floor(limit * 0.95) - base - 5);
    await waitFor('the context to be throttled', async () => (await budget()).stage === 'throttled');

    const error = await failure(caller.call('seen'));
    t.match(error, {
      code: RPC_CODE.refused,
      message:
        /slow: held back \(of context team: tasks \d+ is 9\d % of its limit of 400, stage throttled\): it did not recover in time; try again later$/,
      data: { tool: 'slow', resource: 'tasks', limit, stage: 'throttled', shared: 'context', action: 'refuse_calls' },
    });
    t.ok(error.data.usage > 0.88 * limit && error.data.ratio === error.data.usage / limit, JSON.stringify(error.data));
    await read(reader, 'files:///public/a');
    t.equal(asked('files:///public/a'), 1, 'what is kept waits for nothing');

    const waiting = failure(caller.call('seen'));
    await holder.hold('tasks', 1);
    t.match(await waiting, { answered: { content: [{}] } }, 'it goes as soon as there is room');
  },
);
