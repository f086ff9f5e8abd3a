import t from 'tap';
import type { ProcessIdentity } from '../../../lib/core/identity.ts';
import { assemble } from '../../../lib/supervisor/assembly.ts';
import { Monitor, type Finding } from '../../../lib/supervisor/monitor.ts';
import type { Run } from '../../../lib/supervisor/run.ts';
import type { ResolvedLimits } from '../../../lib/core/limits.ts';
import { fakeWorld, limited, type FakeWorld } from '../../helpers/fake-ports.ts';
import type { FakeTree } from '../../helpers/fake-tree.ts';
import { fakeDefinition } from '../../helpers/fake-views.ts';
import type { TestScope } from '../../helpers/fixture.ts';
import { manualTime, type ManualTime } from '../../helpers/manual-time.ts';

interface Scene extends FakeWorld {
  readonly time: ManualTime;
  readonly monitor: Monitor;
  /** Run id and kind, in order. */
  readonly findings: { readonly run: string; readonly finding: Finding }[];
  /** When each run was looked at. */
  readonly samples: { readonly run: string; readonly atMs: number }[];
  readonly passes: number[];
  run(options?: {
    readonly limits?: ResolvedLimits;
    readonly clients?: readonly ProcessIdentity[];
    readonly detached?: boolean;
  }): Promise<{ readonly run: Run; readonly tree: FakeTree }>;
}

function scene(t: TestScope, onSample: () => void = () => undefined): Scene {
  const time = manualTime(t);
  const world = fakeWorld({ clock: time });
  const findings: Scene['findings'] = [];
  const samples: Scene['samples'] = [];
  const passes: number[] = [];
  const monitor = new Monitor({
    clock: time,
    facts: world.processes,
    baseMs: 1_000,
    onFinding: ({ id }, finding) => void findings.push({ run: id, finding }),
    onSample: ({ id }) => {
      samples.push({ run: id, atMs: time.monotonicMs() });
      onSample();
    },
    onPass: (_durationMs, runs) => void passes.push(runs),
  });
  t.teardown(() => monitor.close());
  return Object.assign(world, {
    time,
    monitor,
    findings,
    samples,
    passes,
    async run({ limits = limited({}), clients = [], detached = false } = {}) {
      const request = {
        definition: fakeDefinition('tool', { limits }),
        mode: 'direct',
        context: null,
        detached,
        clients,
        cwd: '/',
      } as const;
      const { run } = await assemble(request, world.ports);
      const tree = world.tree;
      run.leader = tree.fork().identity;
      run.state = 'running';
      return { run, tree };
    },
  } satisfies Omit<Scene, keyof FakeWorld>);
}

const kinds = (s: Scene): readonly string[] => s.findings.map(({ finding }) => finding.kind);

t.test('a young run is looked at often, a calm one at the interval, and calm ones together', async (t) => {
  const s = scene(t);
  s.time.advance(333);
  const first = await s.run();
  s.monitor.add(first.run);
  await s.time.pass(2_000);
  t.ok(s.samples.length >= 19, `every 100 ms in the first two seconds: ${s.samples.length}`);
  s.time.advance(0);
  await s.time.pass(177);
  const second = await s.run();
  s.monitor.add(second.run);
  await s.time.pass(3_000);
  s.samples.length = 0;
  s.passes.length = 0;
  await s.time.pass(5_000);
  t.same(new Set(s.samples.map(({ atMs }) => atMs % 1_000)), new Set([0]), 'on one grid, whenever they began');
  t.same(s.samples.length, 10);
  t.same(s.passes, [2, 2, 2, 2, 2], 'one wake-up for both');
});

t.test('a run near its limit is looked at more often', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run({ limits: limited({ tasks: 100 }) });
  s.monitor.add(run);
  await s.time.pass(5_000);
  s.samples.length = 0;
  tree.holds.tasks = 92;
  await s.time.pass(10_000);
  t.equal(run.stage('tasks'), 'throttled');
  t.ok(s.samples.length > 30, `${s.samples.length}`);
});

t.test('a tree that stands still is looked at all the same, and judged as soon as it moves', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run({ limits: limited({ tasks: 100, memory: 1_000 }) });
  s.monitor.add(run);
  tree.still = true;
  await s.time.pass(60_000);
  s.samples.length = 0;
  await s.time.pass(5_000);
  t.same(s.samples.length, 5);
  t.equal(run.last?.readings.memory.kind === 'measured' && run.last.readings.memory.atMs, s.time.monotonicMs());
  tree.still = false;
  tree.holds.tasks = 92;
  await s.time.pass(3_000);
  t.equal(run.stage('tasks'), 'throttled', 'three samples of five');
});

