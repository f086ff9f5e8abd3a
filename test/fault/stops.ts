/** Every way to stop, over every program that tries to get away, for one stand. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { LAUNCHER, type RunningDaemon } from '../helpers/daemon.ts';
import {
  fixtureCommand,
  fixtureEnvironment,
  newMarker,
  type RunningFixture,
  startProgram,
} from '../helpers/fixture.ts';
import { formatSurvivor, killIdentity, killSurvivors, survivors, survivorsAfter } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';
import { leftovers, newStandDir, runsOf, type Stand, startOn } from './stand.ts';

interface Program {
  readonly fixture: string;
  readonly args: readonly string[];
  /** What a scan of /proc cannot promise to find. */
  readonly hides?: true;
}

/** As quick as the machine allows without leaving nothing of it for anybody else. */
const HOP = `--every-us=${patience(2000)}`;

/** supervisors.md's escape programs A to E, and tools that do not want to go. */
const PROGRAMS: Readonly<Record<string, Program>> = {
  'setsid and double fork': { fixture: 'escape-setsid-double-fork', args: [] },
  'hop fork': { fixture: 'hop-fork', args: [HOP], hides: true },
  'hop fork, leader gone, sessions': { fixture: 'hop-fork', args: [HOP, '--leave', '--setsid'], hides: true },
  'env -i daemon': { fixture: 'env-i-daemon', args: [process.execPath], hides: true },
  'fork bomb': { fixture: 'fork-bomb', args: ['--max=60'] },
  'leaky tree, polite': { fixture: 'leaky-tree', args: [process.execPath] },
  'leaky tree, stubborn': { fixture: 'leaky-tree', args: [process.execPath, '--stubborn'] },
  'ignores SIGTERM': { fixture: 'ignore-term', args: [] },
  'forks on SIGTERM': { fixture: 'term-handler-forks', args: [] },
  'stopped by SIGSTOP': { fixture: 'stopped', args: [] },
  'zombie leader': { fixture: 'zombie-leader', args: [] },
  'unreaped zombies': { fixture: 'unreaped-zombies', args: [] },
};
export const PROGRAM_NAMES = Object.keys(PROGRAMS);

const GRACE = '200ms';
/**
 * Init reaps orphans when it gets to it; until then the kernel counts each as a task of the group. Of programs that hop 500
 * times a second that is more than the default limit on a busy machine, and a stop for that is not what is looked at here.
 */
const TASKS = 20_000;
const LIFE_MS = 90_000;
/** Of what a scan may not find: it ends by itself soon. */
const HIDDEN_LIFE_MS = 6000;

function mayHide(stand: Stand, name: string): boolean {
  return !stand.exact && PROGRAMS[name]?.hides === true;
}

interface Started {
  readonly name: string;
  readonly tool: string;
  readonly marker: string;
  /** Null for a managed tool. */
  readonly client: RunningFixture | null;
}

