/** How long a cleanup takes. See README.md. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { auditOf } from '../helpers/audit.ts';
import { LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureEnvironment, newMarker } from '../helpers/fixture.ts';
import { listen } from '../helpers/heard.ts';
import { killSurvivors, survivors } from '../helpers/survivors.ts';
import { pause } from '../helpers/wait-for.ts';
import { type Bench, runBench } from './support/bench.ts';
import { program } from './support/program.ts';
import { spread } from './support/stats.ts';

const AIM_MS = 50;
const PROCESSES = [1, 10, 100] as const;
const MEMORY_MB = [10, 200, 1000] as const;
const FILES = [0, 1_000, 50_000] as const;
/** For the names of tools. */
let stops = 0;

await runBench(
  'cleanup',
  `Milliseconds from the decision to stop a tool until its tree is proven empty, over the mix {1, 10, 100 processes} ×
  {10, 200, 1000 MB touched} × {0, 1k, 50k files in TMPDIR}, every class as often as every other. The tool ignores SIGTERM
  and is given the smallest grace there is, 1 ms, which is part of what is measured. Start: right before
  POST /v1/tools/NAME/deactivate is sent, so a round through HTTP is included. "empty": the tool's cgroup.procs, read by
  this process and not by Governor, holds nobody. "all gone": its groups and its TMPDIR are gone as well. Aim: at most
  ${AIM_MS} ms to empty on average over the mix. Freeing memory alone costs the kernel about 75 ms per GB. Grace is measured
  apart, with a tool that ends on SIGTERM.`,
  async (bench) => {
    const rounds = bench.rounds(5);
    const daemon = await startDaemon(bench);
    const classes: Record<string, unknown>[] = [];
    bench.table('by class', classes);
    const all: Measured[] = [];
    for (const files of bench.pick<readonly number[]>(FILES, FILES.slice(0, 2))) {
      for (const mb of bench.pick<readonly number[]>(MEMORY_MB, MEMORY_MB)) {
        for (const processes of PROCESSES) {
          const measured: Measured[] = [];
          for (let round = 0; round < rounds; round += 1)
            measured.push(await stopOne(daemon, { processes, mb, files, polite: false }));
          all.push(...measured);
          classes.push(row(`${processes} processes, ${mb} MB, ${files} files`, measured));
          bench.say(`${processes} processes, ${mb} MB, ${files} files`);
        }
      }
    }
    const small = all.filter(({ mb }) => mb < 1000);
    bench.figure(
      'decision to empty, whole mix',
      'ms',
      all.map(({ emptyMs }) => emptyMs),
      { most: AIM_MS, of: 'mean' },
    );
    bench.figure(
      'decision to empty, classes below 1000 MB',
      'ms',
      small.map(({ emptyMs }) => emptyMs),
      { most: AIM_MS, of: 'mean' },
    );
    bench.figure(
      'decision to empty, classes of 1000 MB',
      'ms',
      all.filter(({ mb }) => mb >= 1000).map(({ emptyMs }) => emptyMs),
    );
    for (const count of FILES) {
      const some = all.filter(({ files }) => files === count);
      if (some.length > 0)
        bench.figure(
          `decision to all gone, ${count} files`,
          'ms',
          some.map(({ goneMs }) => goneMs),
        );
    }
    await withGrace(bench, daemon, rounds);
    bench.check(
      'nothing was left, in every round',
      all.every(({ left }) => left === 0),
      `${all.length} stops`,
    );
  },
);

interface Load {
  readonly processes: number;
  readonly mb: number;
  readonly files: number;
  readonly polite: boolean;
}

interface Measured extends Load {
  readonly emptyMs: number;
  readonly goneMs: number;
  /** What Governor itself says; for comparison only. */
  readonly saidMs: number;
  readonly graceMs: number;
  readonly left: number;
}

