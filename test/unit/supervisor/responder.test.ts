import t from 'tap';
import type { Stage, ThresholdStage } from '../../../lib/core/ladder.ts';
import type { Decision } from '../../../lib/core/policy.ts';
import type { Resource } from '../../../lib/core/resource.ts';
import { DEFAULT_ACTIONS, type Action } from '../../../lib/core/response.ts';
import { unsupported } from '../../../lib/core/usage.ts';
import { createResponder } from '../../../lib/supervisor/responder.ts';
import type { EndRequest, Run } from '../../../lib/supervisor/run.ts';
import { limited } from '../../helpers/fake-ports.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import type { TestScope } from '../../helpers/fixture.ts';
import type { DefinitionOverrides } from '../../helpers/fake-views.ts';

interface Scene extends Stand {
  readonly run: Run;
  respond(decision: Decision): Promise<void>;
  readonly ends: { readonly request: EndRequest; readonly action: Action }[];
  actions(): readonly unknown[];
}

const LIMITS = limited({
  memory: 100,
  cpu: 100,
  file_handles: 100,
  sockets: 100,
  runtime: 10_000,
  temp_storage: 100,
  tasks: 100,
});

/** A run whose decisions the test makes; the monitor's own are far from any stage. */
async function scene(
  t: TestScope,
  definition: DefinitionOverrides = {},
  mode: 'direct' | 'managed' = 'direct',
): Promise<Scene> {
  const made = stand(t);
  const overrides = { limits: LIMITS, ...definition };
  const run =
    mode === 'direct' ? await made.launch('tool', overrides) : await made.tool('tool', overrides).activate(null);
  const responder = createResponder(made.ports);
  const ends: { request: EndRequest; action: Action }[] = [];
  made.records.length = 0;
  made.points.log.length = 0;
  return Object.assign(made, {
    run,
    ends,
    respond: (decision: Decision) =>
      responder.respond(run, decision, (request, action) => void ends.push({ request, action })),
    actions: () =>
      made
        .recordsOf('action')
        .map(({ action, outcome, detail }) => (detail === undefined ? [action, outcome] : [action, outcome, detail])),
  });
}

type Entering = Extract<Decision, { kind: 'enter' | 'repeat' }>;

function enter(resource: Resource, to: ThresholdStage, usage: number, more: Partial<Entering> = {}): Entering {
  return {
    kind: 'enter',
    resource,
    from: 'normal',
    to,
    cause: 'samples',
    usage,
    limit: 100,
    ratio: usage / 100,
    ...more,
  };
}

function leave(resource: Resource, from: ThresholdStage, to: Stage, usage: number): Decision {
  return { kind: 'leave', resource, from, to, usage, limit: 100, ratio: usage / 100 };
}

t.test('warning tells the tool and does nothing else', async (t) => {
  const s = await scene(t);
  await s.respond(enter('memory', 'warning', 80));
  t.same(
    s.notices.map((notice) => JSON.parse(notice)),
    [{ resource: 'memory', stage: 'warning', usage: 80, limit: 100, ratio: 0.8 }],
  );
  t.match(s.records, [
    { kind: 'stage', resource: 'memory', from: 'normal', to: 'warning', usage: 80, cause: 'samples', dryRun: false },
    { kind: 'action', action: 'notify', outcome: 'done', detail: '1 listeners' },
  ]);
  t.same([...s.tree.braked], []);
  t.same(s.ends, []);
});

t.test('brakes are set at throttled, kept while they are needed, lifted after', async (t) => {
  const s = await scene(t);
  await s.respond(enter('memory', 'throttled', 92));
  await s.respond(enter('file_handles', 'throttled', 92));
  await s.respond(enter('sockets', 'throttled', 92));
  t.same([...s.tree.braked], ['memory_high', 'soft_nofile']);
  await s.respond(leave('sockets', 'throttled', 'warning', 80));
  t.same([...s.tree.braked], ['memory_high', 'soft_nofile'], 'file handles still want it');
  await s.respond(leave('file_handles', 'throttled', 'normal', 10));
  t.same([...s.tree.braked], ['memory_high']);
  await s.respond(leave('memory', 'throttled', 'warning', 80));
  t.same([...s.tree.braked], []);
  t.equal(s.run.brakes.size, 0);
  await s.respond(leave('memory', 'warning', 'normal', 10));
  t.equal(s.points.log.filter((line) => line.startsWith('lift')).length, 2, 'what is not set is not lifted');
});

