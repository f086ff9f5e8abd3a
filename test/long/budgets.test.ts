/** Three runs of one context share its limits: each stage of a real budget, one victim at a time, on every backend of this host. */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { contextGroupName } from '../../lib/os/cgroup2/context-groups.ts';
import { linuxBackends } from '../helpers/backends.ts';
import { formatConfig } from '../helpers/config-text.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, lacksFixture } from '../helpers/fixture.ts';
import { lacks } from '../helpers/skip.ts';
import { type GovernedRun, runStairs, statusOf } from '../helpers/stairs.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const TASKS = 100;
const MIB = 2 ** 20;
const MEMORY_MIB = 120;

const skip = lacks('linux') || lacksFixture('stairs');
const backends = skip === false ? await linuxBackends() : [];
if (skip !== false) t.test('budgets', { skip }, () => undefined);

for (const { id: backend, usable, reason } of backends) {
  t.test(`on ${backend}`, { skip: usable ? false : reason, timeout: patience(150_000) }, async (t) => {
    const contexts = { tasks: `tasks-${backend}-${process.pid}`, memory: `memory-${backend}-${process.pid}` };
    const daemon = await startDaemon(t, {
      backend,
      config: {
        daemon: { sample_interval: '100ms' },
        classes: { own: { memory: '1GiB', cpu: 'none', tasks: 1000 } },
        contexts: {
          default: { tasks: TASKS },
          'memory-*': { memory: { limit: `${MEMORY_MIB}MiB`, reason: 'a test' }, tasks: 'none' },
        },
        tools: {
          ...Object.fromEntries(['a', 'b', 'd', 'e', 'f', 'other', 'free'].map((name) => [name, tool({})])),
          // Small for itself, so that it is the first to go.
          c: tool({ tasks: 200 }),
        },
      },
    });
    await Promise.all([tasks(t, daemon, contexts.tasks, backend), memory(t, daemon, contexts.memory, backend)]);
    t.notMatch(
      daemon.output(),
      /could not be carried out|sampling failed|the end of a run failed/,
      'the daemon met no error',
    );
    t.match((await daemon.call('GET', '/v1/audit/verify')).json, { ok: true });
  });

  t.test(
    `all tools together on ${backend}`,
    { skip: usable ? false : reason, timeout: patience(90_000) },
    async (t) => {
      const daemon = await startDaemon(t, {
        backend,
        config: {
          daemon: { sample_interval: '100ms', budget: { tasks: 60 } },
          classes: { own: { memory: '1GiB', cpu: 'none', tasks: 1000 } },
          tools: { one: tool({}), two: tool({}) },
        },
      });
      const one = runStairs(t, daemon, 'one', { flags: ['--context', 'x'] });
      const two = runStairs(t, daemon, 'two');
      await Promise.all([one.said('ready'), two.said('ready')]);
      await one.hold('tasks', 20);
      one.ask('tasks', 20);
      two.ask('tasks', 42);
      t.equal(statusOf(await two.ended), 143, 'the larger one is asked to go');
      t.match(
        two.stderr(),
        /two: stopped: of all tools together: tasks \d+ is \d+ % of its limit of 60, stage cleanup/,
      );
      // The client knows of the end first: the tool was its own process.
      const budgets = await waitFor('the larger one no longer counts', async () => {
        const { json } = await daemon.call('GET', '/v1/usage');
        return json.budgets[0].runs === 1 ? json.budgets : undefined;
      });
      t.match(budgets, [
        { scope: 'host', context: null, runs: 1, resources: [{}, {}, {}, {}, {}, { resource: 'tasks', limit: 60 }] },
      ]);
      t.equal(budgets[0].resources[5].enforcement, enforces(backend) ? 'kernel' : 'polled');
      t.equal(one.child.exitCode ?? one.child.signalCode, null, 'the other one lives');
      const metrics = (await daemon.call('GET', '/metrics')).text;
      t.match(metrics, /^governor_budget_limit\{resource="tasks"\} 60$/m);
      t.match(metrics, /^governor_budget_stops_total\{budget="host",resource="tasks",stage="cleanup"\} 1$/m);
    },
  );
}

