/** From outcomes to figures: right and wrong by class, accuracy with its bound, the same for the plain tests. */

import type { Bench } from '../support/bench.ts';
import { lowerBound, upperBound } from '../support/proportion.ts';
import type { Outcome } from './evaluate.ts';

export interface Judged extends Outcome {
  readonly family: string;
  readonly leaking: boolean;
  readonly rate: number;
  /** The same as `suspectedMs` where nothing is forgiven that a leak entails; absent: there was nothing to forgive. */
  readonly strictMs?: number | null;
}

export interface Verdict {
  readonly resource: string;
  /** Milliseconds since the start. */
  readonly atMs: number;
}

/**
 * The verdict that counts, of those within a trial in their order: of a leak what leaks has to be named, and at no time anything
 * but that and what it entails; of the others any name is wrong.
 * @param leaks null: nothing
 * @param entails what rises with it by its mechanism: neither right nor wrong by itself
 */
export function verdictOf(
  leaks: string | null,
  entails: readonly string[],
  within: readonly Verdict[],
): Verdict | null {
  if (leaks === null) return within[0] ?? null;
  if (within.some(({ resource }) => resource !== leaks && !entails.includes(resource))) return null;
  return within.find(({ resource }) => resource === leaks) ?? null;
}

const percent = (share: number): number => share * 100;

/** Figures and tables of one set. Aim: the bound, not the estimate, above 99 %. */
export function report(bench: Bench, set: string, judged: readonly Judged[], windowMs: number): void {
  const leaking = judged.filter((one) => one.leaking);
  const benign = judged.filter((one) => !one.leaking);
  const found = leaking.filter(({ suspectedMs }) => suspectedMs !== null);
  const wrong = benign.filter(({ suspectedMs }) => suspectedMs !== null);
  const right = found.length + benign.length - wrong.length;
  const balanced = balancedOf(judged, ({ suspectedMs }) => suspectedMs !== null);
  const bound = lowerBound(right, judged.length);
  bench.figure(`${set}: balanced accuracy`, '%', [percent(balanced)]);
  bench.figure(`${set}: accuracy, lower 95 % bound`, '%', [percent(bound)]);
  if (judged.some(({ strictMs }) => strictMs !== undefined))
    bench.figure(`${set}: balanced accuracy where what a leak entails counts as wrong too`, '%', [
      percent(
        balancedOf(judged, ({ suspectedMs, strictMs }) => (strictMs === undefined ? suspectedMs : strictMs) !== null),
      ),
    ]);
  bench.figure(`${set}: leaks found`, '%', [percent(found.length / leaking.length)]);
  bench.figure(`${set}: leaks found, lower 95 % bound`, '%', [percent(lowerBound(found.length, leaking.length))]);
  bench.figure(`${set}: benign ones suspected`, '%', [percent(wrong.length / benign.length)]);
  bench.figure(`${set}: benign ones suspected, upper 95 % bound`, '%', [
    percent(upperBound(wrong.length, benign.length)),
  ]);
  bench.figure(`${set}: precision where 1 % leak`, '%', [
    precisionAt(0.01, found.length / leaking.length, wrong.length / benign.length),
  ]);
  bench.figure(
    `${set}: time to detect since the start, in windows`,
    'W',
    found.map(({ suspectedMs }) => (suspectedMs ?? 0) / windowMs),
  );
  bench.figure(`${set}: balanced accuracy of Mann-Kendall alone`, '%', [
    percent(balancedOf(judged, ({ mannKendall }) => mannKendall)),
  ]);
  bench.figure(`${set}: balanced accuracy of least squares (R² > 0.8)`, '%', [
    percent(balancedOf(judged, ({ leastSquares }) => leastSquares)),
  ]);
  bench.check(
    `${set}: balanced accuracy above 99 %, by its lower 95 % bound`,
    bound > 0.99,
    `${right} of ${judged.length} right, ${leaking.length - found.length} missed, ${wrong.length} suspected wrongly`,
  );
  bench.table(
    `${set}: by family`,
    groupsOf(judged, ({ family, leaking: leaks }) => `${leaks ? 'leaks' : 'benign'}: ${family}`).map(([family, ones]) =>
      row('family', family, ones),
    ),
  );
  bench.table(
    `${set}: by rate, in multiples of the least`,
    groupsOf(leaking, ({ rate }) => String(rate)).map(([rate, ones]) => row('rate', rate, ones)),
  );
}

export function row(title: string, name: string, ones: readonly Judged[]): Readonly<Record<string, unknown>> {
  return {
    [title]: name,
    trials: ones.length,
    suspected: ones.filter(({ suspectedMs }) => suspectedMs !== null).length,
    'Mann-Kendall': ones.filter(({ mannKendall }) => mannKendall).length,
    'least squares': ones.filter(({ leastSquares }) => leastSquares).length,
  };
}

export function groupsOf<One>(
  ones: readonly One[],
  keyOf: (one: One) => string,
): readonly (readonly [string, readonly One[]])[] {
  const groups = new Map<string, One[]>();
  for (const one of ones) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return [...groups];
}

function balancedOf(judged: readonly Judged[], says: (one: Judged) => boolean): number {
  const share = (ones: readonly Judged[], want: boolean): number =>
    ones.filter((one) => says(one) === want).length / ones.length;
  return (
    (share(
      judged.filter(({ leaking }) => leaking),
      true,
    ) +
      share(
        judged.filter(({ leaking }) => !leaking),
        false,
      )) /
    2
  );
}

function precisionAt(prevalence: number, found: number, wrong: number): number {
  const all = prevalence * found + (1 - prevalence) * wrong;
  return all === 0 ? 0 : percent((prevalence * found) / all);
}
