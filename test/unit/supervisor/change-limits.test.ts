import t from 'tap';
import { limited } from '../../helpers/fake-ports.ts';
import { stand } from '../../helpers/fake-registry.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { settled } from '../../helpers/manual-time.ts';

t.test('a changed limit holds at once, in the ladder and in the kernel, and is on record', async (t) => {
  const scene = stand(t);
  const run = await scene.launch('tool', { limits: limited({ memory: 1_000, tasks: 100 }, { reason: 'measured' }) });
  await scene.time.pass(1_000);
  scene.points.log.length = 0;
  const view = await scene.registry.setLimits('tool', { memory: 500, sockets: 20, tasks: null }, 'token default');
  t.same(scene.recordsOf('limits'), [
    { kind: 'limits', tool: 'tool', run: run.id, resource: 'memory', before: 1_000, after: 500, by: 'token default' },
    { kind: 'limits', tool: 'tool', run: run.id, resource: 'sockets', before: null, after: 20, by: 'token default' },
    { kind: 'limits', tool: 'tool', run: run.id, resource: 'tasks', before: 100, after: null, by: 'token default' },
  ]);
  t.match(scene.tree.applied, { memory: { limit: 500 }, sockets: { limit: 20 }, tasks: null });
  const memory = view.limits.find(({ resource }) => resource === 'memory');
  t.match(memory, { limit: 500, source: { from: 'api', detail: 'token default' } });
  t.notOk('reason' in (memory ?? {}), 'the former reason was for the former limit');
  t.match(
    view.runs[0]?.limits.find(({ resource }) => resource === 'tasks'),
    { limit: null, enforcement: 'observed', source: { from: 'api', detail: 'token default' } },
    'who lifted it is shown',
  );
  const again = await scene.registry.setLimits('tool', { tasks: 50 }, 'me');
  t.match(
    again.limits.find(({ resource }) => resource === 'tasks'),
    { limit: 50, source: { from: 'api', detail: 'me' } },
  );
  t.match(
    again.limits.find(({ resource }) => resource === 'runtime'),
    { limit: null, source: null },
    'of which nobody has said anything',
  );
});

t.test('the same limit again is no change', async (t) => {
  const scene = stand(t);
  await scene.launch('tool', { limits: limited({ memory: 1_000 }) });
  await scene.registry.setLimits('tool', { memory: 1_000 }, 'me');
  t.same(scene.recordsOf('limits'), []);
});

t.test('lowered below what is in use: the ladder first, the kernel cap follows', async (t) => {
  const scene = stand(t);
  const run = await scene.launch('tool', { limits: limited({ memory: 1_000 }) });
  scene.tree.holds.memory = 700;
  await scene.time.pass(2_000);
  scene.tree.applied = null;
  await scene.registry.setLimits('tool', { memory: 400 }, 'me');
  t.equal(run.capsPending, true);
  t.equal(scene.tree.applied, null, 'a cap at 600 would kill it at once');
  // The tool frees memory when it is asked to, before the ladder has to act.
  scene.tree.holds.memory = 300;
  await scene.time.pass(1_000);
  t.equal(run.capsPending, false);
  t.match(scene.tree.applied, { memory: { limit: 400 } });
  t.equal(run.state, 'running');
});

t.test('lowered far below what is in use: flagged at the next sample', async (t) => {
  const scene = stand(t);
  const run = await scene.launch('tool', { limits: limited({ memory: 1_000 }) });
  scene.tree.holds.memory = 700;
  await scene.time.pass(2_000);
  scene.records.length = 0;
  await scene.registry.setLimits('tool', { memory: 400 }, 'me');
  await scene.time.pass(200);
  t.match(scene.recordsOf('stage'), [{ resource: 'memory', to: 'emergency', limit: 400 }]);
  t.match(run.end, {
    reason: 'limit',
    message: 'stopped: memory 700 B is 175 % of its limit of 400 B, stage emergency',
  });
});

t.test('a kernel that refuses the later cap is said, and does not end the daemon', async (t) => {
  const scene = stand(t);
  await scene.launch('tool', { limits: limited({ memory: 1_000 }) });
  scene.tree.holds.memory = 700;
  await scene.time.pass(2_000);
  await scene.registry.setLimits('tool', { memory: 400 }, 'me');
  scene.points.fail('limits.apply', new Error('EBUSY'), 1);
  scene.tree.holds.memory = 100;
  await scene.time.pass(1_000);
  t.same(scene.complaints, ['the kernel refused a limit: EBUSY']);
});

t.test('a raised limit goes to the kernel at once', async (t) => {
  const scene = stand(t);
  const run = await scene.launch('tool', { limits: limited({ memory: 100 }) });
  scene.tree.holds.memory = 95;
  await scene.time.pass(2_000);
  t.equal(run.stage('memory'), 'throttled');
  t.ok(scene.tree.braked.has('memory_high'));
  await scene.registry.setLimits('tool', { memory: 1_000 }, 'me');
  t.match(scene.tree.applied, { memory: { limit: 1_000 } });
  await scene.time.pass(2_000);
  t.equal(run.stage('memory'), 'normal');
  t.notOk(scene.tree.braked.has('memory_high'));
});