/** From stage to stage, and exactly one goes: the one that is highest against its own limit of those that hold much. */
async function tasks(t: Test, daemon: RunningDaemon, context: string, backend: string): Promise<void> {
  const flags = ['--context', context];
  const [a, b, c] = ['a', 'b', 'c'].map((name) => runStairs(t, daemon, name, { flags })) as [
    GovernedRun,
    GovernedRun,
    GovernedRun,
  ];
  const other = runStairs(t, daemon, 'other', { flags: ['--context', `${context}-other`] });
  await Promise.all([a, b, c, other].map((run) => run.said('ready')));
  await other.hold('tasks', 60);
  const base = await settled(daemon, context);
  const to = (ratio: number, others: number): number => Math.floor(TASKS * ratio - base - others);

  await a.hold('tasks', 30);
  await b.hold('tasks', 15);
  await c.hold('tasks', to(0.81, 45));
  t.match(await budgetIn(daemon, context, 'warning'), { runs: 3, stage: 'warning' });
  await c.hold('tasks', to(0.94, 45));
  const throttled = await budgetIn(daemon, context, 'throttled');
  const view = throttled.resources.find(({ resource }: { resource: string }) => resource === 'tasks');
  t.match(view, { limit: TASKS, stage: 'throttled', enforcement: enforces(backend) ? 'kernel' : 'polled' });
  t.ok(view.ratio >= 0.9 && view.ratio < 1, `the ratio is that of all three: ${view.ratio}`);
  if (enforces(backend))
    t.equal(capOf(context, 'pids.max'), String(TASKS * 1.5), 'the cap lies on the group around them');
  for (const run of [a, b, c]) t.equal(run.child.exitCode ?? run.child.signalCode, null, `${run.name} lives`);

  // A is the largest, but C is nearer to a limit of its own.
  a.ask('tasks', 30 + Math.ceil(TASKS * 0.12));
  t.equal(statusOf(await c.ended), 143, 'c is asked to go');
  t.match(
    c.stderr(),
    new RegExp(`governor: c: stopped: of context ${context}: tasks \\d+ is \\d+ % of its limit of 100`),
  );
  await budgetIn(daemon, context, 'normal');
  for (const run of [a, b, other]) t.equal(run.child.exitCode ?? run.child.signalCode, null, `${run.name} lives on`);

  const records = await budgetAudit(daemon, `context ${context}`);
  t.same(
    records
      .filter(({ event, to }) => event === 'stage' && to !== 'normal')
      .map(({ resource, from, to }) => `${resource}: ${from} → ${to}`)
      .slice(0, 3),
    ['tasks: normal → warning', 'tasks: warning → throttled', 'tasks: throttled → cleanup'],
  );
  t.same(
    records
      .filter(({ event }) => event === 'action')
      .map(({ stage, action, outcome, tool }) => [stage, action, outcome, tool ?? '-'].join(' ')),
    ['warning notify done -', 'throttled notify done -', 'cleanup recycle done c'],
    'one, and only one, has gone',
  );
  t.equal((await daemon.call('DELETE', `/v1/contexts/${context}`)).status, 204);
  await Promise.all([a.ended, b.ended]);
  t.same(groupsOf(context), [], 'the group of the context is gone');
  t.equal(other.child.exitCode ?? other.child.signalCode, null, 'the neighbour lives');
  t.equal((await daemon.call('GET', '/v1/tools/other')).json.stage, 'normal');
}

/** Far above at once: one is killed, by the daemon or by the kernel; then one is asked to go; one is left. */
async function memory(t: Test, daemon: RunningDaemon, context: string, backend: string): Promise<void> {
  const flags = ['--context', context];
  const runs = ['d', 'e', 'f'].map((name) => runStairs(t, daemon, name, { flags, args: ['--stubborn'] }));
  const free = runStairs(t, daemon, 'free');
  await Promise.all([...runs, free].map((run) => run.said('ready')));
  await free.hold('memory', MEMORY_MIB);
  for (const run of runs) await run.hold('memory', 25);
  await waitFor('what they hold', async () => {
    const usage = (await budgetOf(daemon, context))?.resources[0].usage as number;
    return usage >= 75 * MIB && usage < 0.75 * MEMORY_MIB * MIB;
  });
  if (enforces(backend)) {
    const file = backend === 'cgroup1' ? 'memory.limit_in_bytes' : 'memory.max';
    t.equal(capOf(context, file), String(MEMORY_MIB * MIB * 1.5), 'memory: the cap lies on the group around them');
  }
  for (const run of runs) run.ask('memory', 78);
  const firstGone = await Promise.race(runs.map(async (run) => run.ended.then(() => run)));
  t.equal(statusOf(await firstGone.ended), 137, 'the first one is killed');
  const second = await nextGone(runs, firstGone);
  t.equal(statusOf(await second.ended), 137, 'the second one did not go by itself within its grace');
  const survivor = runs.find((run) => run !== firstGone && run !== second) as GovernedRun;
  await budgetIn(daemon, context, 'normal');
  t.equal(survivor.child.exitCode ?? survivor.child.signalCode, null, 'one is left');
  t.equal(free.child.exitCode ?? free.child.signalCode, null, 'who has no context is not concerned');
  const done = (await budgetAudit(daemon, `context ${context}`)).filter(
    ({ event, outcome, run }) => event === 'action' && outcome === 'done' && run !== undefined,
  );
  // Who grows slowly, as on a busy machine, is asked to go before it comes to that.
  const acts = done.map(({ stage, action }) => `${stage} ${action}`);
  t.ok(
    acts.every((act) => act === 'emergency kill' || act === 'cleanup recycle'),
    acts.join(),
  );
  t.equal(new Set(done.map(({ run }) => run)).size, acts.length, 'each is stopped once');
  // Where the kernel holds all of them it may have been faster.
  if (enforces(backend)) t.ok(acts.length <= 2, `${acts.length} stopped by the daemon`);
  else t.same([acts.length, acts.at(-1)], [2, 'cleanup recycle'], 'one victim a pass');
  const end = (await daemon.call('GET', `/v1/tools/${firstGone.name}`)).json.lastEnd;
  t.match(
    end.message,
    end.reason === 'oom_kill'
      ? `or that of context ${context}`
      : new RegExp(
          `stopped: of context ${context}: memory .* is \\d+ % of its limit of 120.* \\(limit because: a test\\)`,
        ),
  );
}

