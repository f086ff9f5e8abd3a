/** Limits that several runs share, by the real registry on a clock that stands still. */

import t from 'tap';
import { DEFAULT_LADDER } from '../../../config/defaults.ts';
import type { BudgetResource, BudgetRules, ContextRule } from '../../../lib/core/budget.ts';
import { BUDGET_ACTIONS } from '../../../lib/core/budget.ts';
import type { ResolvedLimits } from '../../../lib/core/limits.ts';
import { NO_LIMITS } from '../../../lib/core/limits.ts';
import { heldBack } from '../../../lib/supervisor/held-back.ts';
import type { Run } from '../../../lib/supervisor/run.ts';
import type { Resource } from '../../../lib/core/resource.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import { measured } from '../../../lib/core/usage.ts';
import type { SharedGroup, SharedGroups } from '../../../lib/os/outer-groups.ts';
import { limited } from '../../helpers/fake-ports.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import type { FakeTree, FakeUsage } from '../../helpers/fake-tree.ts';
import type { TestScope } from '../../helpers/fixture.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';

interface Member {
  readonly id: string;
  readonly tree: FakeTree;
  holds(usage: Partial<FakeUsage>): void;
}

interface Scene extends Stand {
  rules: BudgetRules;
  member(
    name: string,
    context: string | null,
    limits?: Partial<Record<Resource, number>>,
    more?: object,
  ): Promise<Member>;
  /** `warning notify done`, with the tool that goes. */
  acts(budget: string): readonly string[];
  stages(budget: string): readonly string[];
  stage(context: string): string | undefined;
}

function shared(limits: Partial<Record<Resource, number>>): ResolvedLimits {
  const made = limited(limits, { source: { from: 'file', detail: 'limits.yaml:1:1' } });
  const own = RESOURCES.map((resource) => [
    resource,
    made[resource] === null ? null : { ...made[resource], actions: BUDGET_ACTIONS[resource as BudgetResource] },
  ]);
  return Object.fromEntries(own) as ResolvedLimits;
}

function contextRule(name: string, limits: Partial<Record<Resource, number>>): ContextRule {
  const own = Object.entries(shared(limits)).filter(([, limit]) => limit !== null);
  return { name, limits: Object.fromEntries(own) as ContextRule['limits'] };
}

function rulesOf(
  contexts: Partial<Record<string, Partial<Record<Resource, number>>>>,
  host: Partial<Record<Resource, number>> = {},
): BudgetRules {
  return {
    host: Object.keys(host).length === 0 ? NO_LIMITS : shared(host),
    contexts: Object.entries(contexts).map(([name, limits]) => contextRule(name, limits ?? {})),
    ladder: DEFAULT_LADDER,
    dryRun: false,
  };
}

function scene(t: TestScope, rules: BudgetRules, groups?: SharedGroups): Scene {
  let now = rules;
  const made = stand(t, { budgets: () => now });
  if (groups !== undefined) Object.assign(made.ports.backend, { shared: groups });
  t.teardown(() => made.registry.close('all'));
  const records = (budget: string) => made.recordsOf('budget').filter((record) => record.budget === budget);
  return Object.defineProperty(
    Object.assign(made, {
      async member(
        name: string,
        context: string | null,
        limits: Partial<Record<Resource, number>> = {},
        more: object = {},
      ) {
        const run = await made.launch(name, { limits: limited(limits), graceMs: 1_000, ...more }, { context });
        const { tree } = made;
        return {
          id: run.id,
          tree,
          holds: (usage: Partial<FakeUsage>) => void (tree.holds = { ...tree.holds, ...usage }),
        };
      },
      acts: (budget: string) =>
        records(budget).flatMap((record) =>
          record.event === 'action'
            ? [
                [record.stage, record.action, record.outcome, record.tool]
                  .filter((word) => word !== undefined)
                  .join(' '),
              ]
            : [],
        ),
      stages: (budget: string) =>
        records(budget).flatMap((record) =>
          record.event === 'stage' ? [`${record.resource} ${record.from} ${record.to}`] : [],
        ),
      stage: (context: string) => made.registry.contexts().find(({ id }) => id === context)?.budget?.stage,
    }),
    'rules',
    {
      get: () => now,
      set(next: BudgetRules) {
        now = next;
      },
    },
  ) as unknown as Scene;
}

