import t from 'tap';
import type { LedgerEntry } from '../../../lib/process/ledger.ts';
import { reconcile } from '../../../lib/supervisor/reconcile.ts';
import type { ToolDefinition } from '../../../lib/supervisor/governor.ts';
import { FakeTree } from '../../helpers/fake-tree.ts';
import { fakeWorld, limited, TEMP_ROOT } from '../../helpers/fake-ports.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import { type DefinitionOverrides, fakeDefinition } from '../../helpers/fake-views.ts';

const ID = 'abcdefghij';

/** What an earlier daemon has left: an entry, and the tree that it names. */
function left(
  scene: Stand,
  overrides: Partial<LedgerEntry> = {},
  definition: DefinitionOverrides = {},
): { readonly tree: FakeTree; readonly entry: LedgerEntry } {
  const runId = overrides.runId ?? ID;
  const tree = new FakeTree(runId, scene.processes, scene.points);
  const leader = tree.fork();
  scene.earlier.set(runId, tree);
  scene.tempDirs.add(`${TEMP_ROOT}/${runId}`);
  const entry: LedgerEntry = {
    version: 1,
    runId,
    tool: 'tool',
    bootId: 'this-boot',
    mode: 'direct',
    step: 'running',
    startedWallMs: scene.clock.wallMs() - 5_000,
    startedHostMs: scene.ports.hostMs() - 5_000,
    leader: leader.identity,
    clients: [],
    detached: false,
    context: 'chat',
    tempDir: `${TEMP_ROOT}/${runId}`,
    tempRoot: TEMP_ROOT,
    containment: tree.record,
    definition: fakeDefinition(overrides.tool ?? 'tool', {
      origin: 'run',
      limits: limited({ runtime: 60_000, tasks: 100 }),
      ...definition,
    }),
    command: ['node', 'server.js'],
    cwd: '/home',
    ...overrides,
  };
  scene.ledger.set(runId, entry);
  return { tree, entry };
}

async function settle(scene: Stand, waiting: readonly number[] = []): Promise<() => Promise<void>> {
  return reconcile({
    ports: scene.ports,
    registry: scene.registry,
    restoreDefinition: (entry) => entry.definition as ToolDefinition,
    waiting: new Set(waiting),
  });
}

const account = (scene: Stand): unknown => scene.recordsOf('daemon')[0]?.detail;
const NOTHING = { adopted: [], ended: [], cleaned: [], failed: [], interrupted: [], damaged: [] };

t.test('nothing left: nothing to say', async (t) => {
  const scene = stand(t);
  await (
    await settle(scene)
  )();
  t.same(scene.records, []);
});

t.test('a direct run whose leader and client live is adopted, with its time, its limits and its end', async (t) => {
  const scene = stand(t);
  const client = scene.processes.start();
  const { tree, entry } = left(scene, { clients: [client.identity] });
  await settle(scene);
  t.same(account(scene), { ...NOTHING, adopted: [`tool/${ID}`] });
  t.match(scene.registry.tool('tool'), {
    state: 'active',
    runs: [
      {
        id: ID,
        state: 'running',
        pid: entry.leader?.pid,
        context: 'chat',
        cwd: '/home',
        command: ['node', 'server.js'],
      },
    ],
  });
  t.match(tree.applied, { runtime: { limit: 60_000 } });
  await scene.time.pass(1_000);
  const runtime = scene.registry.usageOf('tool').resources.find(({ resource }) => resource === 'runtime');
  t.ok((runtime?.usage ?? 0) >= 6_000, 'it began before this daemon');
  client.end();
  await scene.time.pass(1_000);
  t.match(scene.registry.run(ID), { state: 'ended', end: { reason: 'client_died' } });
  t.ok(tree.removed && tree.closed);
  t.equal(scene.ledger.size, 0);
  t.equal(scene.tempDirs.size, 0);
  t.equal(scene.openPressure.size, 0);
  t.same(scene.registry.tools(), [], 'ad-hoc as before');
});

