/** The sets of the bench, each of which can be run by itself. */

import type { Bench } from '../support/bench.ts';
import { evaluate } from './evaluate.ts';
import { groupsOf, report, row } from './judged.ts';
import type { Judged } from './judged.ts';
import type { LeakResource } from './operating-point.ts';
import { USUAL_PACE } from './operating-point.ts';
import { outsideTrials } from './outside.ts';
import { heldOutPrograms } from './programs.ts';
import type { RealTrial } from './programs.ts';
import { heldOutSlowPrograms, tuningSlowPrograms } from './slow-programs.ts';
import { curveTrials, heldOutTrials, seriesOf } from './trials.ts';
import type { Trial } from './trials.ts';
import { FAST, SLOW, watchPrograms } from './watch-programs.ts';
import type { Setting, Watched } from './watch-programs.ts';

/** By name, in the order in which they run. `slow-tuning` is to try the slow pace out: nothing of it is held out. */
export const SETS = ['models', 'fast', 'slow', 'slow-tuning'] as const;
export type SetName = (typeof SETS)[number];

/** Real programs beside each other. */
const FAST_AT_ONCE = 62;
const SLOW_AT_ONCE = 312;

export const RUN: Readonly<Record<SetName, (bench: Bench) => Promise<void> | void>> = {
  models,
  fast: (bench) => programs(bench, 'programs, fast pace', ofEachTheFirst(bench, heldOutPrograms()), FAST, FAST_AT_ONCE),
  slow: (bench) => programs(bench, 'programs, slow pace', heldOutSlowPrograms(), SLOW, SLOW_AT_ONCE),
  'slow-tuning': (bench) =>
    programs(bench, 'tuning programs, slow pace', tuningSlowPrograms(bench.rounds(2)), SLOW, SLOW_AT_ONCE),
};

/** @returns the sets of `--only`, or null where there is no such set */
export function setsOf(only: string | undefined): readonly SetName[] | null {
  if (only === undefined) return ['models', 'fast', 'slow'];
  const asked = only.split(',');
  return asked.every((name) => (SETS as readonly string[]).includes(name))
    ? SETS.filter((name) => asked.includes(name))
    : null;
}

function models(bench: Bench): void {
  report(bench, 'models', heldOutTrials().map(judge), USUAL_PACE.windowMs);
  bench.table(
    'models: found by rate, in multiples of the least (60 each)',
    groupsOf(curveTrials().map(judge), ({ rate }) => String(rate)).map(([rate, ones]) => row('rate', rate, ones)),
  );
  bench.table(
    'outside the operating point, not leaking: suspected (40 each); W is a window',
    groupsOf(outsideTrials(), ({ windows }) => String(windows)).map(([windows, trials]) => ({
      W: windows,
      'grows for W after the warm-up, then stops': suspectedOf(trials.filter(({ kind }) => kind === 'fills')),
      'comes and goes in W': suspectedOf(trials.filter(({ kind }) => kind === 'cycle')),
    })),
  );
}

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

function ofEachTheFirst(bench: Bench, all: readonly RealTrial[]): readonly RealTrial[] {
  return bench.pick(
    all,
    all.filter(({ name }) => indexOf(name) === 0),
  );
}

interface Program extends Judged {
  readonly program: string;
  readonly named: string;
  readonly containment: string;
  readonly outside: string;
}

async function programs(
  bench: Bench,
  set: string,
  all: readonly (RealTrial & { readonly entails?: readonly LeakResource[] })[],
  setting: Setting,
  atOnce: number,
): Promise<void> {
  // Mixed, so that no batch is of one kind.
  const trials = all.toSorted((a, b) => indexOf(a.name) - indexOf(b.name));
  const seen: Watched[] = [];
  for (let at = 0; at < trials.length; at += atOnce) {
    bench.say(`${set}: ${at + 1} to ${Math.min(trials.length, at + atOnce)} of ${trials.length}`);
    seen.push(...(await watchPrograms(bench, trials.slice(at, at + atOnce), setting)));
  }
  const lived = seen.filter(({ died }) => !died).map(programOf);
  const judged = lived.filter(({ outside }) => outside === '');
  report(bench, set, judged, setting.pace.windowMs);
  bench.table(
    `${set}: by what held them`,
    groupsOf(judged, ({ containment, leaking }) => `${containment}, ${leaking ? 'leaks' : 'benign'}`).map(
      ([containment, ones]) => row('containment', containment, ones),
    ),
  );
  const died = seen.length - lived.length;
  bench.check(`${set}: every program lived through its trial`, died === 0, `${died} did not, and are not counted`);
  bench.table(
    `${set}: judged wrongly`,
    judged
      .filter(isWrong)
      .map(({ program, leaking, rate, named }) => ({ program, leaks: leaking, rate, suspected: named })),
  );
  if (!setting.isAccounted) return;
  const outside = lived.filter((one) => one.outside !== '');
  bench.check(
    `${set}: every program was what its family says, by its own account, V8 and the kernel`,
    outside.length === 0,
    `${outside.length} were not, and are not counted; with them ${judged.concat(outside).filter(isWrong).length} of ${lived.length} would be wrong`,
  );
  bench.table(
    `${set}: not what their family says, not counted`,
    outside.map((one) => ({
      program: one.program,
      leaks: one.leaking,
      rate: one.rate,
      why: one.outside,
      suspected: one.named,
      'would be': isWrong(one) ? 'wrong' : 'right',
    })),
  );
}

function programOf({ trial, suspected, outside, containment, ...outcome }: Watched): Program {
  const { suspectedMs, strictMs, mannKendall, leastSquares } = outcome;
  return {
    family: trial.family,
    leaking: trial.leaks !== null,
    rate: trial.rate,
    suspectedMs,
    strictMs,
    mannKendall,
    leastSquares,
    program: trial.name,
    named: suspected.join(' '),
    containment,
    outside: outside.join('; '),
  };
}

function isWrong({ leaking, suspectedMs }: Judged): boolean {
  return leaking === (suspectedMs === null);
}

function indexOf(name: string): number {
  return Number(name.split(' ').at(-1));
}
