/** What `governor run` costs a tool's start. See README.md. */

import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, LAUNCHER, runCommand, startDaemon } from '../helpers/daemon.ts';
import { pause } from '../helpers/wait-for.ts';
import { type Bench, runBench } from './support/bench.ts';
import { firstByteMs } from './support/first-byte.ts';
import { spread } from './support/stats.ts';

/** A move into a group is cheap for a while after another one; a launch in real life finds the kernel at rest. */
const REST_MS = 400;
const AIM_OVER_JOINING_MS = 5;
/** Groups made so far, for their names. */
let made = 0;

await runBench(
  'launch',
  `Milliseconds from spawn(2) to the first byte that comes back through cat (a byte is written at once). Every variant is
  started once a round, in an order that turns by one each round, with ${REST_MS} ms of rest before each, the daemon up and
  idle. "joins one group by hand" is what joining a cgroup costs by itself here: a shell writes its pid into the v2
  hierarchy's cgroup.procs and becomes cat. "joins the same groups" does so in every hierarchy that governor uses, one
  after the other. Aim: governor's median at most ${AIM_OVER_JOINING_MS} ms over joining one group, with no process left
  beside the tool.`,
  async (bench) => {
    const rounds = bench.rounds(30);
    const daemon = await startDaemon(bench);
    const groups = await groupsOfARun(bench, daemon.env);
    const hierarchies = groups.map((path) => path.split('/').slice(0, 5).join('/'));
    const single = hierarchies.find((path) => path.endsWith('/unified')) ?? hierarchies[0];
    bench.parameter('groups', hierarchies.map((path) => path.split('/').at(-1)).join('+') || 'none');
    const env = cleanEnvironment();
    const variants = new Map<string, () => Promise<number>>([
      ['direct', () => firstByteMs('cat', [], env)],
      ['sh -c exec', () => firstByteMs('sh', ['-c', 'exec "$@"', 'sh', 'cat'], env)],
      ['governor run', () => firstByteMs(LAUNCHER, ['run', '--', 'cat'], daemon.env)],
    ]);
    if (single === undefined) bench.notMeasured('joining a group by hand', `the backend of this host uses none`);
    else {
      variants.set('joins one group by hand', () => joined([single], env));
      variants.set('joins the same groups by hand', () => joined(hierarchies, env));
    }
    const times = await interleaved([...variants], rounds, bench);
    for (const [name, values] of times) bench.figure(name, 'ms', values);
    const median = (name: string): number => spread(times.get(name) ?? []).median;
    const governed = times.get('governor run') ?? [];
    bench.figure(
      'governor run over direct (median)',
      'ms',
      governed.map((ms) => ms - median('direct')),
    );
    if (single !== undefined) {
      const over = governed.map((ms) => ms - median('joins one group by hand'));
      bench.figure('governor run over joining one group by hand (median)', 'ms', over, {
        most: AIM_OVER_JOINING_MS,
        of: 'median',
      });
      bench.figure(
        'governor run over joining the same groups by hand (median)',
        'ms',
        governed.map((ms) => ms - median('joins the same groups by hand')),
      );
    }
    await residents(bench, daemon.env);
  },
);

async function interleaved(
  variants: readonly (readonly [string, () => Promise<number>])[],
  rounds: number,
  bench: Bench,
): Promise<ReadonlyMap<string, number[]>> {
  const times = new Map<string, number[]>(variants.map(([name]) => [name, []]));
  // The first start of each warms caches and is not counted.
  for (let round = -1; round < rounds; round += 1) {
    for (let n = 0; n < variants.length; n += 1) {
      const [name, start] = variants[(n + round + variants.length) % variants.length] as (typeof variants)[number];
      await pause(REST_MS);
      const ms = await start();
      if (round >= 0) times.get(name)?.push(ms);
    }
    if (round >= 0 && round % 10 === 9) bench.say(`round ${round + 1} of ${rounds}`);
  }
  return times;
}

/** A shell that moves itself into fresh groups below each of these and becomes cat. */
async function joined(hierarchies: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  made += 1;
  const groups = hierarchies.map((path) => join(path, `governor-test-join-${process.pid}-${made}`));
  for (const group of groups) mkdirSync(group);
  try {
    const move = groups.map((group) => `echo $$ >${group}/cgroup.procs`).join('; ');
    return await firstByteMs('sh', ['-c', `${move}; exec "$@"`, 'sh', 'cat'], env);
  } finally {
    for (const group of groups) await removed(group);
  }
}

/** A zombie that nobody waited for yet keeps its group busy. */
async function removed(group: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      rmdirSync(group);
      return;
    } catch (error) {
      if (attempt === 200) throw error;
      await pause(5);
    }
  }
}

/** Absolute paths of the groups that a tool finds itself in, governor's own only. */
async function groupsOfARun(bench: Bench, env: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const { stdout } = await runCommand(LAUNCHER, ['run', '--', 'cat', '/proc/self/cgroup'], { env });
  const paths: string[] = [];
  for (const line of stdout.trim().split('\n')) {
    const [, controllers = '', path = ''] = line.split(':');
    if (!path.includes('governor')) continue;
    const root = controllers === '' ? unifiedRoot() : `/sys/fs/cgroup/${controllers}`;
    if (root !== null) paths.push(`${root}${path}`);
  }
  if (paths.length === 0) bench.say(`no cgroup of governor's in ${stdout}`);
  return paths;
}

function unifiedRoot(): string | null {
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((mount) => mount.split(' ')[2] === 'cgroup2');
  return line?.split(' ')[1] ?? null;
}

/** The tool's parent must be whoever ran `governor run`: nothing stays in between, nothing beside it. */
async function residents(bench: Bench, env: Readonly<Record<string, string>>): Promise<void> {
  const { stdout } = await runCommand(
    LAUNCHER,
    ['run', '--', 'sh', '-c', 'echo $$ $PPID; cat /proc/$$/task/$$/children'],
    { env },
  );
  const parent = Number(stdout.split(/\s+/)[1]);
  bench.check(
    'no process stays between the client and the tool',
    parent === process.pid,
    `parent of the tool: ${parent === process.pid ? 'the client' : parent}`,
  );
}
