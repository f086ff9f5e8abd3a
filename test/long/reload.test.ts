/** limits.yaml edited while tools run, and limits changed by hand: what is written holds, what is wrong changes nothing. */

import { spawnSync } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { type AuditEntry, auditOf } from '../helpers/audit.ts';
import { type ConfigDocument, formatConfig } from '../helpers/config-text.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, lacksFixture } from '../helpers/fixture.ts';
import { runStairs, stageReached, statusOf, usageOf } from '../helpers/stairs.ts';
import { lacks } from '../helpers/skip.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux') || lacksFixture('stairs');
const [node, idle = ''] = fixtureCommand('idle');
const base = { command: 'true', autostart: false, readiness: 'none' };
const background = { command: node, args: [idle], readiness: 'none' };
const TOLD_ONLY = { tasks: { cleanup: [], emergency: [] } };

const daemonSection = { sample_interval: '100ms' };
const tools = {
  lowered: { ...base, limits: { tasks: 100 } },
  flagged: { ...base, limits: { tasks: 100 } },
  'far above': { ...base, limits: { tasks: 100 }, actions: TOLD_ONLY },
  'by hand': { ...base, limits: { tasks: 100 } },
  kept: { ...background, limits: { tasks: 100 } },
  removed: background,
};

t.test('reload', { skip, timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: daemonSection, tools } });
  await t.test('a lowered limit holds for what runs', (t) => lowered(t, daemon));
  await t.test('an invalid file changes nothing', (t) => invalid(t, daemon));
  await t.test('tools come and go with the file', (t) => comeAndGo(t, daemon));
  await t.test('governor set, and PATCH', (t) => byHand(t, daemon));
  t.notMatch(
    daemon.output(),
    /could not be carried out|sampling failed|the end of a run failed|the kernel refused/,
    'the daemon met no error',
  );
});

async function lowered(t: Test, daemon: RunningDaemon): Promise<void> {
  const [run, far] = [runStairs(t, daemon, 'lowered'), runStairs(t, daemon, 'far above')];
  const flagged = runStairs(t, daemon, 'flagged', { flags: ['--tasks', '80'] });
  await flagged.said('ready');
  const kernel = await enforcement(daemon, 'lowered', run);
  await run.hold('tasks', 20);
  await far.said('ready');
  await far.hold('tasks', 40);
  const pids = (await daemon.call('GET', '/v1/tools/kept')).json.runs[0].pid as number;

  await edit(daemon, {
    ...tools,
    flagged: { ...base, limits: { tasks: 26 } },
    lowered: { ...base, limits: { tasks: { limit: 26, reason: 'less will do' } } },
    'far above': { ...base, limits: { tasks: 20 }, actions: TOLD_ONLY },
  });
  // 21 of 26 now: flagged, and nothing else.
  const view = await stageReached(daemon, 'lowered', 'tasks', 'warning');
  t.match(view, { limit: 26, usage: 21 });
  const limit = (await daemon.call('GET', '/v1/tools/lowered')).json.runs[0].limits.find(
    (entry: { resource: string }) => entry.resource === 'tasks',
  );
  t.match(limit, { limit: 26, reason: 'less will do', source: { from: 'file', detail: /limits\.yaml/ } });
  t.match((await auditOf(daemon, 'lowered', 'limits')).at(-1), {
    resource: 'tasks',
    before: 100,
    after: 26,
    by: 'config reload',
    reason: 'less will do',
  });
  t.equal((await daemon.call('GET', '/v1/tools/kept')).json.runs[0].pid, pids, 'others were left alone');

  t.equal((await usageOf(daemon, 'flagged', 'tasks')).limit, 80, 'a flag is stronger than the file');
  flagged.ask('exit', 0);
  await flagged.ended;

  // 41 of 20: twice the limit. The ladder has the word first; a cap there and then would do harm.
  await stageReached(daemon, 'far above', 'tasks', 'emergency');
  t.equal(far.child.exitCode ?? far.child.signalCode, null);
  if (kernel) {
    await run.hold('tasks', 22);
    run.ask('tasks', 60);
    t.match(
      await run.said('refused'),
      { word: 'tasks', held: 38 },
      'the kernel holds it to half as much again, 39 of 26',
    );
    await run.ended;
    await far.hold('tasks', 5);
    const { id } = (await daemon.call('GET', '/v1/tools/far%20above/runs')).json.runs[0];
    await waitFor('the cap to follow', () => pidsMax(id as string) === '30');
    far.ask('tasks', 60);
    t.match(await far.said('refused'), { held: 29 }, 'also where it had to wait until usage came down: 30 of 20');
  } else {
    run.ask('tasks', 60);
    await run.ended;
  }
  far.child.kill('SIGKILL');
  await far.ended;
  t.match(
    (await daemon.call('GET', '/v1/tools/lowered')).json.lastEnd,
    { reason: 'limit', resource: 'tasks' },
    'above the new limit it was ended',
  );
}

