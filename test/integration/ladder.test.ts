/** Every resource of a real process is led through the four stages, on every backend that this host has. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { linuxBackends } from '../helpers/backends.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { lacksFixture } from '../helpers/fixture.ts';
import { type GovernedRun, runStairs, stageReached, statusOf, usageOf } from '../helpers/stairs.ts';
import { lacks } from '../helpers/skip.ts';
import { survivorsAfter } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;
/** Resource → the fixture's word for it, its limit, and how much of the resource's unit one step of that word is. */
const CLIMBS = {
  memory: { word: 'memory', limit: 128 * MIB, written: '128MiB', unit: MIB },
  file_handles: { word: 'files', limit: 60, written: 60, unit: 1 },
  sockets: { word: 'sockets', limit: 60, written: 60, unit: 1 },
  temp_storage: { word: 'temp', limit: 2 * MIB, written: '2MiB', unit: 1024 },
  tasks: { word: 'tasks', limit: 50, written: 50, unit: 1 },
} as const;
type Climbing = keyof typeof CLIMBS;
const CLIMBING = Object.keys(CLIMBS) as readonly Climbing[];
const INODES = 100;

const tools: Record<string, unknown> = {
  inodes: tool({ temp_storage: { limit: '100MiB', inodes: INODES } }),
  'runtime-cleanup': tool({ runtime: `${patience(4)}s` }),
  'runtime-emergency': { ...tool({ runtime: `${patience(2)}s` }), grace: '1m' },
};
for (const resource of CLIMBING) {
  const limits = { [resource]: CLIMBS[resource].written };
  tools[resource] = { ...tool(limits), grace: '10s' };
  // Whoever grows slowly, as on a busy machine, must neither be held back on the way nor ended.
  tools[`${resource}-emergency`] = { ...tool(limits), actions: { [resource]: { throttled: [], cleanup: [] } } };
}

const skip = lacks('linux') || lacksFixture('stairs');
const backends = skip === false ? await linuxBackends() : [];
if (skip !== false) t.test('ladder', { skip }, () => undefined);

for (const { id: backend, usable, reason } of backends) {
  t.test(`on ${backend}`, { skip: usable ? false : reason, timeout: patience(110_000) }, async (t) => {
    const daemon = await startDaemon(t, { backend, config: { daemon: { sample_interval: '100ms' }, tools } });
    await Promise.all([
      ...CLIMBING.map((resource) => climbs(t, daemon, resource, backend)),
      // Without the kernel's help the daemon does it all, the same way for each: two of them will do.
      ...CLIMBING.filter((resource) => enforces(backend) || resource === 'memory' || resource === 'tasks').map(
        (resource) => emergency(t, daemon, resource, backend),
      ),
      inodes(t, daemon),
      runtimeCleanup(t, daemon),
      runtimeEmergency(t, daemon),
    ]);
    const listed = (await daemon.cli(['ls'])).stdout.split('\n');
    for (const { name, lastEnd } of (await daemon.call('GET', '/v1/tools')).json.tools as readonly {
      name: string;
      lastEnd: { message: string } | null;
    }[]) {
      if (lastEnd === null) continue;
      t.ok(
        listed.find((line) => line.startsWith(`${name} `))?.includes(`ended: ${lastEnd.message}`.slice(0, 60)),
        `${name}: ls says why`,
      );
    }
    t.notMatch(
      daemon.output(),
      /could not be carried out|sampling failed|the end of a run failed/,
      'the daemon met no error',
    );
    t.match((await daemon.call('GET', '/v1/audit/verify')).json, { ok: true });
  });
}

/** Warning, throttled and cleanup, one after the other. */
async function climbs(t: Test, daemon: RunningDaemon, resource: Climbing, backend: string): Promise<void> {
  const { word, limit } = CLIMBS[resource];
  const run = runStairs(t, daemon, resource);
  const { pid } = await run.said('ready');
  if (resource === 'memory') await run.hold('listen', 1);
  // Memory of processes is first estimated, with shared pages in each of them; the program itself has next to none.
  const base = resource === 'memory' ? 0 : await settled(daemon, resource, resource);
  const level = (ratio: number): number => Math.floor((limit * ratio - base) / CLIMBS[resource].unit);

  await run.hold(word, level(0.81));
  const warned = await stageReached(daemon, resource, resource, 'warning');
  t.ok(warned.ratio >= 0.75 && warned.ratio < 0.9, `${resource}: warned at ${warned.ratio}`);
  t.ok(existsSync(`/proc/${String(pid)}`) || backend === 'pidns', `${resource}: lives after the warning`);
  if (resource === 'memory') {
    const notice = await run.said('pressure');
    t.match(notice, { resource: 'memory', stage: 'warning', limit }, 'the tool is told on MEMORY_PRESSURE_WATCH');
  }
  await run.hold(word, level(0.94));
  await stageReached(daemon, resource, resource, 'throttled');
  const runId = (await daemon.call('GET', `/v1/tools/${resource}/runs`)).json.runs[0].id as string;
  t.equal(run.child.exitCode ?? run.child.signalCode, null, `${resource}: lives while throttled`);
  if (resource === 'file_handles' && backend !== 'pidns') await refusesMoreFiles(t, run, level(1.4));

  // Above the limit: what asks for it may be ended before it can say that it holds it.
  run.ask(word, level(1.06));
  const status = statusOf(await run.ended);
  t.equal(status, 143, `${resource}: SIGTERM is enough for a polite tool: ${JSON.stringify(await run.ended)}`);
  t.same(await survivorsAfter(run.marker, 2000), [], `${resource}: nothing survives`);
  await stopped(t, daemon, { name: resource, runId, resource, run });

  const stages = (await auditOf(daemon, resource, 'stage')).map(
    ({ resource: of, from, to }) => `${of}: ${from} → ${to}`,
  );
  t.same(stages, [
    `${resource}: normal → warning`,
    `${resource}: warning → throttled`,
    `${resource}: throttled → cleanup`,
  ]);
  const actions = (await auditOf(daemon, resource, 'action')).map(
    ({ stage, action, outcome }) => `${stage} ${action} ${outcome}`,
  );
  t.same(actions, expectedActions(resource, backend), `${resource}: actions`);
}