async function stopOne(daemon: RunningDaemon, load: Load): Promise<Measured> {
  const marker = newMarker();
  stops += 1;
  const name = `holding-${stops}`;
  const flags = [
    '--name',
    name,
    '--grace',
    load.polite ? '5s' : '1ms',
    '--memory',
    '4GiB',
    '--tasks',
    '1024',
    '--temp-storage',
    '4GiB',
  ];
  const command = [
    program('holding'),
    `--procs=${load.processes}`,
    `--mb=${load.mb}`,
    `--files=${load.files}`,
    ...(load.polite ? ['--polite'] : []),
  ];
  const tool = spawn(LAUNCHER, ['run', ...flags, '--', ...command], {
    env: { ...daemon.env, ...fixtureEnvironment(marker, 600_000) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  tool.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(tool, 'exit');
  await listen(tool.stdout, name)
    .said('ready', 120_000)
    .catch((error: unknown) => Promise.reject(new Error(`${String(error)} ${stderr}`)));
  const view = (await daemon.call('GET', `/v1/tools/${encodeURIComponent(name)}`)).json as {
    runs: readonly { id: string; tempDir: string }[];
  };
  const run = view.runs[0];
  if (run === undefined) throw new Error(`${name} has no run`);
  const groups = groupsOf(tool.pid ?? 0);
  if (groups.length === 0) throw new Error('the tool is in no cgroup: this bench needs one to look at');
  await pause(100);
  const startedMs = performance.now();
  const answer = daemon.call('POST', `/v1/tools/${encodeURIComponent(name)}/deactivate`);
  let emptyMs: number | null = null;
  let goneMs: number | null = null;
  while (goneMs === null && performance.now() - startedMs < 60_000) {
    await pause(1);
    if (emptyMs === null && groups.every(isEmpty)) emptyMs = performance.now() - startedMs;
    if (emptyMs !== null && !existsSync(run.tempDir) && !groups.some((group) => existsSync(group)))
      goneMs = performance.now() - startedMs;
  }
  await answer;
  await ended;
  const left =
    survivors(marker).length + groups.filter((group) => existsSync(group)).length + (existsSync(run.tempDir) ? 1 : 0);
  await killSurvivors(marker);
  if (emptyMs === null || goneMs === null) throw new Error(`${name} was not cleaned up within a minute`);
  const { saidMs, graceMs } = await reported(daemon, name);
  return { ...load, emptyMs, goneMs, saidMs, graceMs, left };
}

/** The cleanup's own report, from the audit log. */
async function reported(
  daemon: RunningDaemon,
  name: string,
): Promise<{ readonly saidMs: number; readonly graceMs: number }> {
  const [entry] = await auditOf(daemon, name, 'cleanup');
  const report = (entry as { readonly report?: { readonly durationMs: number; readonly graceMs: number } } | undefined)
    ?.report;
  if (report === undefined) throw new Error(`the audit has no cleanup of ${name}`);
  return { saidMs: report.durationMs, graceMs: report.graceMs };
}

async function withGrace(bench: Bench, daemon: RunningDaemon, rounds: number): Promise<void> {
  const measured: Measured[] = [];
  for (let round = 0; round < rounds; round += 1)
    measured.push(await stopOne(daemon, { processes: 10, mb: 200, files: 1000, polite: true }));
  bench.figure(
    'a tool that ends on SIGTERM (10 processes, 200 MB): request to empty, grace included',
    'ms',
    measured.map(({ emptyMs }) => emptyMs),
  );
  bench.figure(
    'of this, grace as Governor reports it',
    'ms',
    measured.map(({ graceMs }) => graceMs),
  );
}

function row(what: string, measured: readonly Measured[]): Record<string, unknown> {
  const [empty, gone, said] = [
    spread(measured.map(({ emptyMs }) => emptyMs)),
    spread(measured.map(({ goneMs }) => goneMs)),
    spread(measured.map(({ saidMs }) => saidMs)),
  ];
  return {
    class: what,
    'empty ms min': empty.min,
    median: empty.median,
    max: empty.max,
    'all gone ms median': gone.median,
    'all gone ms max': gone.max,
    'Governor says ms': said.median,
    'grace ms': spread(measured.map(({ graceMs }) => graceMs)).median,
  };
}

function groupsOf(pid: number): readonly string[] {
  const unified = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((line) => line.split(' ')[2] === 'cgroup2')
    ?.split(' ')[1];
  return readFileSync(`/proc/${pid}/cgroup`, 'latin1')
    .split('\n')
    .flatMap((line) => {
      const [, controllers = '', path = ''] = line.split(':');
      if (!path.includes('governor')) return [];
      if (controllers !== '') return [`/sys/fs/cgroup/${controllers}${path}`];
      return unified === undefined ? [] : [`${unified}${path}`];
    });
}

function isEmpty(group: string): boolean {
  try {
    return readFileSync(`${group}/cgroup.procs`, 'latin1').trim() === '';
  } catch (error) {
    // The group is gone, and only an empty one can go.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENODEV')) return true;
    throw error;
  }
}