t.test('the wall clock was set while no daemon ran: an adopted run is as old as it is', async (t) => {
  for (const jumpMs of [86_400_000, -86_400_000]) {
    const scene = stand(t);
    left(scene);
    scene.time.jumpWall(jumpMs);
    await settle(scene);
    await scene.time.pass(1_000);
    const runtime = scene.registry.usageOf('tool').resources.find(({ resource }) => resource === 'runtime');
    t.ok((runtime?.usage ?? 0) >= 6_000 && (runtime?.usage ?? 0) < 8_000, `runtime: ${runtime?.usage}`);
    t.equal(scene.registry.run(ID).state, 'running', 'its runtime is not over');
    const detector = scene.ports.leaks.of(ID)?.detector;
    const nowMs = scene.time.monotonicMs();
    t.ok((detector?.binOf(nowMs) ?? 0) < 0, 'it is in its warm-up');
    t.ok((detector?.binOf(nowMs + 293_000) ?? 0) < 0, 'of five minutes');
    t.equal(detector?.binOf(nowMs + 295_000), 0, 'from its own start');
  }
});

t.test('an entry of a version that did not know the clock of the host goes by the wall clock', async (t) => {
  const scene = stand(t);
  const { entry } = left(scene);
  const { startedHostMs: _, ...older } = entry;
  scene.ledger.set(ID, older);
  await settle(scene);
  await scene.time.pass(1_000);
  const runtime = scene.registry.usageOf('tool').resources.find(({ resource }) => resource === 'runtime');
  t.ok((runtime?.usage ?? 0) >= 6_000 && (runtime?.usage ?? 0) < 8_000, `runtime: ${runtime?.usage}`);
});

t.test('what a daemon puts on record is what the next one takes a run up with', async (t) => {
  const scene = stand(t);
  const run = await scene.launch('tool');
  await scene.time.pass(7_000);
  const age = scene.ports.hostMs() - (scene.ledger.get(run.id)?.startedHostMs ?? 0);
  t.equal(Math.round(age), Math.round(run.livedMs));
});

t.test('what is not adopted is ended and cleaned up after, each with its reason', async (t) => {
  const dead = (scene: Stand) => {
    const process = scene.processes.start();
    process.end();
    return process.identity;
  };
  const cases: Readonly<
    Record<
      string,
      {
        overrides(scene: Stand): Partial<LedgerEntry>;
        also?(tree: FakeTree, scene: Stand): void;
        reason: string;
        message: RegExp;
      }
    >
  > = {
    'its client died': {
      overrides: (scene) => ({ clients: [scene.processes.start().identity, dead(scene)] }),
      reason: 'client_died',
      message: /^stopped: its client \(process \d+\) died while no daemon ran$/,
    },
    'its leader has gone, others live': {
      overrides: (scene) => ({ leader: dead(scene) }),
      reason: 'daemon_crash',
      message: /the daemon that held it has died/,
    },
    'its pid is another process by now': {
      overrides: (scene) => ({ leader: { pid: scene.processes.start().pid, startTicks: 1 } }),
      reason: 'daemon_crash',
      message: /the daemon that held it has died/,
    },
    'all of it has gone': {
      overrides: () => ({}),
      also: (tree, scene) => tree.pids.forEach((pid) => scene.processes.get(pid).end()),
      reason: 'exited',
      message: /^ended by itself while no daemon ran$/,
    },
    'a managed one': {
      overrides: () => ({ mode: 'managed' }),
      reason: 'daemon_crash',
      message: /the daemon that held it has died/,
    },
    'a managed one that went with its stdio': {
      overrides: () => ({ mode: 'managed' }),
      also: (tree, scene) => tree.pids.forEach((pid) => scene.processes.get(pid).end()),
      reason: 'daemon_crash',
      message: /^ended with the daemon that held it$/,
    },
    'one that was being stopped': {
      overrides: () => ({ step: 'stopping' }),
      reason: 'daemon_crash',
      message: /has died/,
    },
    'one that was unproven': { overrides: () => ({ step: 'unproven' }), reason: 'daemon_crash', message: /has died/ },
    'one that was only contained': {
      overrides: () => ({ step: 'contained', leader: null }),
      reason: 'daemon_crash',
      message: /has died/,
    },
  };
  for (const [name, { overrides, also, reason, message }] of Object.entries(cases)) {
    const scene = stand(t);
    const { tree } = left(scene, overrides(scene));
    also?.(tree, scene);
    await settle(scene);
    t.same(account(scene), { ...NOTHING, ended: [`tool/${ID}`] }, name);
    const end = scene.registry.run(ID).end;
    t.match(end, { reason, cleanup: { proven: true, left: {} } }, name);
    t.match(end?.message, message, name);
    t.ok(tree.removed && tree.closed, name);
    t.equal(scene.ledger.size, 0, name);
    t.equal(scene.tempDirs.size, 0, name);
  }
});

