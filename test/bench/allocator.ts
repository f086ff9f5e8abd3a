/** A tool that takes memory as fast as the machine gives it. See README.md. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, fixtureEnvironment, newMarker } from '../helpers/fixture.ts';
import { listen } from '../helpers/heard.ts';
import { killSurvivors } from '../helpers/survivors.ts';
import { pause } from '../helpers/wait-for.ts';
import { type Bench, runBench } from './support/bench.ts';

const MIB = 2 ** 20;
const LIMIT_MIB = 256;
const CAP_MIB = 4096;
const AIM_PERCENT = 150;

await runBench(
  'allocator',
  `A C program touches memory as fast as it can (about 2 GB/s, up to ${CAP_MIB} MiB) with a limit of ${LIMIT_MIB} MiB, half a
  second after its start. Peak: the group's own high-water mark (memory.max_usage_in_bytes or memory.peak), read every
  millisecond by this process, not by Governor; without a cgroup what the program last said it had touched. Overshoot and
  latency as in pm2's and monit's rows of the baselines: touched at death less the limit, and time from crossing the limit
  to the last sign of life. Aim: peak at most ${AIM_PERCENT} % of the limit wherever GET /v1/tools says \`kernel\`, also with
  the daemon stopped (SIGSTOP) while it happens.`,
  async (bench) => {
    const rounds = bench.rounds(15);
    const kernel = await startDaemon(bench);
    await series(bench, kernel, rounds, false);
    await series(bench, kernel, rounds, true);
    await kernel.stop();
    const polled = await startDaemon(bench, { backend: 'procfs' });
    await series(bench, polled, rounds, false);
    await polled.stop();
  },
);

interface Outcome {
  readonly enforcement: string;
  /** Bytes; null without a memory group. */
  readonly peak: number | null;
  readonly touched: number;
  readonly overshootMib: number;
  readonly latencyMs: number | null;
  readonly speedMibPerSecond: number;
  readonly how: string;
}

async function series(bench: Bench, daemon: RunningDaemon, rounds: number, stopped: boolean): Promise<void> {
  const outcomes: Outcome[] = [];
  for (let round = 0; round < rounds; round += 1) outcomes.push(await oneRound(daemon, stopped, round));
  const { backend } = (await daemon.call('GET', '/v1/host')).json as { backend: string };
  const [first] = outcomes;
  const name = `${backend}, enforcement ${first?.enforcement ?? '?'}${stopped ? ', daemon stopped' : ''}`;
  const peaks = outcomes.flatMap(({ peak }) => (peak === null ? [] : [(peak / (LIMIT_MIB * MIB)) * 100]));
  const aim = first?.enforcement === 'kernel' ? { most: AIM_PERCENT, of: 'max' as const } : undefined;
  if (peaks.length > 0) bench.figure(`${name}: peak`, '% of the limit', peaks, aim);
  else bench.notMeasured(`${name}: peak of a group`, 'there is none: see touched');
  bench.figure(
    `${name}: touched at death`,
    'MiB',
    outcomes.map(({ touched }) => touched / MIB),
  );
  bench.figure(
    `${name}: overshoot`,
    'MiB',
    outcomes.map(({ overshootMib }) => overshootMib),
  );
  bench.figure(
    `${name}: latency`,
    'ms',
    outcomes.flatMap(({ latencyMs }) => latencyMs ?? []),
  );
  bench.figure(
    `${name}: speed of the program`,
    'MiB/s',
    outcomes.map(({ speedMibPerSecond }) => speedMibPerSecond),
  );
  const ends = new Map<string, number>();
  for (const { how } of outcomes) ends.set(how, (ends.get(how) ?? 0) + 1);
  bench.check(
    `${name}: none got through to ${CAP_MIB} MiB`,
    outcomes.every(({ touched }) => touched < CAP_MIB * MIB),
    [...ends].map(([how, count]) => `${count} × ${how}`).join(', '),
  );
}