t.test('the runs of a context go through the stages together, and one goes', async (t) => {
  const s = scene(t, rulesOf({ team: { memory: 300 } }));
  const [a, b, c] = [await s.member('a', 'team'), await s.member('b', 'team'), await s.member('c', 'team')];
  const other = await s.member('other', 'elsewhere');
  other.holds({ memory: 10_000 });
  const all = async (...amounts: readonly number[]): Promise<void> => {
    for (const [index, member] of [a, b, c].entries()) member.holds({ memory: amounts[index] ?? 0 });
    await s.time.pass(6_000);
  };
  await all(50, 50, 50);
  t.equal(s.stage('team'), 'normal');
  await all(80, 80, 80);
  t.equal(s.stage('team'), 'warning');
  await all(80, 100, 100);
  t.equal(s.stage('team'), 'throttled');
  t.same(
    s.notices.map((notice) => JSON.parse(notice).shared),
    Array(6).fill('context'),
    'each of the three is told of each stage',
  );
  await all(80, 130, 100);
  t.same(s.stages('context team').slice(0, 3), [
    'memory normal warning',
    'memory warning throttled',
    'memory throttled cleanup',
  ]);
  t.same(s.acts('context team'), [
    'warning notify done',
    'throttled notify done',
    'throttled memory_high unsupported',
    'cleanup recycle done b',
  ]);
  t.match(s.registry.run(b.id), {
    state: 'ended',
    end: {
      reason: 'limit',
      resource: 'memory',
      message:
        /^stopped: of context team: memory 310 .* is 103 % of its limit of 300 .*, stage cleanup; this run goes first: 130 B of it, 42 % of all; it has no limit of its own$/,
    },
  });
  for (const { id } of [a, c, other]) t.match(s.registry.run(id), { state: 'running' });
  await s.time.pass(6_000);
  t.equal(s.stage('team'), 'normal');
});

t.test('after an end it is quiet, then the next one goes', async (t) => {
  const s = scene(t, rulesOf({ team: { tasks: 100 } }));
  for (const [name, tasks] of [
    ['a', 60],
    ['b', 50],
    ['c', 65],
  ] as const)
    (await s.member(name, 'team')).holds({ tasks });
  await s.time.pass(5_000);
  t.same(
    s.acts('context team').filter((act) => act.includes('recycle')),
    [],
    'an emergency leaves no time for that',
  );
  t.same(s.acts('context team'), ['emergency kill done c']);
  await s.time.pass(9_000);
  t.same(s.acts('context team').slice(1), [], '110 % is quiet for a while');
  await s.time.pass(10_000);
  t.same(s.acts('context team').slice(1), ['cleanup recycle done a']);
  await s.time.pass(60_000);
  t.equal(s.acts('context team').length, 2, 'and one is left in peace');
});

t.test('an emergency: one after the other, each on a fresh reading, at once', async (t) => {
  const s = scene(t, rulesOf({ team: { memory: 100 } }));
  const members = [];
  for (const name of ['a', 'b', 'c', 'd']) members.push(await s.member(name, 'team'));
  for (const [index, member] of members.entries()) member.holds({ memory: 100 + index });
  await s.time.pass(300);
  t.same(s.acts('context team'), ['emergency kill done d', 'emergency kill done c', 'emergency kill done b']);
  const atMs = s.recordsOf('cleanup').map(({ run }) => run);
  t.same(atMs, [members[3]?.id, members[2]?.id, members[1]?.id]);
  await s.time.pass(10_000);
  t.equal(s.acts('context team').length, 3, '100 % is a cleanup, and that is quiet');
});

