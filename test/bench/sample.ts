/** What one sample costs. See README.md. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listen } from '../helpers/heard.ts';
import { pause, waitFor } from '../helpers/wait-for.ts';
import type { WorkerResult } from './sample-worker.ts';
import { type Bench, runBench } from './support/bench.ts';
import { cpuMs } from './support/process-cost.ts';
import { program } from './support/program.ts';
import { short } from './support/stats.ts';

const EVERY_MS = 1_000;
/** A machine is full of old processes: young ones are looked at more often by what looks for a tool's among them. */
const AGE_MS = 60_000;
const AIM_US = 20;
const AIM_TOTAL_US = 3;

await runBench(
  'sample',
  `CPU time (all threads of the sampling process, kernel included) per process and sample, in µs, with 200 idle processes of
  20 fds, 3 of them sockets, sampled once a second as the daemon does, so that caches are as cold as in real life; those
  that "ran" wake up for an instant four times a second. Idle means that nobody in any of the 200 groups runs: where one
  does, the others cost a read each, and less than one that ran. Each way of sampling is a process of its own over 200
  processes of its own; they take turns within each second, the floors and process-exporter apart. A sample of Governor's
  holds memory, CPU time, fds, sockets, temp storage and tasks (runtime is a subtraction). All processes are old when it
  begins (see the parameters). Rounds include those in which handles are read again although their number stayed the
  same. Aims: at most ${AIM_US} µs on average with sockets, and at most ${AIM_TOTAL_US} µs a tool for what a cgroup gives
  as a total; below both peers.`,
  async (bench) => {
    const count = bench.pick(200, 200);
    const rounds = bench.rounds(60);
    bench.parameter('processes', count);
    const governor = {
      procfs: 'Governor, procfs: 200 tools of one process',
      tree: 'Governor, procfs: one tool of 200 processes',
      cgroup1: 'Governor, cgroup v1: 200 tools of one process',
      cgroup2: 'Governor, cgroup v2: 200 tools of one process',
      awake1: 'Governor, cgroup v1: 200 tools of one process, each of which ran since the last sample',
      awake2: 'Governor, cgroup v2: 200 tools of one process, each of which ran since the last sample',
    } as const;
    const groupFloors = {
      cgroup1: 'floor in C (the files of a group, kept open), cgroup v1',
      cgroup2: 'floor in C (the files of a group, kept open), cgroup v2',
    } as const;
    const others = {
      totals1: 'Governor, cgroup v1: the totals of a group alone, per tool',
      totals2: 'Governor, cgroup v2: the totals of a group alone, per tool',
      judge: 'Governor: record and policy after the sample, per tool',
      pidusage: 'pidusage (cpu and rss only)',
    } as const;
    const ways = Object.entries({ ...governor, ...others });
    const floors = Object.entries(groupFloors);
    const sets = new Map<string, readonly number[]>();
    for (const user of [...[...ways, ...floors].map(([, label]): string => label), 'floor', 'exporter'])
      sets.set(user, await idleProcesses(bench, count, user.includes('each of which ran')));
    const ageMs = bench.pick(AGE_MS, 5_000);
    bench.parameter('age of the processes, s', ageMs / 1_000);
    await pause(ageMs);
    const of = (user: string): readonly number[] => sets.get(user) ?? [];
    const share = EVERY_MS / (ways.length + 1);
    const results = await Promise.all([
      ...ways.map(async ([way, label], turn) =>
        report(bench, label, await work(bench, 'sample-worker', way, rounds, of(label), turn * share), aimOf(way)),
      ),
      ...floors.map(async ([backend, label]) =>
        report(bench, label, await work(bench, 'sample-group-floor', backend, rounds, of(label), 0), null),
      ),
      floor(bench, rounds, of('floor')),
      exporter(bench, rounds, of('exporter').length),
    ]);
    const [floorUs, exporterUs] = results.slice(-2);
    const means = [
      ...ways.map(([, label], n) => ({ what: label, mean: results[n] ?? null })),
      ...floors.map(([, label], n) => ({ what: label, mean: results[ways.length + n] ?? null })),
      { what: 'floor in C', mean: floorUs ?? null },
      { what: 'process-exporter', mean: exporterUs ?? null },
    ];
    bench.table(
      'means',
      means.map(({ what, mean: us }) => ({ what, 'µs per process and sample': us ?? 'not measured' })),
    );
    const own = Object.keys(governor).flatMap((_, n) => results[n] ?? []);
    const peers = [results[ways.findIndex(([way]) => way === 'pidusage')], exporterUs].filter((us) => us != null);
    const detail = `dearest ${short(Math.max(...own))} µs; peers ${peers.map(short).join(' and ')} µs`;
    bench.check(
      'every way of Governor costs less than each peer',
      peers.every((us) => Math.max(...own) < us),
      detail,
    );
  },
);

