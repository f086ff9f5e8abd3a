import t from 'tap';
import { GovernorError } from '../../../lib/core/errors.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { limited } from '../../helpers/fake-ports.ts';
import { DEFAULT_ACTIONS } from '../../../lib/core/response.ts';
import type { Tool } from '../../../lib/supervisor/tool.ts';

const RESTART = { strategy: 'restart', budget: 2, windowMs: 600_000 } as const;

/** The newest process of it ends with a fault, and the monitor has time to see it. */
async function crash(scene: Stand): Promise<void> {
  scene.launched.at(-1)?.end({ code: 1 });
  await scene.time.pass(50);
}

const outcomes = (scene: Stand): readonly unknown[] =>
  scene
    .recordsOf('recovery')
    .map(({ outcome, detail }) => [outcome, detail?.['attempt'] ?? null, detail?.['delayMs'] ?? null]);

t.test('a crash is answered with a back-off, and over the budget the breaker opens', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { recovery: RESTART });
  await tool.activate(null);
  await crash(scene);
  t.equal(tool.state, 'recovering');
  t.equal(
    Date.parse(scene.registry.tool('tool').recovery.nextAttemptAt ?? '') - scene.clock.wallMs() > 900,
    true,
    'it is said when',
  );
  await scene.time.pass(900);
  t.equal(tool.state, 'recovering', 'not before its time');
  await scene.time.pass(100);
  t.equal(tool.state, 'active');
  t.equal(scene.launched.length, 2);
  await crash(scene);
  await scene.time.pass(1_800);
  t.equal(tool.state, 'recovering', 'twice as long');
  await scene.time.pass(200);
  t.equal(tool.state, 'active');
  await crash(scene);
  t.equal(tool.state, 'failed', 'the third failure is one too many for 2/10m');
  t.same(outcomes(scene), [
    ['scheduled', 1, 1_000],
    ['failed', 1, null],
    ['scheduled', 2, 2_000],
    ['failed', 2, null],
    ['gave_up', null, null],
  ]);
  await t.rejects(tool.activate(null), isGovernorError('breaker_open'));
  await scene.time.pass(300_000);
  await t.rejects(tool.activate(null), isGovernorError('breaker_open'));
  t.equal(scene.launched.length, 3);
  await scene.time.pass(300_000);
  await tool.activate(null);
  t.equal(tool.state, 'active', 'when the window has passed, the next start is the probe');
});

t.test('someone who has mended it closes the breaker', async (t) => {
  for (const mend of ['cleanup', 'restart'] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', { recovery: { ...RESTART, budget: 0 } });
    await tool.activate(null);
    await crash(scene);
    t.equal(tool.state, 'failed');
    await scene.registry[mend]('tool');
    t.equal(tool.state, mend === 'cleanup' ? 'registered' : 'active');
    t.equal(scene.recordsOf('recovery').at(-1)?.outcome, 'reset');
    t.equal(scene.registry.tool('tool').recovery.attempts, 0);
  }
});

t.test('the failures are remembered beyond the registration', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { recovery: { ...RESTART, budget: 1 } });
  await tool.activate(null);
  await crash(scene);
  await scene.registry.unregister('tool');
  const again = scene.tool('tool', { recovery: { ...RESTART, budget: 1 } });
  await again.activate(null);
  await crash(scene);
  t.equal(again.state, 'failed');
});

t.test('a run that lived a minute makes the back-off start anew', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { recovery: { ...RESTART, budget: 50 } });
  await tool.activate(null);
  for (const [livedMs, attempt, delayMs] of [
    [100, 1, 1_000],
    [100, 2, 2_000],
    [61_000, 1, 1_000],
    [100, 2, 2_000],
  ] as const) {
    await scene.time.pass(livedMs);
    await crash(scene);
    t.equal(tool.recovery.attempts, attempt, `after ${livedMs} ms`);
    await scene.time.pass(delayMs);
    t.equal(tool.state, 'active');
  }
});

