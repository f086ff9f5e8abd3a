/** `temp_storage: { backing: tmpfs }`: a TMPDIR that the kernel counts and holds, on a real daemon. */

import { spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, readdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { formatConfig } from '../helpers/config-text.ts';
import { LAUNCHER, newStateDir, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, lacksFixture } from '../helpers/fixture.ts';
import { lacks } from '../helpers/skip.ts';
import { runStairs, stageReached, statusOf, usageOf } from '../helpers/stairs.ts';
import { identityOf, killIdentity, survivorsAfter } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;
const KIB_PER_MIB = 1024;
const LIMIT = 40 * MIB;
const NOBODY = 65_534;
const skip = lacks('linux') || lacks('mount') || lacksFixture('stairs');

const tmpfs = { limit: '40MiB', inodes: 100, backing: 'tmpfs', reason: 'scratch' };
const base = { command: 'true', autostart: false, readiness: 'none', grace: '10s' };
const [program, ...words] = fixtureCommand('idle');
const config = {
  daemon: { sample_interval: '100ms' },
  classes: { scratch: { temp_storage: tmpfs } },
  tools: {
    // More fits into its TMPDIR than its memory may be: only told, so that it sees what the kernel does.
    full: {
      ...base,
      class: 'scratch',
      limits: { memory: '32MiB' },
      actions: { temp_storage: { cleanup: [], emergency: [] } },
    },
    climber: { ...base, class: 'scratch' },
    // Whoever grows slowly, as on a busy machine, must not be ended on the way.
    greedy: { ...base, class: 'scratch', actions: { temp_storage: { cleanup: [] } } },
    resized: { ...base, class: 'scratch', actions: { temp_storage: { cleanup: [], emergency: [] } } },
    managed: {
      ...base,
      command: program,
      args: words,
      grace: '100ms',
      limits: { temp_storage: tmpfs },
      recovery: { strategy: 'stop' },
    },
    disk: { ...base, class: 'scratch', limits: { temp_storage: { limit: '40MiB', backing: 'disk' } } },
  },
};

t.test('a TMPDIR in memory', { skip, timeout: patience(90_000) }, async (t) => {
  const stateDir = newStateDir(t);
  // A test that failed on its way leaves nothing mounted either.
  t.teardown(() => mountsOf(stateDir).forEach((line) => spawnSync('umount', ['-l', line.split(' ')[4] ?? ''])));
  const first = await startDaemon(t, { stateDir, config });
  await Promise.all([
    t.test('ENOSPC at 150 %, the stages on the way, and no memory of the tool', (t) => full(t, first)),
    t.test('the ladder acts as on a disk', (t) => climber(t, first)),
    t.test('a changed limit changes the size', (t) => resized(t, first)),
    t.test('a managed tool', (t) => managed(t, first)),
    t.test('a tool that wants the disk has it', (t) => disk(t, first)),
    t.test('a client that would not see the tmpfs', (t) => otherNamespace(t, first)),
  ]);
  await t.test('a reload', (t) => reload(t, first));
  await t.test('the daemon is killed', (t) => killed(t, first));
  t.same(mountsOf(stateDir), [], 'nothing is left mounted');
});

async function full(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'full');
  await run.said('ready');
  const { id, tempDir } = await liveRun(daemon, 'full');
  t.match(
    mountLine(tempDir),
    /rw,nosuid,nodev.* - tmpfs governor-.*size=61440k,nr_inodes=151,mode=700/,
    'mounted at 150 %',
  );
  const { limits } = await liveRun(daemon, 'full');
  t.match(
    limits.find(({ resource }) => resource === 'temp_storage'),
    {
      limit: LIMIT,
      inodes: 100,
      backing: 'tmpfs',
      reason: 'scratch',
      enforcement: 'kernel',
      note: /a tmpfs of 60 MiB/,
    },
  );
  await run.hold('temp', 0.8 * 40 * KIB_PER_MIB);
  const warned = await stageReached(daemon, 'full', 'temp_storage', 'warning');
  t.match(warned, { usage: 0.8 * LIMIT, inodes: 1, limit: LIMIT, ratio: 0.8, quality: 'exact', enforcement: 'kernel' });
  await run.hold('temp', 0.95 * 40 * KIB_PER_MIB);
  await stageReached(daemon, 'full', 'temp_storage', 'throttled');
  await run.hold('temp', 1.1 * 40 * KIB_PER_MIB);
  await stageReached(daemon, 'full', 'temp_storage', 'cleanup');
  run.ask('temp', 200 * KIB_PER_MIB);
  t.match(
    await run.said('refused'),
    { word: 'temp', held: 60 * KIB_PER_MIB, why: 'No space left on device' },
    'ENOSPC at 150 %',
  );
  const above = await stageReached(daemon, 'full', 'temp_storage', 'emergency');
  t.equal(above.usage, 60 * MIB);
  const memory = await usageOf(daemon, 'full', 'memory');
  t.equal(memory.stage, 'normal');
  t.ok(memory.usage < 16 * MIB, `60 MiB of files are no memory of the tool: ${String(memory.usage)}`);
  const cap = memoryCap(id);
  if (cap !== null) t.equal(cap, (48 + 60) * MIB, 'the cap on memory has room for them');
  await run.hold('temp', 1);
  await run.hold('inodes', 90);
  await stageReached(daemon, 'full', 'temp_storage', 'throttled');
  run.ask('inodes', 1000);
  const refused = await waitFor('the refusal', () =>
    run.lines().find((line) => line.startsWith('refused {"word":"inodes"')),
  );
  t.match(refused, /"held":149,"why":"No space left on device"/, '150 files, with the one of before');
  await ended(t, daemon, { name: 'full', id, tempDir, how: ['stop', 'full'] });
  const stages = (await auditOf(daemon, 'full', 'stage')).filter(({ resource }) => resource === 'memory');
  t.same(stages, [], 'memory was never near a stage');
  t.same(await survivorsAfter(run.marker, 2000), []);
}