async function oneRound(daemon: RunningDaemon, stopped: boolean, round: number): Promise<Outcome> {
  const marker = newMarker();
  const name = `allocator-${stopped ? 'stopped-' : ''}${round}`;
  const command = fixtureCommand('fast-allocator', [`--cap-mb=${CAP_MIB}`, '--report-mb=2', '--delay-ms=500']);
  const tool = spawn(LAUNCHER, ['run', '--name', name, '--memory', `${LIMIT_MIB}MiB`, '--', ...command], {
    env: { ...daemon.env, ...fixtureEnvironment(marker, 30_000) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let last = 0;
  tool.stdout.on('data', () => (last = performance.now()));
  const heard = listen(tool.stdout, 'fast-allocator');
  tool.stderr.resume();
  const ended = once(tool, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  let over = false;
  void ended.then(() => (over = true));
  await heard.said('ready');
  const { json } = await daemon.call('GET', `/v1/tools/${name}`);
  const enforcement = enforcementOf(json);
  if (stopped) process.kill(daemon.pid, 'SIGSTOP');
  const mark = openPeak(tool.pid ?? 0);
  let peak: number | null = mark === null ? null : 0;
  try {
    for (const untilMs = performance.now() + 20_000; !over && performance.now() < untilMs;) {
      if (mark !== null) peak = Math.max(peak ?? 0, mark.read() ?? 0);
      if (heard.lines().includes('full')) break;
      await pause(1);
    }
  } finally {
    mark?.close();
    if (stopped) process.kill(daemon.pid, 'SIGCONT');
  }
  const how = over ? describe(await ended) : 'still alive';
  tool.kill('SIGKILL');
  await killSurvivors(marker);
  await pause(300);
  return { enforcement, peak, how, ...readLines(heard.lines(), last) };
}

function describe([code, signal]: readonly [number | null, NodeJS.Signals | null]): string {
  return signal ?? `exit ${code}`;
}

/** `touched MiB seconds` lines: how far, when the limit was crossed, how fast. */
function readLines(
  lines: readonly string[],
  lastMs: number,
): Pick<Outcome, 'touched' | 'overshootMib' | 'latencyMs' | 'speedMibPerSecond'> {
  const points = lines
    .filter((line) => line.startsWith('touched '))
    .map((line) => line.split(' ').slice(1).map(Number) as [number, number]);
  const [mib, seconds] = points.at(-1) ?? [0, 0];
  const crossed = points.find(([reached]) => reached >= LIMIT_MIB);
  return {
    touched: mib * MIB,
    overshootMib: mib - LIMIT_MIB,
    latencyMs: crossed === undefined || lastMs === 0 ? null : (seconds - crossed[1]) * 1000,
    speedMibPerSecond: seconds === 0 ? 0 : mib / seconds,
  };
}

function enforcementOf(view: {
  readonly runs?: readonly {
    readonly limits: readonly { readonly resource: string; readonly enforcement: string }[];
  }[];
}): string {
  return view.runs?.[0]?.limits.find(({ resource }) => resource === 'memory')?.enforcement ?? 'unknown';
}

/** The high-water mark of the process's memory group; null when it is in none of Governor's. */
function openPeak(pid: number): { read(): number | null; close(): void } | null {
  const groups = readFileSync(`/proc/${pid}/cgroup`, 'latin1').split('\n');
  for (const line of groups) {
    const [, controllers = '', path = ''] = line.split(':');
    if (!path.includes('governor')) continue;
    const file =
      controllers === 'memory'
        ? `/sys/fs/cgroup/memory${path}/memory.max_usage_in_bytes`
        : controllers === ''
          ? `/sys/fs/cgroup${path}/memory.peak`
          : null;
    const fd = file === null ? null : tryOpen(file);
    if (fd === null) continue;
    const buffer = Buffer.alloc(64);
    return {
      read: () => {
        try {
          return Number(buffer.toString('latin1', 0, readSync(fd, buffer, 0, 64, 0)));
        } catch {
          // ENODEV: the group is gone, and with it the program.
          return null;
        }
      },
      close: () => closeSync(fd),
    };
  }
  return null;
}

function tryOpen(file: string): number | null {
  try {
    return openSync(file, 'r');
  } catch {
    // ENOENT: this kernel or hierarchy has no such file.
    return null;
  }
}
