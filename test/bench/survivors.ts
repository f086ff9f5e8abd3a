/** What is still alive after each way to stop. See README.md. */

import { auditOf } from '../helpers/audit.ts';
import { linuxBackends } from '../helpers/backends.ts';
import { LAUNCHER, newStateDir, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { newMarker } from '../helpers/fixture.ts';
import { killSurvivors, survivors } from '../helpers/survivors.ts';
import { pause, waitFor } from '../helpers/wait-for.ts';
import { type Bench, runBench } from './support/bench.ts';
import {
  known,
  leakyCommand,
  leakyEnvironment,
  leakyFolder,
  type Leaky,
  type Left,
  leftAfter,
  type Manner,
  startClient,
} from './support/leaky.ts';
import { peers } from './support/peers.ts';

const GRACE_MS = 2_000;
const OVER_MS = 100;
/** As in the baselines: survivors are counted this long after the action at the latest. */
const PATIENCE_MS = 13_000;

await runBench(
  'survivors',
  `The tool is npx --no-install leaky-server: npm exec → sh -c → node server, which starts child (same group), group (own
  process group), setsid (own session) and daemon (double fork, own session). Polite: all end on SIGTERM, the server at end of
  input too. Stubborn: all ignore both. After each action this process, not Governor, looks for whatever carries the tool's
  marker in its environment, for at most ${PATIENCE_MS / 1000} s. Governor's grace is ${GRACE_MS} ms here. Time is from the action to the last
  death; where the daemon was killed, from the start of the next one. Every way to contain processes that this host has
  is a class of its own. Aim: nobody in every row of every class; within grace + ${OVER_MS} ms where a living daemon is asked.`,
  async (bench) => {
    const folder = leakyFolder(bench);
    const rounds = bench.rounds(3);
    const late: string[] = [];
    for (const { id: backend, usable, reason } of await linuxBackends()) {
      if (!usable) {
        bench.notMeasured(`containment by ${backend}`, reason);
        continue;
      }
      const rows: Record<string, unknown>[] = [];
      // Named at once, so that what was seen is shown also when the bench cannot go on.
      bench.table(`Governor, contained by ${backend}`, rows);
      const survived: string[] = [];
      for (const action of actions()) {
        for (const manner of ['polite', 'stubborn'] as const) {
          const lefts: Left[] = [];
          for (let round = 0; round < rounds; round += 1)
            lefts.push(await oneStop(bench, { folder, backend, action, manner }));
          const names = [...new Set(lefts.flatMap((left) => left.names))];
          const times = lefts.flatMap(({ ms }) => ms ?? []);
          const survivors = names.length === 0 ? 'none' : names.join(', ');
          rows.push({
            action: action.name,
            tool: manner,
            survivors,
            'ms min': times.length === 0 ? 'never' : Math.min(...times),
            'ms max': times.length < rounds ? 'never' : Math.max(...times),
          });
          bench.say(`${backend}: ${action.name}, ${manner}: ${survivors}`);
          if (action.stays === true) continue;
          if (names.length > 0) survived.push(`${action.name}, ${manner}: ${survivors}`);
          if (action.timed && times.some((ms) => ms > GRACE_MS + OVER_MS))
            late.push(`${backend}: ${action.name}, ${manner}: ${Math.max(...times).toFixed(0)} ms`);
        }
      }
      bench.check(`${backend}: nobody survives, in every row`, survived.length === 0, survived.join('; '));
    }
    bench.check(`everybody is gone within grace + ${OVER_MS} ms`, late.length === 0, late.join('; '));
    bench.table('peers', await peers(bench, folder, PATIENCE_MS));
  },
);

interface Action {
  readonly name: string;
  readonly managed?: boolean;
  /** The tool is to go on, by design: what comes after `do` is a look at that. */
  readonly stays?: boolean;
  readonly timed: boolean;
  /** @returns when the time starts to count */
  act(stage: Staged): Promise<number>;
}

interface Staged {
  readonly bench: Bench;
  readonly daemon: RunningDaemon;
  readonly killClient: () => void;
  readonly next: () => Promise<RunningDaemon>;
}

function actions(): readonly Action[] {
  return [
    { name: 'governor stop', timed: true, act: async ({ daemon }) => since(() => stop(daemon)) },
    { name: 'client SIGKILLed', timed: false, act: async ({ killClient }) => since(killClient) },
    { name: 'daemon SIGINT', timed: true, act: async ({ daemon }) => since(() => void daemon.process.kill('SIGINT')) },
    {
      name: 'governor daemon stop --all',
      timed: true,
      act: async ({ daemon }) => since(() => send(daemon, '/v1/daemon/stop', { stopTools: true })),
    },
    {
      name: 'daemon and client SIGKILLed, next daemon starts',
      timed: false,
      async act({ daemon, killClient, next }) {
        await sigkill(daemon);
        killClient();
        const startedMs = performance.now();
        await next();
        return startedMs;
      },
    },
    {
      name: 'daemon SIGKILLed, next daemon adopts, governor stop',
      timed: true,
      async act({ daemon, next }) {
        await sigkill(daemon);
        const adopting = await next();
        return since(() => stop(adopting));
      },
    },
    {
      name: 'daemon SIGTERM, direct tool (stays by design)',
      timed: false,
      stays: true,
      act: async ({ daemon }) => since(() => void daemon.process.kill('SIGTERM')),
    },
    {
      name: 'daemon SIGTERM, next daemon adopts, governor stop',
      timed: true,
      async act({ daemon, next }) {
        await daemon.stop('SIGTERM');
        const adopting = await next();
        return since(() => stop(adopting));
      },
    },
    {
      name: 'managed tool, daemon SIGTERM',
      managed: true,
      timed: true,
      act: async ({ daemon }) => since(() => void daemon.process.kill('SIGTERM')),
    },
    {
      name: 'managed tool, daemon SIGKILLed, next daemon starts',
      managed: true,
      timed: false,
      async act({ daemon, next }) {
        await sigkill(daemon);
        const startedMs = performance.now();
        await next();
        return startedMs;
      },
    },
  ];
}

/** What `governor stop leaky` sends; without the 50 ms that the command line takes to start. */
function stop(daemon: RunningDaemon): void {
  send(daemon, '/v1/tools/leaky/deactivate');
}

function send(daemon: RunningDaemon, path: string, body?: object): void {
  // A daemon that is told to end may do so before it has answered; what counts is who is left.
  daemon.call('POST', path, body).catch(() => undefined);
}

async function since(act: () => void): Promise<number> {
  const startedMs = performance.now();
  act();
  return startedMs;
}

async function sigkill(daemon: RunningDaemon): Promise<void> {
  daemon.process.kill('SIGKILL');
  await daemon.ended;
}

interface Stop {
  readonly folder: string;
  readonly backend: string;
  readonly action: Action;
  readonly manner: Manner;
}

async function oneStop(bench: Bench, { folder, backend, action, manner }: Stop): Promise<Left> {
  const stateDir = newStateDir(bench);
  const marker = newMarker();
  const config = action.managed === true ? { tools: { leaky: managedTool(folder, manner, marker) } } : {};
  const daemon = await startDaemon(bench, { stateDir, config, backend });
  let later: RunningDaemon | null = null;
  // The next daemon has no tools of its own to start: what it finds is what the first one left.
  const next = async (): Promise<RunningDaemon> =>
    (later = await startDaemon(bench, { stateDir, config: {}, backend }));
  let tool: Leaky;
  let killClient = (): void => undefined;
  if (action.managed === true) {
    bench.teardown(() => killSurvivors(marker));
    await waitFor('the managed tool', () => survivors(marker).length >= 6, { timeoutMs: 60_000 });
    tool = await known(marker, null);
  } else {
    const words = [LAUNCHER, 'run', '--name', 'leaky', '--grace', `${GRACE_MS}ms`, '--', ...leakyCommand(manner)];
    const started = await startClient(bench, words, folder, leakyEnvironment(daemon.env)).catch(
      async (error: unknown) => {
        const told = await auditOf(daemon, 'leaky');
        throw new Error(`${String(error)}; audit: ${JSON.stringify(told).slice(0, 3000)}`);
      },
    );
    tool = started.tool;
    killClient = () => void started.client.kill('SIGKILL');
  }
  const startedMs = await action.act({ bench, daemon, killClient, next });
  const left = action.stays === true ? await afterAll(tool, startedMs) : await leftAfter(tool, startedMs, PATIENCE_MS);
  killClient();
  await killSurvivors(tool.marker);
  await daemon.stop();
  if (later !== null) await (later as RunningDaemon).stop();
  return left;
}

/** Nothing is expected to end: one look, two seconds later. */
async function afterAll(tool: Leaky, startedMs: number): Promise<Left> {
  await pause(2_000);
  return leftAfter(tool, startedMs, 0);
}

function managedTool(folder: string, manner: Manner, marker: string): Readonly<Record<string, unknown>> {
  const [command, ...args] = leakyCommand(manner);
  return {
    command,
    args,
    cwd: folder,
    readiness: 'none',
    autostart: true,
    grace: `${GRACE_MS}ms`,
    env: { BENCH_MARKER: marker, FIXTURE_LIFE_MS: '90000' },
    recovery: { strategy: 'stop' },
  };
}