/** The brake on open files is real, and whoever runs into it lives to say so: this brake of a small limit lies above the limit itself. */
async function refusesMoreFiles(t: Test, run: GovernedRun, level: number): Promise<void> {
  await waitFor(
    'the brake',
    () =>
      /^Max open files\s+(\d+)/m.test(limitsOf(run)) &&
      Number(/^Max open files\s+(\d+)/m.exec(limitsOf(run))?.[1]) < 90,
  );
  await run.hold('files', level);
  t.match(
    await run.said('refused'),
    { word: 'files', why: 'Too many open files' },
    'file_handles: the tool sees EMFILE',
  );
}

function limitsOf(run: GovernedRun): string {
  return spawnSync('cat', [`/proc/${String(run.child.pid)}/limits`], { encoding: 'utf8' }).stdout;
}

function expectedActions(resource: Climbing, backend: string): readonly string[] {
  const high = backend === 'cgroup2' || backend === 'cgroup2-scope' ? 'done' : 'unsupported';
  const throttled: Partial<Record<Climbing, string>> = {
    memory: `throttled memory_high ${high}`,
    file_handles: 'throttled soft_nofile done',
    sockets: 'throttled soft_nofile done',
  };
  const own = throttled[resource];
  return [
    'warning notify done',
    'throttled notify done',
    ...(own === undefined ? [] : [own]),
    ...(resource === 'sockets' ? ['cleanup destroy_stale_sockets done'] : []),
    // Only the client could start it again: a recycle of a direct run is a stop.
    'cleanup stop done',
  ];
}

/** From nothing to far above: no stage in between, no grace. */
async function emergency(t: Test, daemon: RunningDaemon, resource: Climbing, backend: string): Promise<void> {
  const name = `${resource}-emergency`;
  const { word, limit, unit } = CLIMBS[resource];
  const run = runStairs(t, daemon, name, { args: ['--stubborn'] });
  await run.said('ready');
  await settled(daemon, name, resource);
  const runId = (await daemon.call('GET', `/v1/tools/${name}/runs`)).json.runs[0].id as string;
  run.ask(word, Math.ceil((limit * 1.7) / unit));
  t.equal(statusOf(await run.ended), 137, `${name}: SIGKILL`);
  t.same(await survivorsAfter(run.marker, 2000), [], `${name}: nothing survives`);
  const byKernel = resource === 'memory' && enforces(backend);
  await stopped(t, daemon, { name, runId, resource, run, reason: byKernel ? 'oom_kill' : 'limit' });
  const [end] = (await auditOf(daemon, name, 'cleanup')).map(({ report }) => report);
  t.equal(end.graceMs, 0, `${name}: without grace`);
  const last = (await auditOf(daemon, name, 'stage')).at(-1);
  if (byKernel && last !== undefined) {
    t.match(last, { to: 'emergency', cause: 'kernel' }, `${name}: the stage`);
    t.ok(last['usage'] > 0 && last['ratio'] > 0, `${name}: ${last['usage']} is no zero that nobody used`);
  }
  if (byKernel) return;
  t.match(last, { resource, to: 'emergency', cause: 'samples', dryRun: false }, `${name}: the stage`);
  t.match((await auditOf(daemon, name, 'action')).at(-1), {
    resource,
    stage: 'emergency',
    action: 'kill',
    outcome: 'done',
  });
}

/** Many empty files are a violation of their own. */
async function inodes(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'inodes');
  await run.said('ready');
  await run.hold('inodes', Math.floor(INODES * 0.8));
  const warned = await stageReached(daemon, 'inodes', 'temp_storage', 'warning');
  t.ok(warned.ratio >= 0.75, 'inodes: the ratio is that of the inodes');
  run.ask('inodes', Math.ceil(INODES * 1.2));
  t.equal(statusOf(await run.ended), 143, 'inodes: stopped');
  const lastEnd = await waitFor(
    'the end',
    async () => (await daemon.call('GET', '/v1/tools/inodes')).json.lastEnd as unknown,
  );
  t.match(lastEnd, { reason: 'limit', resource: 'temp_storage' });
}

