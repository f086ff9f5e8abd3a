import t from 'tap';
import { terminate } from '../../../lib/process/terminate.ts';
import { fakeTerminate, KILL_MS } from '../../helpers/fake-terminate.ts';
import { TEMP_ROOT } from '../../helpers/fake-ports.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import { manualClock } from '../../helpers/manual-clock.ts';
import { settled } from '../../helpers/manual-time.ts';
import type { EndRequest, Run } from '../../../lib/supervisor/run.ts';
import type { CleanupReport } from '../../../lib/core/audit-record.ts';

const ORDER = [
  '0 brakes',
  '1 handles',
  '1 connection',
  '2 process',
  'monitor',
  'gate',
  'pressure channel',
  '3 memory, 4 CPU: containment',
  '5 temp storage',
  'ledger entry',
];

async function managed(scene: Stand, overrides: Parameters<Stand['tool']>[1] = {}): Promise<Run> {
  const run = await scene.tool('tool', { readiness: 'mcp', ...overrides }).activate(null);
  scene.points.log.length = 0;
  scene.records.length = 0;
  return run;
}

const report = (run: Run): CleanupReport => {
  const cleanup = run.end?.cleanup;
  if (cleanup === undefined || cleanup === null) throw new Error('no report');
  return cleanup;
};

t.test('the steps run in the order of the design, and what they do with them', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  await scene.registry.deactivate('tool');
  t.same(
    report(run).steps.map(({ label, outcome }) => [label, outcome]),
    ORDER.map((label) => [label, 'ok']),
  );
  t.same(scene.points.log, [
    'ledger: stopping',
    'stderr of 100 held',
    'lift all brakes',
    'session ended',
    'SIGTERM',
    'stderr let go',
    'pressure channel closed',
    'containment removed',
    'containment closed',
    'temp dir deleted',
    'ledger: removed',
  ]);
  t.same(scene.lastWords, ['governor: tool: stopped on request']);
});

t.test('intent comes before each irreversible step, its outcome after, the report last', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  await scene.registry.deactivate('tool');
  const kinds = scene.records.flatMap((record) =>
    'action' in record ? [`${record.kind} ${record.action}`] : record.kind === 'cleanup' ? ['cleanup'] : [],
  );
  t.same(kinds, ['intent terminate', 'outcome terminate', 'intent delete_temp', 'outcome delete_temp', 'cleanup']);
  t.match(scene.recordsOf('intent')[0], {
    tool: 'tool',
    run: run.id,
    reason: 'requested',
    target: { pids: [100], processes: 1 },
  });
  t.match(scene.recordsOf('intent')[1], { reason: 'requested', target: { directory: `${TEMP_ROOT}/${run.id}` } });
  t.match(scene.recordsOf('outcome')[0], { ok: true, detail: { how: 'signal', rounds: 0, proven: true } });
  t.same(scene.recordsOf('cleanup')[0]?.report, report(run), 'the audit has the same report');
});

t.test('held, reclaimed, left, and how long it took without the grace', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'kill';
  const run = await managed(scene, { graceMs: 3_000 });
  Object.assign(scene.tree.holds, { memory: 5_000, fileHandles: 12, sockets: 4, tasks: 7 });
  scene.tree.holds.tempStorage = { kind: 'measured', value: 900, quality: 'exact', atMs: 1, inodes: 6 };
  scene.tree.fork();
  await scene.registry.deactivate('tool');
  const { held, reclaimed, left, durationMs, graceMs, proven } = report(run);
  t.same(held, {
    processes: 2,
    memory_bytes: 5_000,
    file_handles: 12,
    sockets: 4,
    // More was deleted than had been counted: it came between the two.
    temp_bytes: 2048,
    temp_files: 6,
    cgroups: 1,
  });
  t.same(reclaimed, held);
  t.same(left, {});
  t.same([graceMs, durationMs, proven], [3_000, KILL_MS, true]);
  t.same(
    scene.points.log.filter((line) => line === 'SIGTERM' || line === 'kill'),
    ['SIGTERM', 'kill'],
  );
});

t.test('what cannot be read is left out of what was held, never zero', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  scene.tree.holds.sockets = { kind: 'unsupported', reason: 'EACCES' };
  scene.tree.holds.memory = { kind: 'gone' };
  await scene.registry.deactivate('tool');
  t.same(Object.keys(report(run).held).toSorted(), [
    'cgroups',
    'file_handles',
    'processes',
    'temp_bytes',
    'temp_files',
  ]);
});

