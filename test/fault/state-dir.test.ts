/** What can be wrong with the place where the daemon keeps its state: said in one clear line, or lived with. */

import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  addressOf,
  callUnix,
  cleanEnvironment,
  LAUNCHER,
  newStateDir,
  type Outcome,
  type RunningDaemon,
  startDaemon,
} from '../helpers/daemon.ts';
import { fixtureCommand, type RunningFixture, startProgram, type TestScope } from '../helpers/fixture.ts';
import { formatSurvivor, isAlive, survivorsAfter } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const CONFIG = { daemon: { sample_interval: '100ms' } };

t.test('a second daemon on the same state directory refuses and names the first', async (t) => {
  const daemon = await startDaemon(t);
  const second = await startRefused(t, { GOVERNOR_STATE_DIR: daemon.stateDir, GOVERNOR_LISTEN: '127.0.0.1:0' });
  refusedWith(t, second, new RegExp(`another daemon \\(pid ${daemon.pid}\\) uses ${daemon.stateDir}`));
  t.equal((await daemon.call('GET', '/readyz')).status, 200, 'the first one goes on');
  t.equal((await daemon.cli(['run', '--', 'true'])).code, 0, 'and takes launches');
});

t.test('six daemons started at once on one state directory: one lives', async (t) => {
  const stateDir = newStateDir(t);
  const env = { ...cleanEnvironment(), GOVERNOR_STATE_DIR: stateDir, GOVERNOR_LISTEN: '127.0.0.1:0' };
  const daemons = Array.from({ length: 6 }, () => spawn(LAUNCHER, ['daemon'], { env, stdio: 'ignore' }));
  t.teardown(() => daemons.forEach((child) => child.kill('SIGKILL')));
  const over = (): number =>
    daemons.filter(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null).length;
  await waitFor('all but one to end', () => over() === 5, { timeoutMs: 30_000 });
  await waitFor(
    'the one to be ready',
    async () => (await callUnix(join(stateDir, 'governor.sock'), 'GET', '/readyz')).status === 200,
  );
  const winner = daemons.find(({ exitCode }) => exitCode === null);
  t.match(readFileSync(join(stateDir, 'daemon.pid'), 'utf8'), `${winner?.pid ?? 0} `);
  t.ok(
    daemons.every(({ exitCode }) => exitCode !== 0),
    'the others say that they failed',
  );
  winner?.kill('SIGINT');
  await waitFor('the last one to end', () => over() === 6);
});

t.test('the port is taken', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => void server.close());
  const { port } = server.address() as { port: number };
  const stateDir = newStateDir(t);
  refusedWith(
    t,
    await startRefused(t, { GOVERNOR_STATE_DIR: stateDir, GOVERNOR_LISTEN: `127.0.0.1:${port}` }),
    new RegExp(`127\\.0\\.0\\.1:${port}: another program listens there`),
  );
  t.ok((await startDaemon(t, { stateDir })).pid > 0, 'the next one finds no lock and no socket in its way');
});

t.test('a state directory whose socket path is too long', async (t) => {
  const stateDir = join(newStateDir(t), 'x'.repeat(120));
  refusedWith(
    t,
    await startRefused(t, { GOVERNOR_STATE_DIR: stateDir }),
    /the socket path .* has \d+ bytes, the system allows 107; choose a shorter --state-dir/,
  );
  t.notOk(existsSync(stateDir), 'and nothing is made');
});

t.test('a state directory that is a file, and one that is somebody else’s', async (t) => {
  const folder = newStateDir(t);
  writeFileSync(join(folder, 'file'), '');
  refusedWith(t, await startRefused(t, { GOVERNOR_STATE_DIR: join(folder, 'file') }), /file/);
  refusedWith(t, await startRefused(t, { GOVERNOR_STATE_DIR: join(folder, 'file/below') }), /not a directory/);
  if (process.getuid?.() !== 0) return;
  mkdirSync(join(folder, 'other'));
  spawnSync('chown', ['65534', join(folder, 'other')]);
  refusedWith(t, await startRefused(t, { GOVERNOR_STATE_DIR: join(folder, 'other') }), /belongs to user 65534/);
});

t.test('a read-only state directory', async (t) => {
  const mounted = mountTmpfs(t, 'size=1m');
  if (mounted.skip !== null) return t.comment(`skipped: ${mounted.skip}`);
  spawnSync('mount', ['-o', 'remount,ro', mounted.path]);
  refusedWith(
    t,
    await startRefused(t, { GOVERNOR_STATE_DIR: mounted.path }),
    /cannot be written: the file system is read-only; choose another with --state-dir/,
  );
  const run = await runToEnd(['run', '--', 'true'], { GOVERNOR_STATE_DIR: mounted.path });
  t.equal(run.code, 125, 'governor run says so too');
  t.match(run.stderr, /^governor: .*read-only[^\n]*\n$/i);
});

