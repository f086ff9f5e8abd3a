/** Calls that are held back, and contexts that are ended, as official clients see them. */

import t from 'tap';
import { RPC_CODE } from '../../lib/mcp/wire/protocol.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { type Document, PEER_KINDS } from '../helpers/mcp-peer.ts';
import { lacks } from '../helpers/skip.ts';
import { failure, ms, parsed, pidOf, slow, slowPeer, usageOf } from '../helpers/slow-server.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux');
const WAIT_MS = patience(1_000);

t.test('calls to a tool that is held back', { skip, timeout: patience(110_000) }, async (t) => {
  // Any Node is above 2 % of this, and none at half of it.
  const stages = { memory: { warning: '1%', throttled: '2%', cleanup: '90%' } };
  const limits = { memory: '512MiB' };
  const tool = (throttled: readonly string[], more: object = {}) =>
    slow(undefined, { limits, stages, actions: { memory: { throttled } }, ...more });
  const daemon = await startDaemon(t, {
    config: {
      daemon: { sample_interval: '100ms' },
      tools: {
        refusing: tool(['notify', 'refuse_calls']),
        queueing: tool(['notify', 'queue_calls'], { calls: { queue: 1, wait: ms(WAIT_MS) } }),
        open: tool(['notify']),
      },
    },
  });
  const held = async (name: string): Promise<Document> =>
    waitFor(`${name} to be throttled`, async () => {
      const memory = await usageOf(daemon, name, 'memory');
      if (memory.stage !== 'throttled') throw new Error(JSON.stringify(memory));
      return memory;
    });

  for (const kind of PEER_KINDS) {
    await t.test(`refuse_calls: ${kind}`, async (t) => {
      const client = await slowPeer(t, daemon, 'refusing', kind, kind);
      // The first one wakes it.
      await failure(client.call('seen'));
      await held('refusing');
      const error = await waitFor('a refusal', async () => {
        const found = await failure(client.call('seen'));
        return found.code === RPC_CODE.refused && found;
      });
      t.match(
        error.message,
        /refusing: held back \(memory .* of its limit of 512 MiB, stage throttled\): new calls are refused; try again later$/,
      );
      const { usage, ratio, run, ...rest } = error.data;
      t.same(rest, {
        tool: 'refusing',
        resource: 'memory',
        limit: 2 ** 29,
        stage: 'throttled',
        action: 'refuse_calls',
        retryAfterMs: 5_000,
      });
      t.ok(usage > 0 && ratio === usage / 2 ** 29 && typeof run === 'string', JSON.stringify(error.data));
    });
  }
  await t.test('queue_calls: one waits, the next is refused, and so is the one when its time is over', async (t) => {
    const client = await slowPeer(t, daemon, 'queueing');
    await failure(client.call('seen'));
    await held('queueing');
    const both = [failure(client.call('seen')), failure(client.call('seen'))];
    const first = await Promise.race(both);
    t.match(first, { code: RPC_CODE.refused, message: /too many calls wait for it already; try again later$/ });
    const messages = (await Promise.all(both)).map(({ message }: Document) => message as string);
    t.equal(messages.filter((message) => message.endsWith('it did not recover in time; try again later')).length, 1);
  });
  await t.test('a list without either holds nothing', async (t) => {
    const client = await slowPeer(t, daemon, 'open');
    await client.call('seen');
    await held('open');
    t.match(parsed(await client.call('seen')), { cancelled: [] });
  });
});

t.test('a context without a run is ended', { skip, timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, {
    config: { tools: { shared: slow('none', { sharing: 'shared' }), own: slow('none') } },
  });
  const known = async (): Promise<readonly Document[]> => (await daemon.call('GET', '/v1/contexts')).json.contexts;

  await t.test('whose server is shared: its call hears why, the server goes on', async (t) => {
    const client = await slowPeer(t, daemon, 'shared');
    await client.call('seen');
    const [context] = await waitFor('its account', async () => {
      const found = await known();
      return found.length > 0 && found;
    });
    t.same(context.runs, []);
    const before = await pidOf(daemon, 'shared');
    const waiting = failure(client.call('wait', { ms: 3_600_000 }));
    await waitFor('the call to be open', async () => (await usageOf(daemon, 'shared', 'runtime')).usage > 0);
    t.equal((await daemon.call('DELETE', `/v1/contexts/${encodeURIComponent(context.id)}`)).status, 204);
    t.match(await waiting, { code: RPC_CODE.stopped, message: new RegExp(`stopped: its context ${context.id} ended`) });
    t.same(
      (await known()).filter(({ id }) => id === context.id),
      [],
    );
    const seen = await waitFor('the server to have heard of it', async () => {
      const found = parsed(await client.call('seen'));
      return found.cancelled.length > 0 && found;
    });
    t.match(seen.cancelled, [/its context .* ended/]);
    t.equal(await pidOf(daemon, 'shared'), before);
  });
  await t.test('whose servers are all asleep', async (t) => {
    const client = await slowPeer(t, daemon, 'own');
    await client.call('seen');
    const [run] = (await daemon.call('GET', '/v1/tools/own')).json.runs;
    await daemon.call('POST', '/v1/tools/own/deactivate');
    t.same((await known()).find(({ id }) => id === run.context)?.runs, []);
    t.equal((await daemon.call('DELETE', `/v1/contexts/${run.context}`)).status, 204);
    t.notOk((await known()).some(({ id }) => id === run.context));
    t.match(parsed(await client.call('seen')), { pings: 0 }, 'its client may begin anew');
  });
  t.match(await daemon.call('DELETE', '/v1/contexts/nobody'), { status: 404, json: { code: 'unknown_context' } });
});