t.test('a detached run outlives its client', async (t) => {
  const scene = stand(t);
  const client = scene.processes.start();
  client.end();
  left(scene, { detached: true, clients: [client.identity] });
  await settle(scene);
  t.same(account(scene), { ...NOTHING, adopted: [`tool/${ID}`] });
});

t.test('several runs of one tool come back to one tool, and a tool of the file keeps its entry', async (t) => {
  const scene = stand(t);
  left(scene);
  left(scene, { runId: 'bbbbbbbbbb' });
  scene.tool('of the file', { origin: 'file' });
  left(scene, { runId: 'cccccccccc', tool: 'of the file' });
  await settle(scene);
  t.equal(scene.registry.tool('tool').runs.length, 2);
  t.match(scene.registry.tool('of the file'), { origin: 'file', state: 'active', runs: [{ id: 'cccccccccc' }] });
});

t.test('another boot: nothing of it can live, so nothing is signalled, only cleaned up', async (t) => {
  const scene = stand(t);
  const { tree } = left(scene, { bootId: 'former-boot' });
  await settle(scene);
  t.same(account(scene), { ...NOTHING, cleaned: [`tool/${ID}`] });
  t.equal(tree.fork().alive, true);
  t.same(scene.points.log, ['temp dir deleted', 'ledger: removed', 'swept']);
  t.equal(scene.tempDirs.size, 0);
  t.same(scene.registry.tools(), []);
});

t.test('a containment that is gone, or never was', async (t) => {
  const scene = stand(t);
  left(scene);
  scene.earlier.clear();
  left(scene, { runId: 'bbbbbbbbbb', step: 'intended', containment: null, leader: null });
  scene.earlier.clear();
  await settle(scene);
  t.same(account(scene), { ...NOTHING, cleaned: [`tool/${ID}`, 'tool/bbbbbbbbbb'] });
  t.same(
    scene.points.log.filter((line) => line.startsWith('discarded')),
    ['discarded bbbbbbbbbb'],
    'what a creation that was cut short may have left',
  );
  t.equal(scene.ledger.size, 0);
});

t.test(
  'a creation that was cut short is discarded where it was planned, by the backend that had planned it',
  async (t) => {
    const other = fakeWorld();
    const scene = stand(t, { backendFor: async (id) => (id === 'cgroup1' ? other.ports.backend : null) });
    const halfMade = { step: 'intended', containment: null, leader: null } as const;
    left(scene, { ...halfMade, plan: { backend: 'cgroup2', directories: [`/elsewhere/${ID}`] } });
    left(scene, { ...halfMade, runId: 'bbbbbbbbbb', plan: { backend: 'cgroup1', directories: ['/v1/bbbbbbbbbb'] } });
    left(scene, { ...halfMade, runId: 'cccccccccc', plan: { backend: 'pidns', directories: [] } });
    left(scene, {
      ...halfMade,
      runId: 'dddddddddd',
      bootId: 'former-boot',
      plan: { backend: 'pidns', directories: [] },
    });
    scene.earlier.clear();
    await settle(scene);
    t.same(account(scene), {
      ...NOTHING,
      cleaned: [`tool/${ID}`, 'tool/bbbbbbbbbb', 'tool/dddddddddd'],
      failed: ['tool/cccccccccc'],
    });
    const discarded = ({ points }: { readonly points: { readonly log: readonly string[] } }): readonly string[] =>
      points.log.filter((line) => line.startsWith('discarded'));
    t.same(discarded(scene), [`discarded ${ID} /elsewhere/${ID}`]);
    t.same(discarded(other), ['discarded bbbbbbbbbb /v1/bbbbbbbbbb']);
    t.match(scene.complaints, [/of the kind pidns, which is not usable here now/]);
    t.same([...scene.ledger.keys()], ['cccccccccc'], 'nothing of another boot can be left');
  },
);