/** One daemon after another in one state directory; each is ended in another way while everything runs. */
export async function stopsOn(t: Test, stand: Stand): Promise<void> {
  const stateDir = newStandDir(t, stand);
  let daemon = await startOn(t, stand, { stateDir });
  await t.test('governor stop and deactivate', async (t) => {
    const started = [...(await startDirect(t, stand, daemon)), ...(await startManaged(t, stand, daemon))];
    await Promise.all(started.map((one, index) => stopOne(t, stand, daemon, one, index === 0)));
    await allGone(t, stand, started);
    await proofs(t, stand, daemon);
  });
  await t.test('SIGKILL of each client, behind two shells', async (t) => {
    const started = await startDirect(t, stand, daemon);
    killClients(started);
    await allGone(t, stand, started);
    await nothingRuns(daemon);
    const reasons = await endReasons(daemon, started);
    t.same(new Set(reasons).has('client_died'), true, reasons.join(' '));
  });
  await t.test('SIGKILL of the daemon and of half of the clients, then a new daemon', async (t) => {
    const direct = await startDirect(t, stand, daemon);
    const managed = await startManaged(t, stand, daemon);
    const orphaned = direct.filter((_, index) => index % 2 === 0);
    daemon.process.kill('SIGKILL');
    await daemon.ended;
    killClients(orphaned);
    daemon = await startOn(t, stand, { stateDir });
    const { failed, damaged } = await reconciled(daemon);
    t.same([failed, damaged], [[], []], `every run is settled: ${daemon.output()}`);
    await allGone(t, stand, [...orphaned, ...managed]);
    const adopted = (await daemon.call('GET', '/v1/tools')).json.tools as { name: string; state: string }[];
    const lasting = direct.filter(
      (one) => !orphaned.includes(one) && !LEADERLESS.has(one.name) && !mayHide(stand, one.name),
    );
    for (const { tool, name } of lasting) {
      const state = adopted.find((found) => found.name === tool)?.state;
      t.equal(state, 'active', `${name} goes on under the new daemon`);
      if (state !== 'active') t.comment((await daemon.call('GET', `/v1/audit?tool=${encodeURIComponent(tool)}`)).text);
    }
    await daemon.stop('SIGINT');
    await allGone(t, stand, direct);
    noLeftovers(t, stand, stateDir);
  });
  daemon = await startOn(t, stand, { stateDir });
  await t.test('governor daemon stop --all', async (t) => {
    const started = [...(await startDirect(t, stand, daemon)), ...(await startManaged(t, stand, daemon))];
    const outcome = await daemon.cli(['daemon', 'stop', '--all']);
    t.equal(outcome.code, 0, outcome.stderr);
    await allGone(t, stand, started);
    t.same(await daemon.ended, { code: 0, signal: null });
    noLeftovers(t, stand, stateDir);
  });
}

/** Their first process ends by itself, or looks as if it had, so that the run may be over before it is stopped. */
const LEADERLESS: ReadonlySet<string> = new Set(['hop fork, leader gone, sessions', 'zombie leader']);

let serial = 0;

async function startDirect(t: Test, stand: Stand, daemon: RunningDaemon): Promise<readonly Started[]> {
  const started = Object.entries(PROGRAMS).map(([name, program]): Started & { readonly client: RunningFixture } => {
    const { fixture, args } = program;
    const tool = `direct ${(serial += 1)}`;
    const marker = newMarker();
    const command = [
      LAUNCHER,
      'run',
      '--name',
      tool,
      '--grace',
      GRACE,
      '--tasks',
      String(TASKS),
      '--',
      ...fixtureCommand(fixture, args),
    ];
    const layers = ['sh', '-c', '"$@"; exit $?', 'npx', 'sh', '-c', '"$@"; exit $?', 'sh'];
    // A session of its own, as a desktop program has: this process is no client then.
    const client = startProgram(t, [...stand.as, ...layers, ...command], {
      detached: true,
      env: daemon.env,
      marker,
      lifeMs: mayHide(stand, name) ? HIDDEN_LIFE_MS : LIFE_MS,
    });
    return { name, tool, marker, client };
  });
  await Promise.all(started.map(({ name, client }) => saidReady(name, client)));
  return started;
}

/** What it said on its stderr is the first thing to know when it did not start. */
async function saidReady(name: string, { child, said, ended }: RunningFixture): Promise<void> {
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  try {
    await said('ready');
  } catch (error) {
    const ending = child.exitCode === null && child.signalCode === null ? null : await ended;
    throw new Error(`${name} did not start: ${complaint} ${JSON.stringify(ending)}`, { cause: error });
  }
}

async function startManaged(t: Test, stand: Stand, daemon: RunningDaemon): Promise<readonly Started[]> {
  const heard = newStandDir(t, stand);
  return Promise.all(
    Object.entries(PROGRAMS).map(async ([name, program]): Promise<Started> => {
      const { fixture, args } = program;
      const tool = `managed ${(serial += 1)}`;
      const marker = newMarker();
      t.teardown(() => killSurvivors(marker));
      const file = join(heard, String(serial));
      const variables = Object.entries(fixtureEnvironment(marker, mayHide(stand, name) ? HIDDEN_LIFE_MS : LIFE_MS)).map(
        (pair) => pair.join('='),
      );
      const body = {
        name: tool,
        command: 'sh',
        // The marker's name is of the kind that a definition may not set.
        args: [
          '-c',
          'file=$1; shift; exec env "$@" >"$file"',
          'sh',
          file,
          ...variables,
          ...fixtureCommand(fixture, args),
        ],
        readiness: 'none',
        grace: GRACE,
        limits: { tasks: TASKS },
        recovery: { strategy: 'stop' },
      };
      const created = await daemon.call('POST', '/v1/tools', body);
      if (created.status !== 201) throw new Error(created.text);
      const activated = await daemon.call('POST', `/v1/tools/${encodeURIComponent(tool)}/activate`, {});
      if (activated.status !== 200) throw new Error(activated.text);
      await waitFor(`${name} to be ready`, () => readFileSync(file, 'utf8').includes('ready'));
      return { name, tool, marker, client: null };
    }),
  );
}

