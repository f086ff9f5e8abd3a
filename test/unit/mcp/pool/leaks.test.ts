/** A leaking server is found, said so, and recycled when nothing is open with it: not before. */

import t from 'tap';
import { describeLeak } from '../../../../lib/core/leak-text.ts';
import { limited } from '../../../helpers/fake-ports.ts';
import { settled } from '../../../helpers/manual-time.ts';
import { poolStand } from '../../../helpers/pool-stand.ts';
import type { PoolStand } from '../../../helpers/pool-stand.ts';
import type { TestScope } from '../../../helpers/fixture.ts';

const MIB = 2 ** 20;
const LEAKS = { action: 'recycle_when_idle', warmUpMs: 10_000, windowMs: 96_000 } as const;
const LONG = 24 * 3_600_000;

function leaking(t: TestScope, overrides: Parameters<PoolStand['served']>[1] = {}): PoolStand {
  const scene = poolStand(t);
  scene.served('tool', { leaks: LEAKS, idleTimeoutMs: null, limits: limited({ memory: 10_000 * MIB }), ...overrides });
  return scene;
}

/** Its latest process grows by a MiB a second, or does not. */
async function live(scene: PoolStand, seconds: number, isGrowing = true): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    const { holds } = scene.tree;
    if (isGrowing && typeof holds.memory === 'number') holds.memory = Math.max(60 * MIB, holds.memory) + MIB;
    await scene.time.pass(1_000);
  }
}

t.test('found, named, recycled once it is idle; the next request finds another', async (t) => {
  const scene = leaking(t);
  const session = scene.open(scene.client('a'));
  await scene.call(session);
  await live(scene, 100);
  t.same(scene.recordsOf('leak'), [], 'no window is full yet');
  await live(scene, 60);
  const [suspected, recycled, cleared, ...others] = scene.recordsOf('leak');
  t.match(suspected, {
    tool: 'tool',
    resource: 'memory',
    event: 'suspected',
    cause: 'floor rises',
    point: { cadenceMs: 1_000, warmUpMs: 10_000, windowMs: 96_000 },
    byCall: [],
    dryRun: false,
  });
  t.match(suspected?.suggestion, /nothing to do/);
  t.match([recycled, cleared], [{ event: 'recycled' }, { event: 'cleared', cause: 'run ended' }]);
  t.same(others, []);
  const view = scene.registry.tool('tool');
  t.match(view.lastEnd, {
    reason: 'leak',
    message: /^recycled while nothing was open with it: memory does not come down/,
  });
  t.match(view.leaks, { action: 'recycle_when_idle', suspected: [], last: { resource: 'memory', endedAt: String } });
  t.equal(view.runs.length, 0);
  t.match(await scene.call(session), { kind: 'result' });
  t.equal(scene.launched.length, 2);
  t.match(scene.registry.tool('tool').leaks.suspected, [], 'a new process is a new question');
});

t.test('never while a request is open, however long; then at once', async (t) => {
  const scene = leaking(t);
  const session = scene.open(scene.client('a'));
  let answer!: () => void;
  scene.offer.behaviour = ({ request }) =>
    request.method === 'tools/call'
      ? new Promise((resolve) => (answer = () => resolve({ kind: 'result', result: {} })))
      : { kind: 'result', result: {} };
  const call = scene.call(session);
  await settled();
  await live(scene, 300);
  t.match(scene.registry.tool('tool').leaks.suspected, [{ resource: 'memory' }]);
  t.equal(scene.registry.tool('tool').runs.length, 1, 'a call is open');
  answer();
  t.match(await call, { kind: 'result' });
  await live(scene, 1);
  t.equal(scene.registry.tool('tool').runs.length, 1, 'its client may have the next request on its way');
  await live(scene, 3);
  t.match(scene.registry.tool('tool').lastEnd, { reason: 'leak' });
});

