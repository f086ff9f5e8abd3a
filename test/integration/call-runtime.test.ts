/** Deadlines of calls and calls that are held back, as official clients see them: a real daemon, a server that is slow on purpose. */

import t, { type Test } from 'tap';
import { RPC_CODE } from '../../lib/mcp/wire/protocol.ts';
import { auditOf } from '../helpers/audit.ts';
import { addressOf, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand } from '../helpers/fixture.ts';
import { connectPeer, type Document, type Peer, PEER_KINDS, type PeerKind } from '../helpers/mcp-peer.ts';
import { lacks } from '../helpers/skip.ts';
import { pause, patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux');
const LIMIT_MS = patience(1_000);

const slow = (runtime: unknown, more: object = {}): Readonly<Record<string, unknown>> => {
  const [command, ...args] = fixtureCommand('mcp-slow', []);
  return { command, args, class: 'light', autostart: false, limits: { runtime }, ...more };
};
const ms = (amount: number): string => `${amount}ms`;

async function peer(
  t: Test,
  daemon: RunningDaemon,
  tool: string,
  kind: PeerKind = 'sdk-2',
  name = 'one',
): Promise<Peer> {
  const { url, token } = addressOf(daemon);
  return connectPeer(t, { kind, name, to: { url: `${url}/mcp/${tool}`, token } });
}

async function failure(call: Promise<Document>): Promise<Document> {
  return call.then(
    (result: Document) => ({ answered: result }),
    (error: unknown) => error,
  );
}

const said = (result: Document): string => result.content[0].text as string;

async function runtimeOf(daemon: RunningDaemon, tool: string): Promise<Document> {
  const { json } = await daemon.call('GET', `/v1/tools/${tool}/usage`);
  return json.resources.find(({ resource }: Document) => resource === 'runtime');
}

async function pid(daemon: RunningDaemon, tool: string): Promise<number | undefined> {
  return (await daemon.call('GET', `/v1/tools/${tool}`)).json.runs[0]?.pid;
}

t.test('a call that takes too long', { skip, timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, {
    config: {
      tools: {
        slow: slow({ limit: ms(LIMIT_MS), reason: 'nobody waits longer' }),
        deaf: slow(ms(LIMIT_MS), { sharing: 'shared', grace: '1s' }),
      },
    },
  });
  for (const kind of PEER_KINDS) {
    await t.test(`is cancelled, and its server goes on: ${kind}`, async (t) => {
      const client = await peer(t, daemon, 'slow', kind);
      const error = await failure(client.call('wait', { ms: 3_600_000 }));
      t.equal(error.code, RPC_CODE.deadline);
      t.match(
        error.message,
        /slow: cancelled: runtime .* is 1\d\d % of its limit of .*, stage cleanup \(limit because: nobody waits longer\)$/,
      );
      const { usage, ratio, run, ...rest } = error.data;
      t.same(rest, {
        tool: 'slow',
        resource: 'runtime',
        limit: LIMIT_MS,
        stage: 'cleanup',
        action: 'cancel_call',
        retryAfterMs: 0,
      });
      t.ok(usage >= LIMIT_MS && ratio >= 1 && ratio === usage / LIMIT_MS, `${usage} ms, ${ratio}`);
      const seen = await waitFor('the server to have been pinged', async () => {
        const found = JSON.parse(said(await client.call('seen')));
        return found.pings > 0 && found;
      });
      t.match(seen.cancelled, [/^cancelled: runtime .* of its limit of/], 'by protocol, with the reason');
      t.same(
        seen.pressure.map(({ resource, stage, call }: Document) => [resource, stage, call]),
        [
          ['runtime', 'warning', 'tools/call wait'],
          ['runtime', 'throttled', 'tools/call wait'],
        ],
        'and it had been told',
      );
      t.match(await daemon.call('GET', `/v1/runs/${run}`), { json: { state: 'running', end: null } });
    });
  }

  await t.test('is on record', async (t) => {
    const entries = await auditOf(daemon, 'slow', 'action');
    t.match(
      entries.filter(({ action }: Document) => action === 'cancel_call'),
      PEER_KINDS.map(() => ({ outcome: 'done', resource: 'runtime', stage: 'cleanup', call: 'tools/call wait' })),
    );
    const { text } = await daemon.call('GET', '/metrics');
    t.match(text, `governor_tool_calls_total{tool="slow",outcome="expired"} ${PEER_KINDS.length}`);
    t.match(text, `governor_actions_total{tool="slow",resource="runtime",action="cancel_call",outcome="done"} 3`);
    t.match(text, /^governor_tool_runtime_seconds\{tool="slow"\} 0$/m, 'no call is open');
  });

  await t.test('at a server that ignores the cancellation and the ping: that is recycled', async (t) => {
    const client = await peer(t, daemon, 'deaf');
    const neighbour = await peer(t, daemon, 'deaf', 'sdk-2', 'two');
    await client.call('seen');
    const before = await pid(daemon, 'deaf');
    const call = failure(client.call('deaf'));
    t.match(await call, { code: RPC_CODE.deadline, data: { action: 'cancel_call', limit: LIMIT_MS } });
    // As many as it takes: each of them has a deadline of its own, and the server answers none.
    const stopped = await waitFor('a call to hear of the stop', async () => {
      const error = await failure(neighbour.call('wait', { ms: 3_600_000 }));
      return error.code === RPC_CODE.stopped && error;
    });
    const { usage, ratio, run, exit, ...rest } = stopped.data;
    t.ok(usage >= LIMIT_MS && ratio >= 1 && typeof run === 'string', JSON.stringify({ usage, ratio, run, exit }));
    t.match(rest, { tool: 'deaf', reason: 'limit', resource: 'runtime', limit: LIMIT_MS });
    t.match(rest.stage, /cleanup|emergency/);
    t.match(rest.action, /recycle|kill/);
    t.equal(typeof rest.retryAfterMs, 'number');
    const again = await waitFor('another process', async () => {
      await client.call('seen');
      return pid(daemon, 'deaf');
    });
    t.not(again, before);
    const entries = await auditOf(daemon, 'deaf', 'action');
    t.ok(
      entries.some(
        ({ action, outcome, detail }: Document) =>
          /recycle|kill/.test(action) && outcome === 'done' && detail === 'it did not answer its ping',
      ),
      JSON.stringify(entries),
    );
    const { json } = await daemon.call('GET', '/v1/tools/deaf');
    t.match(json.lastEnd, {
      reason: 'limit',
      resource: 'runtime',
      message: /the server did not answer its ping$/,
      cleanup: { proven: true, left: {} },
    });
  });
});

