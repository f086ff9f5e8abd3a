import t from 'tap';
import { stand } from '../../helpers/fake-registry.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { settled } from '../../helpers/manual-time.ts';
import { SERVER } from '../../helpers/fake-ports.ts';

const lifecycle = (scene: ReturnType<typeof stand>): readonly string[] =>
  scene.recordsOf('lifecycle').map(({ from, to, event }) => `${event}: ${from} → ${to}`);

t.test('a managed tool from start to stop: states, server, limits in force before the gate opens', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { readiness: 'mcp' });
  const run = await tool.activate('a context');
  t.equal(tool.state, 'active');
  t.equal(run.state, 'running');
  t.same(tool.server, SERVER);
  t.match(scene.registry.tool('tool'), {
    state: 'active',
    runs: [{ id: run.id, context: 'a context', mode: 'managed', pid: 100 }],
  });
  const { log } = scene.points;
  for (const before of ['ledger: intended', 'limits applied', 'attached', 'ledger: running']) {
    t.ok(
      log.indexOf(before) < log.findIndex((line) => line.startsWith('gate opened')),
      `${before} comes before the gate`,
    );
    t.ok(log.includes(before));
  }
  t.equal(scene.ledger.get(run.id)?.step, 'running');
  await tool.stop('requested', 'stopped on request');
  t.equal(tool.state, 'registered');
  t.equal(tool.server, null);
  t.equal(tool.runs.size, 0);
  t.equal(scene.ledger.size, 0);
  t.equal(scene.tempDirs.size, 0);
  t.match(tool.lastEnd, { reason: 'requested', message: 'stopped on request', exit: { signal: 'SIGTERM' } });
  t.same(lifecycle(scene), [
    'registered: unknown → registered',
    'activate_requested: registered → activating',
    'run_started: activating → active',
    'deactivate_requested: active → deactivating',
    'last_run_ended: deactivating → registered',
  ]);
  t.match(scene.registry.runs('tool'), [{ id: run.id, state: 'ended', end: { reason: 'requested' } }]);
});

t.test('what the monitor finds ends the run, each with its own reason', async (t) => {
  const scene = stand(t);
  const ends = async (
    name: string,
    overrides: Parameters<typeof scene.launch>[2],
    happens: (run: { leader: number }) => void,
  ): Promise<unknown> => {
    const run = await scene.launch(name, {}, overrides);
    happens({ leader: run.leader?.pid ?? 0 });
    await scene.time.pass(2_000);
    return scene.registry.run(run.id).end;
  };
  const client = scene.processes.start();
  t.match(await ends('empty', {}, ({ leader }) => scene.processes.get(leader).end()), {
    reason: 'exited',
    message: 'ended by itself',
    exit: 'unknown',
  });
  t.match(
    await ends('left behind', {}, ({ leader }) => {
      scene.tree.fork();
      scene.processes.get(leader).end();
    }),
    { reason: 'exited', message: 'ended by itself; what it left behind was stopped' },
  );
  t.match(await ends('client', { clients: [client.identity] }, () => client.end()), {
    reason: 'client_died',
    message: `stopped: its client (process ${client.pid}) is gone`,
  });
  t.match(
    await ends('oom', {}, ({ leader }) => {
      scene.tree.holds.oomKills = 1;
      scene.processes.get(leader).end();
    }),
    { reason: 'oom_kill', resource: 'memory' },
  );
  t.same(scene.registry.tools(), [], 'ad-hoc tools go with their last run');
  t.same(scene.forgotten.toSorted(), ['client', 'empty', 'left behind', 'oom']);
  t.same(scene.ledger.size, 0);
});

t.test('a detached tool may put itself into the background, and its client may die', async (t) => {
  const scene = stand(t);
  const client = scene.processes.start();
  const run = await scene.launch('daemon', {}, { detached: true, clients: [client.identity] });
  const rest = scene.tree.fork();
  scene.processes.get(run.leader?.pid ?? 0).end();
  client.end();
  await scene.time.pass(5_000);
  t.equal(run.state, 'running');
  rest.end();
  await scene.time.pass(2_000);
  t.match(run.end, { reason: 'exited', message: 'ended by itself' });
});

t.test('a sample that fails is said, and the run goes on', async (t) => {
  const scene = stand(t);
  const run = await scene.launch('tool');
  scene.points.fail('sample', new Error('ENODEV'), 1);
  await scene.time.pass(3_000);
  t.same(scene.complaints, ['sampling failed: ENODEV']);
  t.equal(run.state, 'running');
});

