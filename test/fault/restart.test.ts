/** Daemons that die, and the ones that come after them. */

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  callUnix,
  cleanEnvironment,
  LAUNCHER,
  newStateDir,
  type Outcome,
  runCommand,
  type RunningDaemon,
  startDaemon,
} from '../helpers/daemon.ts';
import { fixtureCommand, newMarker, type RunningFixture, startProgram, type TestScope } from '../helpers/fixture.ts';
import {
  formatSurvivor,
  identityOf,
  isAlive,
  killIdentity,
  killSurvivors,
  survivorsAfter,
} from '../helpers/survivors.ts';
import { patience, pause, waitFor } from '../helpers/wait-for.ts';
import { leftovers, runsOf, standFor } from './stand.ts';

const CONFIG = { daemon: { sample_interval: '100ms' } };
const STAND = standFor('procfs');
/** Longer than any test of it. */
const SLEEP = ['sleep', String(patience(60))];

t.test('the client dies while no daemon runs', async (t) => {
  const stateDir = newStateDir(t);
  const first = await startDaemon(t, { stateDir, config: CONFIG });
  const orphan = await startClient(t, first, 'orphan', ['leaky-tree', process.execPath]);
  const kept = await startClient(t, first, 'kept', ['idle']);
  const detached = await startClient(t, first, 'detached', ['idle'], ['--detach']);
  await killDaemon(first);
  killIdentity(orphan.identity);
  killIdentity(detached.identity);
  const second = await startDaemon(t, { stateDir, config: CONFIG });
  t.same((await survivorsAfter(orphan.marker, 5000)).map(formatSurvivor), [], 'the whole tree goes');
  const { entries } = (await second.call('GET', '/v1/audit?kind=cleanup&tool=orphan')).json;
  t.match(entries, [{ tool: 'orphan', reason: 'client_died' }], 'the audit tells why');
  const reconciled = (await second.call('GET', '/v1/audit?kind=daemon')).json.entries.findLast(
    (entry: { event: string }) => entry.event === 'reconcile',
  );
  t.match(reconciled.detail, { ended: [/^orphan\//], failed: [], damaged: [] });
  t.same(reconciled.detail.adopted.map((name: string) => name.split('/')[0]).toSorted(), ['detached', 'kept']);
  t.ok(isAlive(kept.identity), 'a run whose client lives goes on');
  t.match(
    await toolOf(second, 'detached'),
    { state: 'active', runs: [{ detached: true, state: 'running' }] },
    'a detached one needs no client',
  );
  await second.stop('SIGINT');
  t.same((await survivorsAfter(kept.marker, 5000)).map(formatSurvivor), []);
  t.same((await survivorsAfter(detached.marker, 5000)).map(formatSurvivor), []);
  t.same(leftovers(STAND, stateDir, runsOf(stateDir)), []);
});

t.test('--detach outlives its client under a living daemon', async (t) => {
  const daemon = await startDaemon(t, { config: CONFIG });
  const detached = await startClient(t, daemon, 'detached', ['idle'], ['--detach']);
  const bound = await startClient(t, daemon, 'bound', ['idle']);
  killIdentity(detached.identity);
  killIdentity(bound.identity);
  await waitFor(
    'the bound one to be stopped',
    async () => (await daemon.call('GET', '/v1/tools/bound')).status === 404,
  );
  t.match(await toolOf(daemon, 'detached'), { state: 'active' });
  t.equal((await daemon.cli(['stop', 'detached'])).code, 0);
  t.same((await survivorsAfter(detached.marker, 5000)).map(formatSurvivor), []);
});

t.test('an adopted run keeps its id, its history and its limits', async (t) => {
  const stateDir = newStateDir(t);
  const first = await startDaemon(t, { stateDir, config: CONFIG });
  const client = await startClient(
    t,
    first,
    'leak',
    ['leak-memory', `--rate-mb=${15 / patience(1)}`, '--cap-mb=400'],
    ['--memory', '200MiB', '--grace', '100ms'],
  );
  const before = await toolOf(first, 'leak');
  const run = before.runs[0].id as string;
  await killDaemon(first);
  const second = await startDaemon(t, { stateDir, config: CONFIG });
  const after = await toolOf(second, 'leak');
  t.match(after, {
    state: 'active',
    runs: [{ id: run, startedAt: before.runs[0].startedAt, pid: before.runs[0].pid, tempDir: before.runs[0].tempDir }],
  });
  t.same(limitsOf(after), limitsOf(before), 'with where each limit came from');
  const ending = await client.ended;
  t.match(`${ending.code ?? ending.signal}`, /^(143|137|SIGTERM|SIGKILL)$/, 'the leak is stopped by the second daemon');
  const entries = await waitFor('its cleanup', async () => {
    const found = (await second.call('GET', `/v1/audit?run=${run}&limit=1000`)).json.entries as {
      daemon: string;
      kind: string;
      reason?: string;
      to?: string;
    }[];
    return found.some(({ kind }) => kind === 'cleanup') ? found : null;
  });
  t.equal(new Set(entries.map(({ daemon }) => daemon)).size, 2, 'the history of the run spans both daemons');
  t.match(
    entries.find(({ kind }) => kind === 'cleanup'),
    { reason: 'limit' },
  );
  t.ok(entries.some(({ kind, to }) => kind === 'stage' && to === 'cleanup'));
  t.same((await survivorsAfter(client.marker, 5000)).map(formatSurvivor), []);
  t.equal((await second.call('GET', '/v1/audit/verify')).json.ok, true, 'the audit of both is one chain');
});

t.test('SIGTERM leaves direct runs alive and limited, and stops managed ones', async (t) => {
  const stateDir = newStateDir(t);
  const marker = newMarker();
  t.teardown(() => killSurvivors(marker));
  const [command, ...args] = fixtureCommand('idle', [`--marker=${marker}`]);
  const config = { ...CONFIG, tools: { managed: { command, args, readiness: 'none', grace: '200ms' } } };
  const first = await startDaemon(t, { stateDir, config });
  const direct = await startClient(t, first, 'direct', ['idle'], ['--tasks', '40']);
  await waitFor('the managed tool', async () => (await toolOf(first, 'managed')).state === 'active');
  await first.stop('SIGTERM');
  t.same(await first.ended, { code: 0, signal: null });
  t.same((await survivorsAfter(marker, 0)).map(formatSurvivor), [], 'the managed tool is gone with the daemon');
  t.ok(isAlive(direct.identity), 'the direct one is not');
  const second = await startDaemon(t, { stateDir, config });
  t.match(await toolOf(second, 'direct'), { state: 'active', runs: [{ state: 'running' }] });
  await second.stop('SIGINT');
  t.same(await second.ended, { code: 0, signal: null }, second.output());
  t.same((await survivorsAfter(direct.marker, 5000)).map(formatSurvivor), []);
  t.same((await survivorsAfter(marker, 0)).map(formatSurvivor), [], 'nor a tool that was just being started');
});

t.test('SIGKILL of the daemon at any point of twenty launches', async (t) => {
  const stateDir = newStateDir(t);
  const env = { ...cleanEnvironment(), GOVERNOR_STATE_DIR: stateDir, GOVERNOR_LISTEN: '127.0.0.1:0' };
  const governor = (...args: readonly string[]): Promise<Outcome> => runCommand(LAUNCHER, args, { env });
  const tools = async (): Promise<readonly { name: string; state: string }[]> =>
    (await callUnix(join(stateDir, 'governor.sock'), 'GET', '/v1/tools')).json.tools;
  t.teardown(() => governor('daemon', 'stop', '--all'));
  for (const afterMs of [40, 80, 120, 180, 300]) {
    const marker = newMarker();
    t.equal((await governor('ensure-daemon')).code, 0);
    const clients = Array.from({ length: 20 }, (_, index) => startTool(t, env, `tool ${index}`, SLEEP, marker));
    await pause(afterMs);
    const killed = identityOf(Number.parseInt(readFileSync(join(stateDir, 'daemon.pid'), 'utf8'), 10));
    t.ok(killed !== null && killIdentity(killed), `after ${afterMs} ms`);
    // Launchers that come after that start the next daemon themselves; those that had asked wait for one.
    t.equal((await governor('ensure-daemon')).code, 0);
    const living = (): readonly RunningFixture[] =>
      clients.filter(({ child }) => child.exitCode === null && child.signalCode === null);
    await waitFor('each launcher to have become its tool', async () => {
      const active = (await tools()).filter(({ state }) => state === 'active').length;
      return (
        active === living().length &&
        living().every(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep'))
      );
    });
    t.equal(living().length, 20, 'no launch is lost');
    t.same(readdirSync(join(stateDir, 'launch/pending')), [], 'no request is left');
    t.equal((await governor('daemon', 'stop', '--all')).code, 0);
    t.same((await survivorsAfter(marker, 5000)).map(formatSurvivor), [], 'no survivors');
    t.same(leftovers(STAND, stateDir, runsOf(stateDir)), [], 'nothing is left on the host');
  }
});

t.test('what a killed daemon has left goes with the next daemon of whichever state directory', async (t) => {
  const stateDir = newStateDir(t);
  const first = await startDaemon(t, { stateDir, config: CONFIG });
  const tool = await startClient(t, first, 'tool', ['idle']);
  const run = (await toolOf(first, 'tool')).runs[0].id as string;
  const groups = (): readonly string[] => leftovers(STAND, stateDir, []).filter((path) => !path.startsWith(stateDir));
  await killDaemon(first);
  const made = groups();
  t.equal(
    made.some((path) => path.endsWith(run)),
    made.length > 0,
    'the groups of this backend, if it makes any',
  );
  const second = await startDaemon(t, { config: CONFIG });
  t.same(groups(), made, 'its tool lives in them');
  await second.stop();
  t.same(groups(), made);
  t.ok(isAlive(tool.identity));
  await killSurvivors(tool.marker);
  t.same((await survivorsAfter(tool.marker, 5000)).map(formatSurvivor), []);
  await startDaemon(t, { config: CONFIG });
  t.same(groups(), [], 'nobody is in them, and their daemon is proven dead');
  rmSync(join(stateDir, 'ledger'), { recursive: true });
});

t.test('a launcher that waits when no daemon runs is answered by the next one', async (t) => {
  const stateDir = newStateDir(t);
  const first = await startDaemon(t, { stateDir, config: CONFIG });
  // Stopped, it takes no requests, but its launchers see it alive.
  first.process.kill('SIGSTOP');
  const marker = newMarker();
  const waiting = startTool(t, first.env, 'waits', ['sh', '-c', 'echo started; exit 7'], marker);
  const killed = startTool(t, first.env, 'killed', ['sh', '-c', 'echo started'], marker);
  await waitFor('both requests', () => readdirSync(join(stateDir, 'launch/pending')).length === 2);
  killed.child.kill('SIGKILL');
  await killed.ended;
  await killDaemon(first);
  const second = await startDaemon(t, { stateDir, config: CONFIG });
  t.same(await waiting.ended, { code: 7, signal: null });
  t.same(killed.lines(), [], 'the one that was killed is not started');
  await waitFor('no request to be left', () => readdirSync(join(stateDir, 'launch/pending')).length === 0);
  t.match(await second.cli(['run', '--', 'sh', '-c', 'exit 5']), { code: 5 }, 'launches go on');
});

t.test('a daemon that died right after an answer: its tool is adopted, and not launched again', async (t) => {
  const stateDir = newStateDir(t);
  const first = await startDaemon(t, { stateDir, config: CONFIG });
  const told = await startClient(t, first, 'told', ['idle']);
  const before = (await toolOf(first, 'told')).runs[0];
  await killDaemon(first);
  // As it lies there between the answer and the end of the request.
  const pending = join(stateDir, 'launch/pending');
  writeFileSync(join(pending, `${before.pid}.answered`), `${before.pid} 9\n`);
  const second = await startDaemon(t, { stateDir, config: CONFIG });
  t.match(await toolOf(second, 'told'), {
    state: 'active',
    runs: [{ id: before.id, pid: before.pid, state: 'running' }],
  });
  t.ok(existsSync(before.tempDir as string), 'what it works with is still there');
  t.same(readdirSync(pending), []);
  await second.stop('SIGINT');
  t.same((await survivorsAfter(told.marker, 5000)).map(formatSurvivor), []);
  t.same(leftovers(STAND, stateDir, runsOf(stateDir)), []);
});

t.test('a launcher that is killed while it waits leaves nothing', async (t) => {
  const stateDir = newStateDir(t);
  const daemon = await startDaemon(t, { stateDir, config: CONFIG });
  const marker = newMarker();
  for (let round = 0; round < 10; round += 1) {
    const launchers = Array.from({ length: 4 }, (_, index) =>
      startTool(t, daemon.env, `killed ${index}`, SLEEP, marker),
    );
    await pause(round * 6);
    for (const { child } of launchers) child.kill('SIGKILL');
    await Promise.all(launchers.map(({ ended }) => ended));
  }
  await waitFor(
    'the daemon to have noticed',
    async () => (await daemon.call('GET', '/v1/tools')).json.tools.length === 0,
  );
  t.match(await daemon.cli(['run', '--', 'sh', '-c', 'exit 5']), { code: 5 }, 'the daemon goes on');
  t.same((await survivorsAfter(marker, 5000)).map(formatSurvivor), []);
  await daemon.stop();
  t.same(leftovers(STAND, stateDir, runsOf(stateDir)), []);
});

async function startClient(
  t: TestScope,
  daemon: RunningDaemon,
  name: string,
  [fixture = '', ...args]: readonly string[],
  flags: readonly string[] = [],
): Promise<RunningFixture> {
  const tool = [LAUNCHER, 'run', '--name', name, ...flags, '--', ...fixtureCommand(fixture, args)];
  // The shell stays in front, as npx does, and is the client that can die.
  const client = startProgram(t, ['sh', '-c', '"$@"; exit $?', 'npx', ...tool], { detached: true, env: daemon.env });
  await client.said('ready');
  return client;
}

function startTool(
  t: TestScope,
  env: Readonly<Record<string, string>>,
  name: string,
  command: readonly string[],
  marker: string,
): RunningFixture {
  return startProgram(t, [LAUNCHER, 'run', '--name', name, '--grace', '100ms', '--', ...command], {
    detached: true,
    env,
    marker,
  });
}

async function killDaemon(daemon: RunningDaemon): Promise<void> {
  daemon.process.kill('SIGKILL');
  await daemon.ended;
}

// Documents of many shapes: the assertions say which.
// oxlint-disable-next-line typescript/no-explicit-any
async function toolOf(daemon: RunningDaemon, name: string): Promise<any> {
  return (await daemon.call('GET', `/v1/tools/${name}`)).json;
}

function limitsOf(tool: {
  limits: readonly { resource: string; limit: number | null; source: unknown }[];
}): readonly unknown[] {
  return tool.limits.map(({ resource, limit, source }) => [resource, limit, source]);
}