t.test('a call that may take longer', { skip, timeout: patience(110_000) }, async (t) => {
  const limit = ms(3 * LIMIT_MS);
  const daemon = await startDaemon(t, {
    config: {
      tools: {
        renewed: slow(limit),
        fixed: slow({ limit: ms(LIMIT_MS), renew: 'none' }),
        capped: slow({ limit: ms(LIMIT_MS), cap: ms(2 * LIMIT_MS) }),
        asking: slow(ms(LIMIT_MS)),
      },
    },
  });
  const steps = { every: patience(200), count: 25 };

  await t.test('because its server reports progress', async (t) => {
    const client = await peer(t, daemon, 'renewed');
    const heard: Document[] = [];
    const result = await client.call('progress', steps, { onprogress: (progress) => void heard.push(progress) });
    t.equal(said(result), '25 steps');
    t.equal(heard.length, 25, 'which its client hears');
  });
  await t.test('but not with renew: none', async (t) => {
    const client = await peer(t, daemon, 'fixed');
    t.match(await failure(client.call('progress', steps, { onprogress: () => undefined })), {
      code: RPC_CODE.deadline,
      data: { resource: 'runtime', limit: LIMIT_MS, action: 'cancel_call' },
    });
  });
  await t.test('and not beyond the hard cap', async (t) => {
    const client = await peer(t, daemon, 'capped');
    const given = { every: patience(100), count: 1_000_000 };
    const error = await failure(client.call('progress', given, { onprogress: () => undefined }));
    t.match(error, {
      code: RPC_CODE.deadline,
      message: /its hard cap of/,
      data: { resource: 'runtime', limit: 2 * LIMIT_MS, stage: 'cleanup', action: 'cancel_call', retryAfterMs: 0 },
    });
  });
  for (const kind of PEER_KINDS) {
    await t.test(`while its client is asked: ${kind}`, async (t) => {
      const client = await peer(t, daemon, 'asking', kind);
      client.think = () => pause(3 * LIMIT_MS);
      t.match(JSON.parse(said(await client.call('ask'))), { action: 'accept', content: { name: 'one' } });
    });
  }
  t.match(await runtimeOf(daemon, 'asking'), { usage: 0, limit: LIMIT_MS, ratio: 0, stage: 'normal' });
  const open = await peer(t, daemon, 'renewed');
  const waiting = failure(open.call('wait', { ms: 3_600_000 }));
  await waitFor('the open call to be shown', async () => (await runtimeOf(daemon, 'renewed')).usage > 0);
  await open.close();
  await waiting;
});

