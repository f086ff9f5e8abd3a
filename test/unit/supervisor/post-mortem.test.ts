import t from 'tap';
import type { PostMortem } from '../../../lib/supervisor/post-mortem-view.ts';
import { DEFAULT_ACTIONS } from '../../../lib/core/response.ts';
import { limited } from '../../helpers/fake-ports.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import { FAKE_FILE, FAKE_PROCESS, FAKE_SOCKET, type DefinitionOverrides } from '../../helpers/fake-views.ts';

const TOOL: DefinitionOverrides = {
  readiness: 'mcp',
  limits: limited({ tasks: 100 }, { reason: 'no worker pools' }),
  recovery: { strategy: 'restart' },
};

/** What the tree is seen to hold. */
function fill({ tree }: Stand): void {
  tree.listed = [FAKE_PROCESS, { ...FAKE_PROCESS, pid: 4712, ppid: 4711, name: 'password=geheim' }];
  tree.openFiles = [
    FAKE_FILE,
    { ...FAKE_FILE, fd: 4, deleted: false },
    { ...FAKE_FILE, fd: 5, kind: 'pipe', target: 'pipe:[1]', deleted: false },
  ];
  // One of a parent and its child is one.
  tree.openSockets = [
    FAKE_SOCKET,
    { ...FAKE_SOCKET, pid: 4712 },
    { ...FAKE_SOCKET, inode: 78, kind: 'unix', state: null },
  ];
}

function only(scene: Stand): PostMortem {
  const [document, ...others] = scene.postMortems;
  if (document === undefined || others.length > 0) throw new Error(`${scene.postMortems.length} post-mortems`);
  return document;
}

t.test('an ordered end for a limit: everything is there, as it was before the cleanup', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, command: 'node', args: ['server.js', '--token', 'geheim'] });
  const run = await tool.activate('chat');
  fill(scene);
  for (let line = 0; line < 80; line++) tool.logs.add(`line ${line}, api_key=geheim`);
  scene.tree.holds.tasks = 120;
  await scene.time.pass(10_000);
  const document = only(scene);
  t.match(document, {
    version: 1,
    id: run.id,
    tool: 'tool',
    mode: 'managed',
    context: 'chat',
    class: 'standard',
    end: { reason: 'limit', resource: 'tasks', cleanup: { proven: true } },
    recovery: { strategy: 'restart', attempts: 1, nextAttemptAt: /^\d{4}-/, rates: [] },
  });
  t.match(
    document.limits.find(({ resource }) => resource === 'tasks'),
    { limit: 100, reason: 'no worker pools' },
  );
  const { snapshot } = document;
  t.match(
    snapshot.usage.find(({ resource }) => resource === 'tasks'),
    { usage: 120, limit: 100, ratio: 1.2, stage: 'cleanup' },
  );
  t.strictSame(snapshot.processes, [
    {
      pid: 4711,
      ppid: 1,
      name: 'node',
      state: 'S',
      memoryBytes: 1_024,
      cpuTimeMs: 12,
      fileHandles: 8,
      sockets: null,
      threads: 7,
    },
    {
      pid: 4712,
      ppid: 4711,
      name: 'password=•••',
      state: 'S',
      memoryBytes: 1_024,
      cpuTimeMs: 12,
      fileHandles: 8,
      sockets: null,
      threads: 7,
    },
  ]);
  t.strictSame(snapshot.files, { deleted: 1, file: 2, pipe: 1 });
  t.strictSame(snapshot.sockets, { 'tcp ESTABLISHED': 1, unix: 1 });
  t.strictSame(snapshot.omitted, []);
  const [decision] = document.decisions;
  t.match(decision, { kind: 'enter', resource: 'tasks', to: 'cleanup', cause: 'samples', usage: 120, limit: 100 });
  t.equal(document.logs.length, 50);
  t.match(document.logs.at(-1), /^line 79/, 'the newest');
  t.notMatch(JSON.stringify(document), /geheim/, 'no secrets');
  t.ok(Date.parse(snapshot.at) <= Date.parse(document.at));
});