t.test('what has come down by itself is left alone', async (t) => {
  const s = scene(t, rulesOf({ team: { memory: 100 } }));
  const [a, b] = [await s.member('a', 'team'), await s.member('b', 'team')];
  a.holds({ memory: 60 });
  b.holds({ memory: 60 });
  a.tree.fresh = { memory: 10 };
  await s.time.pass(4_000);
  t.ok(s.acts('context team').includes('cleanup recycle withdrawn'));
  t.notOk(s.acts('context team').some((act) => act.includes(' done a') || act.includes(' done b')));
});

t.test('who holds most is ending already: nobody else has to go', async (t) => {
  const s = scene(t, rulesOf({ team: { memory: 100 } }));
  const [a, b] = [await s.member('a', 'team', {}, { graceMs: 3_600_000 }), await s.member('b', 'team')];
  a.holds({ memory: 70 });
  b.holds({ memory: 35 });
  const goOn = s.points.hold('signal');
  const stopping = s.registry.deactivate('a');
  await s.time.pass(4_000);
  t.ok(s.acts('context team').includes('cleanup recycle withdrawn'), s.acts('context team').join());
  t.match(s.registry.run(b.id), { state: 'running' });
  goOn();
  await Promise.all([stopping, s.time.pass(1_000)]);
  await s.time.pass(20_000);
  t.notOk(
    s.acts('context team').some((act) => act.endsWith(' b')),
    'nor later, when it is gone',
  );
});

t.test('all tools together: one end serves both budgets', async (t) => {
  const s = scene(t, rulesOf({ team: { memory: 100 } }, { memory: 150 }));
  const loner = await s.member('loner', null);
  const [a, b] = [await s.member('a', 'team'), await s.member('b', 'team')];
  loner.holds({ memory: 45 });
  a.holds({ memory: 70 });
  b.holds({ memory: 40 });
  await s.time.pass(4_000);
  t.equal(s.acts('context team').filter((act) => act.endsWith('recycle done a')).length, 1);
  t.equal(s.acts('host').filter((act) => / done (a|b|loner)$/.test(act)).length, 0, 'the host waits for that one');
  t.match(s.registry.budgets(), [
    { scope: 'host', context: null },
    { scope: 'context', context: 'team' },
  ]);
  t.match(s.registry.run(loner.id), { state: 'running' });
});

t.test('a dry run decides and names who would go; a tool in a dry run is never the one', async (t) => {
  const s = scene(t, { ...rulesOf({ team: { memory: 100 } }), dryRun: true });
  (await s.member('a', 'team')).holds({ memory: 120 });
  await s.time.pass(3_000);
  t.ok(s.acts('context team').includes('cleanup recycle dry_run a'), s.acts('context team').join());
  t.equal(s.registry.tool('a').runs.length, 1);

  const tool = scene(t, rulesOf({ team: { memory: 100 } }));
  const [dry, wet] = [await tool.member('dry', 'team', {}, { dryRun: true }), await tool.member('wet', 'team')];
  dry.holds({ memory: 100 });
  wet.holds({ memory: 20 });
  await tool.time.pass(3_000);
  t.ok(tool.acts('context team').includes('cleanup recycle done wet'));
  await tool.time.pass(60_000);
  t.ok(tool.acts('context team').includes('cleanup recycle unsupported'), 'nobody is left who may be stopped');
  t.match(tool.registry.run(dry.id), { state: 'running' });
});

