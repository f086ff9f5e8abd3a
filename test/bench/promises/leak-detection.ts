/** The fourth promise is measured by `npm run bench:leaks`; here its last result is quoted, not measured again. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../helpers/project-root.ts';
import type { Bench, BenchResult } from '../support/bench.ts';

/** All sets in one, or each by itself. */
const KEPT = ['leaks.json', 'leaks-models.json', 'leaks-fast.json', 'leaks-slow.json'];
const FIRST = 'leaks-first-run.json';
const QUOTED =
  /: (balanced accuracy|accuracy, lower 95 % bound|leaks found.*|benign ones suspected.*|time to detect.*)$/;

/** Says what those results hold, and from which file. */
export function quoteLeaks(bench: Bench): void {
  const kept = KEPT.filter(isKept);
  // What fell short is not to fall silent because other sets were run since.
  const hasFast = kept.includes('leaks.json') || kept.includes('leaks-fast.json');
  const files = hasFast ? kept : [...kept, FIRST].filter(isKept);
  if (files.length === 0) {
    bench.notMeasured('leak detection', 'no result of npm run bench:leaks is kept in test/bench/results');
    return;
  }
  bench.table('leak detection, quoted', files.map((name) => `test/bench/results/${name}`).flatMap(quotedOf));
}

function isKept(name: string): boolean {
  return existsSync(join(projectRoot, 'test/bench/results', name));
}

function quotedOf(file: string): readonly Readonly<Record<string, unknown>>[] {
  const result = JSON.parse(readFileSync(join(projectRoot, file), 'utf8')) as BenchResult;
  return result.figures
    .filter(({ what }) => QUOTED.test(what))
    .map(({ what, unit, spread, aim, met }) => ({
      what,
      unit,
      figure: spread.median,
      aim:
        aim === undefined ? bound(what, spread.median) : `${aim.of} ≤ ${aim.most}: ${met === true ? 'met' : 'MISSED'}`,
      from: file,
      'measured at': result.at,
      command: result.command,
    }));
}

/** The promise is one of the bound: above 99 %. */
function bound(what: string, figure: number): string {
  if (!what.endsWith('accuracy, lower 95 % bound')) return '';
  return `promise above 99: ${figure > 99 ? 'met' : 'MISSED'}`;
}