async function stopOne(
  t: Test,
  stand: Stand,
  daemon: RunningDaemon,
  { name, tool, client }: Started,
  byCommand: boolean,
): Promise<void> {
  if (byCommand) {
    const { code, stdout } = await daemon.cli(['stop', tool]);
    t.equal(code, stand.exact ? 0 : 1, `governor stop ${name}`);
    t.equal(stdout.includes('not proven to be stopped'), !stand.exact, stdout);
    return;
  }
  const answer = await daemon.call('POST', `/v1/tools/${encodeURIComponent(tool)}/deactivate`, {});
  const over = (LEADERLESS.has(name) || mayHide(stand, name)) && client !== null && answer.status === 404;
  t.ok(answer.status === 200 || over, `${name}: ${answer.status} ${answer.status === 200 ? '' : answer.text}`);
}

function killClients(started: readonly Started[]): void {
  for (const { client } of started) if (client !== null) killIdentity(client.identity);
}

async function nothingRuns(daemon: RunningDaemon): Promise<void> {
  await waitFor('every run to be over', async () => {
    const { tools } = (await daemon.call('GET', '/v1/tools')).json as {
      tools: { runs: readonly unknown[]; state: string }[];
    };
    return tools.every(({ state }) => state === 'registered');
  });
}

async function reconciled(daemon: RunningDaemon): Promise<Readonly<Record<'failed' | 'damaged', readonly string[]>>> {
  const { entries } = (await daemon.call('GET', '/v1/audit?kind=daemon&limit=1000')).json as {
    entries: { event: string; detail: Readonly<Record<'failed' | 'damaged', readonly string[]>> }[];
  };
  return entries.findLast(({ event }) => event === 'reconcile')?.detail ?? { failed: ['no word of it'], damaged: [] };
}

async function endReasons(daemon: RunningDaemon, started: readonly Started[]): Promise<readonly string[]> {
  const { entries } = (await daemon.call('GET', '/v1/audit?kind=cleanup&limit=1000')).json as {
    entries: { tool: string; reason: string }[];
  };
  return started.map(({ tool }) => entries.find((entry) => entry.tool === tool)?.reason ?? 'none');
}

/** The oracle looks at /proc; where a scan cannot know all, what hides may be left, and ends by itself. */
async function allGone(t: Test, stand: Stand, started: readonly Started[]): Promise<void> {
  for (const { name, marker, tool } of started) {
    const what = `${tool.split(' ')[0]}: ${name}`;
    if (mayHide(stand, name)) {
      t.comment(`${stand.name}, ${what}: ${survivors(marker).length} left`);
      continue;
    }
    t.same((await survivorsAfter(marker, 10_000)).map(formatSurvivor), [], what);
    await killSurvivors(marker);
  }
}

/** Nothing that cannot be proven is reported as proven, and nothing that can be is not. */
async function proofs(t: Test, stand: Stand, daemon: RunningDaemon): Promise<void> {
  await nothingRuns(daemon);
  const { entries } = (await daemon.call('GET', '/v1/audit?kind=cleanup&limit=1000')).json as {
    entries: { tool: string; report: { proven: boolean } }[];
  };
  t.ok(entries.length >= PROGRAM_NAMES.length * 2, `${entries.length} cleanups`);
  t.same(
    entries.filter(({ report }) => report.proven !== stand.exact).map(({ tool }) => tool),
    [],
    `proven: ${stand.exact}`,
  );
}

function noLeftovers(t: Test, stand: Stand, stateDir: string): void {
  t.same(leftovers(stand, stateDir, runsOf(stateDir)), [], 'no group, ledger entry, request or temp directory is left');
}