t.test('the first reason wins', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  const tool = scene.registry.live.get('tool');
  await Promise.all([
    tool?.stop('limit', 'stopped: memory'),
    tool?.stop('requested', 'stopped on request', run.id),
    scene.registry.unregister('tool'),
  ]);
  t.match(run.end, { reason: 'limit', message: 'stopped: memory' });
  t.same(scene.lastWords, ['governor: tool: stopped: memory']);
  t.equal(scene.recordsOf('cleanup').length, 1);
});

t.test('a later request can only take the grace away', async (t) => {
  // The real order with real time, for the wait that is cut short.
  const scene = stand(t, {
    terminate: (target, options) => terminate(target, { ...options, monotonicMs: () => performance.now() }),
  });
  scene.processes.endsOn = 'kill';
  const run = await managed(scene, { graceMs: 600_000 });
  const ended = scene.registry.deactivate('tool');
  await settled();
  t.ok(scene.launched[0]?.alive, 'it has its time');
  scene.registry.hurry();
  await ended;
  t.match(run.end, { reason: 'requested', message: 'stopped on request', exit: { signal: 'SIGKILL' } });
  t.match(scene.recordsOf('outcome')[0], { detail: { how: 'killed' } });
});

t.test('a higher stage that kills it in its grace is the reason; one that comes too late is not', async (t) => {
  const breach = (stage: 'cleanup' | 'emergency'): EndRequest => ({
    reason: 'limit',
    message: `stopped: stage ${stage}`,
    resource: 'memory',
    graceMs: stage === 'cleanup' ? 600_000 : 0,
    breach: { usage: 150, limit: 100, ratio: 1.5, stage, action: stage === 'cleanup' ? 'recycle' : 'kill' },
  });
  for (const [endsOn, stage] of [
    ['kill', 'emergency'],
    ['end_of_input', 'cleanup'],
  ] as const) {
    const scene = stand(t, {
      terminate: (target, options) => terminate(target, { ...options, monotonicMs: () => performance.now() }),
    });
    scene.processes.endsOn = endsOn;
    const run = await managed(scene);
    const assembled = scene.registry.live.get('tool')?.runs.get(run.id);
    if (assembled === undefined) throw new Error('no run');
    const ended = assembled.ending.begin(breach('cleanup'));
    await settled();
    await assembled.ending.begin(breach('emergency'));
    t.match(await ended, { reason: 'limit', resource: 'memory', message: `stopped: stage ${stage}` });
    t.match(run.endRequest, { breach: { stage } }, 'what an open call is told');
    t.same(scene.lastWords, [`governor: tool: stopped: stage ${stage}`]);
  }
});

t.test('what the tool registered is closed first, within its grace, and is in the report', async (t) => {
  const scene = stand(t);
  const run = await managed(scene, { graceMs: 8_000 });
  scene.handles = { held: 3, closed: 3, failed: [] };
  await scene.registry.deactivate('tool');
  t.same(scene.points.log.slice(1, 6), [
    'stderr of 100 held',
    'lift all brakes',
    'handles closed within 4000',
    'session ended',
    'SIGTERM',
  ]);
  t.match(report(run), { held: { handles: 3 }, reclaimed: { handles: 3 }, left: {} });
  t.match(
    report(run).steps.find(({ label }) => label === '1 handles'),
    { outcome: 'ok', detail: '3 handles: 3 closed' },
  );
});

t.test('what could not be closed is said, and the rest goes on', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  scene.handles = { held: 3, closed: 1, failed: [{ name: 'db', reason: 'ECONNRESET' }] };
  await scene.registry.deactivate('tool');
  t.match(report(run), { held: { handles: 3 }, reclaimed: { handles: 1 }, left: { handles: 2 } });
  t.match(
    report(run).steps.find(({ label }) => label === '1 handles'),
    { outcome: 'failed', detail: '3 handles: 1 closed, 2 not: db (ECONNRESET)' },
  );
  t.match(scene.recordsOf('cleanup')[0], { report: { left: { handles: 2 } } }, 'in the audit log');
  t.notOk(scene.launched[0]?.alive);
  t.equal(run.state, 'ended');
});

t.test('the time that its handles took is not given to it again', async (t) => {
  const graces: number[] = [];
  const terminate = fakeTerminate(manualClock());
  const scene: Stand = stand(t, {
    terminate: (target, options) => {
      graces.push(options.graceMs);
      return terminate(target, options);
    },
  });
  const run = await managed(scene, { graceMs: 8_000 });
  scene.handles = { held: 1, closed: 1, failed: [] };
  const close = scene.points.hold('handles.close');
  const ended = scene.registry.deactivate('tool');
  await scene.time.pass(3_000);
  t.same(graces, [], 'the process is asked to end when its handles are closed');
  close();
  await ended;
  t.same(graces, [5_000]);
  t.ok(report(run).graceMs >= 3_000, 'and it is grace in the report');
  t.ok(report(run).durationMs < 3_000);
});