t.test('a limit that is taken away lifts its brakes', async (t) => {
  const scene = stand(t);
  const run = await scene.launch('tool', { limits: limited({ memory: 100 }) });
  scene.tree.holds.memory = 95;
  await scene.time.pass(2_000);
  await scene.registry.setLimits('tool', { memory: null }, 'me');
  await scene.time.pass(1_000);
  t.equal(run.stage('memory'), 'normal');
  t.notOk(scene.tree.braked.has('memory_high'));
});

t.test('inodes keep their proportion to the bytes', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { limits: limited({ temp_storage: 1_000 }, { inodes: 10 }) });
  await scene.registry.setLimits('tool', { temp_storage: 500 }, 'me');
  t.match(tool.definition.limits.temp_storage, { limit: 500, inodes: 5 });
  await scene.registry.setLimits('tool', { temp_storage: 1 }, 'me');
  t.match(tool.definition.limits.temp_storage, { limit: 1, inodes: 1 }, 'never none');
});

t.test('each run from what it has itself; the next one from the definition', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { limits: limited({ memory: 1_000, tasks: 10 }) });
  await scene.launch('tool', { limits: limited({ memory: 2_000 }) });
  await scene.registry.setLimits('tool', { memory: 3_000 }, 'me');
  t.match(scene.trees[0]?.applied, { memory: { limit: 3_000 }, tasks: null }, 'flags stay as they are');
  await tool.activate(null);
  t.match(scene.trees[1]?.applied, { memory: { limit: 3_000 }, tasks: { limit: 10 } });
});

t.test('the client of something that runs elsewhere stays without a cap', async (t) => {
  const scene = stand(t);
  await scene.launch('tool', { command: 'docker', args: ['run', 'image'], limits: limited({ memory: 1_000 }) });
  await scene.registry.setLimits('tool', { memory: 10 }, 'me');
  await settled();
  t.equal(scene.tree.applied?.memory ?? null, null);
});

t.test('temp storage in memory keeps a limit, and its place', async (t) => {
  const scene = stand(t);
  await scene.launch('tool', { limits: limited({ temp_storage: 1_000 }, { backing: 'tmpfs' }) });
  await t.rejects(scene.registry.setLimits('tool', { temp_storage: null }, 'me'), isGovernorError('invalid_limit'));
  await scene.registry.setLimits('tool', { temp_storage: 2_000 }, 'me');
  t.match(scene.tree.applied, { temp_storage: { limit: 2_000, backing: 'tmpfs' } });
});

t.test(
  'from usage: with its origin and reason; only where it follows, and on record without a run as well',
  async (t) => {
    const scene = stand(t);
    const limits = limited({ memory: 1_000, tasks: 50 }, { adaptive: { min: 100, max: 5_000 } });
    const tool = scene.tool('tool', { limits: { ...limits, tasks: limited({ tasks: 50 }).tasks } });
    const change = { resource: 'memory', to: 2_000, reason: 'p99' } as const;
    t.equal(await scene.registry.adaptLimit('tool', change), true);
    t.match(tool.definition.limits.memory, {
      limit: 2_000,
      reason: 'p99',
      source: { from: 'adaptive', detail: 'within the bounds of test' },
    });
    t.same(scene.recordsOf('limits'), [
      { kind: 'limits', tool: 'tool', resource: 'memory', before: 1_000, after: 2_000, by: 'adaptive', reason: 'p99' },
    ]);
    t.equal(await scene.registry.adaptLimit('tool', { ...change, to: 3_000 }), true);
    t.match(tool.definition.limits.memory?.source, { detail: 'within the bounds of test' }, 'said once');
    t.equal(await scene.registry.adaptLimit('tool', { ...change, resource: 'tasks' }), false);
    t.equal(await scene.registry.adaptLimit('nobody', change), false);
    await scene.registry.setLimits('tool', { memory: 700 }, 'me');
    t.equal(await scene.registry.adaptLimit('tool', change), false, 'a person has set it');
    t.equal(tool.definition.limits.memory?.limit, 700);
  },
);

t.test('a launch begins where its tool is by now, but for its own flags', async (t) => {
  const scene = stand(t);
  const following = limited({ memory: 1_000, tasks: 10 }, { adaptive: { min: 1, max: 5_000 } });
  scene.tool('tool', { origin: 'file', limits: following });
  for (const resource of ['memory', 'tasks'] as const)
    await scene.registry.adaptLimit('tool', { resource, to: 2_000, reason: 'p99' });
  const flag = limited({ tasks: 77 }, { source: { from: 'flag', detail: '--tasks' } });
  const run = await scene.launch('tool', { limits: { ...following, tasks: flag.tasks } });
  t.match(run.limits, { memory: { limit: 2_000, source: { from: 'adaptive' } }, tasks: { limit: 77 } });
  t.match(scene.tree.applied, { memory: { limit: 2_000 }, tasks: { limit: 77 } });
});