t.test('a full state directory', async (t) => {
  const mounted = mountTmpfs(t, 'size=64k');
  if (mounted.skip !== null) return t.comment(`skipped: ${mounted.skip}`);
  fill(mounted.path);
  refusedWith(
    t,
    await startRefused(t, { GOVERNOR_STATE_DIR: mounted.path }),
    /cannot be written: the disk is full; choose another with --state-dir/,
  );
  const run = await runToEnd(['run', '--', 'true'], { GOVERNOR_STATE_DIR: mounted.path });
  t.equal(run.code, 125, 'governor run says so too');
  t.match(run.stderr, /^governor: cannot write to the state directory .*no space left[^\n]*\n$/);
  t.notOk(existsSync(join(mounted.path, 'daemon.start')), 'the next run, with room again, waits for nobody');
});

t.test('a state directory that fills up while tools run: supervision goes on and says so', async (t) => {
  const mounted = mountTmpfs(t, 'size=2m');
  if (mounted.skip !== null) return t.comment(`skipped: ${mounted.skip}`);
  const stateDir = mounted.path;
  const daemon = await startDaemon(t, { stateDir, config: CONFIG });
  const calm = await startIn(t, daemon, 'calm', fixtureCommand('idle'));
  const leak = await startIn(
    t,
    daemon,
    'leak',
    fixtureCommand('open-files', ['--count=20']),
    '--file-handles',
    '100',
    '--grace',
    '100ms',
  );
  const orphan = await startIn(
    t,
    daemon,
    'orphan',
    fixtureCommand('leaky-tree', [process.execPath, '--stubborn']),
    '--grace',
    '100ms',
  );
  const filler = fill(stateDir);
  t.match((await daemon.call('GET', '/v1/tools/calm')).json, { state: 'active' });
  // Each kind of end, on a disk that takes no byte.
  t.equal((await daemon.cli(['stop', 'calm'])).code, 0);
  t.same((await survivorsAfter(calm.marker, 5000)).map(formatSurvivor), [], 'a requested stop works');
  t.equal((await daemon.call('PATCH', '/v1/tools/leak', { limits: { file_handles: 10 } })).status, 200);
  t.same((await survivorsAfter(leak.marker, 10_000)).map(formatSurvivor), [], 'a limit is enforced');
  orphan.child.kill('SIGKILL');
  t.same((await survivorsAfter(orphan.marker, 10_000)).map(formatSurvivor), [], 'a dead client is noticed');
  t.match(daemon.output(), /"level":"error".*"the audit log cannot be written: entries wait"/);
  // What the stopped ones held is free again, or has been taken by the audit: until nothing is.
  const more = fill(stateDir, 'more');
  const refused = await daemon.cli(['run', '--', 'true']);
  t.equal(refused.code, 125, 'no launch that could not be put on record');
  t.equal(
    refused.stderr,
    `governor: cannot write to ${stateDir}/launch: the disk is full or read-only, or it belongs to somebody else\n`,
  );
  t.same(readdirSync(join(stateDir, 'launch/pending')), [], 'nor a request of it');
  for (const file of [filler, more]) rmSync(file);
  await waitFor('the audit to be written again', () => /"the audit log is written again"/.test(daemon.output()));
  const { entries } = (await daemon.call('GET', '/v1/audit?kind=cleanup')).json as {
    entries: { tool: string; reason: string }[];
  };
  t.same(
    entries.map(({ tool, reason }) => `${tool} ${reason}`).toSorted(),
    ['calm requested', 'leak limit', 'orphan client_died'],
    'what happened meanwhile is on record',
  );
  t.match((await daemon.call('GET', '/v1/audit/verify')).json, { ok: true });
  t.equal((await daemon.cli(['run', '--', 'true'])).code, 0, 'launches go on');
  await daemon.stop();
  t.same(readdirSync(join(stateDir, 'ledger')), []);
});

