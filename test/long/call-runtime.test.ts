/** Deadlines of calls, as official clients see them: a real daemon, and a server that is slow on purpose. */

import t from 'tap';
import { RPC_CODE } from '../../lib/mcp/wire/protocol.ts';
import { auditOf } from '../helpers/audit.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { type Document, PEER_KINDS } from '../helpers/mcp-peer.ts';
import { lacks } from '../helpers/skip.ts';
import { failure, ms, parsed, pidOf, slow, slowPeer, usageOf } from '../helpers/slow-server.ts';
import { pause, patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux');
const LIMIT_MS = patience(1_000);

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
      const client = await slowPeer(t, daemon, 'slow', kind);
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
        const found = parsed(await client.call('seen'));
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
    const client = await slowPeer(t, daemon, 'deaf');
    const neighbour = await slowPeer(t, daemon, 'deaf', 'sdk-2', 'two');
    await client.call('seen');
    const before = await pidOf(daemon, 'deaf');
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
      return pidOf(daemon, 'deaf');
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
    const client = await slowPeer(t, daemon, 'renewed');
    const heard: Document[] = [];
    const result = await client.call('progress', steps, { onprogress: (progress) => void heard.push(progress) });
    t.match(result, { content: [{ text: '25 steps' }] });
    t.equal(heard.length, 25, 'which its client hears');
  });
  await t.test('but not with renew: none', async (t) => {
    const client = await slowPeer(t, daemon, 'fixed');
    t.match(await failure(client.call('progress', steps, { onprogress: () => undefined })), {
      code: RPC_CODE.deadline,
      data: { resource: 'runtime', limit: LIMIT_MS, action: 'cancel_call' },
    });
  });
  await t.test('and not beyond the hard cap', async (t) => {
    const client = await slowPeer(t, daemon, 'capped');
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
      const client = await slowPeer(t, daemon, 'asking', kind);
      client.think = () => pause(3 * LIMIT_MS);
      t.match(parsed(await client.call('ask')), { action: 'accept', content: { name: 'one' } });
    });
  }
  t.match(await usageOf(daemon, 'asking', 'runtime'), { usage: 0, limit: LIMIT_MS, ratio: 0, stage: 'normal' });
  const open = await slowPeer(t, daemon, 'renewed');
  const waiting = failure(open.call('wait', { ms: 3_600_000 }));
  await waitFor('the open call to be shown', async () => (await usageOf(daemon, 'renewed', 'runtime')).usage > 0);
  await open.close();
  await waiting;
});
