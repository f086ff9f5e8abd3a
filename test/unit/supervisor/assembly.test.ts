import t, { type Test } from 'tap';
import { limited } from '../../helpers/fake-ports.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { settled } from '../../helpers/manual-time.ts';

/** Where it fails, and what had been acquired until then: each is released, in reverse, and nothing else. */
const STEPS: readonly (readonly [point: string, released: readonly string[]])[] = [
  ['ledger.write intended', []],
  ['tempDirs.create', ['ledger: removed']],
  ['backend.create', ['temp dir deleted', 'ledger: removed']],
  ['pressure.open', ['containment removed', 'containment closed', 'temp dir deleted', 'ledger: removed']],
  [
    'limits.apply',
    ['pressure channel closed', 'containment removed', 'containment closed', 'temp dir deleted', 'ledger: removed'],
  ],
];
const MANAGED_ONLY: typeof STEPS = [
  [
    'launch',
    ['pressure channel closed', 'containment removed', 'containment closed', 'temp dir deleted', 'ledger: removed'],
  ],
];
const RELEASES = [
  'pressure channel closed',
  'containment removed',
  'containment closed',
  'temp dir deleted',
  'ledger: removed',
  'kill',
  'SIGTERM',
];

function nothingLeft(t: Test, scene: Stand, point: string): void {
  t.equal(scene.ledger.size, 0, `${point}: no ledger entry`);
  t.equal(scene.tempDirs.size, 0, `${point}: no temp dir`);
  t.equal(scene.openPressure.size, 0, `${point}: no pressure channel`);
  t.ok(
    scene.trees.every(({ removed, closed, watched }) => removed && closed && !watched),
    `${point}: no containment`,
  );
  t.ok(
    scene.launched.every(({ alive }) => !alive),
    `${point}: no process`,
  );
}

t.test('a direct start that fails half-way releases exactly what it had acquired', async (t) => {
  for (const [point, released] of STEPS) {
    const scene = stand(t);
    scene.points.fail(point, new Error('ENOSPC'), 1);
    await t.rejects(
      scene.launch('tool'),
      { code: 'launch_failed', message: 'tool could not be contained: ENOSPC' },
      point,
    );
    t.same(
      scene.points.log.filter((line) => RELEASES.includes(line)),
      released,
      point,
    );
    nothingLeft(t, scene, point);
    t.same(scene.registry.tools(), [], 'nor an ad-hoc tool');
    t.equal((await scene.launch('tool')).state, 'running', 'and the next one starts');
  }
});

t.test('a managed start that fails half-way', async (t) => {
  for (const [point, released] of [...STEPS, ...MANAGED_ONLY]) {
    const scene = stand(t);
    const tool = scene.tool('tool', { recovery: { strategy: 'stop', budget: 1, windowMs: 1_000 } });
    scene.points.fail(point, new Error('ENOSPC'), 1);
    await t.rejects(tool.activate(null), /ENOSPC/, point);
    t.same(
      scene.points.log.filter((line) => RELEASES.includes(line)),
      released,
      point,
    );
    nothingLeft(t, scene, point);
    t.equal(tool.state, 'registered', point);
    await tool.activate(null);
    t.equal(tool.state, 'active', point);
  }
});

t.test('a launcher that cannot be moved in, or not be put on record, is not let go', async (t) => {
  for (const point of ['attach', 'ledger.write running']) {
    const scene = stand(t);
    scene.points.fail(point, new Error('EBUSY'), 1);
    await t.rejects(scene.launch('tool'), { message: 'EBUSY' });
    t.notOk(scene.points.log.includes('go'), point);
    nothingLeft(t, scene, point);
    t.match(scene.lastWords, point === 'attach' ? [] : ['governor: tool: could not be started: EBUSY'], point);
  }
});

t.test('a managed process that cannot be moved in, or not be put on record, ends at its gate', async (t) => {
  for (const point of ['attach', 'ledger.write running']) {
    const scene = stand(t);
    const tool = scene.tool('tool', { recovery: { strategy: 'stop', budget: 1, windowMs: 1_000 } });
    scene.points.fail(point, new Error('EBUSY'), 1);
    await t.rejects(tool.activate(null), { message: 'EBUSY' });
    t.notOk(
      scene.points.log.some((line) => line.startsWith('gate opened')),
      `${point}: it never became the tool`,
    );
    nothingLeft(t, scene, point);
    t.equal(tool.state, 'registered', point);
    t.match(tool.lastEnd, { reason: 'not_ready', message: 'did not become ready: EBUSY' }, point);
  }
});

