/** How well leaks are told from what only looks like one. See README.md and leaks/README.md. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LEAK_TEST } from '../../lib/core/leak-test.ts';
import { projectRoot } from '../helpers/project-root.ts';
import { evaluate } from './leaks/evaluate.ts';
import { groupsOf, report, row } from './leaks/judged.ts';
import type { Judged } from './leaks/judged.ts';
import { FAST_PACE, MODEL_WINDOWS, REAL_WINDOWS, USUAL_PACE } from './leaks/operating-point.ts';
import { outsideTrials } from './leaks/outside.ts';
import { heldOutPrograms } from './leaks/programs.ts';
import { curveTrials, heldOutTrials, seriesOf } from './leaks/trials.ts';
import type { Trial } from './leaks/trials.ts';
import { watchPrograms } from './leaks/watch-programs.ts';
import type { Bench } from './support/bench.ts';
import { runBench } from './support/bench.ts';

/** Real programs beside each other. */
const AT_ONCE = 62;

await runBench(
  'leaks',
  `Processes of families that were committed before there was a detector and not used to tune it (leaks/README.md). Models:
  series as sampling yields them at the usual pace, a sample a second, warm-up 5 min, window 30 min, ${MODEL_WINDOWS} windows. Real
  programs under a real daemon at a faster pace: a sample each 100 ms, warm-up 15 s, window 60 s, ${REAL_WINDOWS} windows. A leak is found
  when its resource, and none beside it, is suspected before the end of its trial; a benign process counts as wrong when anything of it
  ever is. Families of both sets share mechanisms (leaks/README.md says which). Aim: the
  lower 95 % bound of the accuracy on as many leaking as benign ones above 99 %. Beside it, on the same data: Mann-Kendall alone
  (p < 0.05) and least squares (R² > 0.8) on 60 means of what comes after the warm-up.`,
  async (bench) => {
    bench.parameter('detector', JSON.stringify(LEAK_TEST));
    bench.check('what is held out is as it was committed', ...asCommitted());
    report(bench, 'models', heldOutTrials().map(judge), USUAL_PACE.windowMs);
    bench.table(
      'models: found by rate, in multiples of the least (60 each)',
      groupsOf(curveTrials().map(judge), ({ rate }) => String(rate)).map(([rate, ones]) => row('rate', rate, ones)),
    );
    const outside = outsideTrials();
    bench.table(
      'outside the operating point, not leaking: suspected (40 each); W is a window',
      groupsOf(outside, ({ windows }) => String(windows)).map(([windows, trials]) => ({
        W: windows,
        'grows for W after the warm-up, then stops': suspectedOf(trials.filter(({ kind }) => kind === 'fills')),
        'comes and goes in W': suspectedOf(trials.filter(({ kind }) => kind === 'cycle')),
      })),
    );
    await programs(bench);
    bench.notMeasured(
      'traces of others (lf-edge/eve, ESO)',
      'their data is not part of this repository; the families here are its own',
    );
  },
);

function judge(trial: Trial): Judged {
  const { family, rate } = trial;
  return {
    family: family.name,
    leaking: family.leaking,
    rate,
    ...evaluate(family.resource, seriesOf(trial), USUAL_PACE),
  };
}

function suspectedOf(trials: readonly Trial[]): number {
  return trials.map(judge).filter(({ suspectedMs }) => suspectedMs !== null).length;
}

async function programs(bench: Bench): Promise<void> {
  const all = heldOutPrograms();
  // Of each family the first, or all of them; mixed, so that no batch is of one kind.
  const trials = [
    ...bench.pick(
      all,
      all.filter(({ name }) => name.endsWith(' 0')),
    ),
  ].toSorted((a, b) => indexOf(a.name) - indexOf(b.name));
  const judged: (Judged & { readonly named: string; readonly program: string; readonly containment: string })[] = [];
  let died = 0;
  for (let at = 0; at < trials.length; at += AT_ONCE) {
    bench.say(`programs ${at + 1} to ${Math.min(trials.length, at + AT_ONCE)} of ${trials.length}`);
    for (const seen of await watchPrograms(bench, trials.slice(at, at + AT_ONCE))) {
      const { trial, suspected, ...outcome } = seen;
      if (seen.died) died += 1;
      else
        judged.push({
          family: trial.family,
          leaking: trial.leaks !== null,
          rate: trial.rate,
          suspectedMs: outcome.suspectedMs,
          mannKendall: outcome.mannKendall,
          leastSquares: outcome.leastSquares,
          named: suspected.join(' '),
          program: trial.name,
          containment: outcome.containment,
        });
    }
  }
  report(bench, 'programs', judged, FAST_PACE.windowMs);
  bench.table(
    'programs: by what held them',
    groupsOf(judged, ({ containment, leaking }) => `${containment}, ${leaking ? 'leaks' : 'benign'}`).map(
      ([containment, ones]) => row('containment', containment, ones),
    ),
  );
  bench.check('every program lived through its trial', died === 0, `${died} did not, and are not counted`);
  bench.table(
    'programs that were judged wrongly',
    judged
      .filter(({ leaking, suspectedMs }) => leaking === (suspectedMs === null))
      .map(({ program, leaking, rate, named }) => ({ program, leaks: leaking, rate, suspected: named })),
  );
}

function indexOf(name: string): number {
  return Number(name.split(' ').at(-1));
}

function asCommitted(): [boolean, string] {
  const frozen = JSON.parse(readFileSync(join(projectRoot, 'test/bench/leaks/frozen.json'), 'utf8')) as Readonly<
    Record<string, string>
  >;
  const changed = Object.entries(frozen).filter(
    ([file, digest]) =>
      createHash('sha256')
        .update(readFileSync(join(projectRoot, file)))
        .digest('hex') !== digest,
  );
  return [changed.length === 0, changed.map(([file]) => file).join(', ')];
}
