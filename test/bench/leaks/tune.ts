/** What the detector makes of the tuning families, as models: the only data that its parameters were chosen on. */

import { evaluate } from './evaluate.ts';
import { USUAL_PACE } from './operating-point.ts';
import { seriesOf, tuningTrials } from './trials.ts';

const rows = new Map<string, { trials: number; suspected: number; mannKendall: number; leastSquares: number }>();
for (const trial of tuningTrials()) {
  const { family } = trial;
  const outcome = evaluate(family.resource, seriesOf(trial), USUAL_PACE);
  for (const name of [
    `${family.leaking ? 'leaking' : 'benign'}: all`,
    `${family.leaking ? 'leaking' : 'benign'}: ${family.name}`,
  ]) {
    const row = rows.get(name) ?? { trials: 0, suspected: 0, mannKendall: 0, leastSquares: 0 };
    row.trials += 1;
    row.suspected += Number(outcome.suspectedMs !== null);
    row.mannKendall += Number(outcome.mannKendall);
    row.leastSquares += Number(outcome.leastSquares);
    rows.set(name, row);
  }
}
for (const [name, { trials, suspected, mannKendall, leastSquares }] of rows)
  process.stdout.write(
    `${name.padEnd(36)} ${suspected}/${trials}  Mann-Kendall ${mannKendall}, least squares ${leastSquares}\n`,
  );
