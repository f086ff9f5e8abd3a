/** Processes that nobody asked for yet, definitions that change, what is remembered, and the guard around each call. */

import t from 'tap';
import type { CallGuard } from '../../../../lib/mcp/pool/call-guard.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import { settled } from '../../../helpers/manual-time.ts';
import { GOVERNOR, poolStand } from '../../../helpers/pool-stand.ts';

const RESTART = { strategy: 'restart', budget: 5, windowMs: 600_000 } as const;

t.test('the process that was started with the daemon is taken over, by one', async (t) => {
  for (const sharing of ['shared', 'context'] as const) {
    const scene = poolStand(t);
    scene.served('tool', { sharing, autostart: true });
    scene.registry.autostart();
    await scene.time.pass(10);
    t.equal(scene.launched.length, 1);
    const sessions = ['a', 'b'].map((context) => scene.open(scene.client(context)));
    for (const session of sessions) await scene.call(session);
    t.equal(scene.launched.length, sharing === 'shared' ? 1 : 2, sharing);
    t.same(
      scene.registry.runs('tool').map(({ context }) => context),
      sharing === 'shared' ? [null] : ['a', 'b'],
    );
  }
});

t.test('one that is just being started is waited for', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared', autostart: true });
  const gate = scene.points.hold('connect');
  scene.registry.autostart();
  await settled();
  const answer = scene.call(scene.open(scene.client('a')));
  await settled();
  gate();
  await scene.time.pass(10);
  t.match(await answer, { kind: 'result' });
  t.equal(scene.launched.length, 1);
});

t.test('one whose start fails is not waited for twice', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared', autostart: true });
  scene.points.fail('connect', new Error('not now'), 1);
  const gate = scene.points.hold('connect');
  scene.registry.autostart();
  await settled();
  const answer = scene.call(scene.open(scene.client('a')));
  gate();
  await scene.time.pass(10);
  t.match(await answer, { kind: 'result' });
  t.equal(scene.launched.length, 2);
  await scene.time.pass(5_000);
  t.equal(scene.launched.length, 2, 'the start that was planned is not needed any more');
});

t.test('a client that can do other things gets its own; the next spare is for its like', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { autostart: true });
  scene.registry.autostart();
  await scene.time.pass(10);
  t.same(scene.servers[0]?.identity, { info: GOVERNOR.info, capabilities: {} });
  const able = { capabilities: { sampling: {} }, info: { name: 'able', version: '2' } };
  await scene.call(scene.open(scene.client('a', able)));
  t.equal(scene.launched.length, 2);
  const { directory } = scene;
  await scene.registry.close('all');

  const later = poolStand(t, { directory });
  later.served('tool', { autostart: true });
  later.registry.autostart();
  await later.time.pass(10);
  t.same(later.servers[0]?.identity, able);
  await later.call(later.open(later.client('b', able)));
  t.equal(later.launched.length, 1);
});

t.test('a spare that dies is started again by itself, one that was taken over is not', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { autostart: true, recovery: RESTART });
  scene.registry.autostart();
  await scene.time.pass(10);
  scene.launched[0]?.end({ code: 1 });
  await scene.time.pass(1_100);
  t.equal(scene.launched.length, 2);
  await scene.call(scene.open(scene.client('a')));
  t.equal(scene.launched.length, 2, 'taken over');
  scene.launched[1]?.end({ code: 1 });
  await scene.time.pass(120_000);
  t.equal(scene.launched.length, 2);
});

t.test('a spare sleeps too', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { autostart: true, idleTimeoutMs: 60_000 });
  scene.registry.autostart();
  await scene.time.pass(60_500);
  t.match(scene.registry.tool('tool').lastEnd, { reason: 'idle' });
  await scene.time.pass(600_000);
  t.equal(scene.launched.length, 1);
  const session = scene.open(scene.client('a'));
  t.match(await scene.call(session, 'tools/list'), { kind: 'result' });
  t.equal(scene.launched.length, 1, 'what it offers was kept');
});

t.test('a run that somebody started by hand for a context is for that context', async (t) => {
  const scene = poolStand(t);
  scene.served();
  await scene.registry.activate('tool', { context: 'nightly' });
  await scene.time.pass(10);
  await scene.call(scene.open(scene.client('other')));
  await scene.call(scene.open(scene.client('nightly')));
  t.same(
    scene.servers.map((server) => server.methods().length),
    [1, 1],
  );
});