async function climber(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'climber', { flags: ['--temp-storage', '8MiB'] });
  await run.said('ready');
  const { id, tempDir } = await liveRun(daemon, 'climber');
  t.equal(sizeOf(tempDir), 12 * MIB, 'a flag changes the limit and leaves the backing');
  run.ask('temp', 8.5 * KIB_PER_MIB);
  t.equal(statusOf(await run.ended), 143, 'stopped at its limit');
  await ended(t, daemon, { name: 'climber', id, tempDir });
  t.match((await daemon.call('GET', `/v1/runs/${id}`)).json.end, {
    reason: 'limit',
    resource: 'temp_storage',
    cleanup: { left: {} },
  });
  const deleted = (await auditOf(daemon, 'climber', 'outcome')).find(({ action }) => action === 'delete_temp');
  t.match(
    deleted,
    { ok: true, detail: { files: 2, bytes: 8.5 * MIB, left: [] } },
    'what was unmounted is accounted for',
  );
  t.notOk('note' in deleted.detail, 'at once, not lazily');

  const greedy = runStairs(t, daemon, 'greedy', { flags: ['--temp-storage', '8MiB'] });
  await greedy.said('ready');
  const second = await liveRun(daemon, 'greedy');
  greedy.ask('temp', 20 * KIB_PER_MIB);
  t.equal(statusOf(await greedy.ended), 137, 'a full one is an emergency');
  await ended(t, daemon, { name: 'greedy', ...second });
}

async function resized(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'resized');
  await run.said('ready');
  const { id, tempDir } = await liveRun(daemon, 'resized');
  const set = (value: string | null) => daemon.call('PATCH', '/v1/tools/resized', { limits: { temp_storage: value } });
  await run.hold('temp', 10 * KIB_PER_MIB);
  t.equal((await set('80MiB')).status, 200);
  t.equal(sizeOf(tempDir), 120 * MIB, 'raised');
  t.equal(statfsSync(tempDir).files, 301, 'inodes keep their proportion');
  t.equal((await set('20MiB')).status, 200);
  t.equal(sizeOf(tempDir), 30 * MIB, 'lowered');
  await waitFor('a sample', async () => (await usageOf(daemon, 'resized', 'temp_storage'))?.usage === 10 * MIB);
  t.equal((await set('4MiB')).status, 200);
  t.equal(sizeOf(tempDir), 30 * MIB, 'never below what is used');
  await stageReached(daemon, 'resized', 'temp_storage', 'emergency');
  t.equal(run.child.exitCode ?? run.child.signalCode, null, 'and nothing in it is lost');
  await run.hold('temp', 2 * KIB_PER_MIB);
  await waitFor('the size to follow', () => sizeOf(tempDir) === 6 * MIB);
  t.match(
    (await liveRun(daemon, 'resized')).limits.find(({ resource }) => resource === 'temp_storage'),
    { backing: 'tmpfs', enforcement: 'kernel' },
  );
  const lifted = await set(null);
  t.equal(lifted.status, 400);
  t.match(lifted.json, { code: 'invalid_limit', detail: /backing: tmpfs is not possible without a limit/ });
  t.equal(sizeOf(tempDir), 6 * MIB);
  await ended(t, daemon, { name: 'resized', id, tempDir, how: ['stop', 'resized'] });
}

