/** `npm run bench:write`: daemon/docs/figures.md, written from the results that are kept in test/bench/results. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../helpers/project-root.ts';
import type { BenchResult } from './support/bench.ts';
import { short } from './support/stats.ts';

const RESULTS = join(projectRoot, 'test/bench/results');
export const FIGURES = join(projectRoot, 'daemon/docs/figures.md');

type Row = Readonly<Record<string, unknown>>;

/** @returns the document, as it has to be for the results of now */
export function figuresDocument(): string {
  const results = readdirSync(RESULTS)
    .filter((name) => name.endsWith('.json'))
    .toSorted()
    .map((name) => {
      const result = JSON.parse(readFileSync(join(RESULTS, name), 'utf8')) as BenchResult;
      return { name: name.replace(/\.json$/, ''), result };
    });
  return [
    '# Figures',
    '',
    'Each section is the last result of one bench, by the command that it names. Its definition comes first, then the host, ' +
      'then what was measured: where there is an aim, it says whether that was met. A load above 1 before it began means that ' +
      'something else ran beside it. Written by `npm run bench:write`; the same for programs is in `test/bench/results`.',
    ...results.flatMap(section),
    '',
  ].join('\n');
}

/** @param name of its file: a bench that takes hours may be kept in parts */
function section({ name, result }: { readonly name: string; readonly result: BenchResult }): readonly string[] {
  const { host, parameters } = result;
  const given = Object.entries(parameters).map(([key, value]) => `${key} ${value}`);
  const lines = [
    '',
    `## ${name}`,
    '',
    `\`${result.command.replaceAll(/ ?(--)? --save=\S+/g, '')}\`, ${result.at.slice(0, 10)}`,
    '',
    result.definition.replaceAll(/\s+/g, ' '),
    '',
    `Linux ${host.kernel}, ${host.cores} × ${host.cpu}, ${host.memoryGib} GiB, Node ${host.node}, as ${host.user}; cgroups ${host.cgroups}. ` +
      `Load ${short(result.load.before)} before, ${short(result.load.after)} after. ${given.join(', ')}.`,
  ];
  if (result.figures.length > 0) lines.push('', ...table(result.figures.map(figure)));
  for (const [title, rows] of Object.entries(result.tables)) lines.push('', `**${title}**`, '', ...table(rows));
  if (result.checks.length > 0) lines.push('');
  for (const { what, held, detail } of result.checks)
    lines.push(`- ${held ? 'yes' : '**no**'}: ${escaped(what)}${detail === '' ? '' : `: ${escaped(detail)}`}`);
  if (result.notMeasured.length > 0) lines.push('', 'Not measured:', '');
  for (const { what, reason } of result.notMeasured) lines.push(`- ${escaped(what)}: ${escaped(reason)}`);
  if (result.failed !== null) lines.push('', `**It did not run to its end**: ${escaped(result.failed)}`);
  return lines;
}

function figure({ what, unit, spread, aim, met }: BenchResult['figures'][number]): Row {
  const { count, min, median, mean, p95, max } = spread;
  const judged = aim === undefined ? '' : `${aim.of} ≤ ${short(aim.most)}: ${met === true ? 'met' : '**missed**'}`;
  return { what, unit, n: String(count), min, median, mean, p95, max, aim: judged };
}

function table(rows: readonly Row[]): readonly string[] {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(columns),
    line(columns.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...rows.map((row) => line(columns.map((column) => cell(row[column])))),
  ];
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'number') return short(value);
  return escaped(typeof value === 'string' ? value : JSON.stringify(value));
}

function escaped(text: string): string {
  return text.replaceAll('|', String.raw`\|`).replaceAll('<', '&lt;');
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url))
  writeFileSync(FIGURES, figuresDocument());