async function runtimeCleanup(t: Test, daemon: RunningDaemon): Promise<void> {
  const name = 'runtime-cleanup';
  const run = runStairs(t, daemon, name);
  await run.said('ready');
  const runId = (await daemon.call('GET', `/v1/tools/${name}/runs`)).json.runs[0].id as string;
  t.equal(statusOf(await run.ended), 143, 'runtime: asked to go at its limit');
  await stopped(t, daemon, { name, runId, resource: 'runtime', run });
  const entries = await auditOf(daemon, name, 'stage');
  const stages = entries.map(({ to }) => to as string);
  t.ok(entries.at(-1).usage >= patience(4000), 'runtime: not before its limit');
  // A busy machine may look too late to see them all; they come in order, and the limit is the last.
  t.same(
    stages,
    ['warning', 'throttled', 'cleanup'].filter((stage) => stages.includes(stage)),
  );
  t.equal(stages.at(-1), 'cleanup');
}

/** Whoever does not go at the limit is killed at half as much again, whatever its grace. */
async function runtimeEmergency(t: Test, daemon: RunningDaemon): Promise<void> {
  const name = 'runtime-emergency';
  const run = runStairs(t, daemon, name, { args: ['--stubborn'] });
  t.equal(statusOf(await run.ended), 137, 'runtime: killed although its grace was a minute');
  await waitFor('the end', async () => (await daemon.call('GET', `/v1/tools/${name}`)).json.lastEnd !== null);
  const { lastEnd } = (await daemon.call('GET', `/v1/tools/${name}`)).json;
  t.match(lastEnd, { reason: 'limit', resource: 'runtime', message: /^stopped: runtime .*, stage emergency$/ });
  t.equal((await auditOf(daemon, name, 'stage')).at(-1).to, 'emergency');
}

function enforces(backend: string): boolean {
  return ['cgroup2', 'cgroup2-scope', 'cgroup1'].includes(backend);
}

interface Stop {
  readonly name: string;
  readonly runId: string;
  readonly resource: string;
  readonly run: GovernedRun;
  readonly reason?: 'limit' | 'oom_kill';
}

/** Everyone who has to hear of a stop hears the same: REST, ls, audit, the tool's stderr. And nothing is left. */
async function stopped(
  t: Test,
  daemon: RunningDaemon,
  { name, runId, resource, run, reason = 'limit' }: Stop,
): Promise<void> {
  const view = await waitFor(`${name} to have ended`, async () => {
    const { json } = await daemon.call('GET', `/v1/runs/${runId}`);
    return json.end === null ? null : json;
  });
  t.match(view, { state: 'ended', end: { reason, resource } }, `${name}: GET /v1/runs/${runId}`);
  const message = view.end.message as string;
  t.match(
    message,
    reason === 'limit' ? /^stopped: .* is \d+ % of its limit of / : /killed .* \(OOM\)/,
    `${name}: a reason for people`,
  );
  t.match(
    (await daemon.call('GET', `/v1/tools/${name}`)).json,
    { state: 'registered', stage: 'normal', lastEnd: { reason, message } },
    `${name}: the tool`,
  );
  // Where the kernel killed the whole tree, its stderr was gone before anyone could write to it.
  if (reason === 'limit')
    t.equal(
      run.stderr().trimEnd().split('\n').at(-1),
      `governor: ${name}: ${message}`,
      `${name}: the last line on stderr`,
    );
  t.match(
    (await auditOf(daemon, name, 'cleanup')).at(-1),
    { run: runId, reason, report: { left: {} } },
    `${name}: audit`,
  );
  t.notOk(existsSync(view.tempDir as string), `${name}: temp directory gone`);
  t.same(leftGroups(runId), [], `${name}: containment gone`);
}

function leftGroups(runId: string): readonly string[] {
  return spawnSync('find', ['/sys/fs/cgroup', '-name', `*${runId}*`], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((line) => line !== '');
}

/** What it holds before it was asked for anything, once that has settled: its wrappers come one after the other. */
async function settled(daemon: RunningDaemon, name: string, resource: string): Promise<number> {
  const seen: number[] = [];
  await waitFor(
    `${name} to settle`,
    async () => {
      const view = await usageOf(daemon, name, resource);
      if (typeof view?.usage === 'number') seen.push(view.usage as number);
      return seen.length > 10 && new Set(seen.slice(-10)).size === 1;
    },
    { everyMs: 100 },
  );
  return seen.at(-1) ?? 0;
}

function tool(limits: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  // On a slow machine one who works is soon at its limit of CPU: that is another test.
  return { command: 'true', autostart: false, readiness: 'none', limits: { cpu: 'none', ...limits } };
}
