import t from 'tap';
import { limited } from '../../helpers/fake-ports.ts';
import { stand } from '../../helpers/fake-registry.ts';
import { fakeDefinition } from '../../helpers/fake-views.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { settled } from '../../helpers/manual-time.ts';

t.test('names are unique, and unknown ones are refused everywhere', async (t) => {
  const { registry } = stand(t);
  t.match(await registry.register(fakeDefinition('tool')), {
    name: 'tool',
    state: 'registered',
    origin: 'api',
    managed: true,
    runs: [],
  });
  t.throws(() => registry.add(fakeDefinition('tool')), isGovernorError('tool_exists'));
  const refusals: readonly (() => unknown)[] = [
    () => registry.tool('nobody'),
    () => registry.runs('nobody'),
    () => registry.usageOf('nobody'),
    () => registry.processes('nobody'),
    () => registry.sockets('nobody'),
    () => registry.files('nobody'),
    () => registry.logs('nobody', 1),
  ];
  for (const ask of refusals) t.throws(ask, isGovernorError('unknown_tool'));
  const asked: readonly Promise<unknown>[] = [
    registry.unregister('nobody'),
    registry.deactivate('nobody'),
    registry.restart('nobody'),
    registry.cleanup('nobody'),
    registry.activate('nobody', { context: null }),
  ];
  for (const ask of asked) await t.rejects(ask, isGovernorError('unknown_tool'));
  t.throws(() => registry.run('nosuchrun1'), isGovernorError('unknown_run'));
  await t.rejects(registry.restart('tool', 'nosuchrun1'), isGovernorError('unknown_run'));
  await t.rejects(registry.endContext('nowhere'), isGovernorError('unknown_context'));
});

t.test('what a client starts, the daemon cannot', async (t) => {
  const scene = stand(t);
  await scene.launch('direct');
  await t.rejects(scene.registry.activate('direct', { context: null }), isGovernorError('not_managed'));
  await t.rejects(scene.registry.restart('direct'), isGovernorError('not_managed'));
  t.throws(() => scene.registry.logs('direct', 10), isGovernorError('not_managed'));
});

t.test('contexts gather runs over tools, and end together', async (t) => {
  const scene = stand(t);
  scene.tool('one');
  const first = await scene.registry.activate('one', { context: 'chat' });
  const other = await scene.registry.activate('one', { context: 'other' });
  const second = await scene.launch('two', {}, { context: 'chat' });
  await scene.launch('three');
  t.match(scene.registry.contexts(), [
    {
      id: 'chat',
      budget: { scope: 'context', context: 'chat', runs: 2, stage: 'normal' },
      runs: [
        { tool: 'one', run: first.id },
        { tool: 'two', run: second.id },
      ],
    },
    { id: 'other', runs: [{ tool: 'one', run: other.id }] },
  ]);
  await scene.registry.endContext('chat');
  t.match(scene.registry.run(first.id), {
    state: 'ended',
    end: { reason: 'context_ended', message: 'stopped: its context chat ended' },
  });
  t.match(scene.registry.run(second.id), { state: 'ended' });
  t.match(scene.registry.run(other.id), { state: 'running' });
});

t.test('restart: one stop, one start, from whatever state', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool');
  await scene.registry.restart('tool');
  t.equal(tool.state, 'active', 'from nothing');
  await scene.registry.restart('tool');
  t.equal(tool.runs.size, 1);
  t.match(tool.lastEnd, { reason: 'restart' });
  await tool.activate(null);
  const [keep, replace] = [...tool.runs.keys()];
  await scene.registry.restart('tool', replace);
  t.equal(tool.runs.size, 2);
  t.ok(tool.runs.has(keep ?? ''));
  const gate = scene.points.hold('backend.create');
  const starting = t.rejects(tool.activate(null), isGovernorError('illegal_state'));
  await settled();
  const restarted = scene.registry.restart('tool');
  await settled();
  gate();
  await starting;
  await restarted;
  t.equal(tool.state, 'active');
  t.equal(tool.runs.size, 1);
  t.equal(scene.launched.filter(({ alive }) => alive).length, 1);
});

