/** What a client is told when its server dies, is stopped, cannot be started or is held back; and what works after that. */

import t from 'tap';
import { GovernorError } from '../../../../lib/core/errors.ts';
import type { Answer } from '../../../../lib/mcp/wire/message.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import type { Session } from '../../../../lib/mcp/wire/session.ts';
import { limited } from '../../../helpers/fake-ports.ts';
import { settled } from '../../../helpers/manual-time.ts';
import { poolStand, type PoolStand } from '../../../helpers/pool-stand.ts';

const RESTART = { strategy: 'restart', budget: 2, windowMs: 600_000 } as const;

/** A call that the server never answers, and what ends that. */
async function interrupted(scene: PoolStand, session: Session, end: () => void): Promise<Answer> {
  scene.offer.behaviour = ({ request }) =>
    request.method === 'tools/call' ? new Promise<never>(() => undefined) : { kind: 'result', result: {} };
  const answer = scene.call(session);
  await settled();
  end();
  await scene.time.pass(200);
  scene.offer.behaviour = null;
  return answer;
}

const dies = (scene: PoolStand) => (): void => scene.launched.at(-1)?.end({ signal: 'SIGKILL' });

t.test('killed in mid-call: the call says so, the next one works at once', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { recovery: RESTART });
  const session = scene.open(scene.client('a'));
  const answer = await interrupted(scene, session, dies(scene));
  t.match(answer, {
    kind: 'error',
    error: {
      code: RPC_CODE.stopped,
      message: 'tool: ended by itself (SIGKILL)',
      data: { tool: 'tool', reason: 'exited', exit: { signal: 'SIGKILL' }, retryAfterMs: 0 },
    },
  });
  t.equal(scene.servers[0]?.methods().length, 1);
  await scene.time.pass(60_000);
  t.equal(scene.launched.length, 1, 'nobody starts it but who needs it');
  t.match(await scene.call(session), { kind: 'result' });
  t.equal(scene.servers[1]?.methods().length, 1, 'and it is not sent again');
});

t.test('its neighbours in other contexts notice nothing; who shared it hears of it', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { recovery: RESTART });
  const [one, other] = [scene.open(scene.client('a')), scene.open(scene.client('b'))];
  await scene.call(other);
  await interrupted(scene, one, dies(scene));
  t.match(await scene.call(other), { kind: 'result' });
  t.equal(scene.servers[0]?.methods().length, 2);
});

t.test('stopped by the ladder: what, how much, and what was done', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { recovery: RESTART, limits: limited({ tasks: 100 }) });
  const session = scene.open(scene.client('a'));
  const answer = await interrupted(scene, session, () => {
    scene.tree.holds.tasks = 130;
  });
  await scene.time.pass(10_000);
  t.match(answer, {
    error: {
      code: RPC_CODE.stopped,
      message: 'tool: stopped: tasks 130 is 130 % of its limit of 100, stage cleanup',
      data: {
        tool: 'tool',
        reason: 'limit',
        resource: 'tasks',
        usage: 130,
        limit: 100,
        ratio: 1.3,
        stage: 'cleanup',
        action: 'recycle',
        retryAfterMs: 0,
      },
    },
  });
  t.match(await scene.call(session), { kind: 'result' });
});

t.test('under pressure: the server is told, and the clients whose log level admits it', async (t) => {
  const scene = poolStand(t);
  scene.offer.capabilities = { tools: {}, logging: {} };
  scene.served('tool', { sharing: 'shared', limits: limited({ tasks: 100 }) });
  const clients = ['unset', 'debug', 'error'].map((level) => scene.client(level));
  for (const client of clients) {
    const session = scene.open(client);
    if (client.context === 'unset') await scene.call(session);
    else await scene.call(session, 'logging/setLevel', { level: client.context });
  }
  scene.tree.holds.tasks = 80;
  await scene.time.pass(10_000);
  const pressure = { resource: 'tasks', usage: 80, limit: 100, ratio: 0.8, stage: 'warning' };
  t.same(scene.servers[0]?.told, [{ method: 'notifications/governor/pressure', params: pressure }]);
  t.equal(scene.notices.length, 1, 'and by its FIFO, as ever');
  const message = {
    method: 'notifications/message',
    params: {
      level: 'warning',
      logger: 'governor',
      data: { ...pressure, message: 'tool: tasks 80 is 80 % of its limit of 100, stage warning' },
    },
  };
  t.match(clients[0]?.heard, [message]);
  t.match(clients[1]?.heard, [message]);
  t.same(clients[2]?.heard, []);
});