t.test('an unknown tool', async (t) => {
  const scene = stand(t);
  await t.rejects(scene.registry.setLimits('nobody', { memory: 1 }, 'me'), isGovernorError('unknown_tool'));
});

const NO_ACTIONS = { warning: [], throttled: [], cleanup: [], emergency: [] };
const FOLLOWS = { adaptive: { min: 100, max: 5_000 } };
const CHANGE = { resource: 'memory', to: 2_000, reason: 'p99' } as const;

t.test('from usage: within the bounds of each run, whose stages and actions stay its own', async (t) => {
  const scene = stand(t);
  scene.tool('tool', { origin: 'file', limits: limited({ memory: 1_000 }, FOLLOWS) });
  const small = limited({ memory: 300 }, { adaptive: { min: 100, max: 500 }, actions: NO_ACTIONS });
  const before = await scene.launch('tool', { limits: small });
  await scene.registry.adaptLimit('tool', CHANGE);
  const after = await scene.launch('tool', { limits: small });
  for (const { limits } of [before, after])
    t.match(limits.memory, { limit: 500, adaptive: { max: 500 }, source: { from: 'adaptive' }, reason: 'p99' });
  t.same(after.limits.memory?.actions, NO_ACTIONS);
});

t.test('from usage: what is set while the kernel is told of another run is not undone', async (t) => {
  const scene = stand(t);
  const limits = limited({ memory: 1_000, tasks: 100 }, FOLLOWS);
  scene.tool('tool', { origin: 'file', limits });
  await scene.launch('tool', { limits });
  const second = await scene.launch('tool', { limits });
  const letGo = scene.points.hold('limits.apply');
  const adapted = scene.registry.adaptLimit('tool', CHANGE);
  await settled();
  const set = scene.registry.setLimits('tool', { tasks: 50 }, 'me');
  await settled();
  letGo();
  await Promise.all([adapted, set]);
  t.match(second.limits, { memory: { limit: 2_000 }, tasks: { limit: 50, source: { from: 'api' } } });
});

t.test('set while a run of it is starting: the run gets it', async (t) => {
  const scene = stand(t);
  scene.tool('tool', { origin: 'file', limits: limited({ memory: 1_000, tasks: 10 }) });
  const letGo = scene.points.hold('tempDirs.create');
  const started = scene.registry.activate('tool', { context: null });
  await settled();
  await scene.registry.setLimits('tool', { memory: 700, tasks: null }, 'me');
  letGo();
  const { id } = await started;
  t.match(scene.tree.applied, { memory: { limit: 700 }, tasks: null });
  t.match(scene.recordsOf('limits'), [
    { run: id, resource: 'memory', before: 1_000, after: 700, by: 'me' },
    { run: id, resource: 'tasks', before: 10, after: null, by: 'me' },
  ]);
});

t.test('set on a tool of the file: it holds for what is launched as that tool later, but for flags', async (t) => {
  const scene = stand(t);
  const limits = limited({ memory: 1_000, tasks: 10, sockets: 20 });
  scene.tool('tool', { origin: 'file', limits });
  await scene.registry.setLimits('tool', { memory: 700, tasks: 77, sockets: null }, 'me');
  const flag = limited({ tasks: 5 }, { source: { from: 'flag', detail: '--tasks' } });
  const run = await scene.launch('tool', { limits: { ...limits, tasks: flag.tasks } });
  t.match(scene.tree.applied, { memory: { limit: 700 }, tasks: { limit: 5 }, sockets: null });
  t.match(run.limits.memory?.source, { from: 'api', detail: 'me' });
});

t.test('what is changed is on the ledger, and a disk that refuses that does not refuse the change', async (t) => {
  const scene = stand(t);
  const limits = limited({ memory: 1_000 }, FOLLOWS);
  const run = await scene.launch('tool', { limits });
  const onLedger = (): unknown =>
    (scene.ledger.get(run.id)?.definition as { readonly limits: typeof limits } | undefined)?.limits.memory?.limit;
  await scene.registry.adaptLimit('tool', CHANGE);
  t.equal(onLedger(), 2_000);
  t.match(scene.ledger.get(run.id), { step: 'running', capsPending: false });
  scene.points.fail('ledger.write running', new Error('ENOSPC'), 1);
  await scene.registry.setLimits('tool', { memory: 3_000 }, 'me');
  t.match(scene.tree.applied, { memory: { limit: 3_000 } });
  t.equal(onLedger(), 2_000);
  t.match(scene.complaints, [/^the ledger cannot be written: .*ENOSPC/]);
  scene.ledger.delete(run.id);
  await scene.registry.setLimits('tool', { memory: 4_000 }, 'me');
  t.notOk(scene.ledger.has(run.id), 'what is not on record any more does not come back');
});