t.test('never while a client is to come back with an answer that its server has asked for', async (t) => {
  const scene = leaking(t);
  const session = scene.open(scene.client('a'));
  scene.offer.behaviour = ({ request }) => ({
    kind: 'result',
    result:
      request.params?.['requestState'] === undefined
        ? { resultType: 'input_required', requestState: 'state' }
        : { content: [] },
  });
  await scene.call(session);
  await live(scene, 250);
  t.match(scene.registry.tool('tool').leaks.suspected, [{ resource: 'memory' }]);
  t.equal(scene.registry.tool('tool').runs.length, 1);
  await scene.call(session, 'tools/call', { name: 'one', requestState: 'state' });
  t.equal(scene.launched.length, 1, 'by the process that asked');
  await live(scene, 4);
  t.match(scene.registry.tool('tool').lastEnd, { reason: 'leak' });
});

t.test('recycled three times a day at most; then it is only said, and the next day it may be again', async (t) => {
  const scene = leaking(t);
  const session = scene.open(scene.client('a'));
  const recycled = (): number => scene.recordsOf('leak').filter(({ event }) => event === 'recycled').length;
  for (let times = 0; times < 4; times += 1) {
    await scene.call(session);
    await live(scene, 170);
  }
  t.equal(recycled(), 3);
  t.equal(scene.registry.tool('tool').runs.length, 1, 'the fourth goes on');
  t.match(scene.registry.tool('tool').leaks.suspected, [{ suggestion: /^it was recycled 3 times within a day/ }]);
  await scene.registry.deactivate('tool');
  await scene.time.stall(24 * 3_600_000);
  await scene.call(session);
  await live(scene, 170);
  t.equal(recycled(), 4);
});

t.test('a gap in what is read is no number: trends are told from what was read last', async (t) => {
  const scene = leaking(t, { leaks: { ...LEAKS, action: 'notify' } });
  await scene.call(scene.open(scene.client('a')));
  await live(scene, 120);
  // Nothing is read for longer than a bin, and then again: the bin that was closed last is empty.
  for (let bins = 0; bins < 3; bins += 1) {
    await scene.time.stall(12_000);
    await live(scene, 1);
    const { trends = [] } = scene.registry.tool('tool').leaks;
    const memory = trends.find(({ resource }) => resource === 'memory');
    t.ok(memory !== undefined && Number.isFinite(memory.limitIn?.expected), JSON.stringify(memory));
  }
});

t.test('what nobody has used yet is judged from its start, and anew from its first use', async (t) => {
  const scene = leaking(t, { leaks: { ...LEAKS, action: 'notify' } });
  const session = scene.open(scene.client('a'));
  await scene.call(session);
  const run = scene.registry.tool('tool').runs[0]?.id ?? '';
  await live(scene, 60, false);
  const detector = scene.ports.leaks.of(run)?.detector;
  t.equal(detector?.lastClosed, 24, 'by seconds, of two seconds a bin');
  scene.ports.leaks.onCall(run, 'get-env');
  t.ok((detector?.binOf(scene.clock.monotonicMs()) ?? 0) < 0, 'in its warm-up again');
  await live(scene, 30, false);
  const bin = detector?.binOf(scene.clock.monotonicMs()) ?? 0;
  scene.ports.leaks.onCall(run, 'get-env');
  t.equal(detector?.binOf(scene.clock.monotonicMs()), bin, 'only the first');
});

t.test('notify: said, and left alone', async (t) => {
  const scene = leaking(t, { leaks: { ...LEAKS, action: 'notify' } });
  await scene.call(scene.open(scene.client('a')));
  await live(scene, 300);
  t.match(scene.recordsOf('leak'), [{ event: 'suspected', suggestion: /leaks: \{ action: recycle_when_idle \}/ }]);
  t.equal(scene.registry.tool('tool').runs.length, 1);
});