async function managed(t: Test, daemon: RunningDaemon): Promise<void> {
  t.equal((await daemon.call('POST', '/v1/tools/managed/activate', {})).status, 200);
  const { id, tempDir, pid } = await liveRun(daemon, 'managed');
  t.equal(sizeOf(tempDir), 60 * MIB);
  // The environment is empty for the instant in which the gate becomes the tool.
  t.ok(
    await waitFor('its environment', () =>
      readFileSync(`/proc/${String(pid)}/environ`, 'utf8').includes(`TMPDIR=${tempDir}\0`),
    ),
  );
  await ended(t, daemon, { name: 'managed', id, tempDir, how: ['stop', 'managed'] });
}

async function disk(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'disk');
  await run.said('ready');
  const { id, tempDir, limits } = await liveRun(daemon, 'disk');
  t.equal(mountLine(tempDir), undefined, 'although its class has a tmpfs');
  t.match(
    limits.find(({ resource }) => resource === 'temp_storage'),
    { enforcement: 'polled' },
  );
  await ended(t, daemon, { name: 'disk', id, tempDir, how: ['stop', 'disk'] });
}

async function otherNamespace(t: Test, daemon: RunningDaemon): Promise<void> {
  const child = spawn('unshare', ['-m', LAUNCHER, 'run', '--name', 'elsewhere', '--class', 'scratch', '--', 'true'], {
    env: daemon.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  t.equal(await new Promise((resolve) => child.once('close', resolve)), 125);
  t.match(
    stderr,
    /^governor: temp_storage: backing: tmpfs is not possible here: .* different mount namespaces; write backing: disk.*\n$/,
  );
}

/** A live run keeps its file system, and that its size; where it would lie now is for the next one. */
async function reload(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'climber');
  await run.said('ready');
  const { id, tempDir } = await liveRun(daemon, 'climber');
  const change = async (written: Record<string, unknown>): Promise<unknown> => {
    const tools = { ...config.tools, climber: { ...config.tools.climber, limits: { temp_storage: written } } };
    writeFileSync(daemon.configPath ?? '', formatConfig({ version: 1, ...config, tools }));
    t.equal((await daemon.call('POST', '/v1/config/reload')).status, 200);
    const { runs } = (await daemon.call('GET', '/v1/tools/climber')).json as { runs: readonly LiveRun[] };
    return runs[0]?.limits.find(({ resource }) => resource === 'temp_storage');
  };
  t.match(await change({ limit: 'none', backing: 'disk' }), { limit: LIMIT, backing: 'tmpfs', enforcement: 'kernel' });
  t.equal(sizeOf(tempDir), 60 * MIB);
  t.match(await change({ limit: '10MiB', backing: 'disk' }), {
    limit: 10 * MIB,
    backing: 'tmpfs',
    enforcement: 'kernel',
  });
  t.equal(sizeOf(tempDir), 15 * MIB, 'the size follows all the same');
  const reloads = (await daemon.call('GET', '/v1/audit?kind=daemon&limit=1000')).text;
  t.match(reloads, /climber: temp_storage moves to its new backing with its next start/);
  await ended(t, daemon, { name: 'climber', id, tempDir, how: ['stop', 'climber'] });
  writeFileSync(daemon.configPath ?? '', formatConfig({ version: 1, ...config }));
}

/** One run goes on while no daemon looks, another ends. */
async function killed(t: Test, first: RunningDaemon): Promise<void> {
  const { stateDir } = first;
  const kept = runStairs(t, first, 'full');
  const lost = runStairs(t, first, 'resized');
  await Promise.all([kept.said('ready'), lost.said('ready')]);
  const keptRun = await liveRun(first, 'full');
  const lostRun = await liveRun(first, 'resized');
  await lost.hold('temp', 5 * KIB_PER_MIB);
  first.process.kill('SIGKILL');
  await first.ended;
  const leader = identityOf(Number(lostRun.pid));
  if (leader === null) throw new Error('the run ended with the daemon');
  killIdentity(leader);
  await lost.ended;
  t.not(mountLine(lostRun.tempDir), undefined, 'nobody was there to unmount');
  await kept.hold('temp', 30 * KIB_PER_MIB);

  const second = await startDaemon(t, { stateDir, config });
  await waitFor(
    'the mount of the lost run to be gone',
    () => mountLine(lostRun.tempDir) === undefined && !existsSync(lostRun.tempDir),
  );
  t.match(
    await usageOfRun(second, 'full', keptRun.id),
    { usage: 30 * MIB, quality: 'exact', enforcement: 'kernel' },
    'adopted with its tmpfs',
  );
  kept.ask('temp', 200 * KIB_PER_MIB);
  t.match(await kept.said('refused'), { held: 60 * KIB_PER_MIB });
  await ended(t, second, { name: 'full', ...keptRun, how: ['stop', 'full'] });
  t.notMatch(second.output(), /could not be settled/);
  await second.stop();
}

t.test(
  'who may not mount is refused, never given the disk',
  { skip: skip || lacks('root') || lacks('setpriv'), timeout: patience(60_000) },
  async (t) => {
    const stateDir = newStateDir(t);
    chownSync(stateDir, NOBODY, NOBODY);
    const as = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
    const daemon = await startDaemon(t, { stateDir, config, as });
    const reason =
      /temp_storage: backing: tmpfs is not possible here: .+; write backing: disk, or run the daemon as root/;
    const refused = await daemon.cli(['run', '--name', 'climber', '--', 'sh', '-c', 'echo started']);
    t.match(refused, { code: 125, stdout: '' });
    t.match(refused.stderr, new RegExp(`^governor: ${reason.source}\n$`));
    const activated = await daemon.call('POST', '/v1/tools/managed/activate', {});
    t.equal(activated.status, 501);
    t.match(activated.json, { code: 'unsupported', detail: reason });
    t.match(
      await daemon.cli(['run', '--name', 'disk', '--', 'sh', '-c', 'echo started']),
      { code: 0, stdout: 'started\n' },
      'the disk works',
    );
    await waitFor('nothing on record', () => readdirSync(join(stateDir, 'ledger')).length === 0);
    await daemon.stop();
  },
);

interface LiveRun {
  readonly id: string;
  readonly tempDir: string;
  readonly pid: number | null;
  readonly limits: readonly { readonly resource: string }[];
}

async function liveRun(daemon: RunningDaemon, name: string): Promise<LiveRun> {
  return waitFor(`a run of ${name}`, async () => {
    const { runs } = (await daemon.call('GET', `/v1/tools/${name}/runs`)).json as {
      readonly runs: readonly (LiveRun & { state: string })[];
    };
    return runs.find(({ state }) => state === 'running');
  });
}

async function usageOfRun(daemon: RunningDaemon, name: string, id: string): Promise<unknown> {
  return waitFor('a first sample', async () => {
    const { runs } = (await daemon.call('GET', `/v1/tools/${name}/usage`)).json as {
      runs: readonly { run: string; resources: readonly { resource: string; usage: number | null }[] }[];
    };
    const view = runs.find(({ run }) => run === id)?.resources.find(({ resource }) => resource === 'temp_storage');
    return view?.usage === null ? null : view;
  });
}

interface End {
  readonly name: string;
  readonly id: string;
  readonly tempDir: string;
  /** What to say to the daemon for it; absent where it ends by itself. */
  readonly how?: readonly string[];
}

/** The run ends, and its tmpfs and directory with it. */
async function ended(t: Test, daemon: RunningDaemon, { name, id, tempDir, how }: End): Promise<void> {
  if (how !== undefined) t.equal((await daemon.cli(how)).code, 0, `${name}: stopped`);
  await waitFor(`${name} to have ended`, async () => (await daemon.call('GET', `/v1/runs/${id}`)).json.end !== null);
  t.equal(mountLine(tempDir), undefined, `${name}: unmounted`);
  t.notOk(existsSync(tempDir), `${name}: directory gone`);
}

function mountLine(directory: string): string | undefined {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((line) => line.includes(` ${directory} `));
}

/** Mounts of all runs that the audit of a state directory knows. */
function mountsOf(stateDir: string): readonly string[] {
  const audit = spawnSync(
    'cat',
    readdirSync(join(stateDir, 'audit')).map((file) => join(stateDir, 'audit', file)),
    { encoding: 'utf8' },
  ).stdout;
  const runs = new Set([...audit.matchAll(/"run":"([0-9a-z]{10})"/g)].map(([, run]) => run ?? ''));
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => [...runs].some((run) => line.includes(`/${run} `)));
}

function sizeOf(directory: string): number {
  const { blocks, bsize } = statfsSync(directory);
  return blocks * bsize;
}

/** What the kernel holds the memory of the run to, or null where no controller does. */
function memoryCap(runId: string): number | null {
  const found = spawnSync('find', ['/sys/fs/cgroup', '-path', `*${runId}/memory.*`], { encoding: 'utf8' }).stdout.split(
    '\n',
  );
  const file = found.find((path) => /memory\.(max|limit_in_bytes)$/.test(path));
  return file === undefined ? null : Number(readFileSync(file, 'utf8'));
}
