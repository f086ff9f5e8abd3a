import t from 'tap';
import { stand } from '../../helpers/fake-registry.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';

t.test('a stop that cannot be proven says so, keeps watching, and lets go when nothing is left', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'nothing';
  const tool = scene.tool();
  const run = await tool.activate(null);
  await tool.stop('requested', 'stopped on request');
  t.equal(run.state, 'unproven');
  t.equal(tool.state, 'deactivating');
  t.match(run.end, {
    reason: 'requested',
    exit: 'unknown',
    cleanup: { proven: false, left: { processes: 1, cgroups: 1 } },
  });
  t.equal(scene.ledger.get(run.id)?.step, 'unproven', 'the next daemon would find it');
  t.notOk(scene.tree.closed, 'it is looked at again later');
  t.match(
    scene.recordsOf('outcome').find(({ action }) => action === 'terminate'),
    { ok: false, detail: { how: 'survived', proven: false } },
  );
  await t.rejects(tool.activate(null), isGovernorError('tool_unproven'));

  scene.points.log.length = 0;
  await scene.time.pass(5_000);
  t.ok(scene.points.log.includes('kill'), 'killed again');
  t.equal(run.state, 'unproven');
  scene.launched[0]?.end({ signal: 'SIGKILL' });
  await scene.time.pass(5_000);
  t.equal(tool.state, 'registered');
  t.equal(run.state, 'ended');
  t.ok(scene.tree.removed && scene.tree.closed);
  t.equal(scene.ledger.size, 0);
  t.equal(tool.ended.length, 1);
  await tool.activate(null);
  t.equal(tool.state, 'active');
});

t.test('no new run of a tool while an old one is unproven, whoever asks', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'nothing';
  const run = await scene.launch('tool');
  await scene.launch('tool');
  await scene.registry.deactivate('tool', run.id);
  t.equal(run.state, 'unproven');
  t.equal(scene.registry.tool('tool').state, 'active', 'the other one lives on');
  await t.rejects(scene.launch('tool'), isGovernorError('tool_unproven'));
  scene.processes.get(run.leader?.pid ?? 0).end();
  await scene.registry.cleanup('tool');
  t.equal(run.state, 'ended');
  t.equal((await scene.launch('tool')).state, 'running');
});

t.test('an ad-hoc tool with an unproven run stays in the table until that is over', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'nothing';
  const run = await scene.launch('tool');
  await scene.registry.deactivate('tool');
  t.match(scene.registry.tool('tool'), { state: 'deactivating', runs: [{ state: 'unproven' }] });
  scene.processes.get(run.leader?.pid ?? 0).end();
  const view = await scene.registry.cleanup('tool');
  t.equal(view.state, 'unregistering');
  t.same(scene.forgotten, ['tool']);
});

t.test('unregistered while unproven: gone only when it is proven', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'nothing';
  const tool = scene.tool();
  await tool.activate(null);
  await scene.registry.unregister('tool');
  t.equal(tool.state, 'unregistering');
  t.same(scene.forgotten, []);
  scene.launched[0]?.end();
  await scene.time.pass(5_000);
  t.same(scene.forgotten, ['tool']);
});

t.test('two looks at the same time let it go once', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'nothing';
  const tool = scene.tool();
  await tool.activate(null);
  await tool.stop('requested', 'x');
  scene.launched[0]?.end();
  await Promise.all([scene.registry.cleanup('tool'), scene.registry.cleanup('tool'), scene.time.pass(5_000)]);
  t.equal(tool.ended.length, 1);
  t.equal(tool.state, 'registered');
  t.equal(scene.ledger.size, 0);
});

t.test('a look that fails is said and repeated', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'nothing';
  const tool = scene.tool();
  await tool.activate(null);
  await tool.stop('requested', 'x');
  scene.launched[0]?.end();
  scene.points.fail('containment.remove', new Error('EBUSY'), 1);
  await scene.time.pass(5_000);
  t.match(scene.complaints, [/could not be looked at: EBUSY/]);
  t.equal(tool.state, 'deactivating');
  await scene.time.pass(5_000);
  t.equal(tool.state, 'registered');
});

t.test('something that may hide makes a stop no less over, but never proven', async (t) => {
  const scene = stand(t);
  const tool = scene.tool();
  const run = await tool.activate(null);
  scene.tree.isExact = false;
  await tool.stop('requested', 'x');
  t.equal(run.state, 'ended');
  t.equal(run.end?.cleanup?.proven, false);
  t.match(
    scene.recordsOf('outcome').find(({ action }) => action === 'terminate'),
    { ok: false, detail: { how: 'signal', proven: false } },
    'nor is it a success on record',
  );
  t.equal((await tool.activate(null)).state, 'running', 'what can never be proven does not block the next one');
});

t.test('a kill that the system refuses is no success', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'kill';
  const tool = scene.tool('tool', { graceMs: 0 });
  const run = await tool.activate(null);
  scene.points.fail('kill', new Error('EPERM'), 1);
  await tool.stop('requested', 'x');
  t.equal(run.state, 'unproven');
  t.match(run.end?.cleanup, { proven: false, left: { processes: 1 } });
  t.match(
    run.end?.cleanup?.steps.find(({ label }) => label === '2 process'),
    { outcome: 'failed', detail: 'EPERM' },
  );
  t.equal(scene.ledger.get(run.id)?.step, 'unproven');
  await scene.time.pass(5_000);
  t.equal(tool.state, 'registered', 'killed at the second attempt');
});