async function invalid(t: Test, daemon: RunningDaemon): Promise<void> {
  const before = (await daemon.call('GET', '/v1/tools')).json.tools as readonly {
    name: string;
    limits: unknown;
    runs: readonly { id: string }[];
  }[];
  const good = readFileSync(path(daemon), 'utf8');
  t.match(await metric(daemon), 1);
  writeFileSync(path(daemon), good.replace('tasks: 100', 'tasks: many'));
  await waitFor('the refusal', async () => (await metric(daemon)) === 0);
  t.match(daemon.output(), /limits\.yaml:\d+:\d+: .*many/, 'the log says where');
  const answer = await daemon.call('POST', '/v1/config/reload');
  t.match(answer, {
    status: 422,
    json: {
      code: 'invalid_config',
      problems: [{ line: Number, column: Number, message: /many/, hint: /whole number/ }],
    },
  });
  const after = (await daemon.call('GET', '/v1/tools')).json.tools as typeof before;
  t.same(
    after.map(({ name, limits, runs }) => [name, limits, runs.map(({ id }) => id)]),
    before.map(({ name, limits, runs }) => [name, limits, runs.map(({ id }) => id)]),
    'nothing changed',
  );
  writeFileSync(path(daemon), good);
  await waitFor('the good file', async () => (await metric(daemon)) === 1);
  t.match(await daemon.call('POST', '/v1/config/reload'), {
    status: 200,
    json: { changed: [], added: [], removed: [] },
  });
}

async function comeAndGo(t: Test, daemon: RunningDaemon): Promise<void> {
  await waitFor('the tool', async () => (await daemon.call('GET', '/v1/tools/removed')).json.state === 'active');
  const { removed: _removed, ...others } = tools;
  await edit(daemon, { ...others, added: background, kept: { ...background, args: [idle, '--marker=changed'] } });
  await waitFor('the new tool', async () => (await daemon.call('GET', '/v1/tools/added')).json.state === 'active');
  await waitFor('the old one to go', async () => (await daemon.call('GET', '/v1/tools/removed')).status === 404);
  t.match((await auditOf(daemon, 'removed', 'cleanup')).at(-1), { reason: 'unregistered', report: { left: {} } });
  const entries = (await daemon.call('GET', '/v1/audit?kind=daemon&limit=1000')).json.entries as readonly AuditEntry[];
  const last = entries.filter(({ event }) => event === 'config_reload').at(-1);
  t.match(last.detail, { added: ['added'], removed: ['removed'] });
  t.same(
    [...last.detail.changed].toSorted(),
    ['far above', 'flagged', 'kept', 'lowered'],
    'what differs from the file before',
  );
  t.match(last.detail.notes.join(), /kept: limits hold now; what else changed holds from its next start/);
  t.match(await daemon.call('POST', '/v1/tools/kept/restart'), {
    status: 200,
    json: { state: 'active', command: [node, idle, '--marker=changed'] },
  });
}

