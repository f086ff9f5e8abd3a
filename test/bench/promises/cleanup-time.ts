/** The first promise: how long a cleanup takes. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LAUNCHER, type RunningDaemon, startDaemon } from '../../helpers/daemon.ts';
import { fixtureEnvironment, newMarker } from '../../helpers/fixture.ts';
import { listen } from '../../helpers/heard.ts';
import { killSurvivors } from '../../helpers/survivors.ts';
import { pause } from '../../helpers/wait-for.ts';
import { seeded } from '../leaks/random.ts';
import { program } from '../support/program.ts';
import { Oracle } from './ask.ts';
import { quantile } from './bounds.ts';
import { type Aim, meanTime, quantileTime, type Stand, type Stated } from './stated.ts';

interface Load {
  readonly processes: number;
  readonly mb: number;
  readonly files: number;
}

interface Seen extends Load {
  readonly emptyMs: number;
  readonly goneMs: number;
}

const PROCESSES = [1, 10, 100] as const;
const WITHIN_MS = 60_000;
const PROMISE: Aim = { is: 'below', value: 50, kind: 'promise' };
const AIM: Aim = { is: 'below', value: 50, kind: 'aim' };
let serial = 0;

/** The published mix: each class as often as every other. */
export function mix(short: boolean): readonly Load[] {
  const [sizes, files] = short
    ? [[10, 200], [0]]
    : [
        [10, 200, 1000],
        [0, 1_000, 50_000],
      ];
  return files.flatMap((count) =>
    sizes.flatMap((mb) => PROCESSES.map((processes) => ({ processes, mb, files: count }))),
  );
}

export async function cleanupTime(stand: Stand): Promise<readonly Stated[]> {
  const { bench, containment, trials, short, tempRoot, table } = stand;
  const root = tempRoot === null ? null : mkdtempSync(join(tempRoot, 'governor-test-'));
  if (root !== null) bench.teardown(() => rmSync(root, { recursive: true, force: true }));
  const placed = root === null ? {} : { config: { daemon: { temp_root: root } } };
  const daemon = await startDaemon(bench, { backend: containment, ...placed });
  const oracle = new Oracle(bench);
  const classes = mix(short);
  const seen: Seen[] = [];
  for (const load of planned(classes, trials)) {
    seen.push(await stopOne(daemon, oracle, load));
    if (seen.length % 20 === 0) bench.say(`cleanup, ${containment}: ${seen.length} of ${trials}`);
  }
  await daemon.stop();
  table(
    classes.flatMap((load) => {
      const some = seen.filter((one) => sameClass(one, load));
      return some.length === 0 ? [] : [{ containment, ...load, ...distribution(some) }];
    }),
  );
  const small = seen.filter(({ mb }) => mb < 500);
  const where = { promise: 'cleanup', containment } as const;
  const stated: Stated[] = [
    meanTime({ ...where, what: 'decision to empty: mean of the mix' }, strata(classes, seen, 'emptyMs'), [PROMISE]),
    meanTime(
      { ...where, what: 'decision to all gone: mean of the mix' },
      strata(classes, seen, 'goneMs'),
      short ? [] : [AIM],
    ),
  ];
  for (const [name, key] of [
    ['empty', 'emptyMs'],
    ['all gone', 'goneMs'],
  ] as const) {
    for (const of of [0.5, 0.95, 0.99])
      stated.push(
        quantileTime(
          { ...where, what: `decision to ${name}: p${of * 100} of the mix` },
          seen.map((one) => one[key]),
          of,
          [],
        ),
      );
    if (small.length > 0)
      stated.push(
        quantileTime(
          { ...where, what: `decision to ${name}: p99 of trees below 500 MB` },
          small.map((one) => one[key]),
          0.99,
          [AIM],
        ),
      );
  }
  return stated;
}

/** As many rounds of the mix as are needed, each in an order of its own. */
function planned(classes: readonly Load[], trials: number): readonly Load[] {
  const random = seeded(50);
  const plan: Load[] = [];
  while (plan.length < trials) {
    const round = classes.map((load) => ({ load, at: random.next() })).toSorted((a, b) => a.at - b.at);
    plan.push(...round.map(({ load }) => load));
  }
  // A run that is only to try it out need not go through the whole mix.
  return trials < classes.length ? plan.slice(0, trials) : plan;
}

async function stopOne(daemon: RunningDaemon, oracle: Oracle, load: Load): Promise<Seen> {
  const marker = newMarker();
  serial += 1;
  const name = `cleanup-${serial}`;
  const flags = ['--name', name, '--grace', '1ms', '--memory', '4GiB', '--tasks', '1024', '--temp-storage', '4GiB'];
  const words = [`--procs=${load.processes}`, `--mb=${load.mb}`, `--files=${load.files}`, '--listen'];
  const tool = spawn(LAUNCHER, ['run', ...flags, '--', program('holding'), ...words], {
    env: { ...daemon.env, ...fixtureEnvironment(marker, 600_000) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let complaint = '';
  tool.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  const ended = once(tool, 'exit');
  try {
    await listen(tool.stdout, name)
      .said('ready', 120_000)
      .catch((error: unknown) => Promise.reject(new Error(`${String(error)} ${complaint}`)));
    await pause(100);
    const held = await oracle.note(marker);
    if (held.processes < load.processes || held.listeners !== 1 || held.files < load.files + 1)
      throw new Error(`the oracle does not see what ${name} holds: ${JSON.stringify(held)}`);
    const { over } = await oracle.race(marker, WITHIN_MS);
    const startedNs = process.hrtime.bigint();
    const answer = daemon.call('POST', `/v1/tools/${name}/deactivate`);
    const { emptyNs, allGoneNs } = await over;
    await answer;
    await ended;
    // What was never gone took at least as long as it was waited for.
    const since = (atNs: string | null): number => (atNs === null ? WITHIN_MS : Number(BigInt(atNs) - startedNs) / 1e6);
    return { ...load, emptyMs: since(emptyNs), goneMs: since(allGoneNs) };
  } finally {
    await killSurvivors(marker);
    await oracle.forget([marker]);
  }
}

function sameClass(one: Load, other: Load): boolean {
  return one.processes === other.processes && one.mb === other.mb && one.files === other.files;
}

function strata(classes: readonly Load[], seen: readonly Seen[], key: 'emptyMs' | 'goneMs'): readonly number[][] {
  return classes
    .map((load) => seen.filter((one) => sameClass(one, load)).map((one) => one[key]))
    .filter((values) => values.length > 0);
}

function distribution(seen: readonly Seen[]): Readonly<Record<string, number>> {
  const [empty, gone] = [seen.map(({ emptyMs }) => emptyMs), seen.map(({ goneMs }) => goneMs)];
  return {
    n: seen.length,
    'empty p50 ms': quantile(empty, 0.5),
    'empty p95 ms': quantile(empty, 0.95),
    'empty max ms': Math.max(...empty),
    'all gone p50 ms': quantile(gone, 0.5),
    'all gone p95 ms': quantile(gone, 0.95),
    'all gone max ms': Math.max(...gone),
  };
}
