/** What a stop looks like from every side: stderr, exit status, REST, audit and events. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, fixtureEnvironment, lacksFixture, newMarker } from '../helpers/fixture.ts';
import { runStairs, statusOf } from '../helpers/stairs.ts';
import { lacks } from '../helpers/skip.ts';
import { killSurvivors, survivorsAfter } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux') || lacksFixture('stairs', 'fast-allocator');
const FAST = { sample_interval: '100ms' };
const base = { command: 'true', autostart: false, readiness: 'none' };

const tools = {
  stubborn: { ...base, limits: { tasks: 20 }, grace: '300ms' },
  oom: { ...base, limits: { memory: '64MiB' }, actions: { memory: { cleanup: [] } } },
  reasoned: { ...base, limits: { runtime: { limit: '1s', reason: 'nobody waits longer' } } },
};

t.test('stops', { skip, timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: FAST, tools } });
  const events = followEvents(t, daemon);
  await t.test('the last line on stderr, whatever stderr is', (t) => lastLine(t, daemon));
  await t.test('an ad-hoc tool is forgotten, its run is not', (t) => adHoc(t, daemon));
  await t.test('a stubborn tool is killed after its grace; the report says what was done in which order', (t) =>
    stubborn(t, daemon),
  );
  const { json: host } = await daemon.call('GET', '/v1/host');
  const holder = (host.capabilities as readonly { resource: string; enforcement: string }[]).find(
    ({ resource }) => resource === 'memory',
  )?.enforcement;
  await t.test(
    'the kernel is faster than the ladder',
    { skip: holder === 'kernel' ? false : `memory is ${String(holder)} by ${host.backend as string}` },
    (t) => outOfMemory(t, daemon),
  );
  await t.test('the event stream tells what the audit has', async (t) => {
    const audited = await auditOf(daemon, 'stubborn');
    const told = (await events.of('stubborn', audited.length)).map(({ type, run, data }) => ({ type, run, ...data }));
    t.same(
      told.map(({ type }) => type as string),
      audited.map(({ kind }) => kind as string),
    );
    const stage = (entry: Record<string, unknown>): unknown => ({
      from: entry['from'],
      to: entry['to'],
      ratio: entry['ratio'],
      run: entry['run'],
    });
    t.same(
      told.filter(({ type }) => type === 'stage').map(stage),
      audited.filter(({ kind }) => kind === 'stage').map(stage),
    );
  });
  t.notMatch(
    daemon.output(),
    /could not be carried out|sampling failed|the end of a run failed/,
    'the daemon met no error',
  );
  t.match((await daemon.call('GET', '/v1/audit/verify')).json, { ok: true });
});

/** `$?` and stderr as a shell's user has them. Runtime limits need no cooperation of the tool. */
async function lastLine(t: Test, daemon: RunningDaemon): Promise<void> {
  const file = (name: string): string => join(daemon.stateDir, name);
  writeFileSync(file('append'), 'there before\n');
  const command = '"$0" run --name reasoned -- sleep 60';
  const shells: Readonly<Record<string, string>> = {
    pipe: `{ ${command}; echo "status $?" >STATUS; } 2>&1 | cat >OUT`,
    file: `${command} 2>OUT; echo "status $?" >STATUS`,
    append: `${command} 2>>OUT; echo "status $?" >STATUS`,
    shared: `(echo first; ${command}; echo "status $?" >STATUS) >OUT 2>&1`,
    closed: `${command} 2>&-; echo "status $?" >STATUS`,
    null: `${command} 2>/dev/null; echo "status $?" >STATUS`,
  };
  await Promise.all(
    Object.entries(shells).map(([name, text]) => {
      const script = text.replace('OUT', file(name)).replace('STATUS', file(`${name}.status`));
      return finished(spawn('sh', ['-c', script, LAUNCHER], { env: daemon.env, stdio: 'ignore' }));
    }),
  );
  const line =
    /^governor: reasoned: stopped: runtime [\d.]+m?s is 1\d\d % of its limit of 1s, stage cleanup \(limit because: nobody waits longer\)$/;
  for (const [name, before] of [
    ['pipe', []],
    ['file', []],
    ['append', ['there before']],
    ['shared', ['first']],
  ] as const) {
    // The shell has a word of its own for the death of its child, and cares little for the order.
    const reached = await waitFor(`the reason in ${name}`, () => {
      const lines = readFileSync(file(name), 'utf8')
        .trimEnd()
        .split('\n')
        .filter((text) => !/Terminated/.test(text));
      return lines.length > before.length && lines;
    });
    t.same(reached.slice(0, before.length), before, `${name}: what was there stays`);
    t.equal(reached.length, before.length + 1, `${name}: one line more`);
    t.match(reached.at(-1), line, `${name}: which says why`);
  }
  for (const name of Object.keys(shells))
    t.equal(readFileSync(file(`${name}.status`), 'utf8'), 'status 143\n', `${name}: a death by SIGTERM`);

  // Node's pipes are socket pairs.
  const child = spawn(LAUNCHER, ['run', '--name', 'reasoned', '--', 'sleep', '60'], {
    env: daemon.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  await finished(child);
  t.match(stderr.trimEnd(), line, 'socket pair');
  const runs = await waitFor('seven ended runs', async () => {
    const seen = (await daemon.call('GET', '/v1/tools/reasoned/runs')).json.runs as readonly {
      end: { message: string } | null;
    }[];
    return seen.length === 7 && seen.every(({ end }) => end !== null) && seen;
  });
  t.ok(
    runs.every(({ end }) => line.test(`governor: reasoned: ${end?.message ?? ''}`)),
    'REST says the same of each',
  );
}

async function adHoc(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'ad-hoc', { flags: ['--tasks', '10'] });
  await run.said('ready');
  const { id } = (await daemon.call('GET', '/v1/tools/ad-hoc/runs')).json.runs[0];
  run.ask('tasks', 11);
  t.equal(statusOf(await run.ended), 143);
  await waitFor('the tool to be forgotten', async () => (await daemon.call('GET', '/v1/tools/ad-hoc')).status === 404);
  t.match((await daemon.call('GET', `/v1/runs/${id as string}`)).json, {
    tool: 'ad-hoc',
    state: 'ended',
    end: { reason: 'limit', resource: 'tasks' },
  });
  t.match((await auditOf(daemon, 'ad-hoc', 'cleanup')).at(-1), { run: id, reason: 'limit' }, 'its history stays');
  t.equal((await daemon.call('GET', '/v1/runs/nosuchrun0')).json.code, 'unknown_run');
}

async function stubborn(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'stubborn', { args: ['--stubborn'] });
  await run.said('ready');
  await run.hold('temp', 100);
  await run.hold('inodes', 5);
  const { id, tempDir } = (await daemon.call('GET', '/v1/tools/stubborn/runs')).json.runs[0];
  run.ask('tasks', 22);
  t.equal(statusOf(await run.ended), 137);
  t.same(await survivorsAfter(run.marker, 2000), []);
  const { end } = await waitFor('the end', async () => {
    const { json } = await daemon.call('GET', `/v1/runs/${id as string}`);
    return json.end === null ? null : json;
  });
  const { cleanup } = end;
  t.equal(cleanup.proven, true);
  t.ok(cleanup.graceMs >= 300, `grace ${cleanup.graceMs}`);
  t.ok(
    cleanup.held.processes > 20 &&
      cleanup.held.temp_bytes >= 100 * 1024 &&
      cleanup.held.temp_files >= 6 &&
      cleanup.held.file_handles > 3,
    JSON.stringify(cleanup.held),
  );
  t.same(cleanup.reclaimed, cleanup.held, 'all that was held is reclaimed');
  t.same(cleanup.left, {}, 'nothing is left');
  const labels = (cleanup.steps as readonly { label: string; outcome: string }[]).map(({ label }) => label);
  t.same(
    labels.filter((label) => /^\d/.test(label)),
    ['0 brakes', '1 handles', '1 connection', '2 process', '3 memory, 4 CPU: containment', '5 temp storage'],
    'in this order',
  );
  t.ok(
    (cleanup.steps as readonly { outcome: string }[]).every(({ outcome }) => outcome === 'ok'),
    JSON.stringify(cleanup.steps),
  );
  t.notOk(existsSync(tempDir as string), 'temp directory gone');
  t.equal(
    spawnSync('find', ['/sys/fs/cgroup', '-name', `*${id as string}*`], { encoding: 'utf8' }).stdout,
    '',
    'containment gone',
  );
  const acts = (await auditOf(daemon, 'stubborn'))
    .filter(({ kind }) => ['intent', 'outcome', 'cleanup'].includes(kind as string))
    .map(({ kind, action }) => [kind, action].filter((part) => part !== undefined).join(' '));
  t.same(
    acts,
    ['intent terminate', 'outcome terminate', 'intent delete_temp', 'outcome delete_temp', 'cleanup'],
    'the intent is on record before the act',
  );
}

