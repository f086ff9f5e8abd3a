/** What is still alive after each way to stop. See README.md. */

import { existsSync } from 'node:fs';
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
  death; where the daemon was killed, from the start of the next one. Aim: nobody in every row, within grace + ${OVER_MS} ms.`,
  async (bench) => {
    const folder = leakyFolder(bench);
    const rows: Record<string, unknown>[] = [];
    const rounds = bench.rounds(3);
    const late: string[] = [];
    let all = 0;
    for (const action of actions()) {
      for (const manner of ['polite', 'stubborn'] as const) {
        const lefts: Left[] = [];
        for (let round = 0; round < rounds; round += 1) lefts.push(await oneStop(bench, folder, action, manner));
        const names = [...new Set(lefts.flatMap((left) => left.names))];
        const times = lefts.flatMap(({ ms }) => ms ?? []);
        rows.push({
          action: action.name,
          tool: manner,
          survivors: names.length === 0 ? 'none' : names.join(', '),
          'ms min': Math.min(...times),
          'ms max': Math.max(...times),
        });
        bench.say(`${action.name}, ${manner}: ${names.length === 0 ? 'none' : names.join(', ')}`);
        if (action.stays === true) continue;
        all += names.length;
        if (action.timed && times.some((ms) => ms > GRACE_MS + OVER_MS))
          late.push(`${action.name}, ${manner}: ${Math.max(...times).toFixed(0)} ms`);
      }
    }
    bench.table('Governor', rows);
    bench.check('nobody survives, in every row', all === 0);
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
    { name: 'governor stop', timed: true, act: async ({ daemon }) => since(() => void daemon.cli(['stop', 'leaky'])) },
    { name: 'client SIGKILLed', timed: false, act: async ({ killClient }) => since(killClient) },
    { name: 'daemon SIGINT', timed: true, act: async ({ daemon }) => since(() => void daemon.process.kill('SIGINT')) },
    {
      name: 'governor daemon stop --all',
      timed: true,
      act: async ({ daemon }) => since(() => void daemon.cli(['daemon', 'stop', '--all'])),
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
        return since(() => void adopting.cli(['stop', 'leaky']));
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
        return since(() => void adopting.cli(['stop', 'leaky']));
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

async function since(act: () => void): Promise<number> {
  const startedMs = performance.now();
  act();
  return startedMs;
}

async function sigkill(daemon: RunningDaemon): Promise<void> {
  daemon.process.kill('SIGKILL');
  await daemon.ended;
}

async function oneStop(bench: Bench, folder: string, action: Action, manner: Manner): Promise<Left> {
  const stateDir = newStateDir(bench);
  const marker = newMarker();
  const config = action.managed === true ? { tools: { leaky: managedTool(folder, manner, marker) } } : {};
  const daemon = await startDaemon(bench, { stateDir, config });
  let later: RunningDaemon | null = null;
  // The next daemon has no tools of its own to start: what it finds is what the first one left.
  const next = async (): Promise<RunningDaemon> => (later = await startDaemon(bench, { stateDir, config: {} }));
  let tool: Leaky;
  let killClient = (): void => undefined;
  if (action.managed === true) {
    bench.teardown(() => killSurvivors(marker));
    await waitFor('the managed tool', () => survivors(marker).length >= 6, { timeoutMs: 60_000 });
    tool = await known(marker, null);
  } else {
    const words = [LAUNCHER, 'run', '--name', 'leaky', '--grace', `${GRACE_MS}ms`, '--', ...leakyCommand(manner)];
    const started = await startClient(bench, words, folder, leakyEnvironment(daemon.env));
    tool = started.tool;
    killClient = () => void started.client.kill('SIGKILL');
  }
  const startedMs = await action.act({ bench, daemon, killClient, next });
  const left = action.stays === true ? await afterAll(tool, startedMs) : await leftAfter(tool, startedMs, PATIENCE_MS);
  killClient();
  await killSurvivors(tool.marker);
  await daemon.stop();
  if (later !== null) await (later as RunningDaemon).stop();
  if (existsSync(`${stateDir}/ledger`)) await pause(50);
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