async function nextGone(runs: readonly GovernedRun[], first: GovernedRun): Promise<GovernedRun> {
  return Promise.race(runs.filter((run) => run !== first).map(async (run) => run.ended.then(() => run)));
}

t.test('a context changes under a running tool', { skip, timeout: patience(60_000) }, async (t) => {
  const daemon = await startDaemon(t, {
    config: { daemon: { sample_interval: '100ms' }, contexts: { 'old-*': { tasks: 100 }, 'new-*': { tasks: 80 } } },
  });
  const [from, to] = [`old-${process.pid}`, `new-${process.pid}`];
  const tool = runStairs(t, daemon, 'mover', {
    command: fixtureCommand('library-tool', ['--handles=first,second!']),
    flags: ['--context', from],
  });
  await tool.said('ready');
  tool.child.stdin?.write('register pool*\n');
  await tool.said('done');
  const { id } = (await waitFor('its handles', async () => {
    const [run] = (await daemon.call('GET', '/v1/tools/mover/runs')).json.runs;
    return run?.handles === 3 ? run : null;
  })) as { id: string };
  const moved = await daemon.call('POST', `/v1/runs/${id}/context`, { context: to });
  t.match(moved.json, { id, context: to, state: 'running' });
  const closed = (): readonly string[] => tool.lines().filter((line) => line.startsWith('closed '));
  await waitFor('what it closed', () => closed().length === 2);
  t.same(closed(), [
    'closed {"name":"second","reason":"context_changed"}',
    'closed {"name":"first","reason":"context_changed"}',
  ]);
  await waitFor('what is carried over', async () => (await daemon.call('GET', `/v1/runs/${id}`)).json.handles === 1);
  const view = await waitFor('the new one', async () => {
    const budget = await budgetOf(daemon, to);
    return budget?.resources[5].usage > 0 ? budget : null;
  });
  t.match(view, { runs: 1, resources: [{}, {}, {}, {}, {}, { limit: 80, enforcement: 'polled' }] });
  t.equal(await budgetOf(daemon, from), undefined, 'the old one has no run');
  t.equal((await daemon.call('DELETE', `/v1/contexts/${from}`)).status, 404);
  const { json } = await daemon.call('GET', '/v1/audit?kind=lifecycle&tool=mover');
  t.match(
    json.entries.filter(({ event }: { event: string }) => event === 'context_changed'),
    [{ detail: { context: { from, to }, by: 'unix socket', handles: '2 handles: 2 closed; 1 carried over' } }],
  );
  t.match((await daemon.call('POST', `/v1/runs/${id}/context`, {})).status, 400);
  t.match((await daemon.call('POST', '/v1/runs/nosuchrun0/context', { context: 'x' })).json, { code: 'unknown_run' });
  t.equal((await daemon.call('DELETE', `/v1/contexts/${to}`)).status, 204);
  await tool.ended;
  t.equal(closed().at(-1), 'closed {"name":"pool","reason":"context_ended"}', 'at the end of the run that goes, too');
  t.match((await daemon.call('POST', `/v1/runs/${id}/context`, { context: 'x' })).json, { code: 'illegal_state' });
});