t.test('stop while it is starting', async (t) => {
  t.test('before anything is contained', async (t) => {
    const scene = stand(t);
    const tool = scene.tool('tool', { readiness: 'mcp' });
    const go = scene.points.hold('backend.create');
    const started = tool.activate(null);
    await settled();
    let stopped = false;
    const stop = tool.stop('requested', 'stopped on request').then(() => (stopped = true));
    await settled();
    t.equal(tool.state, 'deactivating');
    t.notOk(stopped, 'a stop resolves when nothing is left, not before');
    go();
    await t.rejects(started, isGovernorError('illegal_state'));
    await stop;
    t.equal(tool.state, 'registered', 'and no recovery is planned for what somebody stopped');
    t.equal(tool.runs.size, 0);
    t.equal(scene.ledger.size, 0);
    t.ok(scene.launched.every(({ alive }) => !alive));
    await scene.time.pass(120_000);
    t.equal(tool.runs.size, 0, 'it stays stopped');
  });

  t.test('in the middle of its handshake', async (t) => {
    const scene = stand(t);
    const tool = scene.tool('tool', { readiness: 'mcp' });
    scene.points.hold('connect');
    const started = tool.activate(null);
    await settled();
    t.equal(tool.runs.size, 1);
    const refused = t.rejects(started);
    await tool.stop('requested', 'stopped on request');
    await refused;
    t.equal(tool.state, 'registered');
    t.match(tool.lastEnd, { reason: 'requested' });
    await scene.time.pass(120_000);
    t.equal(tool.state, 'registered', 'it stays stopped');
    t.same(scene.recordsOf('recovery'), []);
  });

  t.test('only this run, by its id', async (t) => {
    const scene = stand(t);
    const tool = scene.tool('tool', { readiness: 'mcp' });
    scene.points.hold('connect');
    const started = t.rejects(tool.activate(null));
    await settled();
    await tool.stop('requested', 'stopped on request', [...tool.runs.keys()][0]);
    await started;
    await scene.time.pass(120_000);
    t.equal(tool.state, 'registered');
    t.same(scene.recordsOf('recovery'), []);
  });

  t.test('a direct one', async (t) => {
    const scene = stand(t);
    const go = scene.points.hold('attach');
    const started = scene.launch('tool');
    await settled();
    const tool = scene.registry.live.get('tool');
    const stop = tool?.stop('requested', 'stopped on request');
    go();
    await started;
    await stop;
    await settled();
    t.same(scene.registry.tools(), []);
    t.equal(scene.ledger.size, 0);
  });
});

t.test('concurrent starts and ends', async (t) => {
  const scene = stand(t);
  const tool = scene.tool();
  const holds = scene.points.hold('launch');
  const starts = [tool.activate(null), tool.activate(null), tool.activate(null)];
  await settled();
  t.equal(tool.state, 'activating');
  holds();
  const runs = await Promise.all(starts);
  t.equal(tool.state, 'active');
  t.equal(new Set(runs.map(({ id }) => id)).size, 3);
  const [first, second, third] = runs;
  // The same end asked for three times, and another beside it.
  await Promise.all([
    tool.stop('requested', 'one', first?.id),
    tool.stop('limit', 'two', first?.id),
    tool.stop('requested', 'one', first?.id),
    tool.stop('requested', 'one', second?.id),
  ]);
  t.equal(tool.state, 'active', 'one is left');
  t.equal(first?.end?.message, 'one', 'the first reason wins');
  t.equal(tool.ended.length, 2, 'each ended once');
  t.equal(scene.recordsOf('cleanup').length, 2);
  // A start while the last run ends: the tool must not be forgotten, or left in a state of its own.
  const gate = scene.points.hold('launch');
  const fourth = tool.activate(null);
  await settled();
  await tool.stop('requested', 'one', third?.id);
  t.equal(tool.state, 'active');
  gate();
  await fourth;
  t.equal(tool.state, 'active');
  t.equal(tool.runs.size, 1);
});

t.test('an ad-hoc tool stays while another start of it is under way', async (t) => {
  const scene = stand(t);
  const first = await scene.launch('tool');
  const gate = scene.points.hold('attach');
  const second = scene.launch('tool');
  await settled();
  scene.processes.get(first.leader?.pid ?? 0).end();
  await scene.time.pass(2_000);
  t.same(scene.forgotten, []);
  gate();
  const run = await second;
  t.match(scene.registry.tool('tool'), { state: 'active', runs: [{ id: run.id }] });
  await scene.registry.deactivate('tool', run.id);
  t.same(scene.forgotten, ['tool']);
  t.match(scene.registry.run(run.id), { state: 'ended' }, 'its history stays');
  t.match(scene.registry.run(first.id), { state: 'ended' });
});