t.test('an emergency is not held up: what was not looked at is said', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', TOOL);
  await tool.activate(null);
  fill(scene);
  scene.tree.holds.tasks = 400;
  scene.points.fail('inspect', new Error('it was looked at'));
  await scene.time.pass(3_000);
  const { snapshot, end } = only(scene);
  t.equal(end.reason, 'limit');
  t.match(snapshot, { processes: null, files: null, sockets: null });
  t.strictSame(
    snapshot.omitted.map(({ what, why }) => `${what}: ${why}`),
    ['processes', 'sockets', 'files'].map((what) => `${what}: it was killed at once: nothing was looked at before`),
  );
  t.match(
    snapshot.usage.find(({ resource }) => resource === 'tasks'),
    { usage: 400 },
    'what was known is there',
  );
});

t.test('a crash, a kill by the kernel, a start that comes to nothing', async (t) => {
  const scene = stand(t);
  const limits = limited({ memory: 1_000 });
  const tool = scene.tool('tool', { ...TOOL, limits, recovery: { strategy: 'stop' } });
  await tool.activate(null);
  tool.logs.add('about to fall over');
  scene.launched.at(-1)?.end({ code: 3 });
  await scene.time.pass(100);
  t.match(only(scene), {
    end: { reason: 'exited', exit: { code: 3 } },
    logs: [/fall over/, /^governor: tool: ended by itself/],
    snapshot: { processes: null, omitted: [{ why: 'the tree had ended already' }, {}, {}] },
    recovery: { failure: { reason: /strategy: stop/, until: null } },
  });
  scene.postMortems.length = 0;
  await tool.activate(null);
  scene.tree.holds.oomKills = 1;
  await scene.time.pass(3_000);
  t.match(only(scene), {
    end: { reason: 'oom_kill' },
    snapshot: { omitted: [{ why: 'the kernel had killed it already' }, {}, {}] },
  });
  scene.postMortems.length = 0;
  scene.points.fail('connect', new Error('it speaks something else'), 1);
  await t.rejects(tool.activate(null));
  t.match(only(scene), { end: { reason: 'not_ready', message: /something else/ }, snapshot: { processes: [] } });
});

t.test('what has ended is shown as it was while it lived, not as the nothing that is left of it', async (t) => {
  const scene = stand(t);
  const limits = limited({ memory: 1_000, tasks: 100 });
  const tool = scene.tool('tool', { ...TOOL, limits, recovery: { strategy: 'stop' } });
  const nothing = { memory: 0, fileHandles: 0, sockets: 0, tempStorage: 0, tasks: 0 };
  const usageOf = (resource: string) => only(scene).snapshot.usage.find((each) => each.resource === resource);
  for (const [peakBytes, expected] of [
    [undefined, { usage: 600, ratio: 0.6 }],
    [1_500, { usage: 1_500, ratio: 1.5 }],
  ] as const) {
    scene.postMortems.length = 0;
    await tool.activate(null);
    Object.assign(scene.tree.holds, { memory: 600, fileHandles: 20, tasks: 7 });
    await scene.time.pass(3_000);
    scene.launched.at(-1)?.end({ code: 3 });
    Object.assign(scene.tree.holds, nothing);
    if (peakBytes !== undefined) Object.assign(scene.tree.holds, { oomKills: 1, memoryPeakBytes: peakBytes });
    await scene.time.pass(1_500);
    t.match(usageOf('memory'), expected, only(scene).end.reason);
    t.match([usageOf('file_handles')?.usage, usageOf('tasks')?.usage], [20, 7]);
  }
});

t.test('a start that came to nothing: what was made of it is there', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart', budget: 1 } });
  scene.points.fail('connect', new Error('it speaks something else'), 2);
  await t.rejects(tool.activate(null));
  t.match(only(scene).recovery, { attempts: 1, nextAttemptAt: /^\d{4}-/, failure: null });
  scene.postMortems.length = 0;
  await scene.time.pass(1_500);
  t.match(only(scene), {
    end: { reason: 'not_ready' },
    recovery: { failure: { reason: /^it failed more than 1 times in 10m; the last time: it speaks/ } },
  });
});