function aimOf(way: string): number | null {
  if (way === 'totals1' || way === 'totals2') return AIM_TOTAL_US;
  return way === 'pidusage' || way === 'judge' ? null : AIM_US;
}

/** @returns the mean, for comparisons */
function report(bench: Bench, label: string, result: WorkerResult, aim: number | null): number | null {
  if (result.skipped !== undefined) {
    bench.notMeasured(label, result.skipped);
    return null;
  }
  bench.figure(label, 'µs', result.cpu, ...(aim === null ? [] : [{ most: aim, of: 'mean' as const }]));
  return mean(result.cpu);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

async function idleProcesses(bench: Bench, count: number, waking: boolean): Promise<readonly number[]> {
  const child = spawn(program('idle'), [`--count=${count}`, `--wake-ms=${waking ? EVERY_MS / 4 : 0}`], {
    env: { ...process.env, FIXTURE_LIFE_MS: '900000' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // Its children die with it.
  bench.teardown(() => void child.kill('SIGKILL'));
  const { pids } = await listen(child.stdout, 'idle').said('ready', 60_000);
  return pids as readonly number[];
}

async function work(
  bench: Bench,
  script: 'sample-worker' | 'sample-group-floor',
  way: string,
  rounds: number,
  pids: readonly number[],
  phaseMs: number,
): Promise<WorkerResult> {
  const words = [join(import.meta.dirname, `${script}.js`), way, String(rounds), String(EVERY_MS), String(phaseMs)];
  const worker = spawn(process.execPath, ['--max-semi-space-size=1', ...words], { stdio: ['pipe', 'pipe', 'pipe'] });
  bench.teardown(() => void worker.kill('SIGKILL'));
  worker.stdin.end(JSON.stringify(pids));
  let stdout = '';
  let stderr = '';
  worker.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  worker.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(worker, 'close')) as [number | null];
  if (code === 0) return JSON.parse(stdout) as WorkerResult;
  const reason = /^\w*Error[^:\n]*: (.+)$/m.exec(stderr)?.[1] ?? stderr.slice(0, 300);
  return { cpu: [], wall: [], totals: {}, skipped: reason };
}

async function floor(bench: Bench, rounds: number, pids: readonly number[]): Promise<number> {
  const label = 'floor in C (the same reads on kept-open files)';
  const child = spawn(program('sample-floor'), [`--rounds=${rounds}`, `--every-ms=${EVERY_MS}`, '--temp=/tmp', '-'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  bench.teardown(() => void child.kill('SIGKILL'));
  child.stdin.end(pids.join(' '));
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  await once(child, 'close');
  const { cpuMicroseconds } = JSON.parse(stdout) as { readonly cpuMicroseconds: readonly number[] };
  bench.figure(label, 'µs', cpuMicroseconds);
  return mean(cpuMicroseconds);
}

/** Debian's prometheus-process-exporter, scraped each second on loopback; it reads /proc of the whole machine. */
async function exporter(bench: Bench, rounds: number, count: number): Promise<number | null> {
  const label = 'process-exporter, scraped each second';
  const name = 'prometheus-process-exporter';
  if (spawnSync(name, ['--version'], { stdio: 'ignore' }).error !== undefined) {
    bench.notMeasured(label, `${name} is not installed (apt-get install ${name})`);
    return null;
  }
  const folder = mkdtempSync(join(tmpdir(), 'governor-test-'));
  bench.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, 'config.yml');
  writeFileSync(config, 'process_names:\n  - name: "idle;{{.PID}}"\n    cmdline:\n      - "/idle-[0-9a-f]+"\n');
  const port = await freePort();
  const child = spawn(name, ['-config.path', config, '-web.listen-address', `127.0.0.1:${port}`], { stdio: 'ignore' });
  bench.teardown(() => void child.kill('SIGKILL'));
  await waitFor('the exporter to answer', async () => (await scrape(port)) > 0);
  const costs: number[] = [];
  let bytes = 0;
  for (let round = -2; round < rounds; round += 1) {
    const before = cpuMs(child.pid ?? 0);
    bytes = await scrape(port);
    await pause(EVERY_MS);
    if (round >= 0) costs.push(((cpuMs(child.pid ?? 0) - before) * 1000) / count);
  }
  child.kill('SIGKILL');
  bench.parameter('exporter bytes a scrape', bytes);
  bench.figure(label, 'µs', costs);
  return mean(costs);
}

function scrape(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/metrics' }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.length));
      response.on('end', () => resolve(bytes));
      response.on('error', reject);
    }).on('error', reject);
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