t.test('under pressure: modern clients hear of it with a request that asked for log lines', async (t) => {
  const scene = poolStand(t);
  scene.offer.era = 'modern';
  scene.served('tool', { sharing: 'shared', limits: limited({ tasks: 100 }) });
  const client = scene.client('a', { era: 'modern' });
  const session = scene.open(client);
  scene.offer.behaviour = () => new Promise<never>(() => undefined);
  void scene.call(session, 'tools/call', { _meta: { 'io.modelcontextprotocol/logLevel': 'info' } });
  await settled();
  scene.tree.holds.tasks = 80;
  await scene.time.pass(10_000);
  t.match(client.heard, [{ method: 'notifications/message' }]);
});

t.test('a server that cannot be started: every waiter hears why', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared', recovery: RESTART });
  scene.points.fail('connect', new GovernorError('launch_failed', 'it does not speak MCP'));
  const answers = Promise.all(['a', 'b', 'c'].map((context) => scene.call(scene.open(scene.client(context)))));
  await scene.time.pass(100);
  for (const answer of await answers) {
    t.match(answer, {
      error: { code: RPC_CODE.stopped, message: 'tool: it does not speak MCP', data: { reason: 'launch_failed' } },
    });
  }
  t.equal(scene.launched.length, 1, 'one attempt for all of them');
  const describing = scene.open(scene.client('d')).describe(new AbortController().signal);
  await Promise.all([t.rejects(describing, { message: 'it does not speak MCP' }), scene.time.pass(100)]);
});

t.test('back-off: a short one is waited for, a longer one refused with its time', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { recovery: { ...RESTART, budget: 10 } });
  const session = scene.open(scene.client('a'));
  for (const waitMs of [0, 0, 1_000, 2_000]) {
    scene.offer.behaviour = ({ request }) =>
      request.method === 'tools/call' ? new Promise<never>(() => undefined) : { kind: 'result', result: {} };
    const started = scene.launched.length;
    const answer = scene.call(session);
    await scene.time.pass(Math.max(0, waitMs - 200));
    if (waitMs > 0) t.equal(scene.launched.length, started, `not before ${waitMs} ms`);
    await scene.time.pass(200);
    t.equal(scene.launched.length, started + 1);
    scene.launched.at(-1)?.end({ signal: 'SIGKILL' });
    await scene.time.pass(50);
    t.match(await answer, { error: { code: RPC_CODE.stopped } });
  }
  scene.offer.behaviour = null;
  const refused = await scene.call(session);
  t.match(refused, { error: { code: RPC_CODE.refused, data: { tool: 'tool', reason: 'breaker_open' } } });
  const after = refused.kind === 'error' ? (refused.error.data as { retryAfterMs: number }).retryAfterMs : 0;
  t.ok(after > 3_000 && after <= 4_000, `${after} ms`);
  await scene.time.pass(after);
  t.match(await scene.call(session), { kind: 'result' });
});

t.test(
  'over the budget the breaker opens; then one start is let through, and only its success closes it',
  async (t) => {
    const scene = poolStand(t);
    scene.served('tool', { recovery: { ...RESTART, budget: 1 } });
    const sessions = ['a', 'b'].map((context) => scene.open(scene.client(context)));
    const [session, other] = sessions;
    if (session === undefined || other === undefined) return;
    await interrupted(scene, session, dies(scene));
    await interrupted(scene, session, dies(scene));
    t.equal(scene.registry.tool('tool').state, 'failed');
    t.match(await scene.call(session), {
      error: { code: RPC_CODE.refused, message: /failed more than 1 times in 10m and is held back/ },
    });
    await scene.time.pass(600_000);
    scene.points.fail('connect', new GovernorError('launch_failed', 'still broken'), 1);
    const gate = scene.points.hold('connect');
    const probe = scene.call(session);
    await settled();
    const [, refused] = await Promise.all([scene.time.pass(4_000), scene.call(other)]);
    t.match(refused, {
      error: { code: RPC_CODE.refused, message: /is being tried again/, data: { retryAfterMs: 1_000 } },
    });
    t.equal(scene.launched.length, 3, 'one');
    gate();
    await scene.time.pass(100);
    t.match(await probe, { error: { message: 'tool: still broken' } });
    t.match(await scene.call(session), { error: { code: RPC_CODE.refused } }, 'open again');
    t.equal(scene.registry.tool('tool').state, 'failed');
    await scene.time.pass(600_000);
    t.match(await scene.call(session), { kind: 'result' });
    t.match(await scene.call(other), { kind: 'result' }, 'closed for all');
  },
);