for (const { id: backend, usable } of backends) {
  if (!usable || !enforces(backend)) continue;
  t.test(`a daemon that dies, and limits that change, on ${backend}`, { timeout: patience(60_000) }, async (t) => {
    const context = `lasting-${backend}-${process.pid}`;
    const config = (contexts: Readonly<Record<string, unknown>>) => ({
      daemon: { backend, sample_interval: '100ms' },
      contexts,
    });
    const first = await startDaemon(t, { config: config({ default: { tasks: 40 } }), backend });
    const run = runStairs(t, first, 'lasting', { flags: ['--context', context] });
    await run.said('ready');
    t.equal(capOf(context, 'pids.max'), '60');
    writeFileSync(String(first.configPath), formatConfig(config({ default: { tasks: 50 } })));
    await waitFor('the new limit', () => capOf(context, 'pids.max') === '75');
    first.process.kill('SIGKILL');
    await first.ended;
    t.equal(capOf(context, 'pids.max'), '75', 'held while no daemon lives');
    run.ask('tasks', 100);
    t.match(await run.said('refused'), { word: 'tasks' }, 'by the kernel');

    const { stateDir } = first;
    const second = await startDaemon(t, { config: config({ default: { tasks: 400 } }), backend, stateDir });
    // Each daemon has a scope of its own: what lives in that of another one it watches.
    const isElsewhere = backend === 'cgroup2-scope';
    const enforcement = isElsewhere ? 'polled' : 'kernel';
    const view = await waitFor('it to be counted', async () => {
      const budget = await budgetOf(second, context);
      return budget?.resources[5].usage > 0 && budget.resources[5].enforcement === enforcement ? budget : null;
    });
    t.match(view, { runs: 1, resources: [{}, {}, {}, {}, {}, { limit: 400, stage: 'normal' }] });
    t.equal(capOf(context, 'pids.max'), isElsewhere ? 'max' : '600');
    writeFileSync(String(second.configPath), formatConfig(config({})));
    await waitFor('no limit', () => capOf(context, 'pids.max') === 'max');
    t.equal((await second.call('DELETE', `/v1/contexts/${context}`)).status, 204);
    await run.ended;
    t.same(groupsOf(context), []);
    await second.stop();
    t.same(groupsOf(context), []);
  });
}

// Documents of many shapes: the assertions say which.
// oxlint-disable-next-line typescript/no-explicit-any
async function budgetOf(daemon: RunningDaemon, context: string): Promise<any> {
  const { contexts } = (await daemon.call('GET', '/v1/contexts')).json;
  // oxlint-disable-next-line typescript/no-explicit-any
  return contexts.find(({ id }: any) => id === context)?.budget;
}

// oxlint-disable-next-line typescript/no-explicit-any
function budgetIn(daemon: RunningDaemon, context: string, stage: string): Promise<any> {
  return waitFor(
    `${context} ${stage}`,
    async () => {
      const view = await budgetOf(daemon, context);
      if (view?.stage === stage) return view;
      throw new Error(JSON.stringify(view));
    },
    { timeoutMs: 30_000 },
  );
}

// oxlint-disable-next-line typescript/no-explicit-any
async function budgetAudit(daemon: RunningDaemon, budget: string): Promise<readonly any[]> {
  const { entries } = (await daemon.call('GET', '/v1/audit?kind=budget&limit=1000')).json;
  return entries.filter((entry: { budget: string }) => entry.budget === budget);
}

/** What the three hold before they are asked for anything. */
async function settled(daemon: RunningDaemon, context: string): Promise<number> {
  const seen: number[] = [];
  await waitFor(
    'the context to settle',
    async () => {
      const usage = (await budgetOf(daemon, context))?.resources[5].usage;
      if (typeof usage === 'number') seen.push(usage);
      return seen.length > 10 && new Set(seen.slice(-10)).size === 1;
    },
    { everyMs: 100 },
  );
  return seen.at(-1) ?? 0;
}

function enforces(backend: string): boolean {
  return ['cgroup2', 'cgroup2-scope', 'cgroup1'].includes(backend);
}

function groupsOf(context: string): readonly string[] {
  return spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', '-name', contextGroupName(context)], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((line) => line !== '');
}

function capOf(context: string, file: string): string | undefined {
  const group = groupsOf(context).find((path) => existsSync(join(path, file)));
  return group === undefined ? undefined : readFileSync(join(group, file), 'utf8').trim();
}

function tool(limits: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return { command: 'true', autostart: false, readiness: 'none', class: 'own', grace: '2s', limits };
}