t.test('brakes hold all of them, newcomers too, and are lifted with the stage', async (t) => {
  const s = scene(t, rulesOf({ team: { file_handles: 100 } }));
  const [a, b] = [await s.member('a', 'team'), await s.member('b', 'team', { file_handles: 60 })];
  const outside = await s.member('outside', null);
  a.holds({ fileHandles: 40 });
  b.holds({ fileHandles: 55 });
  await s.time.pass(5_000);
  t.equal(s.stage('team'), 'throttled');
  t.same(
    [a, b, outside].map(({ tree }) => [...tree.braked]),
    [['soft_nofile'], ['soft_nofile'], []],
  );
  const late = await s.member('late', 'team');
  await s.time.pass(1_000);
  t.same([...late.tree.braked], ['soft_nofile']);
  a.holds({ fileHandles: 1 });
  await s.time.pass(5_000);
  t.equal(s.stage('team'), 'normal');
  t.same(
    [a, b, late].map(({ tree }) => [...tree.braked]),
    [[], ['soft_nofile'], []],
    'B is held back for its own limit',
  );
});

t.test('limits change: at once, on record, and taken away', async (t) => {
  const s = scene(t, rulesOf({ default: { tasks: 100 } }));
  const a = await s.member('a', 'team');
  a.holds({ tasks: 60 });
  await s.time.pass(3_000);
  t.equal(s.stage('team'), 'normal');
  s.rules = rulesOf({ default: { tasks: 62 } });
  await s.time.pass(5_000);
  t.match(s.recordsOf('budget')[0], {
    event: 'limits',
    budget: 'context team',
    resource: 'tasks',
    before: 100,
    after: 62,
    by: 'config reload',
  });
  t.equal(s.stage('team'), 'throttled');
  s.rules = rulesOf({});
  await s.time.pass(2_000);
  t.equal(s.stage('team'), 'normal');
  t.same(s.registry.budgets(), []);
  s.rules = rulesOf({}, { tasks: 10 });
  t.match(s.registry.budgets(), [{ scope: 'host', runs: 0 }], 'shown before the first look');
});

class FakeGroup implements SharedGroup {
  exists = true;
  applied: ResolvedLimits[] = [];
  brakes: string[] = [];
  memory = 0;
  sample(nowMs: number) {
    return { memory: measured(this.memory, 'cgroup', nowMs), tasks: { kind: 'unsupported' as const, reason: 'none' } };
  }
  stallMs: number | null = null;
  memoryStallMs() {
    return this.stallMs;
  }
  async apply(limits: ResolvedLimits) {
    this.applied.push(limits);
    return [
      { resource: 'memory' as const, enforcement: limits.memory === null ? ('none' as const) : ('kernel' as const) },
    ];
  }
  supports() {
    return true as const;
  }
  async setBrake(action: string, limits: ResolvedLimits | null) {
    this.brakes.push(`${action} ${limits === null ? 'lifted' : (limits.memory?.limit ?? 0)}`);
  }
  close() {
    this.exists = false;
  }
}

/** Runs whose tool's name has a plus were made in the group of their context. */
function fakeGroups(group: FakeGroup, inside: () => ReadonlySet<string>): SharedGroups {
  return {
    nameOf: (context) => `of-${context}`,
    groupOf: ({ cookie }) => ({ name: inside().has(cookie) ? 'of-team' : null }),
    open: (name) => (name === 'of-team' ? group : null),
  };
}