t.test('a launcher that is gone leaves nothing', async (t) => {
  const scene = stand(t);
  await t.rejects(scene.launch('tool', {}, { go: () => false }), isGovernorError('launch_failed'));
  t.same(scene.registry.tools(), []);
  t.same(scene.forgotten, ['tool']);
  t.equal(scene.ledger.size, 0);
  t.equal(scene.tempDirs.size, 0);
  t.notOk(scene.tree.watched);
});

t.test('a launcher that is gone does not disturb the other runs of its tool', async (t) => {
  const scene = stand(t);
  const run = await scene.launch('tool');
  await t.rejects(scene.launch('tool', {}, { go: () => false }), isGovernorError('launch_failed'));
  t.match(scene.registry.tool('tool'), { state: 'active', runs: [{ id: run.id }] });
  t.equal(scene.registry.tool('tool').runs.length, 1);
});

t.test('unregister', async (t) => {
  t.test('of an active tool stops its runs first', async (t) => {
    const scene = stand(t);
    const tool = scene.tool();
    const run = await tool.activate(null);
    await scene.registry.unregister('tool');
    t.match(run.end, { reason: 'unregistered' });
    t.same(scene.forgotten, ['tool']);
    t.throws(() => scene.registry.tool('tool'), isGovernorError('unknown_tool'));
    t.equal(lifecycle(scene).at(-1), 'last_run_ended: unregistering → gone');
    t.equal(scene.ledger.size, 0);
  });

  t.test('refuses what comes after it', async (t) => {
    const scene = stand(t);
    const tool = scene.tool();
    await tool.activate(null);
    const gate = scene.points.hold('tempDirs.remove');
    const gone = tool.unregister();
    await t.rejects(tool.activate(null), isGovernorError('illegal_state'));
    await t.rejects(scene.launch('tool'), isGovernorError('illegal_state'));
    gate();
    await gone;
    await t.rejects(tool.unregister(), isGovernorError('unknown_tool'), 'once is enough');
    await t.rejects(tool.activate(null), isGovernorError('unknown_tool'));
    t.same(scene.forgotten, ['tool']);
  });

  t.test('while it is starting', async (t) => {
    const scene = stand(t);
    const tool = scene.tool();
    const gate = scene.points.hold('backend.create');
    const started = t.rejects(tool.activate(null));
    await settled();
    const gone = tool.unregister();
    gate();
    await started;
    await gone;
    t.same(scene.forgotten, ['tool'], 'once');
    t.equal(scene.ledger.size, 0);
    t.ok(scene.launched.every(({ alive }) => !alive));
  });

  t.test('of a tool that waits for its recovery', async (t) => {
    const scene = stand(t);
    const tool = scene.tool();
    await tool.activate(null);
    scene.launched[0]?.end({ code: 1 });
    await scene.time.pass(100);
    t.equal(tool.state, 'recovering');
    await tool.unregister();
    t.same(scene.forgotten, ['tool']);
    await scene.time.pass(120_000);
    t.equal(scene.launched.length, 1);
  });
});

t.test('refused starts say why and change nothing', async (t) => {
  const scene = stand(t);
  scene.points.fail('resolveCommand', Object.assign(new Error('no such command'), {}), 1);
  const tool = scene.tool('tool', { recovery: { strategy: 'stop', budget: 5, windowMs: 600_000 } });
  await t.rejects(tool.activate(null), { message: 'no such command' });
  t.equal(tool.state, 'registered');
  t.equal(scene.trees.length, 0);
  await t.rejects(tool.stop('requested', 'x', 'nosuchrun1'), isGovernorError('unknown_run'));
});

t.test('the CPU time of a tool never falls when a run ends', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { recovery: { strategy: 'stop', budget: 5, windowMs: 600_000 } });
  t.equal(tool.cpuTimeMs, null);
  await tool.activate(null);
  scene.tree.holds.cpuTimeMs = 700;
  await scene.time.pass(1_000);
  t.equal(tool.cpuTimeMs, 700);
  await tool.stop('requested', 'x');
  t.equal(tool.cpuTimeMs, 700);
  await tool.activate(null);
  scene.tree.holds.cpuTimeMs = 50;
  await scene.time.pass(1_000);
  t.equal(tool.cpuTimeMs, 750);
});

t.test('only the last twenty ended runs are kept', async (t) => {
  const scene = stand(t);
  const tool = scene.tool();
  for (let count = 0; count < 23; count++) {
    await tool.activate(null);
    await tool.stop('requested', `stop ${count}`);
  }
  t.equal(tool.ended.length, 20);
  t.equal(tool.ended[0]?.end?.message, 'stop 22', 'newest first');
});