t.test(
  'empty groups that nothing leads to are swept once all is settled; a sweep that fails is no more than told',
  async (t) => {
    const scene = stand(t, { isDeadInstance: async (instance) => instance === 'dead' });
    left(scene);
    const asked: unknown[] = [];
    scene.ports.backend.sweep = async ({ isOnRecord, isDead }) => {
      asked.push(isOnRecord(ID), isOnRecord('bbbbbbbbbb'), await isDead('dead'), await isDead('other'));
      throw new Error('EIO');
    };
    await settle(scene);
    t.same(asked, [true, false, true, false]);
    t.same(account(scene), { ...NOTHING, adopted: [`tool/${ID}`] });
    t.match(scene.complaints, ['empty groups of earlier daemons could not be removed: EIO']);
  },
);

t.test('an entry that names a foreign directory is refused and kept; the others are settled', async (t) => {
  const scene = stand(t);
  left(scene, { bootId: 'former-boot', tempDir: '/home/someone', tool: 'forged' });
  left(scene, { runId: 'bbbbbbbbbb' });
  await settle(scene);
  t.same(account(scene), { ...NOTHING, failed: [`forged/${ID}`], adopted: ['tool/bbbbbbbbbb'] });
  t.match(scene.complaints, [/could not be settled: \/home\/someone is not a run's own temp directory/]);
  t.ok(scene.ledger.has(ID));
});

t.test('files that cannot be deleted keep the entry', async (t) => {
  const scene = stand(t);
  left(scene, { bootId: 'former-boot' });
  scene.stubbornFiles.set(`${TEMP_ROOT}/${ID}`, ['a: EPERM']);
  await settle(scene);
  t.same(account(scene), { ...NOTHING, failed: [`tool/${ID}`] });
  t.ok(scene.ledger.has(ID));
});

t.test('damaged entries are told', async (t) => {
  const scene = stand(t);
  scene.damaged.push({ file: '/ledger/x.json.damaged', message: 'Unexpected end of JSON input' });
  await settle(scene);
  t.same(account(scene), { ...NOTHING, damaged: ['/ledger/x.json.damaged: Unexpected end of JSON input'] });
});

t.test('a kind of containment that cannot be used here any more is a failure, not a loss', async (t) => {
  const scene = stand(t);
  const { tree, entry } = left(scene);
  scene.ledger.set(ID, { ...entry, containment: { ...tree.record, backend: 'pidns' } });
  await settle(scene);
  t.same(account(scene), { ...NOTHING, failed: [`tool/${ID}`] });
  t.match(scene.complaints, [/of the kind pidns, which is not usable here now/]);
  t.ok(scene.ledger.has(ID));
});

t.test('a definition that cannot be restored is a failure of this run alone', async (t) => {
  const scene = stand(t);
  left(scene);
  left(scene, { runId: 'bbbbbbbbbb', tool: 'other' });
  await reconcile({
    ports: scene.ports,
    registry: scene.registry,
    waiting: new Set(),
    restoreDefinition(entry) {
      if (entry.tool === 'tool') throw new Error('damaged');
      return entry.definition as ToolDefinition;
    },
  });
  t.match(account(scene), { failed: [`tool/${ID}`], adopted: ['other/bbbbbbbbbb'] });
});

t.test('a run that does not end stays unproven, and on record', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'nothing';
  left(scene, { mode: 'managed' });
  await settle(scene);
  t.match(scene.registry.run(ID), { state: 'unproven' });
  t.equal(scene.ledger.get(ID)?.step, 'unproven');
});

t.test('a launch that was interrupted is cleaned up after when its launcher has moved on', async (t) => {
  const scene = stand(t);
  const launcher = scene.launcher();
  const { tree } = left(scene, { step: 'contained', leader: null });
  tree.pids.clear();
  tree.pids.add(launcher.pid);
  const afterwards = await settle(scene, [launcher.pid]);
  t.same(account(scene), { ...NOTHING, interrupted: [`tool/${ID}`] });
  t.ok(launcher.alive, 'this daemon will answer it');
  t.ok(scene.ledger.has(ID));
  launcher.end();
  await afterwards();
  t.ok(tree.removed);
  t.equal(scene.ledger.size, 0);
  t.equal(scene.tempDirs.size, 0);
  t.same(scene.recordsOf('daemon')[1]?.detail, { ...NOTHING, cleaned: [`tool/${ID}`] });
});

t.test('a launcher that is told to give up has a moment to do so', async (t) => {
  const scene = stand(t);
  const launcher = scene.launcher();
  const { tree } = left(scene, { step: 'contained', leader: null });
  tree.pids.clear();
  tree.pids.add(launcher.pid);
  const settled = (await settle(scene, [launcher.pid]))();
  await scene.time.pass(500);
  t.ok(launcher.alive);
  t.ok(scene.ledger.has(ID));
  launcher.end({ code: 125 });
  await scene.time.pass(100);
  await settled;
  t.notOk(scene.points.log.includes('kill'), 'it was left to itself');
  t.ok(tree.removed);
  t.equal(scene.ledger.size, 0);
});

t.test('a launcher that the earlier daemon had answered after all is its tool, and adopted', async (t) => {
  const scene = stand(t);
  const { tree, entry } = left(scene);
  const settled = (await settle(scene, [entry.leader?.pid ?? 0]))();
  t.same(account(scene), { ...NOTHING, interrupted: [`tool/${ID}`] });
  await scene.time.pass(3_000);
  await settled;
  t.same(scene.recordsOf('daemon')[1]?.detail, { ...NOTHING, adopted: [`tool/${ID}`] });
  t.match(scene.registry.tool('tool'), { state: 'active', runs: [{ id: ID, state: 'running' }] });
  t.notOk(tree.removed);
  t.ok(scene.ledger.has(ID));
});

t.test('one interrupted launch that cannot be cleaned up after does not keep the others', async (t) => {
  const scene = stand(t);
  const launcher = scene.launcher();
  for (const runId of [ID, 'bbbbbbbbbb', 'cccccccccc']) {
    left(scene, { runId, step: 'contained', leader: null }).tree.pids.clear();
  }
  const afterwards = await settle(scene, [launcher.pid]);
  scene.points.fail('containment.remove', new Error('EBUSY'), 1);
  await afterwards();
  t.same(scene.recordsOf('daemon')[1]?.detail, {
    ...NOTHING,
    failed: [`tool/${ID}`],
    cleaned: ['tool/bbbbbbbbbb', 'tool/cccccccccc'],
  });
  t.same([...scene.ledger.keys()], [ID]);
  t.match(scene.complaints, [/could not be settled: EBUSY/]);
});

t.test("a lowered limit that is not the kernel's yet waits for a sample of the new daemon", async (t) => {
  const scene = stand(t);
  const { tree } = left(scene, { capsPending: true });
  await settle(scene);
  t.equal(tree.applied, null);
  await scene.time.pass(2_000);
  t.match(tree.applied, { tasks: { limit: 100 } });
});