t.test('a disk with room for the request of a launcher and for nothing more', async (t) => {
  const daemon = await startDaemon(t, { config: CONFIG });
  const ledger = join(daemon.stateDir, 'ledger');
  const mounted = mountTmpfs(t, 'size=16k', ledger);
  if (mounted.skip !== null) return t.comment(`skipped: ${mounted.skip}`);
  const filler = fill(ledger);
  const refusal = 'what starts is first put on record in the state directory, but its disk is full';
  const refused = await daemon.cli(['run', '--', 'true']);
  t.match(refused, { code: 125, stderr: `governor: true: ${refusal}\n` });
  const body = { name: 'managed', command: 'cat', readiness: 'none' };
  t.equal((await daemon.call('POST', '/v1/tools', body)).status, 201);
  t.match(await daemon.call('POST', '/v1/tools/managed/activate'), {
    status: 500,
    json: { code: 'launch_failed', detail: `managed: ${refusal}` },
  });
  t.same(children(daemon.pid), [], 'nothing was started');
  rmSync(filler);
  t.same(readdirSync(ledger), [], 'nor is anything on record');
  t.equal((await daemon.cli(['run', '--', 'true'])).code, 0, 'launches go on');
  await daemon.stop();
});

t.test('damaged files in the state directory', async (t) => {
  const stateDir = newStateDir(t);
  const first = await startDaemon(t, { stateDir, config: CONFIG });
  const kept = await startIn(t, first, 'kept', fixtureCommand('idle'));
  first.process.kill('SIGKILL');
  await first.ended;
  const ledger = join(stateDir, 'ledger');
  const [entry = ''] = readdirSync(ledger);
  const text = readFileSync(join(ledger, entry), 'utf8');
  const other = (content: string, name: string): void => writeFileSync(join(ledger, `${name}.json`), content);
  other('', 'aaaaaaaaaa');
  other(text.slice(0, text.length / 2), 'bbbbbbbbbb');
  other(JSON.stringify({ ...JSON.parse(text), version: 99, runId: 'cccccccccc' }), 'cccccccccc');
  other('\u0000'.repeat(100), 'dddddddddd');
  other(
    JSON.stringify({ ...JSON.parse(text), runId: 'eeeeeeeeee', tempDir: '/etc', tempRoot: '/', containment: null }),
    'eeeeeeeeee',
  );
  other(JSON.stringify({ ...JSON.parse(text), runId: '../../x' }), 'ffffffffff');
  writeFileSync(join(ledger, 'gggggggggg.json.new'), 'half');
  const audit = readdirSync(join(stateDir, 'audit')).find((name) => name.endsWith('.jsonl')) ?? '';
  appendFileSync(join(stateDir, 'audit', audit), '{"seq":99999,"half a li');
  const second = await startDaemon(t, { stateDir, config: CONFIG });
  t.match((await second.call('GET', '/v1/tools/kept')).json, { state: 'active' }, 'the entry that is whole is adopted');
  t.ok(isAlive(kept.identity));
  t.ok(existsSync('/etc/passwd'), 'no directory is deleted because a ledger entry names it');
  const reconciled = (await second.call('GET', '/v1/audit?kind=daemon')).json.entries.findLast(
    (one: { event: string }) => one.event === 'reconcile',
  );
  t.equal(reconciled.detail.damaged.length, 5, JSON.stringify(reconciled.detail));
  t.match(reconciled.detail, { adopted: [/^kept\//], failed: [/eeeeeeeeee/] });
  const repair = (await second.call('GET', '/v1/audit?kind=daemon')).json.entries.find(
    (one: { event: string }) => one.event === 'audit_repair',
  );
  t.match(repair.detail, { problem: 'torn_line' }, 'a torn audit line is repaired and said');
  t.match((await second.call('GET', '/v1/audit/verify')).json, { ok: true });
  rmSync(join(ledger, 'eeeeeeeeee.json'), { force: true });
  await second.stop();
});

t.test('changed and missing audit lines are found, and the daemon still starts', async (t) => {
  const stateDir = newStateDir(t);
  const first = await startDaemon(t, { stateDir });
  await first.cli(['run', '--', 'true']);
  await waitFor(
    'the run to be over',
    async () => (await first.call('GET', '/v1/audit?kind=cleanup')).json.entries.length === 1,
  );
  await first.stop();
  const file = join(
    stateDir,
    'audit',
    readdirSync(join(stateDir, 'audit')).find((name) => name.endsWith('.jsonl')) ?? '',
  );
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace('"reason":"exited"', '"reason":"oom_kill"'));
  const second = await startDaemon(t, { stateDir });
  t.match((await second.call('GET', '/v1/audit/verify')).json, { ok: false });
  t.equal((await second.cli(['audit', 'verify'])).code, 1);
  await second.stop();
  truncateSync(file, 100);
  const third = await startDaemon(t, { stateDir });
  t.match((await third.call('GET', '/v1/audit/verify')).json, { ok: false });
  t.equal((await third.cli(['run', '--', 'true'])).code, 0);
});

t.test('a token file that is empty, a directory, or open to others', async (t) => {
  const stateDir = newStateDir(t);
  writeFileSync(join(stateDir, 'token'), '\n');
  refusedWith(
    t,
    await startRefused(t, { GOVERNOR_STATE_DIR: stateDir, GOVERNOR_LISTEN: '127.0.0.1:0' }),
    /token holds no token .*delete it/,
  );
  rmSync(join(stateDir, 'token'));
  mkdirSync(join(stateDir, 'token'));
  refusedWith(
    t,
    await startRefused(t, { GOVERNOR_STATE_DIR: stateDir, GOVERNOR_LISTEN: '127.0.0.1:0' }),
    /the token file .*token cannot be used: EISDIR/,
  );
  rmSync(join(stateDir, 'token'), { recursive: true });
  writeFileSync(join(stateDir, 'token'), 'a-token-of-my-own-choice\n');
  chmodSync(join(stateDir, 'token'), 0o644);
  const daemon = await startDaemon(t, { stateDir });
  t.equal(statSync(join(stateDir, 'token')).mode & 0o777, 0o600);
  const { url, token } = addressOf(daemon);
  t.equal((await fetch(`${url}/v1/tools`, { headers: { authorization: `Bearer ${token}` } })).status, 200);
});

t.test('the audit key is lost or damaged', async (t) => {
  const stateDir = newStateDir(t);
  await (await startDaemon(t, { stateDir })).stop();
  writeFileSync(join(stateDir, 'audit.key'), 'no key');
  const daemon = await startDaemon(t, { stateDir });
  const repair = (await daemon.call('GET', '/v1/audit?kind=daemon')).json.entries.find(
    (one: { event: string }) => one.event === 'audit_repair',
  );
  t.match(repair.detail, { problem: 'key_invalid' });
  t.match(
    (await daemon.call('GET', '/v1/audit/verify')).json,
    { ok: false },
    'old lines cannot be vouched for any more, which is said',
  );
});

async function startIn(
  t: TestScope,
  daemon: RunningDaemon,
  name: string,
  tool: readonly string[],
  ...flags: readonly string[]
): Promise<RunningFixture> {
  const words = [LAUNCHER, 'run', '--name', name, ...flags, '--', ...tool];
  const client = startProgram(t, ['sh', '-c', '"$@"; exit $?', 'npx', ...words], { detached: true, env: daemon.env });
  await client.said('ready');
  return client;
}

/** A daemon that is expected to refuse; one that stays is ended. */
function startRefused(t: TestScope, env: Readonly<Record<string, string>>): Promise<Outcome> {
  return runToEnd(['daemon'], env, t);
}

function runToEnd(args: readonly string[], env: Readonly<Record<string, string>>, t?: TestScope): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(LAUNCHER, args, { env: { ...cleanEnvironment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const force = setTimeout(() => child.kill('SIGKILL'), patience(20_000));
    t?.teardown(() => void child.kill('SIGKILL'));
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(force);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** The log before it is of the daemon's own start; the reason is the one line for people. */
function refusedWith(t: Test, outcome: Outcome, line: RegExp): void {
  t.equal(outcome.signal, null, 'it ended by itself');
  t.notOk(outcome.code === 0, `exit code ${outcome.code ?? 'none'}`);
  const lines = outcome.stderr
    .trimEnd()
    .split('\n')
    .filter((text) => !text.startsWith('{'));
  t.equal(lines.length, 1, `one line for people: ${outcome.stderr}`);
  t.match(lines[0], line);
  t.match(lines[0], /^governor: /);
}

function children(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((word) => word !== '');
}

/** One file that takes every byte that is left. @returns its path */
function fill(directory: string, name = 'filler'): string {
  const path = join(directory, name);
  spawnSync('dd', ['if=/dev/zero', `of=${path}`, 'bs=4k'], { stdio: 'ignore' });
  return path;
}

function mountTmpfs(
  t: TestScope,
  options: string,
  path = mkdtempSync(join(tmpdir(), 'gov-test-')),
): { readonly path: string; readonly skip: string | null } {
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `${options},mode=0700`, 'tmpfs', path], {
    encoding: 'utf8',
  });
  t.teardown(() => {
    if (mounted.status === 0) spawnSync('umount', ['-l', path]);
    rmSync(path, { recursive: true, force: true });
  });
  return { path, skip: mounted.status === 0 ? null : `needs the right to mount: ${mounted.stderr.trim()}` };
}