t.test('a look in between is no verdict: what it found is judged at the next sample', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run({ limits: limited({ memory: 1_000 }) });
  s.monitor.add(run);
  tree.still = true;
  await s.time.pass(60_000);
  tree.holds.memory = 1_600;
  run.judge.reread('memory');
  await s.time.pass(1_000);
  t.equal(run.stage('memory'), 'emergency');
});

t.test('the limits of a tree that stands still are changed', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run({ limits: limited({ memory: 1_000 }) });
  s.monitor.add(run);
  tree.still = true;
  await s.time.pass(60_000);
  run.limits = limited({ memory: 6 });
  await s.time.pass(1_000);
  t.equal(run.stage('memory'), 'emergency');
});

t.test('memory that no kernel holds is never looked away from', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run({ limits: limited({ memory: 1_000 }) });
  s.monitor.add(run);
  await s.time.pass(5_000);
  s.samples.length = 0;
  await s.time.pass(2_000);
  t.equal(s.samples.length, 2, 'held by the kernel: as any other');
  tree.enforcement = 'polled';
  run.outcomes = await tree.limits.apply(run.limits);
  await s.time.pass(1_000);
  s.samples.length = 0;
  await s.time.pass(2_000);
  t.ok(s.samples.length >= 19, `${s.samples.length}`);
});

t.test('the deadline of a runtime is met by the first sample after it', async (t) => {
  const s = scene(t);
  const { run } = await s.run({ limits: limited({ runtime: 10_250 }) });
  const beganMs = s.time.monotonicMs();
  s.monitor.add(run);
  await s.time.pass(20_000);
  const entered = s.findings.flatMap(({ finding }) => (finding.kind === 'decisions' ? finding.decisions : []));
  t.match(entered, [{ to: 'warning' }, { to: 'throttled' }, { to: 'cleanup' }, { to: 'emergency' }]);
  for (const { usage, to } of entered) {
    const boundary = { normal: 0, warning: 0.75, throttled: 0.9, cleanup: 1, emergency: 1.5 }[to] * 10_250;
    t.ok(usage >= boundary && usage - boundary < 30, `${to} at ${usage}`);
  }
  t.ok(beganMs > 0);
});

t.test('a poke is a look at once; a notice of the kernel is one', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run();
  s.monitor.add(run);
  await s.time.pass(5_500);
  s.samples.length = 0;
  s.monitor.poke(run.id);
  await s.time.pass(0);
  t.equal(s.samples.length, 1);
  tree.changed();
  await s.time.pass(0);
  t.equal(s.samples.length, 2);
  s.monitor.poke('nobody');
  await s.time.pass(0);
  t.equal(s.samples.length, 2);
});

t.test('samples taken after the daemon was held up are marked, and nothing is done on them', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run({ limits: limited({ tasks: 100 }) });
  s.monitor.add(run);
  await s.time.pass(5_000);
  tree.holds.tasks = 400;
  await s.time.stall(10_000);
  t.equal(run.last?.stalled, true);
  t.equal(run.stage('tasks'), 'normal');
  t.same(s.findings, []);
  await s.time.pass(1_000);
  t.equal(run.last?.stalled, false);
  t.match(s.findings[0]?.finding, { kind: 'decisions', decisions: [{ to: 'emergency' }] }, 'the next one counts');
});

t.test('held up, and then poked before the late timer: still held up', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run({ limits: limited({ tasks: 100 }) });
  s.monitor.add(run);
  await s.time.pass(5_000);
  tree.holds.tasks = 400;
  s.time.advance(10_000);
  tree.changed();
  await s.time.stall(0);
  t.equal(run.last?.stalled, true);
  t.same(s.findings, []);
});

t.test('a little late is not held up', async (t) => {
  const s = scene(t);
  const { run } = await s.run();
  s.monitor.add(run);
  await s.time.pass(5_000);
  await s.time.stall(2_400);
  t.equal(run.last?.stalled, false);
});

t.test('clients are looked at, once each, however many runs they have', async (t) => {
  const s = scene(t);
  const [alive, mortal] = [s.processes.start(), s.processes.start()];
  const looks: number[] = [];
  const isAlive = s.processes.alive.bind(s.processes);
  s.processes.alive = (identity) => {
    looks.push(identity.pid);
    return isAlive(identity);
  };
  const runs = [
    await s.run({ clients: [alive.identity] }),
    await s.run({ clients: [alive.identity, mortal.identity] }),
    await s.run({ clients: [mortal.identity], detached: true }),
  ];
  for (const { run } of runs) s.monitor.add(run);
  await s.time.pass(5_000);
  looks.length = 0;
  await s.time.pass(1_000);
  t.same(
    looks.filter((pid) => pid === alive.pid || pid === mortal.pid),
    [alive.pid, mortal.pid],
  );
  mortal.end();
  await s.time.pass(1_000);
  t.match(
    s.findings,
    [{ run: runs[1]?.run.id, finding: { kind: 'client_gone', client: mortal.identity } }],
    'the detached one does not mind',
  );
});

