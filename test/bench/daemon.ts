/** What the daemon itself costs. See README.md. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { listen } from '../helpers/heard.ts';
import { pause } from '../helpers/wait-for.ts';
import { type Bench, runBench } from './support/bench.ts';
import { anonymousMb, cpuMs, openFiles, rssMb, statCpuMs } from './support/process-cost.ts';
import { program } from './support/program.ts';

const LAUNCHED_AT_ONCE = 8;
/** Runs are watched more closely in their first two seconds; compiled code and caches settle as well. */
const SETTLE_MS = 15_000;
const WINDOW_MS = 6_000;
/** From the last start of a tool on: V8 still compiles what is hot and collects what the launches left before. */
const STEADY_AFTER_MS = 120_000;
/** The daemon gives back what a burst took once it has been calm for some ten seconds. */
const REST_MS = 20_000;
const AIM_SHARE = 0.4;
const AIM_RSS_MB = 65;

await runBench(
  'daemon',
  `CPU time of the daemon, all its threads, as a share of one core, over windows of ${WINDOW_MS / 1000} s with 200 supervised
  idle tools (direct runs of a C program of 20 fds, 3 of them sockets; one tool each; sampled every second; nobody asks it
  anything), from /proc/PID/task/*/schedstat (nanoseconds), with utime + stime of /proc/PID/stat beside it. The aim is for
  what it costs from ${STEADY_AFTER_MS / 60_000} minutes after the last start of a tool on; the first minute is a figure of its own. Then its RSS
  and open files over 10,000 cycles of POST /v1/tools and DELETE /v1/tools/NAME, and over full lives of tools. Aims:
  ${AIM_SHARE} % of a core, RSS at most ${AIM_RSS_MB} MB (an empty Node is measured beside it), flat over the cycles.`,
  async (bench) => {
    bench.figure('empty Node, RSS', 'MB', [await emptyNodeMb()]);
    await idleCost(bench);
    await cycles(bench);
  },
);

async function idleCost(bench: Bench): Promise<void> {
  const count = bench.pick(200, 200);
  bench.parameter('tools', count);
  const daemon = await startDaemon(bench);
  const unloaded = rssMb(daemon.pid);
  const tools = await launchIdle(bench, daemon, count);
  bench.say(`${count} tools are up`);
  const launchedMs = performance.now();
  await pause(SETTLE_MS);
  const windows = bench.pick(6, 3);
  const early = await shares(daemon.pid, windows);
  await pause(bench.pick(STEADY_AFTER_MS, 0) - (performance.now() - launchedMs));
  const rss: number[] = [];
  const [cpuBefore, began] = [statCpuMs(daemon.pid), performance.now()];
  const exact = await shares(daemon.pid, windows, rss);
  const byStat = ((statCpuMs(daemon.pid) - cpuBefore) / (performance.now() - began)) * 100;
  bench.figure(`CPU at ${count} idle tools`, '% of one core', exact, { most: AIM_SHARE, of: 'median' });
  bench.figure('the same by utime + stime, all windows together', '% of one core', [byStat]);
  bench.figure(`the same from ${SETTLE_MS / 1000} s after the last start on`, '% of one core', early);
  bench.figure(
    'CPU per tool and second',
    'µs',
    exact.map((share) => (share * 10_000) / count),
  );
  bench.figure(`RSS at ${count} idle tools`, 'MB', rss, { most: AIM_RSS_MB, of: 'max' });
  bench.figure(`of it anonymous at ${count} idle tools`, 'MB', [anonymousMb(daemon.pid)]);
  bench.figure('RSS before the first tool', 'MB', [unloaded]);
  bench.figure(`open files at ${count} idle tools`, 'count', [openFiles(daemon.pid)]);
  const { json } = await daemon.call('GET', '/v1/tools');
  const active = (json as { readonly tools: readonly { state: string }[] }).tools.filter(
    ({ state }) => state === 'active',
  ).length;
  bench.check(`all ${count} tools were active at the end`, active === count, `${active}`);
  for (const tool of tools) tool.kill('SIGKILL');
  await daemon.stop();
}

/** @returns % of one core, by window */
async function shares(pid: number, windows: number, rss: number[] = []): Promise<number[]> {
  const found: number[] = [];
  for (let window = 0; window < windows; window += 1) {
    const [before, startedMs] = [cpuMs(pid), performance.now()];
    await pause(WINDOW_MS);
    found.push(((cpuMs(pid) - before) / (performance.now() - startedMs)) * 100);
    rss.push(rssMb(pid));
  }
  return found;
}