t.test('a process that is gone at once', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { recovery: { strategy: 'stop', budget: 1, windowMs: 1_000 } });
  const go = scene.points.hold('launch');
  const started = t.rejects(tool.activate(null), isGovernorError('launch_failed'));
  await settled();
  const identity = scene.processes.identity.bind(scene.processes);
  scene.processes.identity = (pid) => {
    scene.processes.get(pid).end({ code: 127 });
    return identity(pid);
  };
  go();
  await started;
  nothingLeft(t, scene, 'launch');
  t.match(tool.lastEnd, { exit: { code: 127 } });
});

t.test('a release that fails does not hide why the start failed', async (t) => {
  const scene = stand(t);
  scene.points.fail('limits.apply', new Error('EINVAL'));
  scene.points.fail('tempDirs.remove', new Error('EIO'));
  scene.points.fail('containment.remove', new Error('EBUSY'));
  await t.rejects(scene.launch('tool'), { message: 'tool could not be contained: EINVAL' });
  t.match([...scene.ledger.values()], [{ step: 'stopping' }], 'the next daemon tries again');
});

t.test('what is about to be made is on record before it is made', async (t) => {
  const scene = stand(t);
  scene.points.fail('backend.create', new Error('killed here'));
  scene.points.fail('ledger.remove', new Error('and so never removed'));
  await t.rejects(scene.launch('tool'));
  const [entry] = [...scene.ledger.values()];
  t.match(entry, {
    step: 'intended',
    containment: null,
    plan: { backend: 'cgroup2', directories: [`/groups/${entry?.runId}`] },
  });
});

t.test('the ledger knows each step before what it announces, and no secret', async (t) => {
  const scene = stand(t);
  const run = await scene.launch(
    'tool',
    { command: 'server', args: ['--token=abcdef', '--port=1'], env: { SECRET: 'hush' } },
    { context: 'chat', clients: [{ pid: 7, startTicks: 70 }] },
  );
  t.same(scene.points.log.slice(0, 10), [
    'ledger: intended',
    'temp dir made',
    'containment made',
    'ledger: contained',
    'pressure channel opened',
    'limits applied',
    'attached',
    'ledger: running',
    'go',
  ]);
  const entry = scene.ledger.get(run.id);
  t.match(entry, {
    tool: 'tool',
    mode: 'direct',
    bootId: 'this-boot',
    leader: run.leader,
    clients: [{ pid: 7, startTicks: 70 }],
    context: 'chat',
    tempDir: `/temp-root/${run.id}`,
    containment: { cookie: run.id },
    definition: { name: 'tool', env: {} },
  });
  t.notMatch(JSON.stringify(entry), /abcdef|hush/);
});

t.test('what the tool is told', async (t) => {
  const scene = stand(t);
  let variables: Readonly<Record<string, string>> = {};
  const launcher = scene.launcher();
  const tool = scene.tool('tool');
  const run = await tool.adoptLauncher({
    launcher: launcher.identity,
    clients: [],
    detached: false,
    context: null,
    cwd: '/',
    go: (assembled) => {
      ({ variables } = assembled);
      return true;
    },
  });
  t.same(variables, {
    TMPDIR: `/temp-root/${run.id}`,
    GOVERNOR_RUN: run.id,
    GOVERNOR_TOOL: 'tool',
    MEMORY_PRESSURE_WATCH: `/temp-root/${run.id}.sock`,
  });
});

t.test('the gate is opened with the cap on open files at the emergency stage', async (t) => {
  const scene = stand(t);
  await scene.tool('limited', { limits: limited({ file_handles: 101 }) }).activate(null);
  await scene.tool('free', { limits: limited({}) }).activate(null);
  await scene
    .tool('elsewhere', { limits: limited({ file_handles: 101 }), command: 'docker', args: ['run', 'image'] })
    .activate(null);
  t.same(
    scene.points.log.filter((line) => line.startsWith('gate')),
    ['gate opened, open files 152', 'gate opened, open files as they are', 'gate opened, open files as they are'],
  );
});