t.test('the kernel holds them together, as long as only they are in there', async (t) => {
  const group = new FakeGroup();
  const inside = new Set<string>();
  const s = scene(
    t,
    rulesOf({ team: { memory: 100 } }),
    fakeGroups(group, () => inside),
  );
  const a = await s.member('a', 'team');
  inside.add(a.id);
  a.holds({ memory: 30 });
  group.memory = 50;
  await s.time.pass(2_000);
  t.equal(group.applied.at(-1)?.memory?.limit, 100);
  t.match(
    s.registry.contexts(),
    [
      {
        id: 'team',
        budget: { resources: [{ resource: 'memory', usage: 50, enforcement: 'kernel', quality: 'cgroup' }] },
      },
    ],
    'what the kernel counts, with what an ended run may have left',
  );
  group.memory = 93;
  await s.time.pass(5_000);
  t.same(group.brakes, ['memory_high 100']);
  group.memory = 40;
  await s.time.pass(5_000);
  t.same(group.brakes, ['memory_high 100', 'memory_high lifted']);

  const moved = await s.member('outside', 'team');
  moved.holds({ memory: 7 });
  await s.time.pass(2_000);
  t.equal(group.applied.at(-1)?.memory, null, 'the cap is taken off');
  const [view] = s.registry.contexts();
  t.match(view?.budget, { note: /^run .* of outside was started outside of its group$/, runs: 2 });
  t.match(view?.budget?.resources[0], { usage: 37, enforcement: 'polled' });
  await s.registry.deactivate('outside');
  await s.time.pass(2_000);
  t.equal(group.applied.at(-1)?.memory?.limit, 100, 'and put on again');

  const stranger = await s.member('stranger', 'another');
  inside.add(stranger.id);
  await s.time.pass(2_000);
  t.match(s.registry.contexts()[0]?.budget, { note: /^run .* of stranger is in its group and not of it$/ });
  await s.registry.deactivate('stranger');
  inside.add((await s.member('dry', 'team', {}, { dryRun: true })).id);
  await s.time.pass(2_000);
  t.match(s.registry.contexts()[0]?.budget, { note: /of dry is held by no kernel cap/ });
});

t.test('a throttle that holds each of them back does not last for ever', async (t) => {
  const s = scene(t, rulesOf({ team: { file_handles: 100, temp_storage: 100 } }));
  const [a, b] = [await s.member('a', 'team'), await s.member('b', 'team')];
  a.holds({ fileHandles: 50, tempStorage: 93 });
  b.holds({ fileHandles: 44 });
  await s.time.pass(25_000);
  t.same([...a.tree.braked, ...b.tree.braked], ['soft_nofile', 'soft_nofile']);
  t.same(
    s.acts('context team').filter((act) => act.includes('recycle')),
    [],
  );
  await s.time.pass(12_000);
  t.same(
    s.acts('context team').filter((act) => act.includes('recycle')),
    ['cleanup recycle done a'],
    'of file handles; what holds nobody back, temporary storage here, may stay where it is',
  );
  t.match(s.registry.run(a.id).end?.message, /of context team: open files .*, throttled for too long; this run goes/);
});

t.test('on a backend without a group for them: nice for each', async (t) => {
  const s = scene(t, rulesOf({ team: { cpu: 100 } }));
  const [a, b] = [await s.member('a', 'team'), await s.member('b', 'team')];
  for (const { tree } of [a, b]) tree.unsupportedBrakes.set('cpu_quota', 'no cgroups');
  for (let spentMs = 0; spentMs < 10_000; spentMs += 47) {
    for (const each of [a, b]) each.holds({ cpuTimeMs: spentMs });
    await s.time.pass(100);
  }
  t.equal(s.stage('team'), 'throttled');
  t.same([...a.tree.braked, ...b.tree.braked], ['nice', 'nice']);
  t.same(s.acts('context team').slice(-3), [
    'throttled notify done',
    'throttled cpu_quota unsupported',
    'throttled nice done',
  ]);
});