async function byHand(t: Test, daemon: RunningDaemon): Promise<void> {
  const name = 'by hand';
  const run = runStairs(t, daemon, name);
  await run.said('ready');
  await run.hold('tasks', 40);
  t.equal((await daemon.cli(['set', name, 'tasks=50'])).code, 0);
  await stageReached(daemon, name, 'tasks', 'warning');
  const { json: tool } = await daemon.call('GET', '/v1/tools/by%20hand');
  t.match(
    tool.runs[0].limits.find((entry: { resource: string }) => entry.resource === 'tasks'),
    { limit: 50, source: { from: 'api' } },
  );
  await edit(daemon, { ...tools, 'moved the lines': { ...base, limits: { tasks: 7 } } });
  t.match(await usageOf(daemon, name, 'tasks'), { limit: 50 }, 'an edit of something else leaves it alone');
  t.match(
    await daemon.call('PATCH', '/v1/tools/by%20hand', { limits: { tasks: 200, memory: '2GiB', runtime: '1h' } }),
    { status: 200 },
  );
  await stageReached(daemon, name, 'tasks', 'normal');
  t.match(await usageOf(daemon, name, 'runtime'), { limit: 3_600_000, enforcement: 'polled' });
  for (const [limits, message] of [
    [{ tasks: 0 }, /tasks/],
    [{ memory: '1G' }, /1GiB or 1GB/],
    [{ speed: 1 }, /speed/],
    [{}, /no limit/],
  ] as const) {
    t.match(
      await daemon.call('PATCH', '/v1/tools/by%20hand', { limits }),
      { status: 400, json: { problems: [Object] } },
      JSON.stringify(limits),
    );
    t.match((await daemon.call('PATCH', '/v1/tools/by%20hand', { limits })).text, message);
  }
  t.match((await daemon.cli(['set', name, 'memory=512M'])).stderr, /512MiB or 512MB/);
  t.equal((await usageOf(daemon, name, 'tasks')).limit, 200, 'a wrong one changes nothing');
  await daemon.call('PATCH', '/v1/tools/by%20hand', { limits: { tasks: null } });
  await run.hold('tasks', 400);
  t.match(await usageOf(daemon, name, 'tasks'), { limit: null, ratio: null, stage: 'normal' }, 'null lifts a limit');
  t.equal((await daemon.cli(['set', name, 'tasks=40'])).code, 0);
  t.ok([137, 143].includes(statusOf(await run.ended) ?? 0), 'far above a new limit it is ended');
}

/** @returns whether the kernel holds the tasks of this daemon's tools */
async function enforcement(
  daemon: RunningDaemon,
  name: string,
  run: { said(word: string): Promise<unknown> },
): Promise<boolean> {
  await run.said('ready');
  const { json } = await daemon.call('GET', `/v1/tools/${name}`);
  return (json.runs[0].limits as readonly { resource: string; enforcement: string }[]).some(
    ({ resource, enforcement: by }) => resource === 'tasks' && by === 'kernel',
  );
}

function pidsMax(runId: string): string {
  const [file = ''] = spawnSync('find', ['/sys/fs/cgroup', '-path', `*${runId}*/pids.max`], {
    encoding: 'utf8',
  }).stdout.split('\n');
  return readFileSync(file, 'utf8').trim();
}

function path(daemon: RunningDaemon): string {
  return daemon.configPath ?? '';
}

/** As an editor does it: another file takes the place of the old one. */
async function edit(daemon: RunningDaemon, next: ConfigDocument['tools']): Promise<void> {
  const reloads = async (): Promise<number> =>
    (await daemon.call('GET', '/v1/audit?kind=daemon&limit=1000')).json.entries.filter(
      ({ event }: { event: string }) => event === 'config_reload',
    ).length as number;
  const before = await reloads();
  writeFileSync(
    `${path(daemon)}.new`,
    formatConfig({ daemon: daemonSection, ...(next === undefined ? {} : { tools: next }) }),
  );
  renameSync(`${path(daemon)}.new`, path(daemon));
  await waitFor('the reload', async () => (await reloads()) > before);
}

async function metric(daemon: RunningDaemon): Promise<number> {
  return Number(/^governor_config_last_reload_successful (\d)/m.exec((await daemon.call('GET', '/metrics')).text)?.[1]);
}