t.test(
  'a changed definition: what is open goes on, new requests go to the new one, the old one goes when it is idle',
  async (t) => {
    const scene = poolStand(t);
    scene.served('tool', { sharing: 'shared', idleTimeoutMs: null });
    const client = scene.client('a');
    const session = scene.open(client);
    let release = (): void => undefined;
    scene.offer.behaviour = () =>
      new Promise((resolve) => (release = () => resolve({ kind: 'result', result: { old: true } })));
    const open = scene.call(session);
    await settled();
    const finish = release;
    scene.offer.behaviour = null;
    await scene.redefine('tool', { args: ['server.js', '--new'] });
    t.same(client.heard, [{ method: 'notifications/tools/list_changed' }], 'it is another server now');
    t.match(await scene.call(session), { kind: 'result' });
    t.equal(scene.launched.length, 2);
    t.equal(scene.registry.tool('tool').runs.length, 2);
    finish();
    t.match(await open, { result: { old: true } });
    await scene.time.pass(100);
    t.equal(scene.registry.tool('tool').runs.length, 1);
    t.match(scene.registry.tool('tool').lastEnd, { reason: 'restart', message: 'stopped: its definition has changed' });
    t.equal(scene.recordsOf('recovery').length, 0);
    t.match(await scene.call(session), { kind: 'result' });
    t.equal(scene.launched.length, 2);
  },
);

t.test('a changed definition: what is idle goes at once; what is only held to other limits stays', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { idleTimeoutMs: null });
  await scene.call(scene.open(scene.client('a')));
  await scene.redefine('tool', { graceMs: 77 });
  await scene.time.pass(100);
  t.equal(scene.registry.tool('tool').runs.length, 1);
  await scene.redefine('tool', { sharing: 'shared' });
  await scene.time.pass(100);
  t.equal(scene.registry.tool('tool').runs.length, 0);
});

t.test('what was found out about a server is not found out again', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { idleTimeoutMs: 60_000 });
  const session = scene.open(scene.client('a'));
  await scene.call(session);
  const [first] = scene.servers;
  if (first === undefined) return;
  t.match(first.connect, { era: null, takesTurns: false });
  first.takesTurns = true;
  await scene.time.pass(60_500);
  await scene.call(session);
  t.match(scene.servers[1]?.connect, { era: 'legacy', takesTurns: true });
  await scene.redefine('tool', { command: 'other' });
  await scene.call(session);
  t.match(scene.servers[2]?.connect, { era: null, takesTurns: false }, 'another server');
});

t.test('the guard is around each request: it may refuse, and sees the run and the answer', async (t) => {
  const seen: unknown[] = [];
  let isOpen = true;
  const guard: CallGuard = {
    async around({ tool, client, request, run }, exchange, send) {
      if (!isOpen) return { kind: 'error', error: { code: RPC_CODE.refused, message: 'not now' } };
      const answer = await send(exchange);
      seen.push([tool, client.context, request.method, run.stage, run.readCpuTimeMs(), answer.kind]);
      return answer;
    },
  };
  for (const sharing of ['context', 'call'] as const) {
    isOpen = true;
    const scene = poolStand(t, { guard });
    scene.served('tool', { sharing });
    const session = scene.open(scene.client('a'));
    await scene.call(session);
    isOpen = false;
    t.match(await scene.call(session), { error: { message: 'not now' } });
    t.same(
      scene.servers.flatMap((server) => server.methods()),
      ['tools/call'],
      'what is refused is not sent',
    );
    await scene.time.pass(100);
  }
  t.same(
    seen,
    Array.from({ length: 2 }, () => ['tool', 'a', 'tools/call', 'normal', 0, 'result']),
  );
});

t.test('a tool that goes while the daemon shuts down harms nothing', async (t) => {
  const scene = poolStand(t);
  scene.served();
  await scene.call(scene.open(scene.client('a')));
  await scene.launch('direct', { origin: 'run' });
  await Promise.all([scene.registry.close('all'), scene.time.pass(100)]);
  t.same(
    scene.registry.allRuns().map(({ state }) => state),
    ['ended', 'ended'],
  );
});

t.test('what speaks no MCP is started as ever', async (t) => {
  const scene = poolStand(t);
  scene.served('plain', { readiness: 'none', autostart: true });
  await scene.registry.activate('plain', { context: null });
  t.equal(scene.registry.tool('plain').state, 'active');
  t.equal(scene.servers.length, 0);
});

t.test('its conversations are counted by their state', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  scene.served('plain', { readiness: 'none' });
  t.equal(scene.pool.connections('plain'), null);
  const count = (): unknown => Object.values(scene.pool.connections('tool') ?? {});
  t.same(count(), [0, 0, 0]);
  const gate = scene.points.hold('connect');
  const answer = scene.call(scene.open(scene.client('a')));
  await settled();
  t.same(count(), [1, 0, 0]);
  gate();
  await scene.time.pass(10);
  await answer;
  t.same(count(), [0, 1, 0]);
  const release = scene.points.hold('tempDirs.remove');
  const stopping = scene.registry.deactivate('tool');
  await settled();
  t.same(count(), [0, 0, 1]);
  release();
  await stopping;
  await settled();
  t.same(count(), [0, 0, 0]);
});