t.test('a kill does not ask for handles; a hurry stops asking', async (t) => {
  const scene = stand(t);
  const run = await managed(scene, { graceMs: 0 });
  scene.handles = { held: 2, closed: 2, failed: [] };
  await scene.registry.deactivate('tool');
  t.notOk(scene.points.log.some((line) => line.startsWith('handles closed')));
  t.match(
    report(run).steps.find(({ label }) => label === '1 handles'),
    { outcome: 'failed', detail: '2 registered, and no time for them' },
  );
  t.match(report(run).left, { handles: 2 });

  const second = stand(t);
  const hurried = await managed(second, { graceMs: 600_000 });
  second.handles = { held: 1, closed: 0, failed: [{ name: 'all', reason: 'there was no more time' }] };
  second.points.hold('handles.close');
  const ended = second.registry.deactivate('tool');
  await settled();
  second.registry.hurry();
  await ended;
  t.match(hurried.end?.cleanup?.left, { handles: 1 });
});

t.test('a tool that has ended holds no handles, whether its socket has told or not', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  scene.handles = { held: 2, closed: 0, failed: [] };
  scene.launched[0]?.end({ code: 0 });
  await scene.time.pass(2_000);
  t.match(report(run), { left: {} });
  t.equal(report(run).held['handles'], undefined);
  t.match(
    report(run).steps.find(({ label }) => label === '1 handles'),
    { outcome: 'ok', detail: 'the tool has ended' },
  );
});

t.test('a failed step never stops the later ones, and what is left is said', async (t) => {
  const cases: readonly (readonly [point: string, label: string, left: object])[] = [
    ['brakes.lift', '0 brakes', {}],
    ['connection.close', '1 connection', {}],
    ['containment.remove', '3 memory, 4 CPU: containment', { cgroups: 1 }],
    ['tempDirs.remove', '5 temp storage', { temp_files: 1 }],
    ['ledger.remove', 'ledger entry', {}],
  ];
  for (const [point, label, left] of cases) {
    const scene = stand(t);
    const run = await managed(scene);
    scene.points.fail(point, new Error('EIO'));
    await scene.registry.deactivate('tool');
    t.same(
      report(run).steps.map(({ label, outcome, detail }) => [label, outcome, outcome === 'failed' ? detail : '']),
      ORDER.map((step) => [step, step === label ? 'failed' : 'ok', step === label ? 'EIO' : '']),
      point,
    );
    t.same(report(run).left, left, point);
    t.same(
      [...scene.ledger.values()].map(({ step }) => step),
      Object.keys(left).length > 0 || point === 'ledger.remove' ? ['stopping'] : [],
      `${point}: what is left is on record for the next daemon`,
    );
    t.equal(run.state, 'ended');
    t.notOk(scene.launched[0]?.alive);
  }
});

t.test('who hid from the stop and is seen when the rest is given back is killed, on record', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  const { tree } = scene;
  tree.isExact = false;
  const remove = tree.remove.bind(tree);
  const late: number[] = [];
  tree.remove = async () => {
    if (late.length === 0) late.push(tree.fork().pid);
    await remove();
  };
  await scene.registry.deactivate('tool');
  t.same(report(run).left, {});
  t.equal(report(run).proven, false);
  t.equal(scene.ledger.size, 0);
  t.ok(tree.removed);
  const kills = scene.records.flatMap((record) =>
    (record.kind === 'intent' || record.kind === 'outcome') && record.action === 'kill' ? [record] : [],
  );
  t.match(kills, [
    { kind: 'intent', target: { pids: late, processes: 1 } },
    { kind: 'outcome', ok: false, detail: { how: 'killed', proven: false } },
  ]);
  t.equal(kills.length, 2);
});

