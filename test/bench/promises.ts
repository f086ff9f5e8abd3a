/** The five promises of the specification. See README.md. */

import { linuxBackends } from '../helpers/backends.ts';
import { cleanupTime } from './promises/cleanup-time.ts';
import { falseViolations } from './promises/false-violations.ts';
import { quoteLeaks } from './promises/leak-detection.ts';
import { reclamation } from './promises/reclamation.ts';
import { recovery } from './promises/recovery.ts';
import { PROMISES, type PromiseName, rowOf, type Stand, type Stated, verdict } from './promises/stated.ts';
import { type Bench, runBench } from './support/bench.ts';
import { fileSystemOf } from './support/host.ts';

/** So many without a single error show "more than 99 %" with 95 % confidence. */
const TRIALS = 300;

const MEASURED: Readonly<Record<Exclude<PromiseName, 'leaks'>, (stand: Stand) => Promise<readonly Stated[]>>> = {
  cleanup: cleanupTime,
  reclamation,
  'false-violations': falseViolations,
  recovery,
};

await runBench(
  'promises',
  `What the specification promises, seen by a process of its own that reads the kernel (/proc, cgroup files, socket tables,
  TMPDIR) and never asks Governor. Each figure is of one containment class, over at least ${TRIALS} trials, with a one-sided 95 % bound:
  Clopper and Pearson for shares, the bootstrap for means, order statistics for quantiles. A promise or an aim is met when
  its bound is, not when its figure is. Leak detection is quoted from bench:leaks. The definitions are in test/bench/README.md.`,
  async (bench) => {
    const trials = trialsOf(bench);
    const asked = bench.own('only')?.split(',') ?? [];
    const backends = await linuxBackends();
    const names = [...PROMISES, ...backends.map(({ id }) => id)];
    const unknown = asked.filter((name) => !(names as readonly string[]).includes(name));
    if (unknown.length > 0) throw new Error(`--only=${unknown.join(',')}: none of ${names.join(', ')}`);
    const promises = PROMISES.filter((name) => !asked.some(isPromise) || asked.includes(name));
    const classes = backends.filter(({ id }) => asked.every(isPromise) || asked.includes(id));
    const tempRoot = bench.own('cleanup-temp-root') ?? null;
    bench.parameter('trials', trials);
    if (tempRoot !== null) bench.parameter('TMPDIR of cleanup on', fileSystemOf(tempRoot));
    const rows: Readonly<Record<string, unknown>>[] = [];
    bench.table('the promises', rows);
    for (const { id, usable, reason } of classes) {
      if (!usable) {
        bench.notMeasured(`containment by ${id}`, reason);
        continue;
      }
      for (const promise of promises) {
        if (promise === 'leaks') continue;
        const tables: Readonly<Record<string, unknown>>[][] = [];
        const stated = await MEASURED[promise]({
          bench,
          containment: id,
          trials,
          short: bench.pick(false, true),
          tempRoot,
          table: (one) => void tables.push([...one]),
        });
        rows.push(...stated.map(rowOf));
        for (const [at, one] of tables.entries())
          bench.table(`${promise}, ${id}${at === 0 ? '' : ` (${at + 1})`}`, one);
        for (const one of stated) check(bench, one);
      }
    }
    if (promises.includes('leaks')) quoteLeaks(bench);
  },
  ['trials', 'only', 'cleanup-temp-root'],
);

function isPromise(name: string): boolean {
  return (PROMISES as readonly string[]).includes(name);
}

function trialsOf(bench: Bench): number {
  const given = bench.own('trials');
  const trials = given === undefined ? bench.pick(TRIALS, 30) : Number(given);
  if (!Number.isSafeInteger(trials) || trials < 1) throw new Error(`--trials=${given ?? ''}: a whole number from 1 on`);
  return trials;
}

function check(bench: Bench, stated: Stated): void {
  const { promise, containment, what, bound95, aims, unit } = stated;
  for (const aim of aims) {
    const said = `${promise}, ${containment}: ${what}, ${aim.kind} ${aim.is} ${aim.value} ${unit}`;
    const judged = verdict(stated, aim);
    if (judged === 'not shown') bench.notMeasured(said, `too few trials: the figure is there, its bound is not`);
    else bench.check(said, judged === 'met', `95 % bound ${bound95?.toFixed(2) ?? 'none'} ${unit}`);
  }
}