t.test('cleanup left for throttled keeps the brake of throttled', async (t) => {
  const s = await scene(t);
  s.tree.fresh = { memory: 95 };
  await s.respond(enter('memory', 'throttled', 92));
  await s.respond(leave('memory', 'cleanup', 'throttled', 94));
  t.same([...s.tree.braked], ['memory_high']);
});

t.test('what this host cannot do is recorded with its reason, and the rest is done', async (t) => {
  const s = await scene(t);
  s.tree.unsupportedBrakes.set('cpu_quota', 'no cpu controller');
  await s.respond(enter('cpu', 'throttled', 95));
  t.same(s.actions(), [
    ['notify', 'done', '1 listeners'],
    ['cpu_quota', 'unsupported', 'no cpu controller'],
    ['nice', 'done'],
  ]);
  t.same([...s.tree.braked], ['nice']);
});

t.test('a brake that fails is recorded; the next action is still tried', async (t) => {
  const s = await scene(t, {
    limits: limited({ cpu: 100 }, { actions: { ...DEFAULT_ACTIONS.cpu, throttled: ['cpu_quota', 'memory_high'] } }),
  });
  s.points.fail('brakes.set', new Error('EINVAL'), 1);
  await s.respond(enter('cpu', 'throttled', 95));
  t.same(s.actions(), [
    ['notify', 'done', '1 listeners'],
    ['cpu_quota', 'failed', 'EINVAL'],
    ['memory_high', 'done'],
  ]);
  t.same(s.run.brakes.get('cpu'), ['memory_high'], 'what is not in force is not lifted later');
});

t.test('cleanup reads again, then ends the run', async (t) => {
  const s = await scene(t, {}, 'managed');
  s.tree.fresh = { memory: 120 };
  await s.respond(enter('memory', 'cleanup', 110));
  t.same(s.actions().at(-1), ['recycle', 'done', 'read again: 120']);
  t.same(s.ends, [
    {
      action: 'recycle',
      request: {
        reason: 'limit',
        resource: 'memory',
        message: 'stopped: memory 120 B is 120 % of its limit of 100 B, stage cleanup',
        graceMs: 5_000,
        breach: { usage: 120, limit: 100, ratio: 1.2, stage: 'cleanup', action: 'recycle' },
      },
    },
  ]);
});

t.test('a direct run is stopped where a managed one is recycled', async (t) => {
  const s = await scene(t);
  s.tree.fresh = { tasks: 101 };
  await s.respond(enter('tasks', 'cleanup', 101));
  t.match(s.ends, [{ action: 'stop', request: { graceMs: 5_000 } }]);
});

t.test("an emergency gives no grace, and names the limit's reason", async (t) => {
  const s = await scene(t, { limits: limited({ tasks: 100 }, { reason: 'browsers fork' }) });
  s.tree.fresh = { tasks: 180 };
  await s.respond(enter('tasks', 'emergency', 160));
  t.same(s.ends, [
    {
      action: 'kill',
      request: {
        reason: 'limit',
        resource: 'tasks',
        message: 'stopped: tasks 180 is 180 % of its limit of 100, stage emergency (limit because: browsers fork)',
        graceMs: 0,
        breach: { usage: 180, limit: 100, ratio: 1.8, stage: 'emergency', action: 'kill' },
      },
    },
  ]);
});

t.test('the message says what was read last, and its own percentage', async (t) => {
  const s = await scene(t);
  s.tree.fresh = { memory: 152 };
  await s.respond(enter('memory', 'emergency', 190));
  t.match(s.ends, [{ request: { message: 'stopped: memory 152 B is 152 % of its limit of 100 B, stage emergency' } }]);
});

t.test('the re-read withdraws what is not true any more', async (t) => {
  const s = await scene(t);
  await s.respond(enter('memory', 'throttled', 92));
  s.tree.fresh = { memory: 40 };
  await s.respond(enter('memory', 'emergency', 160, { from: 'throttled' }));
  t.same(s.ends, []);
  t.same(s.actions().at(-1), ['kill', 'withdrawn', 'read again: 40, stage normal']);
  t.equal(s.run.stage('memory'), 'normal');
  t.same([...s.tree.braked], [], 'and its brakes are lifted');
});