t.test('the breaker holds also while others run, and after the last of them has ended well', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { recovery: { ...RESTART, budget: 0 } });
  const [one, other] = [scene.open(scene.client('a')), scene.open(scene.client('b'))];
  await scene.call(other);
  await interrupted(scene, one, dies(scene));
  t.equal(scene.registry.tool('tool').state, 'active');
  t.match(await scene.call(one), { error: { code: RPC_CODE.refused } });
  t.match(await scene.call(other), { kind: 'result' });
  await Promise.all([other.close('gone'), scene.time.pass(100)]);
  t.equal(scene.registry.tool('tool').state, 'failed');
  await scene.registry.cleanup('tool');
  t.match(await scene.call(one), { kind: 'result' }, 'somebody has mended it');
});

t.test('strategy stop: it stays stopped until a person starts it', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { recovery: { ...RESTART, strategy: 'stop' } });
  const session = scene.open(scene.client('a'));
  const answer = await interrupted(scene, session, dies(scene));
  t.match(answer, { error: { data: { retryAfterMs: null, resource: null, usage: null, action: null } } });
  t.match(await scene.call(session), { error: { message: /is not started again \(strategy: stop\)/ } });
  await scene.registry.restart('tool');
  t.match(await scene.call(session), { kind: 'result' });
});

t.test('a server that stops answering while it is idle is recycled, with its reason', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { healthCheckMs: 30_000, idleTimeoutMs: null, recovery: RESTART });
  const session = scene.open(scene.client('a'));
  await scene.call(session);
  const [server] = scene.servers;
  if (server === undefined) return;
  await scene.time.pass(65_000);
  t.equal(server.checks, 2);
  server.answersChecks = false;
  await scene.time.pass(30_000);
  server.answersChecks = true;
  await scene.time.pass(30_000);
  server.answersChecks = false;
  await scene.time.pass(30_000);
  t.equal(scene.registry.tool('tool').runs.length, 1, 'two in a row are needed');
  await scene.time.pass(30_000);
  t.match(scene.registry.tool('tool').lastEnd, { reason: 'unhealthy', message: /did not answer 2 health checks/ });
  t.match(await scene.call(session), { kind: 'result' });
});

t.test('a server with work in hand is not asked', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { healthCheckMs: 30_000, idleTimeoutMs: null });
  scene.offer.behaviour = () => new Promise<never>(() => undefined);
  void scene.call(scene.open(scene.client('a')));
  await scene.time.pass(10 * 60_000);
  t.equal(scene.servers[0]?.checks, 0);
  t.equal(scene.registry.tool('tool').runs.length, 1);
});

t.test('a server that closes its output and stays is ended', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { recovery: RESTART });
  const session = scene.open(scene.client('a'));
  scene.offer.behaviour = () => new Promise<never>(() => undefined);
  const answer = scene.call(session);
  await settled();
  scene.servers[0]?.end('it closed its output');
  await scene.time.pass(2_000);
  t.match(await answer, {
    error: { code: RPC_CODE.stopped, message: /it closed its output.*went on/, data: { reason: 'unhealthy' } },
  });
  scene.offer.behaviour = null;
  t.match(await scene.call(session), { kind: 'result' });
});

