/** The fourth promise is measured by `npm run bench:leaks`; here its last result is quoted, not measured again. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../helpers/project-root.ts';
import type { Bench, BenchResult } from '../support/bench.ts';

const KEPT = ['leaks.json', 'leaks-first-run.json'];
const QUOTED =
  /: (balanced accuracy|accuracy, lower 95 % bound|leaks found.*|benign ones suspected.*|time to detect.*)$/;

/** Says what that result holds, and from which file. */
export function quoteLeaks(bench: Bench): void {
  const file = KEPT.map((name) => `test/bench/results/${name}`).find((path) => existsSync(join(projectRoot, path)));
  if (file === undefined) {
    bench.notMeasured('leak detection', 'no result of npm run bench:leaks is kept in test/bench/results');
    return;
  }
  const result = JSON.parse(readFileSync(join(projectRoot, file), 'utf8')) as BenchResult;
  bench.table(
    'leak detection, quoted',
    result.figures
      .filter(({ what }) => QUOTED.test(what))
      .map(({ what, unit, spread, aim, met }) => ({
        what,
        unit,
        figure: spread.median,
        aim:
          aim === undefined
            ? bound(what, spread.median)
            : `${aim.of} ≤ ${aim.most}: ${met === true ? 'met' : 'MISSED'}`,
        from: file,
        'measured at': result.at,
        command: result.command,
      })),
  );
}

/** The promise is one of the bound: above 99 %. */
function bound(what: string, figure: number): string {
  if (!what.endsWith('accuracy, lower 95 % bound')) return '';
  return `promise above 99: ${figure > 99 ? 'met' : 'MISSED'}`;
}