t.test('a stop, an unregistration, a shutdown are no faults', async (t) => {
  const scene = stand(t);
  const ask: Readonly<Record<string, (tool: Tool) => Promise<unknown>>> = {
    requested: (tool) => scene.registry.deactivate(tool.name),
    'one run': (tool) => scene.registry.deactivate(tool.name, [...tool.runs.keys()][0]),
    context: () => scene.registry.endContext('a context'),
  };
  for (const [name, act] of Object.entries(ask)) {
    const tool = scene.tool(name, { recovery: RESTART });
    await tool.activate('a context');
    await act(tool);
    await scene.time.pass(120_000);
    t.equal(tool.state, 'registered', name);
  }
  t.same(scene.recordsOf('recovery'), []);
});

t.test('a stop cancels the start that was planned', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { recovery: RESTART });
  await tool.activate(null);
  await crash(scene);
  t.equal(tool.state, 'recovering');
  await scene.registry.deactivate('tool');
  t.equal(tool.state, 'registered');
  await scene.time.pass(120_000);
  t.equal(scene.launched.length, 1);
});

t.test('a start by hand takes the place of the planned one', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { recovery: RESTART });
  await tool.activate(null);
  await crash(scene);
  await scene.registry.activate('tool', { context: null });
  t.equal(tool.state, 'active');
  await scene.time.pass(120_000);
  t.equal(scene.launched.length, 2);
});

t.test('a tool that never becomes ready is tried again, then held back', async (t) => {
  const scene = stand(t);
  scene.points.fail('connect', new Error('it does not speak MCP'));
  const tool = scene.tool('tool', { readiness: 'mcp', recovery: { ...RESTART, budget: 1 } });
  await t.rejects(tool.activate(null), { message: 'it does not speak MCP' });
  t.equal(tool.state, 'recovering');
  t.match(tool.lastEnd, { reason: 'not_ready', message: 'did not become ready: it does not speak MCP' });
  await scene.time.pass(1_000);
  t.equal(tool.state, 'failed');
  t.same(scene.complaints, ['a restart failed: it does not speak MCP']);
  t.equal(scene.launched.length, 2);
  t.ok(scene.launched.every(({ alive }) => !alive));
  t.equal(scene.ledger.size, 0);
});

t.test('strategy stop: never started again, and a configured stop neither', async (t) => {
  const scene = stand(t);
  const stays = scene.tool('stays', { recovery: { ...RESTART, strategy: 'stop' } });
  await stays.activate(null);
  await crash(scene);
  t.equal(stays.state, 'registered');

  const actions = { ...DEFAULT_ACTIONS.tasks, cleanup: ['stop'] } as const;
  const limits = limited({ tasks: 100 }, { actions });
  const stopped = scene.tool('stopped', { recovery: RESTART, limits });
  await stopped.activate(null);
  scene.tree.holds.tasks = 120;
  await scene.time.pass(5_000);
  t.match(stopped.lastEnd, { reason: 'limit', resource: 'tasks' });
  await scene.time.pass(120_000);
  t.equal(stopped.state, 'registered');
  t.same(scene.recordsOf('recovery'), []);

  const recycled = scene.tool('recycled', { recovery: RESTART, limits: limited({ tasks: 100 }) });
  await recycled.activate(null);
  scene.tree.holds.tasks = 120;
  await scene.time.pass(10_000);
  t.match(recycled.lastEnd, { reason: 'limit', resource: 'tasks' });
  t.equal(recycled.state, 'active', 'a recycle is followed by a new run');
});