t.test('shutting down', async (t) => {
  t.test('with every run', async (t) => {
    const scene = stand(t);
    scene.tool('managed');
    await scene.registry.activate('managed', { context: null });
    await scene.launch('direct');
    await scene.registry.close('all');
    t.same(scene.ledger.size, 0);
    t.match(
      scene
        .recordsOf('cleanup')
        .map(({ tool, reason }) => [tool, reason])
        .toSorted(),
      [
        ['direct', 'shutdown'],
        ['managed', 'shutdown'],
      ],
    );
    t.equal(scene.time.pending, 0, 'no timer keeps the daemon');
    t.throws(() => scene.registry.add(fakeDefinition('late')), isGovernorError('shutting_down'));
    await t.rejects(scene.launch('late'), isGovernorError('shutting_down'));
    await t.rejects(scene.registry.activate('managed', { context: null }), isGovernorError('shutting_down'));
    await t.rejects(scene.registry.reload(), isGovernorError('shutting_down'));
  });

  t.test('leaving direct runs alive, limited and on record', async (t) => {
    const scene = stand(t);
    scene.tool('managed');
    await scene.registry.activate('managed', { context: null });
    const direct = await scene.launch('direct', { limits: limited({ memory: 100 }) });
    await scene.registry.close('managed');
    t.same(
      [...scene.ledger.values()].map(({ runId, step }) => [runId, step]),
      [[direct.id, 'running']],
    );
    t.ok(scene.processes.get(direct.leader?.pid ?? 0).alive);
    t.notOk(scene.trees[1]?.removed);
    t.match(scene.trees[1]?.applied, { memory: { limit: 100 } });
    t.notOk(scene.launched[0]?.alive);
    t.equal(scene.time.pending, 0);
  });

  t.test('while tools are being started', async (t) => {
    for (const point of ['tempDirs.create', 'backend.create', 'limits.apply', 'launch', 'attach', 'connect']) {
      const scene = stand(t);
      const gate = scene.points.hold(point);
      const started = scene.tool('tool', { readiness: 'mcp', autostart: true }).activate(null);
      const over = Promise.allSettled([started]);
      await settled();
      const closed = scene.registry.close('all');
      await settled();
      gate();
      await over;
      await closed;
      t.ok(
        scene.launched.every(({ alive }) => !alive),
        `${point}: nothing lives`,
      );
      t.equal(scene.ledger.size, 0, point);
      t.equal(scene.time.pending, 0, `${point}: no recovery is planned`);
    }
  });

  t.test("while a client's tool is being started", async (t) => {
    const scene = stand(t);
    const gate = scene.points.hold('attach');
    const started = scene.launch('tool');
    await settled();
    const closed = scene.registry.close('all');
    await settled();
    gate();
    await started;
    await closed;
    t.equal(scene.ledger.size, 0);
    t.same(scene.registry.tools(), []);
  });
});

t.test('an ended run can be asked for after its tool has gone', async (t) => {
  const scene = stand(t);
  const runs = [];
  for (let count = 0; count < 3; count++) {
    const run = await scene.launch('tool');
    runs.push(run.id);
    await scene.registry.deactivate('tool');
  }
  for (const id of runs) t.match(scene.registry.run(id), { id, state: 'ended', pid: null, tool: 'tool' });
  const newestFirst = runs.toReversed();
  t.same(
    scene.registry.runs('tool').map(({ id }) => id),
    newestFirst,
  );
  const live = await scene.launch('tool');
  t.same(
    scene.registry.runs('tool').map(({ id }) => id),
    [live.id, ...newestFirst],
    'with those of the tool of the same name that came before',
  );
  await scene.launch('other');
  await scene.registry.deactivate('other');
  t.same(
    scene.registry.allRuns().map(({ tool, state }) => `${tool} ${state}`),
    ['tool running', 'other ended', 'tool ended', 'tool ended', 'tool ended'],
  );
});

t.test('the last lines of stderr, masked', async (t) => {
  const scene = stand(t);
  scene.tool('tool');
  await scene.registry.activate('tool', { context: null });
  scene.launched[0]?.stderr.write('one\ntwo --token=abcdefgh12345678\nhal');
  await settled();
  t.same(scene.registry.logs('tool', 10).slice(0, 1), ['one']);
  t.equal(scene.registry.logs('tool', 10).length, 2, 'half a line is not a line');
  t.notMatch(scene.registry.logs('tool', 10).join(), /abcdefgh12345678/);
  await scene.registry.deactivate('tool');
  t.same(scene.registry.logs('tool', 1), ['hal'], 'the reason comes in from its stderr, where it was written');
  t.same(scene.lastWords, ['governor: tool: stopped on request']);
  await scene.registry.activate('tool', { context: null });
  scene.points.fail('lastWord.open', new Error('EACCES'), 1);
  await scene.registry.deactivate('tool');
  t.same(scene.registry.logs('tool', 1), ['governor: tool: stopped on request'], 'where it could not be, it is added');
});