t.test('a dry run says what it would do, and does not', async (t) => {
  const scene = leaking(t, { dryRun: true });
  await scene.call(scene.open(scene.client('a')));
  await live(scene, 300);
  t.match(scene.recordsOf('leak'), [{ event: 'suspected', dryRun: true }]);
  t.equal(scene.registry.tool('tool').runs.length, 1);
});

t.test('what is given back is no reason any more', async (t) => {
  const scene = leaking(t);
  const session = scene.open(scene.client('a'));
  scene.offer.behaviour = () => new Promise<never>(() => undefined);
  void scene.call(session);
  await settled();
  await live(scene, 160);
  t.match(scene.recordsOf('leak'), [{ event: 'suspected' }]);
  scene.tree.holds.memory = 60 * MIB;
  await live(scene, 60, false);
  t.match(scene.recordsOf('leak')[1], { event: 'cleared', cause: 'given back' });
  t.match(scene.registry.tool('tool').leaks.last, { endedAt: String });
  scene.offer.behaviour = null;
  await scene.time.pass(LONG / 24);
  t.equal(scene.registry.tool('tool').runs.length, 1);
});

t.test('trends with a forecast are shown of one tool, not in a list', async (t) => {
  const scene = leaking(t, { leaks: { ...LEAKS, action: 'notify' } });
  await scene.call(scene.open(scene.client('a')));
  await live(scene, 60);
  const { trends } = scene.registry.tool('tool').leaks;
  const memory = trends?.find(({ resource }) => resource === 'memory');
  t.ok(memory !== undefined && Math.abs(memory.perHour / MIB - 3_600) < 400, `${memory?.perHour}`);
  const expectedMs = ((10_000 - 120) / 3_600) * 3_600_000;
  t.ok(Math.abs((memory?.limitIn?.expected ?? 0) - expectedMs) < 0.15 * expectedMs, `${memory?.limitIn?.expected}`);
  t.ok((memory?.confidence ?? 0) > 0.99);
  t.equal(trends?.find(({ resource }) => resource === 'tasks')?.limitIn, null, 'it does not rise');
  t.equal(scene.registry.tools()[0]?.leaks.trends, undefined);
  // A call that needs much for a while meets the limit sooner than the floor does.
  scene.tree.holds.memory = 5_000 * MIB;
  await scene.time.pass(1_000);
  const loaded = scene.registry.tool('tool').leaks.trends?.find(({ resource }) => resource === 'memory');
  t.ok((loaded?.limitIn?.expected ?? Infinity) < 0.55 * expectedMs, `${loaded?.limitIn?.expected}`);
});

t.test('calls that it grows by are named', async (t) => {
  const scene = leaking(t, { leaks: { ...LEAKS, action: 'notify' } });
  await scene.call(scene.open(scene.client('a')));
  const run = scene.registry.tool('tool').runs[0]?.id ?? '';
  for (let second = 0; second < 200; second += 1) {
    const calls = [0, 0, 3, 0, 0, 0, 5, 1, 0, 0, 0, 0, 2][second % 13] ?? 0;
    const { holds } = scene.tree;
    for (let n = 0; n < calls; n += 1) scene.ports.leaks.onCall(run, 'printEnv');
    if (second % 3 === 0) scene.ports.leaks.onCall(run, 'echo');
    if (typeof holds.memory === 'number') holds.memory = Math.max(60 * MIB, holds.memory) + calls * 1.2 * MIB;
    await scene.time.pass(1_000);
  }
  const [suspicion] = scene.registry.tool('tool').leaks.suspected;
  t.same(
    suspicion?.byCall.map(({ name }) => name),
    ['printEnv'],
  );
  t.match(suspicion?.summary, /1\.2 MiB per printEnv call$/);
});

t.test('amounts by call: bytes as bytes, counts with their fraction', async (t) => {
  const rise = { from: 10, to: 30, rise: 20 };
  t.match(describeLeak('sockets', rise, 3_600_000, [{ name: 'get', perCall: 0.5 }]), /20 an hour, 0\.5 per get call$/);
});