/** A wrapper in front, as npx is: it survives the kernel's choice, so the reason can still be said. */
async function outOfMemory(t: Test, daemon: RunningDaemon): Promise<void> {
  const marker = newMarker();
  t.teardown(() => killSurvivors(marker));
  const [allocator, ...args] = fixtureCommand('fast-allocator', ['--cap-mb=400']);
  const run = spawn(LAUNCHER, ['run', '--name', 'oom', '--', 'sh', '-c', '"$@"; sleep 60', 'sh', allocator, ...args], {
    env: { ...daemon.env, ...fixtureEnvironment(marker) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  run.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  run.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  await finished(run);
  t.same(await survivorsAfter(marker, 2000), []);
  const touched = [...stdout.matchAll(/^touched (\d+)/gm)].map(([, mb]) => Number(mb)).at(-1) ?? 0;
  t.ok(touched <= 96, `it got ${touched} MB of the 96 that are 150 %`);
  const { lastEnd } = await waitFor('the end', async () => {
    const tool = await daemon.call('GET', '/v1/tools/oom');
    return tool.json.lastEnd === null ? null : tool.json;
  });
  t.match(lastEnd, { reason: 'oom_kill', resource: 'memory', message: /OOM/ });
  t.equal(stderr.trimEnd().split('\n').at(-1), `governor: oom: ${lastEnd.message as string}`, 'the last line says so');
  t.match((await daemon.call('GET', '/metrics')).text, /governor_oom_kills_total\{tool="oom"\} [1-9]/);
}

interface Told {
  readonly type: string;
  readonly tool: string | null;
  readonly run: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** GET /v1/events from the daemon's first on, as a program would follow it. */
function followEvents(t: Test, daemon: RunningDaemon): { of(tool: string, count: number): Promise<readonly Told[]> } {
  const heard: Told[] = [];
  let rest = '';
  const call = request(
    { socketPath: join(daemon.stateDir, 'governor.sock'), path: '/v1/events?last_event_id=0' },
    (response) => {
      response.setEncoding('utf8').on('data', (text: string) => {
        const parts = `${rest}${text}`.split('\n');
        rest = parts.pop() ?? '';
        for (const line of parts) if (line.startsWith('data:')) heard.push(JSON.parse(line.slice(5)) as Told);
      });
      response.on('error', () => undefined);
    },
  );
  // The daemon ends before the stream is given up.
  call.on('error', () => undefined);
  call.end();
  t.teardown(() => void call.destroy());
  const of = (tool: string): readonly Told[] => heard.filter((event) => event.tool === tool);
  return { of: (tool, count) => waitFor(`${count} events of ${tool}`, () => of(tool).length >= count && of(tool)) };
}

function finished(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once('close', () => resolve()));
}