t.test('calls to a tool that is held back', { skip, timeout: patience(110_000) }, async (t) => {
  // Any Node is above 2 % of this.
  const stages = { memory: { warning: '1%', throttled: '2%', cleanup: '90%' } };
  const limits = { memory: '1GiB' };
  const tool = (throttled: readonly string[], more: object = {}) =>
    slow(undefined, { limits, stages, actions: { memory: { throttled } }, ...more });
  const daemon = await startDaemon(t, {
    config: {
      daemon: { sample_interval: '100ms' },
      tools: {
        refusing: tool(['notify', 'refuse_calls']),
        queueing: tool(['notify', 'queue_calls'], { calls: { queue: 1, wait: ms(LIMIT_MS) } }),
        open: tool(['notify']),
      },
    },
  });
  const held = async (name: string): Promise<Document> =>
    waitFor(`${name} to be throttled`, async () => {
      const { json } = await daemon.call('GET', `/v1/tools/${name}/usage`);
      const memory = json.resources.find(({ resource }: Document) => resource === 'memory');
      return memory.stage === 'throttled' && memory;
    });

  for (const kind of PEER_KINDS) {
    await t.test(`refuse_calls: ${kind}`, async (t) => {
      const client = await peer(t, daemon, 'refusing', kind, kind);
      // The first one wakes it.
      await failure(client.call('seen'));
      await held('refusing');
      const error = await waitFor('a refusal', async () => {
        const found = await failure(client.call('seen'));
        return found.code === RPC_CODE.refused && found;
      });
      t.match(
        error.message,
        /refusing: held back \(memory .* of its limit of 1 GiB, stage throttled\): new calls are refused; try again later$/,
      );
      const { usage, ratio, run, ...rest } = error.data;
      t.same(rest, {
        tool: 'refusing',
        resource: 'memory',
        limit: 2 ** 30,
        stage: 'throttled',
        action: 'refuse_calls',
        retryAfterMs: 5_000,
      });
      t.ok(usage > 0 && ratio === usage / 2 ** 30 && typeof run === 'string', JSON.stringify(error.data));
    });
  }
  await t.test('queue_calls: one waits, the next is refused, and so is the one when its time is over', async (t) => {
    const client = await peer(t, daemon, 'queueing');
    await failure(client.call('seen'));
    await held('queueing');
    const both = [failure(client.call('seen')), failure(client.call('seen'))];
    const first = await Promise.race(both);
    t.match(first, { code: RPC_CODE.refused, message: /too many calls wait for it already; try again later$/ });
    const messages = (await Promise.all(both)).map(({ message }: Document) => message as string);
    t.equal(messages.filter((message) => /it did not recover in time; try again later$/.test(message)).length, 1);
  });
  await t.test('a list without either holds nothing', async (t) => {
    const client = await peer(t, daemon, 'open');
    await client.call('seen');
    await held('open');
    t.match(JSON.parse(said(await client.call('seen'))), { cancelled: [] });
  });
});

t.test('a context without a run is ended', { skip, timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, {
    config: { tools: { shared: slow('none', { sharing: 'shared' }), own: slow('none') } },
  });
  const known = async (): Promise<readonly Document[]> => (await daemon.call('GET', '/v1/contexts')).json.contexts;

  await t.test('whose server is shared: its call hears why, the server goes on', async (t) => {
    const client = await peer(t, daemon, 'shared');
    await client.call('seen');
    const [context] = await waitFor('its account', async () => {
      const found = await known();
      return found.length > 0 && found;
    });
    t.same(context.runs, []);
    const before = await pid(daemon, 'shared');
    const waiting = failure(client.call('wait', { ms: 3_600_000 }));
    await waitFor('the call to be open', async () => (await runtimeOf(daemon, 'shared')).usage > 0);
    t.equal((await daemon.call('DELETE', `/v1/contexts/${encodeURIComponent(context.id)}`)).status, 204);
    t.match(await waiting, { code: RPC_CODE.stopped, message: new RegExp(`stopped: its context ${context.id} ended`) });
    t.same(
      (await known()).filter(({ id }) => id === context.id),
      [],
    );
    const seen = await waitFor('the server to have heard of it', async () => {
      const found = JSON.parse(said(await client.call('seen')));
      return found.cancelled.length > 0 && found;
    });
    t.match(seen.cancelled, [/its context .* ended/]);
    t.equal(await pid(daemon, 'shared'), before);
  });
  await t.test('whose servers are all asleep', async (t) => {
    const client = await peer(t, daemon, 'own');
    await client.call('seen');
    const [run] = (await daemon.call('GET', '/v1/tools/own')).json.runs;
    await daemon.call('POST', '/v1/tools/own/deactivate');
    t.same((await known()).find(({ id }) => id === run.context)?.runs, []);
    t.equal((await daemon.call('DELETE', `/v1/contexts/${run.context}`)).status, 204);
    t.notOk((await known()).some(({ id }) => id === run.context));
    t.match(JSON.parse(said(await client.call('seen'))), { pings: 0 }, 'its client may begin anew');
  });
  t.match(await daemon.call('DELETE', '/v1/contexts/nobody'), { status: 404, json: { code: 'unknown_context' } });
});