async function launchIdle(bench: Bench, daemon: RunningDaemon, count: number): Promise<readonly ChildProcess[]> {
  const idle = program('idle');
  const tools: ChildProcess[] = [];
  const env = { ...daemon.env, FIXTURE_LIFE_MS: '600000' };
  bench.teardown(() => void tools.forEach((tool) => tool.kill('SIGKILL')));
  const launch = async (index: number): Promise<void> => {
    const name = `idle-${String(index).padStart(3, '0')}`;
    const tool = spawn(LAUNCHER, ['run', '--name', name, '--', idle], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    tools.push(tool);
    await listen(tool.stdout, name).said('ready', 60_000);
  };
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await launch((next += 1));
  };
  await Promise.all(Array.from({ length: LAUNCHED_AT_ONCE }, lane));
  return tools;
}

async function cycles(bench: Bench): Promise<void> {
  const count = bench.pick(10_000, 2_000);
  const lives = bench.pick(300, 60);
  bench.parameter('cycles', count);
  const daemon = await startDaemon(bench);
  const track: Record<string, unknown>[] = [];
  const note = (after: string): number => {
    const mb = rssMb(daemon.pid);
    track.push({
      after,
      'RSS MB': mb,
      'of it anonymous': anonymousMb(daemon.pid),
      'open files': openFiles(daemon.pid),
    });
    return mb;
  };
  // The kernel's watch of files is opened with the first tool, the history with the first that is seen alive; both stay.
  await onceThrough(daemon, 'sleep', '3');
  await pause(REST_MS);
  note('one life of a tool');
  const agent = new Agent({ keepAlive: true, maxSockets: LAUNCHED_AT_ONCE });
  const step = count / 10;
  const rss: number[] = [];
  for (let done = 0; done < count; done += step) {
    await registerAndUnregister(daemon, agent, done, step);
    rss.push(note(`${done + step} cycles`));
  }
  agent.destroy();
  await pause(REST_MS);
  const settled = note('and a rest');
  for (let life = 0; life < lives; life += 1) await onceThrough(daemon, 'true');
  await pause(REST_MS);
  const lived = note(`${lives} lives of a tool`);
  bench.table('RSS and open files over the cycles', track);
  const [files = 0, filesAfter = 0] = [track[0]?.['open files'], track.at(-1)?.['open files']] as number[];
  // A heap that has been used keeps what it grew to: flat means that the second half of the cycles adds nothing.
  const half = rss[Math.floor(rss.length / 2) - 1] as number;
  const grown = Math.max(...rss.slice(rss.length / 2)) - half;
  bench.figure('RSS growth, second half of the cycles', 'MB', [grown]);
  bench.figure('RSS after the cycles and a rest', 'MB', [settled], { most: AIM_RSS_MB, of: 'max' });
  bench.figure(`RSS after ${lives} lives more`, 'MB', [lived], { most: AIM_RSS_MB, of: 'max' });
  bench.check('open files are flat', filesAfter <= files, `${files} after the first tool, ${filesAfter} at the end`);
}

async function registerAndUnregister(daemon: RunningDaemon, agent: Agent, from: number, count: number): Promise<void> {
  const socketPath = join(daemon.stateDir, 'governor.sock');
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const name = `cycle-${from + next++}`;
      const made = await call(socketPath, agent, 'POST', '/v1/tools', { name, command: 'true' });
      if (made !== 201) throw new Error(`register ${name}: ${made}`);
      const gone = await call(socketPath, agent, 'DELETE', `/v1/tools/${name}`);
      if (gone >= 300) throw new Error(`unregister ${name}: ${gone}`);
    }
  };
  await Promise.all(Array.from({ length: LAUNCHED_AT_ONCE }, lane));
}

async function call(socketPath: string, agent: Agent, method: string, path: string, body?: object): Promise<number> {
  const asked = request({
    socketPath,
    agent,
    method,
    path,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
  });
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(asked, 'response')) as [import('node:http').IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.statusCode ?? 0;
}

/** Registered, contained, run, cleaned up, unregistered. */
async function onceThrough(daemon: RunningDaemon, ...command: readonly string[]): Promise<void> {
  const tool = spawn(LAUNCHER, ['run', '--', ...command], { env: daemon.env, stdio: 'ignore' });
  await once(tool, 'exit');
}

async function emptyNodeMb(): Promise<number> {
  const node = spawn(process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1000)'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(node.stdout, 'data');
  await pause(1_000);
  const mb = rssMb(node.pid ?? 0);
  node.kill('SIGKILL');
  return mb;
}