t.test('new calls to runs of a budget that is throttled wait, and that does not last for ever', async (t) => {
  const s = scene(t, rulesOf({ team: { memory: 100 } }));
  s.tool('served', { readiness: 'mcp', sharing: 'context' });
  const served = await s.registry.activate('served', { context: 'team' });
  const serves = (): Run => [...(s.registry.live.get('served')?.runs.values() ?? [])][0]!.run;
  const plain = await s.member('plain', 'team');
  let told = 0;
  serves().events.add({ onHeld: () => told++ });
  t.equal(heldBack(serves()), null);
  plain.holds({ memory: 83 });
  await s.time.pass(5_000);
  t.match(heldBack(serves()), {
    how: 'queue_calls',
    resource: 'memory',
    stage: 'throttled',
    usage: 93,
    limit: 100,
    ratio: 0.93,
    sharedBy: 'context team',
  });
  t.equal(told, 1);
  t.ok(s.acts('context team').includes('throttled queue_calls done'), s.acts('context team').join());
  plain.holds({ memory: 10 });
  await s.time.pass(5_000);
  t.equal(heldBack(serves()), null);
  t.equal(told, 2);
  plain.holds({ memory: 83 });
  await s.time.pass(40_000);
  t.ok(s.acts('context team').includes('cleanup recycle done plain'), s.acts('context team').join());
  t.match(s.registry.run(served.id), { state: 'running' });
  s.rules = { ...rulesOf({ team: { memory: 1 } }), dryRun: true };
  await s.time.pass(5_000);
  t.equal(heldBack(serves()), null, 'in a dry run nobody waits');
});

t.test('a context that stalls on memory is not left throttled until the deadline', async (t) => {
  const group = new FakeGroup();
  const inside = new Set<string>();
  const s = scene(
    t,
    rulesOf({ team: { memory: 100 } }),
    fakeGroups(group, () => inside),
  );
  const a = await s.member('a', 'team');
  inside.add(a.id);
  a.holds({ memory: 93 });
  group.memory = 93;
  group.stallMs = 0;
  const pass = async (ms: number, stalled: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 50) {
      group.stallMs = (group.stallMs ?? 0) + 50 * stalled;
      await s.time.pass(50);
    }
  };
  await pass(10_000, 0.1);
  t.equal(s.stage('team'), 'throttled');
  await pass(12_000, 0.6);
  t.ok(s.acts('context team').includes('cleanup recycle done a'), s.acts('context team').join());
  t.match(
    s.recordsOf('budget').find((record) => record.event === 'stage' && record.to === 'cleanup'),
    { cause: 'stall' },
  );
});

t.test('killed by the kernel at a shared cap: the rest of it is ended, with that reason', async (t) => {
  const group = new FakeGroup();
  const inside = new Set<string>();
  const s = scene(
    t,
    rulesOf({ team: { memory: 100 } }),
    fakeGroups(group, () => inside),
  );
  const [a, b] = [await s.member('a', 'team'), await s.member('b', 'team')];
  for (const { id } of [a, b]) inside.add(id);
  await s.time.pass(2_000);
  a.holds({ oomKills: 1 });
  await s.time.pass(2_000);
  t.match(s.registry.run(a.id).end, {
    reason: 'oom_kill',
    message: /lack of memory \(OOM\) at that of context team/,
  });
  t.match(s.registry.run(b.id), { state: 'running' });
  t.same(s.acts('context team'), ['emergency kill done a']);
});

t.test('a run is made in the group of its context, where that has limits and may hold it', async (t) => {
  const s = scene(
    t,
    rulesOf({ team: { memory: 100 } }),
    fakeGroups(new FakeGroup(), () => new Set()),
  );
  const { backend } = s.ports;
  const { create, plan } = backend;
  const made: unknown[] = [];
  Object.assign(backend, {
    plan: (runId: string, context?: string) => {
      made.push(context ?? null);
      return plan(runId, context);
    },
    create: (request: Parameters<typeof create>[0]) => {
      made.push(request.within?.context ?? null, request.within?.limits.memory?.limit ?? null);
      return create(request);
    },
  });
  const cases: readonly (readonly [string | null, object, readonly unknown[]])[] = [
    ['team', {}, ['team', 'team', 100]],
    ['no limits', {}, [null, null, null]],
    [null, {}, [null, null, null]],
    ['team', { dryRun: true }, [null, null, null]],
    ['team', { command: 'docker', args: ['run', 'image'] }, [null, null, null]],
  ];
  for (const [index, [context, more, wanted]] of cases.entries()) {
    made.length = 0;
    await s.member(`tool-${index}`, context, {}, more);
    t.same(made, wanted, `${context} ${JSON.stringify(more)}`);
  }
  s.rules = { ...s.rules, dryRun: true };
  made.length = 0;
  await s.member('dry daemon', 'team');
  t.same(made, ['team', 'team', null], 'nothing is held in a dry run');
});