t.test('an end is noticed once', async (t) => {
  const s = scene(t);
  const { run } = await s.run();
  s.monitor.add(run);
  await s.time.pass(1_000);
  s.processes.get(run.leader?.pid ?? 0).end();
  await s.time.pass(5_000);
  t.same(kinds(s), ['empty']);
});

t.test('what the kernel kills between a sample and the look at its leader is judged as well', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run({ limits: limited({ memory: 100 }) });
  s.monitor.add(run);
  await s.time.pass(1_000);
  const isAlive = s.processes.alive.bind(s.processes);
  s.processes.alive = (identity) => {
    if (identity.pid === run.leader?.pid && tree.holds.oomKills === 0) {
      tree.holds.oomKills = 1;
      s.processes.get(identity.pid).end();
    }
    return isAlive(identity);
  };
  await s.time.pass(2_000);
  t.match(
    s.findings.map(({ finding }) => finding),
    [{ kind: 'decisions', decisions: [{ resource: 'memory', to: 'emergency', cause: 'kernel' }] }, { kind: 'empty' }],
  );
});

t.test('a leader that is gone while others live, and a detached one', async (t) => {
  const s = scene(t);
  const [one, detached] = [await s.run(), await s.run({ detached: true })];
  for (const { run, tree } of [one, detached]) {
    tree.fork();
    s.monitor.add(run);
    s.processes.get(run.leader?.pid ?? 0).end();
  }
  await s.time.pass(3_000);
  t.same(
    s.findings.map(({ run, finding }) => [run, finding.kind]),
    [[one.run.id, 'leader_gone']],
  );
});

t.test('what ends uses less and less: no stage is left for that', async (t) => {
  for (const [state, left] of [
    ['running', true],
    ['starting', true],
    ['stopping', false],
  ] as const) {
    const s = scene(t);
    const { run, tree } = await s.run({ limits: limited({ tasks: 100 }) });
    s.monitor.add(run);
    tree.holds.tasks = 92;
    await s.time.pass(3_000);
    run.state = state;
    tree.holds.tasks = 1;
    await s.time.pass(3_000);
    t.equal(
      s.findings.some(
        ({ finding }) => finding.kind === 'decisions' && finding.decisions.some(({ kind }) => kind === 'leave'),
      ),
      left,
      state,
    );
  }
});

t.test('a reader that fails is told each time, and the others are read', async (t) => {
  const s = scene(t);
  const runs = [await s.run(), await s.run()];
  for (const { run } of runs) s.monitor.add(run);
  await s.time.pass(5_000);
  s.points.fail('sample', new Error('ENODEV'), 1);
  await s.time.pass(1_000);
  t.match(s.findings, [{ run: runs[0]?.run.id, finding: { kind: 'failed' } }]);
  t.ok(s.samples.filter(({ atMs }) => atMs === s.samples.at(-1)?.atMs).length >= 1);
});

t.test('who only looks on and fails is told, and what was decided is acted on all the same', async (t) => {
  const s = scene(t, () => {
    throw new Error('the looker-on');
  });
  const { run, tree } = await s.run({ limits: limited({ tasks: 100 }) });
  s.monitor.add(run);
  await s.time.pass(2_000);
  tree.holds.tasks = 160;
  await s.time.pass(3_000);
  const kinds = new Set(s.findings.map(({ finding }) => finding.kind));
  t.ok(kinds.has('failed'));
  t.ok(kinds.has('decisions'));
});

t.test('a run that is removed is not looked at, and its notices are let go', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run();
  s.monitor.add(run);
  await s.time.pass(1_000);
  s.monitor.remove(run.id);
  s.monitor.remove(run.id);
  t.notOk(tree.watched);
  s.samples.length = 0;
  await s.time.pass(5_000);
  t.same(s.samples, []);
  t.equal(s.time.pending, 0, 'no timer without a run');
});

t.test('removed in the middle of a pass', async (t) => {
  const s = scene(t);
  const [first, second] = [await s.run(), await s.run()];
  for (const { run } of [first, second]) s.monitor.add(run);
  await s.time.pass(5_000);
  const push = s.samples.push.bind(s.samples);
  s.samples.push = (...items) => {
    s.monitor.remove(second.run.id);
    return push(...items);
  };
  s.samples.length = 0;
  await s.time.pass(2_000);
  t.same(new Set(s.samples.map(({ run }) => run)), new Set([first.run.id]));
});

t.test('closed: nothing is looked at any more', async (t) => {
  const s = scene(t);
  const { run, tree } = await s.run();
  s.monitor.add(run);
  s.monitor.close();
  s.monitor.poke(run.id);
  await s.time.pass(5_000);
  t.same(s.samples, []);
  t.notOk(tree.watched);
});