t.test('an emergency that is only a cleanup any more is withdrawn too', async (t) => {
  const s = await scene(t);
  s.tree.fresh = { memory: 120 };
  await s.respond(enter('memory', 'emergency', 160));
  t.same(s.ends, []);
  t.equal(s.run.stage('memory'), 'cleanup');
  s.tree.holds.memory = 120;
  await s.time.pass(5_000);
  t.match(s.run.end, { reason: 'limit', message: /stage cleanup$/ }, 'but the cleanup is then asked for');
});

t.test('what cannot be read again is left alone', async (t) => {
  const s = await scene(t);
  s.tree.fresh = { memory: unsupported('EACCES') };
  await s.respond(enter('memory', 'emergency', 160));
  t.same(s.ends, []);
  t.same(s.actions().at(-1), ['kill', 'withdrawn', 'could not be read again']);
});

t.test('a throttle that lasted too long ends the run as long as it is still throttled', async (t) => {
  const s = await scene(t);
  s.tree.fresh = { memory: 91 };
  await s.respond(enter('memory', 'cleanup', 93, { cause: 'deadline', from: 'throttled' }));
  t.match(s.ends, [
    { request: { message: 'stopped: memory 91 B is 91 % of its limit of 100 B: throttled for too long' } },
  ]);
  s.tree.fresh = { memory: 85 };
  await s.respond(enter('memory', 'cleanup', 93, { cause: 'stall', from: 'throttled' }));
  t.equal(s.ends.length, 1);
  s.tree.fresh = { memory: 95 };
  await s.respond(enter('memory', 'cleanup', 95, { cause: 'stall', from: 'throttled' }));
  t.match(s.ends.at(-1), { request: { message: /stalled on memory while throttled$/ } });
});

t.test("the kernel's word is not read again", async (t) => {
  const s = await scene(t);
  s.points.fail('fresh sample');
  await s.respond(enter('memory', 'emergency', 150, { cause: 'kernel' }));
  t.match(s.ends, [
    {
      action: 'kill',
      request: {
        reason: 'oom_kill',
        message:
          /^stopped: the kernel killed a process of it for lack of memory \(OOM\) at its hard limit: memory .* is \d+ % of its limit of 100 B at the most that was seen, stage emergency$/,
      },
    },
  ]);
  t.same(s.actions().at(-1), ['kill', 'done', 'the kernel reported it']);
});

t.test('dry run decides the same, says so, and does nothing', async (t) => {
  const s = await scene(t, { dryRun: true });
  await s.respond(enter('memory', 'throttled', 92));
  await s.respond(enter('memory', 'emergency', 160));
  t.match(s.recordsOf('stage'), [{ dryRun: true }, { dryRun: true }]);
  t.same(s.actions(), [
    ['notify', 'dry_run'],
    ['memory_high', 'dry_run'],
    ['kill', 'dry_run'],
  ]);
  t.same(s.notices, []);
  t.same([...s.tree.braked], []);
  t.same(s.ends, []);
});

t.test('the client of something that runs elsewhere is told, never held or ended', async (t) => {
  const s = await scene(t, { command: 'docker', args: ['run', 'image'] });
  t.equal(s.tree.applied?.memory, null, 'the kernel is told nothing either');
  await s.respond(enter('memory', 'throttled', 92));
  await s.respond(enter('memory', 'emergency', 160, { from: 'throttled' }));
  t.match(s.actions(), [
    ['notify', 'done'],
    ['memory_high', 'unsupported', /a container of docker/],
    ['kill', 'unsupported', /a container of docker/],
  ]);
  t.same(s.ends, []);
});