t.test('one that fails to be read, and a look that fails, keep nobody from being judged', async (t) => {
  const s = scene(t, rulesOf({ team: { tasks: 100 } }));
  const [a, b] = [await s.member('a', 'team'), await s.member('b', 'team')];
  a.holds({ tasks: 50 });
  b.holds({ tasks: 60 });
  s.points.fail('fresh sample', new Error('EIO'), 1);
  await s.time.pass(4_000);
  t.same(s.acts('context team').filter((act) => / (a|b)$/.test(act)).length, 1, s.acts('context team').join());
  t.ok(s.complaints.includes('could not be read for a shared limit: EIO'));
  let broken = true;
  const now = s.rules;
  Object.assign(s.ports, {
    budgets: () => {
      if (broken) throw new Error('broken');
      return now;
    },
  });
  await s.time.pass(2_000);
  t.ok(s.complaints.includes('shared limits could not be judged: broken'));
  broken = false;
  await s.time.pass(2_000);
  t.equal(s.registry.budgets()[0]?.runs, 1, 'the monitor went on');
});

t.test('a run changes its context', async (t) => {
  const s = scene(t, rulesOf({ old: { file_handles: 100 }, new: { file_handles: 1_000 } }));
  const a = await s.member('a', 'old');
  a.holds({ fileHandles: 95 });
  await s.time.pass(5_000);
  t.same([...a.tree.braked], ['soft_nofile']);
  s.handles = { held: 2, closed: 2, failed: [] };
  t.match(await s.registry.moveRun(a.id, 'new', 'a test'), { id: a.id, context: 'new', state: 'running' });
  t.same([...a.tree.braked], [], 'what the old one asked for is lifted');
  t.equal(s.ledger.get(a.id)?.context, 'new', 'the next daemon knows');
  t.match(s.recordsOf('lifecycle').at(-1), {
    event: 'context_changed',
    run: a.id,
    detail: { context: { from: 'old', to: 'new' }, by: 'a test', handles: '2 handles: 2 closed; 0 carried over' },
  });
  await s.time.pass(2_000);
  t.match(s.registry.contexts(), [{ id: 'new', budget: { stage: 'normal', runs: 1 } }]);
  await t.rejects(s.registry.endContext('old'), isGovernorError('unknown_context'));
  t.match(await s.registry.moveRun(a.id, null, 'a test'), { context: null });
  t.same(s.registry.contexts(), []);
  await s.registry.deactivate('a');
  await t.rejects(s.registry.moveRun(a.id, 'new', 'a test'), isGovernorError('illegal_state'));
  await t.rejects(s.registry.moveRun('nosuchrun1', 'new', 'a test'), isGovernorError('unknown_run'));
});

t.test('a managed run that serves clients changes with them, and not by hand', async (t) => {
  const s = scene(t, rulesOf({}));
  s.tool('served', { readiness: 'mcp', sharing: 'context' });
  s.tool('shared', { readiness: 'mcp', sharing: 'shared' });
  s.tool('plain');
  const served = await s.registry.activate('served', { context: 'x' });
  const one = await s.registry.activate('shared', { context: null });
  await t.rejects(s.registry.moveRun(served.id, 'y', 'a test'), isGovernorError('illegal_state'));
  await t.rejects(s.registry.moveRun(one.id, 'y', 'a test'), isGovernorError('illegal_state'));
  const plain = await s.registry.activate('plain', { context: 'x' });
  t.match(await s.registry.moveRun(plain.id, 'y', 'a test'), { context: 'y' });
});