t.test('nothing of the same key is started before the former process is proven over', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { recovery: RESTART, graceMs: 5_000 });
  const session = scene.open(scene.client('a'));
  await scene.call(session);
  const release = scene.points.hold('tempDirs.remove');
  const stopping = scene.registry.deactivate('tool', scene.registry.tool('tool').runs[0]?.id ?? '');
  await settled();
  const answer = scene.call(session);
  await scene.time.pass(2_000);
  t.equal(scene.launched.length, 1, 'it holds on to what it has');
  release();
  await stopping;
  t.match(await answer, { kind: 'result' });
  t.equal(scene.launched.length, 2);
});

t.test('a request whose asker has gone waits for nothing', async (t) => {
  const scene = poolStand(t);
  scene.served();
  scene.points.hold('connect');
  const aborting = new AbortController();
  const session = scene.open(scene.client('a'));
  const answer = session.request(
    { method: 'tools/call' },
    { signal: aborting.signal, notify: () => undefined, ask: () => new Promise<never>(() => undefined) },
  );
  await settled();
  aborting.abort(new Error('cancelled'));
  t.match(await answer, { kind: 'error', error: { message: 'tool: cancelled' } });
});

t.test(
  'a request that was lost on the way to a server that goes on: it is looked at once, and recycled or not',
  async (t) => {
    const scene = poolStand(t);
    scene.served('tool', { recovery: RESTART });
    const session = scene.open(scene.client('a'));
    scene.offer.behaviour = () => ({ kind: 'error', error: { code: RPC_CODE.stopped, message: 'fetch failed' } });
    t.match(await scene.call(session), {
      error: { code: RPC_CODE.stopped, message: 'tool: fetch failed', data: { tool: 'tool', retryAfterMs: 0 } },
    });
    await scene.time.pass(10);
    t.equal(scene.servers[0]?.checks, 1);
    t.equal(scene.registry.tool('tool').runs.length, 1, 'it answers');
    if (scene.servers[0] !== undefined) scene.servers[0].answersChecks = false;
    await scene.call(session);
    await scene.time.pass(10);
    t.match(scene.registry.tool('tool').lastEnd, { reason: 'unhealthy' });
    scene.offer.behaviour = null;
    t.match(await scene.call(session), { kind: 'result' });
  },
);

t.test('a server that goes when it is asked for its era is started again without the question', async (t) => {
  const scene = poolStand(t);
  const eras: unknown[] = [];
  scene.offer.refusal = ({ era }) => {
    eras.push(era);
    if (era !== null) return null;
    return new GovernorError('launch_failed', 'the MCP handshake failed: it has gone', {
      data: { probe: 'server/discover' },
    });
  };
  scene.served('tool', { recovery: RESTART });
  const answer = scene.call(scene.open(scene.client('a')));
  await scene.time.pass(5_000);
  t.match(await answer, { kind: 'result' });
  t.same(eras, [null, 'legacy']);
  t.match(await scene.call(scene.open(scene.client('b'))), { kind: 'result' });
  t.same(eras, [null, 'legacy', 'legacy'], 'and is never asked again');
});

t.test('a server elsewhere that cannot be reached has said nothing of its era: it is asked again', async (t) => {
  const scene = poolStand(t);
  const eras: unknown[] = [];
  scene.offer.refusal = ({ era }) => {
    eras.push(era);
    if (eras.length > 1) return null;
    return new GovernorError('launch_failed', 'the MCP handshake failed: connect ECONNREFUSED', {
      data: { probe: 'server/discover' },
    });
  };
  scene.served('tool', { recovery: RESTART, remote: { url: 'http://127.0.0.1:1/mcp', headers: {} } });
  const session = scene.open(scene.client('a'));
  t.match(await scene.call(session), { kind: 'error' });
  await scene.time.pass(5_000);
  t.match(await scene.call(session), { kind: 'result' });
  t.same(eras, [null, null]);
});

t.test('a server that fails otherwise is not started twice for one request', async (t) => {
  const scene = poolStand(t);
  let starts = 0;
  scene.offer.refusal = () => {
    starts++;
    return new GovernorError('launch_failed', 'the MCP handshake failed: no licence');
  };
  scene.served('tool', { recovery: RESTART });
  const answer = scene.call(scene.open(scene.client('a')));
  await scene.time.pass(5_000);
  t.match(await answer, { kind: 'error', error: { message: /no licence/ } });
  t.equal(starts, 1);
});