t.test('the breaker of direct runs counts emergency stops alone', async (t) => {
  const scene = stand(t);
  const overrides = { limits: limited({ tasks: 100 }), recovery: { ...RESTART, budget: 1 } };
  for (let run = 0; run < 3; run++) {
    const started = await scene.launch('tool', overrides);
    scene.processes.get(started.leader?.pid ?? 0).end();
    await scene.time.pass(1_500);
  }
  for (let emergency = 0; emergency < 2; emergency++) {
    await scene.launch('tool', overrides);
    scene.tree.holds.tasks = 400;
    await scene.time.pass(1_000);
    t.match(scene.registry.tools(), emergency === 0 ? [] : [{ state: 'failed', runs: [] }], 'stopped at once');
  }
  await t.rejects(scene.launch('tool', overrides), isGovernorError('breaker_open'));
  await t.rejects(scene.launch('tool', overrides), { message: /^tool had more than 1 emergency stops in 10m/ });
  t.match(scene.registry.tool('tool'), { state: 'failed', lastEnd: { reason: 'limit' } }, 'and it can be seen why');
  await scene.time.pass(600_000);
  t.same(scene.registry.tools(), [], 'it goes when the window has passed');
  t.equal((await scene.launch('tool', overrides)).state, 'running');
});

t.test('someone closes the breaker of direct runs', async (t) => {
  const scene = stand(t);
  const overrides = { limits: limited({ tasks: 100 }), recovery: { ...RESTART, budget: 0 } };
  for (const close of [
    (name: string) => scene.registry.restart(name),
    (name: string) => scene.registry.cleanup(name),
  ]) {
    await scene.launch('tool', overrides);
    scene.tree.holds.tasks = 400;
    await scene.time.pass(1_000);
    await t.rejects(scene.launch('tool', overrides), isGovernorError('breaker_open'));
    await close('tool');
    t.same(scene.registry.tools(), []);
  }
  t.equal((await scene.launch('tool', overrides)).state, 'running');
  await t.rejects(scene.registry.restart('tool'), isGovernorError('not_managed'));
});

t.test('a start of which nothing came: it is kept why, and a missing command is not tried again', async (t) => {
  for (const [error, state] of [
    [new GovernorError('command_not_found', 'tool: command not found'), 'registered'],
    [new GovernorError('command_not_executable', 'cannot run tool'), 'registered'],
    [new Error('EAGAIN'), 'recovering'],
  ] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', { recovery: RESTART });
    scene.points.fail('resolveCommand', error, 1);
    await t.rejects(tool.activate(null), error);
    t.equal(tool.state, state);
    t.match(scene.registry.tool('tool').lastEnd, {
      reason: 'launch_failed',
      message: `could not be started: ${error.message}`,
      exit: 'unknown',
      cleanup: null,
    });
    await scene.registry.deactivate('tool');
  }
});

t.test("autostart starts what is to start, and a failure is the recovery's", async (t) => {
  const scene = stand(t);
  scene.tool('first', { autostart: true });
  scene.tool('second', { autostart: false });
  scene.points.fail('launch', new Error('no processes left'), 1);
  scene.tool('third', { autostart: true, origin: 'file' });
  scene.registry.autostart();
  await scene.time.pass(10);
  t.same(
    scene.registry.tools().map(({ name, state }) => [name, state]),
    [
      ['first', 'recovering'],
      ['second', 'registered'],
      ['third', 'active'],
    ],
  );
  t.same(scene.complaints, ['did not start: no processes left']);
  await scene.time.pass(1_000);
  t.equal(scene.registry.tool('first').state, 'active');
});

const DEMAND = { context: 'a', onDemand: true } as const;

t.test(
  'a run that somebody demanded is started by the next demand only, with back-off from the second failure on',
  async (t) => {
    const scene = stand(t);
    const tool = scene.tool('tool', { recovery: { ...RESTART, budget: 5 } });
    await tool.start(DEMAND);
    await crash(scene);
    t.equal(tool.state, 'registered');
    t.equal(
      tool.recovery.retryAfterMs({ reason: 'exited', livedMs: 0, endsTool: false }, true),
      0,
      'the first failure costs nothing, also once it is counted',
    );
    await scene.time.pass(120_000);
    t.equal(scene.launched.length, 1, 'no timer');
    await tool.start(DEMAND);
    const end = { reason: 'exited', livedMs: 0, endsTool: false } as const;
    t.equal(tool.recovery.retryAfterMs(end, false), 1_000, 'what the failure will cost');
    await crash(scene);
    t.equal(tool.recovery.retryAfterMs(end, true), 950, 'what it has cost: it is charged once');
    await t.rejects(tool.start(DEMAND), { code: 'breaker_open', data: { retryAfterMs: 950 } });
    await tool.activate(null);
    t.equal(scene.launched.length, 3, 'a person need not wait');
  },
);