t.test('of a run that cannot be proven to have ended there is one, and it says so', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'nothing';
  const tool = scene.tool('tool', TOOL);
  const run = await tool.activate(null);
  await tool.stop('unhealthy', 'stopped: it is not well', run.id);
  t.match(only(scene), { id: run.id, end: { reason: 'unhealthy', cleanup: { proven: false } } });
  scene.launched[0]?.end();
  await scene.time.pass(5_000);
  t.equal(run.state, 'ended');
  only(scene);
});

t.test('a tree with too much in it is not listed, and what cannot be read is said', async (t) => {
  for (const [what, change, why] of [
    [
      'processes',
      ({ tree }: Stand) => void Array.from({ length: 300 }, () => tree.fork()),
      /^301 processes: more than 256/,
    ],
    ['files', ({ tree }: Stand) => void (tree.holds.fileHandles = 5_000), /^5000 open files: more than 4096/],
    ['unreadable', ({ points }: Stand) => points.fail('inspect', new Error('EIO')), /^could not be read: EIO/],
  ] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', TOOL);
    await tool.activate(null);
    fill(scene);
    change(scene);
    scene.tree.holds.tasks = 120;
    await scene.time.pass(10_000);
    t.match(only(scene).snapshot, { processes: null, omitted: [{ what: 'processes', why }] }, what);
  }
});

t.test('a look that takes its time is ended where it is, and none is begun after it', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', TOOL);
  await tool.activate(null);
  fill(scene);
  const { openSockets } = scene.tree;
  Object.defineProperty(scene.tree, 'openSockets', {
    get: () => {
      scene.clock.advance(60);
      return openSockets;
    },
  });
  scene.tree.holds.tasks = 120;
  await scene.time.pass(10_000);
  t.match(only(scene).snapshot, {
    tookMs: 60,
    processes: [{ pid: 4711 }, {}],
    sockets: null,
    files: null,
    omitted: [
      { what: 'sockets', why: 'it took more than 50 ms' },
      { what: 'files', why: 'what was read before had taken its time' },
    ],
  });
});

t.test('what ends as asked, or has done its work, leaves none', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', TOOL);
  await tool.activate('chat');
  await scene.registry.deactivate('tool');
  await tool.activate('chat');
  await scene.registry.endContext('chat');
  await tool.activate(null);
  await scene.registry.restart('tool');
  const [runId] = tool.runs.keys();
  await tool.stop('idle', 'put to sleep', runId);
  const job = scene.tool('job', { readiness: 'none', recovery: { strategy: 'stop' } });
  await job.activate(null);
  scene.launched.at(-1)?.end({ code: 0 });
  await scene.time.pass(100);
  t.equal(job.lastEnd?.reason, 'exited');
  const run = await scene.launch('direct');
  scene.processes.get(run.leader?.pid ?? 0).end();
  await scene.time.pass(2_000);
  scene.points.fail('resolveCommand', new Error('nothing there'), 1);
  await t.rejects(tool.activate(null));
  await scene.registry.close('all');
  t.strictSame(scene.postMortems, []);
});

t.test('a run of a client that was ended for its limit has one, without lines', async (t) => {
  const scene = stand(t);
  await scene.launch('direct', { limits: limited({ tasks: 10 }, { actions: DEFAULT_ACTIONS.tasks }) });
  scene.tree.holds.tasks = 12;
  await scene.time.pass(10_000);
  t.match(only(scene), { tool: 'direct', mode: 'direct', end: { reason: 'limit' } });
  t.equal(scene.registry.live.size, 0, 'it is gone by now');
});

t.test('decisions are bounded', async (t) => {
  const scene = stand(t);
  const limits = limited({ tasks: 100 }, { actions: { ...DEFAULT_ACTIONS.tasks, cleanup: [] } });
  const tool = scene.tool('tool', { ...TOOL, limits });
  await tool.activate(null);
  for (let turn = 0; turn < 41; turn++) {
    scene.tree.holds.tasks = turn % 2 === 0 ? 80 : 10;
    await scene.time.pass(10_000);
  }
  scene.launched.at(-1)?.end({ code: 1 });
  await scene.time.pass(100);
  const { decisions } = only(scene);
  t.equal(decisions.length, 32, 'of 41');
  t.equal(decisions.at(-1)?.kind, 'enter', 'the newest');
});