t.test('usage: the sum over the runs, the highest ratio, and what is not read is not zero', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { limits: limited({ memory: 100, tasks: 10 }) });
  t.match(scene.registry.usageOf('tool').resources[0], {
    resource: 'memory',
    usage: null,
    limit: 100,
    quality: 'gone',
    unsupported: 'asleep',
    enforcement: 'kernel',
    at: null,
  });
  t.match(
    scene.registry
      .tool('tool')
      .limits.map(({ resource, enforcement }) => [resource, enforcement])
      .slice(0, 2),
    [
      ['memory', 'kernel'],
      ['cpu', 'observed'],
    ],
    'of a tool that sleeps it is what the host can do; without a limit nothing is enforced',
  );
  await tool.activate(null);
  t.same(scene.registry.usageOf('tool').runs, [], 'not sampled yet');
  await tool.activate(null);
  const [first, second] = scene.trees;
  Object.assign(first?.holds ?? {}, { memory: 30, tasks: 4 });
  Object.assign(second?.holds ?? {}, { memory: 50, tasks: { kind: 'unsupported', reason: 'EACCES' } });
  await scene.time.pass(1_000);
  const usage = scene.registry.usageOf('tool');
  const of = (name: string) => usage.resources.find(({ resource }) => resource === name);
  t.match(of('memory'), {
    usage: 80,
    limit: 100,
    ratio: 0.5,
    quality: 'cgroup',
    enforcement: 'kernel',
    stage: 'normal',
  });
  t.match(of('tasks'), { usage: null, ratio: 0.4, quality: 'unsupported', unsupported: 'EACCES', at: null });
  t.match(of('sockets'), { limit: null, enforcement: 'observed', ratio: null });
  t.equal(usage.runs.length, 2);
  t.same(
    scene.registry.usage().map(({ tool: name }) => name),
    ['tool'],
  );
});

t.test('without a run a limit is shown with what this host would do for one', async (t) => {
  const scene = stand(t);
  const limits = limited({ memory: 100, cpu: 50, runtime: 1_000 });
  const enforcement = (name: string): readonly string[] =>
    scene.registry
      .tool(name)
      .limits.filter(({ limit }) => limit !== null)
      .map(({ resource, enforcement: by }) => `${resource} ${by}`);
  scene.tool('asleep', { limits });
  t.same(enforcement('asleep'), ['memory kernel', 'cpu polled', 'runtime polled']);
  await scene.registry.setLimits('asleep', { cpu: null }, 'a test');
  t.same(enforcement('asleep'), ['memory kernel', 'runtime polled']);
  scene.tool('dry', { limits, dryRun: true });
  t.same(enforcement('dry'), ['memory observed', 'cpu observed', 'runtime polled'], 'a dry run enforces nothing');
  scene.tool('elsewhere', { limits, command: 'docker', args: ['run', 'image'] });
  t.same(enforcement('elsewhere'), ['memory none', 'cpu none', 'runtime none'], 'nor can it be done here');
  t.match(scene.registry.usageOf('elsewhere').resources[0], { enforcement: 'none' });
  t.match(scene.registry.tool('elsewhere').leaks, {
    point: { outside: [/^it is not watched at all: the process runs in a container of docker/] },
  });
});

t.test('ten thousand registrations come and go, one too many is refused', async (t) => {
  const scene = stand(t);
  for (let count = 0; count < 10_000; count++) {
    scene.registry.add(fakeDefinition('tool'));
    await scene.registry.unregister('tool');
  }
  t.equal(scene.forgotten.length, 10_000);
  t.equal(scene.time.pending, 0);
  for (let count = 0; count < 20_000; count++) scene.registry.add(fakeDefinition(`tool ${count}`));
  t.throws(() => scene.registry.add(fakeDefinition('one more')), isGovernorError('too_many_tools'));
});