t.test('a run that nobody asked for and that fails beside others is charged to the budget too', async (t) => {
  for (const [budget, isOpen] of [
    [0, true],
    [1, false],
  ] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', { readiness: 'mcp', recovery: { ...RESTART, budget } });
    await tool.activate(null);
    const used = await tool.start(DEMAND);
    scene.launched[0]?.end({ code: 1 });
    await scene.time.pass(10_000);
    t.strictSame([...tool.runs.keys()], [used.id], 'others do its work: nothing is started for it');
    t.strictSame(
      scene.recordsOf('recovery').map(({ outcome }) => outcome),
      isOpen ? ['gave_up'] : [],
    );
    t.equal(scene.registry.tool('tool').recovery.onTrial, false);
    if (isOpen) await t.rejects(tool.start({ ...DEMAND, context: 'c' }), { code: 'breaker_open' });
    else await tool.start({ ...DEMAND, context: 'c' });
    t.ok(tool.runs.has(used.id));
  }
});

t.test('while the breaker is half open only one start is let through, and only its success closes it', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { readiness: 'mcp', recovery: { ...RESTART, budget: 0 } });
  await tool.start(DEMAND);
  await crash(scene);
  t.equal(tool.state, 'failed');
  await t.rejects(tool.start(DEMAND), { code: 'breaker_open', data: { retryAfterMs: 599_950 } });
  await scene.time.pass(600_000);
  scene.points.fail('connect', new Error('still broken'), 1);
  const release = scene.points.hold('connect');
  const probe = t.rejects(tool.start(DEMAND), { message: 'still broken' });
  for (const another of [DEMAND, { context: null, onDemand: false }])
    await t.rejects(tool.start(another), { code: 'breaker_open', data: { retryAfterMs: 1_000 } });
  await scene.time.pass(10);
  release();
  await probe;
  t.equal(tool.state, 'failed', 'open again, whatever has left the window');
  await t.rejects(tool.start(DEMAND), isGovernorError('breaker_open'));
  await scene.time.pass(600_000);
  await tool.start(DEMAND);
  await tool.start({ ...DEMAND, context: 'b' });
  t.equal(tool.state, 'active');
});

t.test('a probe that somebody stops decides nothing', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { readiness: 'mcp', recovery: { ...RESTART, budget: 0 } });
  await tool.start(DEMAND);
  await crash(scene);
  await scene.time.pass(600_000);
  scene.points.hold('connect');
  const probe = t.rejects(tool.start(DEMAND), { message: /closed its output|stopped/ });
  await scene.time.pass(10);
  await scene.registry.deactivate('tool');
  await probe;
  t.equal(scene.recordsOf('recovery').filter(({ outcome }) => outcome === 'gave_up').length, 1);
});

t.test('a configured stop holds for demands too, until a person starts it', async (t) => {
  const scene = stand(t);
  const actions = { ...DEFAULT_ACTIONS.tasks, cleanup: ['stop'] as const };
  const tool = scene.tool('tool', { recovery: RESTART, limits: limited({ tasks: 10 }, { actions }) });
  await tool.start(DEMAND);
  scene.tree.holds.tasks = 11;
  await scene.time.pass(5_000);
  t.match(tool.lastEnd, { reason: 'limit' });
  await t.rejects(tool.start(DEMAND), { code: 'breaker_open', message: /is not started again/, data: {} });
  await tool.activate(null);
  await tool.start(DEMAND);
  t.equal(tool.runs.size, 2);
});

t.test('sleep and a failed health check: the one is no failure, the other is', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { recovery: { ...RESTART, budget: 0 } });
  const run = await tool.start(DEMAND);
  await tool.stop('idle', 'put to sleep', run.id);
  const again = await tool.start(DEMAND);
  await tool.stop('unhealthy', 'did not answer', again.id);
  t.equal(tool.state, 'failed');
});