t.test('who hid from the stop and cannot be killed when seen makes the run unproven: it is watched', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  const { tree } = scene;
  tree.isExact = false;
  const remove = tree.remove.bind(tree);
  tree.remove = async () => {
    if (tree.membership.members().length === 0) {
      scene.processes.endsOn = 'nothing';
      tree.fork();
    }
    await remove();
  };
  await scene.registry.deactivate('tool');
  t.equal(run.state, 'unproven');
  t.match(report(run), { proven: false, left: { processes: 1, cgroups: 1 } });
  t.equal(scene.points.log.filter((line) => line === 'kill').length, 3);
  t.equal(scene.ledger.get(run.id)?.step, 'unproven', 'the next daemon would find it');
  t.notOk(tree.closed);

  tree.remove = remove;
  for (const { pid } of tree.membership.members()) scene.processes.get(pid).end();
  await scene.time.pass(5_000);
  t.equal(run.state, 'ended');
  t.equal(scene.ledger.size, 0);
});

t.test('who cannot hide is not killed again there', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  scene.tree.remove = async () => {
    throw new Error('EBUSY');
  };
  await scene.registry.deactivate('tool');
  t.same(report(run).left, { cgroups: 1 });
  t.equal(scene.points.log.filter((line) => line === 'kill').length, 0);
  t.same(
    [...scene.ledger.values()].map(({ step }) => step),
    ['stopping'],
  );
});

t.test('a step that hangs is cut off at its deadline', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  scene.points.hold('connection.close');
  const ended = scene.registry.deactivate('tool');
  await scene.time.pass(11_000);
  await ended;
  t.match(
    report(run).steps.find(({ label }) => label === '1 connection'),
    { outcome: 'timed_out' },
  );
  t.notOk(scene.launched[0]?.alive);
  t.equal(scene.ledger.size, 0);
});

t.test('a removal that comes to its deadline keeps the run on record', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  const goOn = scene.points.hold('containment.remove');
  const ended = scene.registry.deactivate('tool');
  await scene.time.pass(11_000);
  await ended;
  t.match(report(run).left, { cgroups: 1 });
  t.match([...scene.ledger.values()], [{ runId: run.id, step: 'stopping' }]);
  goOn();
});

t.test('files that cannot be deleted are counted, and are a failure', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  scene.stubbornFiles.set(`${TEMP_ROOT}/${run.id}`, ['a: EPERM', 'b: EPERM']);
  await scene.registry.deactivate('tool');
  t.match(
    report(run).steps.find(({ label }) => label === '5 temp storage'),
    { outcome: 'failed', detail: 'could not delete 2 entries, the first is a: EPERM' },
  );
  t.match(
    scene.recordsOf('outcome').find(({ action }) => action === 'delete_temp'),
    { ok: false, detail: { left: ['a: EPERM', 'b: EPERM'] } },
  );
  t.match([...scene.ledger.values()], [{ runId: run.id, step: 'stopping' }]);
});

t.test('what only tells of an end does not keep it from coming', async (t) => {
  for (const point of ['fresh sample', 'lastWord.open', 'ledger.write stopping']) {
    const scene = stand(t);
    const run = await managed(scene);
    scene.points.fail(point, new Error('ENOSPC'));
    await scene.registry.deactivate('tool');
    t.equal(run.state, 'ended', point);
    t.match(scene.complaints, [/ENOSPC/], point);
    t.equal(scene.registry.tool('tool').state, 'registered', point);
    t.equal(scene.ledger.size, 0, point);
    t.notOk(scene.launched[0]?.alive, point);
  }
});

t.test('members that cannot be listed make the stop unproven, not a success', async (t) => {
  const scene = stand(t);
  const run = await managed(scene);
  scene.points.fail('members', new Error('EMFILE'));
  await scene.registry.deactivate('tool');
  t.equal(run.state, 'unproven');
  t.match(report(run), { proven: false, left: { processes: 1 } });
  t.equal(scene.ledger.get(run.id)?.step, 'unproven');
});

t.test('a tool that ended by itself is told nothing, and needs no signal', async (t) => {
  const scene = stand(t);
  const run = await managed(scene, { recovery: { strategy: 'stop', budget: 1, windowMs: 1_000 } });
  scene.launched[0]?.end({ code: 3 });
  await scene.time.pass(100);
  t.match(run.end, { reason: 'exited', exit: { code: 3 } });
  t.same(scene.lastWords, []);
  t.notOk(scene.points.log.some((line) => line === 'SIGTERM' || line === 'kill'));
  t.same(
    scene.recordsOf('intent').map(({ action }) => action),
    ['delete_temp'],
  );
  t.equal(report(run).proven, true);
});

t.test('a tool that heeds the end of its input is asked no further', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'end_of_input';
  const run = await managed(scene);
  await scene.registry.deactivate('tool');
  t.match(run.end, { exit: { code: 0 } });
  t.notOk(scene.points.log.includes('SIGTERM'));
});