t.test('stale sockets', async (t) => {
  const socket = (
    state: string | null,
    local: string | null = '127.0.0.1:1',
    remote: string | null = '127.0.0.1:2',
  ) => ({ pid: 100, fd: 3, inode: 1, kind: 'tcp', state, local, remote });

  t.test('are destroyed, and then the tool gets its quiet time', async (t) => {
    const s = await scene(t);
    s.tree.openSockets = [
      socket('CLOSE-WAIT'),
      socket('ESTABLISHED'),
      socket(null, null, null),
      socket('CLOSE-WAIT', null),
    ];
    s.staleSockets = { closed: 1, refused: null };
    await s.respond(enter('sockets', 'cleanup', 120));
    t.same(s.destroyed, [{ local: '127.0.0.1:1', remote: '127.0.0.1:2' }], 'only CLOSE_WAIT, only with both ends');
    t.same(s.actions().at(-1), ['destroy_stale_sockets', 'done', '1 sockets in CLOSE_WAIT closed']);
    t.same(s.ends, []);
    t.match(s.recordsOf('intent'), [{ action: 'destroy_sockets', target: { sockets: 1 } }]);
    t.match(s.recordsOf('outcome'), [{ action: 'destroy_sockets', ok: true, detail: { closed: 1, refused: null } }]);
  });

  t.test('when none are left, the next step is taken', async (t) => {
    const s = await scene(t, {}, 'managed');
    s.tree.fresh = { sockets: 120 };
    await s.respond(enter('sockets', 'cleanup', 120, { kind: 'repeat', from: 'cleanup' }));
    t.same(s.actions().slice(-2), [
      ['destroy_stale_sockets', 'done', '0 sockets in CLOSE_WAIT closed'],
      ['recycle', 'done', 'read again: 120'],
    ]);
    t.match(s.ends, [{ action: 'recycle' }]);
    t.same(s.recordsOf('stage'), [], 'a repeat is no transition');
  });

  t.test('where they cannot be destroyed, that is said, and the next step is taken', async (t) => {
    const s = await scene(t);
    s.tree.openSockets = [socket('CLOSE-WAIT')];
    s.staleSockets = { closed: 0, refused: 'needs CAP_NET_ADMIN' };
    s.tree.fresh = { sockets: 120 };
    await s.respond(enter('sockets', 'cleanup', 120));
    t.same(
      s.actions().find((action) => (action as readonly unknown[])[0] === 'destroy_stale_sockets'),
      ['destroy_stale_sockets', 'failed', 'needs CAP_NET_ADMIN'],
    );
    t.match(s.ends, [{ action: 'stop' }]);
  });

  t.test('through the ladder: destroyed, waited for, then recycled', async (t) => {
    const s = await scene(
      t,
      { limits: limited({ sockets: 100 }), recovery: { strategy: 'stop', budget: 5, windowMs: 600_000 } },
      'managed',
    );
    s.tree.openSockets = [socket('CLOSE-WAIT')];
    s.staleSockets = { closed: 1, refused: null };
    s.tree.holds.sockets = 120;
    await s.time.pass(3_000);
    t.equal(s.destroyed.length, 1);
    t.equal(s.run.state, 'running');
    await s.time.pass(10_000);
    t.equal(s.destroyed.length, 1, 'quiet for a while');
    t.equal(s.run.state, 'running');
    s.tree.openSockets = [];
    await s.time.pass(10_000);
    t.match(s.run.end, { reason: 'limit', resource: 'sockets' });
  });
});

t.test('a run that is ending gets its grace without brakes, and an emergency takes the grace', async (t) => {
  const s = await scene(t);
  s.run.state = 'stopping';
  await s.respond(enter('memory', 'throttled', 92));
  t.same([...s.tree.braked], [], 'a brake would eat the time to end by itself');
  t.match(s.actions().at(-1), ['memory_high', 'withdrawn']);
  s.tree.fresh = { memory: 200 };
  await s.respond(enter('memory', 'emergency', 200));
  t.match(s.ends, [{ action: 'kill', request: { graceMs: 0 } }]);
  s.run.state = 'ended';
  s.records.length = 0;
  await s.respond(enter('tasks', 'emergency', 200));
  t.same(s.records, [], 'and what has ended is not spoken of any more');
  t.equal(s.ends.length, 1);
});

t.test('the last word is held from the first stage on, for direct runs alone', async (t) => {
  const s = await scene(t);
  s.tree.holds.memory = 80;
  await s.time.pass(3_000);
  t.ok(s.points.log.includes(`stderr of ${s.run.leader?.pid} held`));
  s.tree.holds.memory = 10;
  await s.time.pass(3_000);
  t.equal(s.points.log.at(-1), 'stderr let go');
  t.equal(s.run.lastWord, null);
  const managed = await scene(t, {}, 'managed');
  managed.tree.holds.memory = 80;
  await managed.time.pass(3_000);
  t.equal(managed.run.stage('memory'), 'warning');
  t.equal(managed.run.lastWord, null);
});

t.test('a limit that is gone meanwhile', async (t) => {
  const s = await scene(t, { limits: limited({ memory: 100 }) });
  await s.respond(enter('tasks', 'emergency', 200));
  t.same(s.ends, []);
  t.same(s.actions(), []);
});
