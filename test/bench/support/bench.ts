/**
 * The frame of every bench: options, host facts, figures with their spread, what could not be measured and why, a table
 * for people or JSON, and the promise that whatever a bench started is gone when it ends.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from '../../helpers/project-root.ts';
import { hostFacts, type HostFacts, load } from './host.ts';
import { short, type Spread, spread } from './stats.ts';

export interface Figure {
  /** What was measured, as the row of a table. */
  readonly what: string;
  readonly unit: string;
  readonly spread: Spread;
  /** The most that the median (or the named statistic) may be; absent for figures that are only context. */
  readonly aim?: Aim;
  readonly met?: boolean;
}

export interface Aim {
  readonly most: number;
  readonly of: 'median' | 'mean' | 'max';
}

export interface BenchResult {
  readonly bench: string;
  readonly command: string;
  readonly definition: string;
  readonly at: string;
  readonly host: HostFacts;
  readonly load: { readonly before: number; readonly after: number };
  readonly parameters: Readonly<Record<string, number | string | boolean>>;
  readonly figures: readonly Figure[];
  /** Statements that are true or false rather than large or small. */
  readonly checks: readonly { readonly what: string; readonly held: boolean; readonly detail: string }[];
  readonly notMeasured: readonly { readonly what: string; readonly reason: string }[];
  readonly tables: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;
  readonly failed: string | null;
}

export interface Bench {
  /** `--rounds`, or what the bench takes by default, or a fifth of that with `--quick`. */
  rounds(usual: number): number;
  /** With `--quick`: the second value. */
  pick<T>(usual: T, quick: T): T;
  /** The value of an option that only this bench has. */
  own(name: string): string | undefined;
  /** For the list of parameters. */
  parameter(name: string, value: number | string | boolean): void;
  figure(what: string, unit: string, values: readonly number[], aim?: Aim): void;
  check(what: string, held: boolean, detail?: string): void;
  notMeasured(what: string, reason: string): void;
  table(name: string, rows: readonly Readonly<Record<string, unknown>>[]): void;
  /** Progress, on stderr. */
  say(text: string): void;
  /** At the end, in reverse order, whatever happens. Fits the test helpers' TestScope. */
  teardown(work: () => void | Promise<void>): void;
}

/**
 * Runs one bench as a program: prints it and ends with exit code 0, or 1 when it could not be run to its end.
 * @param own names of options with a value that only this bench has
 */
export async function runBench(
  name: string,
  definition: string,
  work: (bench: Bench) => Promise<void>,
  own: readonly string[] = [],
): Promise<void> {
  const options = readOptions(own);
  const figures: Figure[] = [];
  const checks: BenchResult['checks'][number][] = [];
  const notMeasured: { what: string; reason: string }[] = [];
  const parameters: Record<string, number | string | boolean> = {};
  const tables: Record<string, readonly Readonly<Record<string, unknown>>[]> = {};
  const cleanups: (() => void | Promise<void>)[] = [];
  const before = load();
  const bench: Bench = {
    rounds: (usual) =>
      (parameters['rounds'] = options.rounds ?? (options.quick ? Math.max(3, Math.ceil(usual / 5)) : usual)),
    pick: (usual, quick) => (options.quick ? quick : usual),
    own: (key) => options.own[key],
    parameter: (key, value) => void (parameters[key] = value),
    figure(what, unit, values, aim) {
      if (values.length === 0) return void notMeasured.push({ what, reason: 'no round gave a value' });
      const measured = spread(values);
      const judged = aim === undefined ? {} : { aim, met: measured[aim.of] <= aim.most };
      figures.push({ what, unit, spread: measured, ...judged });
      return undefined;
    },
    check: (what, held, detail = '') => void checks.push({ what, held, detail }),
    notMeasured: (what, reason) => void notMeasured.push({ what, reason }),
    table: (key, rows) => void (tables[key] = rows),
    say: (text) => void process.stderr.write(`${name}: ${text}\n`),
    teardown: (cleanup) => void cleanups.push(cleanup),
  };
  const clean = async (): Promise<void> => {
    for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) {
      await Promise.resolve(cleanup()).catch((error: unknown) => bench.say(`cleaning up: ${String(error)}`));
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => void clean().then(() => process.exit(130)));
  let failed: string | null = null;
  try {
    await work(bench);
  } catch (error) {
    failed = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  await clean();
  const result: BenchResult = {
    bench: name,
    command: ['npm run', `bench:${name}`, ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(
      ' ',
    ),
    definition,
    at: new Date().toISOString(),
    host: hostFacts(),
    load: { before, after: load() },
    parameters,
    figures,
    checks,
    notMeasured,
    tables,
    failed,
  };
  if (options.save !== null) save(options.save, result);
  process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : text(result));
  process.exitCode = failed === null ? 0 : 1;
}

interface Options {
  readonly json: boolean;
  readonly quick: boolean;
  readonly rounds: number | null;
  /** File that the JSON is kept in. */
  readonly save: string | null;
  readonly own: Readonly<Record<string, string | undefined>>;
}

function readOptions(own: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    options: {
      json: { type: 'boolean' },
      quick: { type: 'boolean' },
      rounds: { type: 'string' },
      save: { type: 'string' },
      help: { type: 'boolean' },
      ...Object.fromEntries(own.map((name) => [name, { type: 'string' } as const])),
    },
    allowPositionals: true,
  });
  const rounds = values.rounds === undefined ? null : Number(values.rounds);
  if (
    values.help === true ||
    positionals.length > 0 ||
    (rounds !== null && !(Number.isSafeInteger(rounds) && rounds > 0))
  ) {
    const more = own.map((name) => ` [--${name}=…]`).join('');
    process.stderr.write(`options: [--json] [--quick] [--rounds=N] [--save=FILE]${more}\n`);
    process.exit(values.help === true ? 0 : 2);
  }
  const given = Object.entries(values).filter(([name, value]) => own.includes(name) && typeof value === 'string');
  return {
    json: values.json ?? false,
    quick: values.quick ?? false,
    rounds,
    save: values.save ?? null,
    own: Object.fromEntries(given) as Record<string, string>,
  };
}

function save(file: string, result: BenchResult): void {
  const path = resolve(projectRoot, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
}

function text(result: BenchResult): string {
  const { host } = result;
  const lines = [
    `# ${result.bench}`,
    ...wrap(result.definition),
    '',
    `host: ${host.kernel}, ${host.cores} × ${host.cpu}, ${host.memoryGib} GiB, Node ${host.node}, ${host.user}; temp dir on ${host.tempFileSystem}; cgroups ${host.cgroups}`,
    `load: ${short(result.load.before)} before, ${short(result.load.after)} after; ${Object.entries(result.parameters)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}`,
  ];
  if (result.figures.length > 0) {
    const rows = result.figures.map(({ what, unit, spread: s, aim, met }) => ({
      what,
      unit,
      n: s.count,
      min: short(s.min),
      median: short(s.median),
      mean: short(s.mean),
      p95: short(s.p95),
      max: short(s.max),
      aim: aim === undefined ? '' : `${aim.of} ≤ ${short(aim.most)}: ${met === true ? 'met' : 'MISSED'}`,
    }));
    lines.push('', ...table(rows));
  }
  for (const [name, rows] of Object.entries(result.tables)) lines.push('', `## ${name}`, ...table(rows));
  if (result.checks.length > 0) lines.push('');
  for (const { what, held, detail } of result.checks)
    lines.push(`${held ? 'yes' : 'NO '}  ${what}${detail === '' ? '' : `: ${detail}`}`);
  if (result.notMeasured.length > 0) lines.push('', 'Not measured:');
  for (const { what, reason } of result.notMeasured) lines.push(`- ${what}: ${reason}`);
  if (result.failed !== null) lines.push('', `FAILED: ${result.failed}`);
  return `${lines.join('\n')}\n`;
}

function table(rows: readonly Readonly<Record<string, unknown>>[]): readonly string[] {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value: unknown): string =>
    value === undefined
      ? ''
      : typeof value === 'number'
        ? short(value)
        : typeof value === 'string'
          ? value
          : JSON.stringify(value);
  const grid = [columns, ...rows.map((row) => columns.map((column) => cell(row[column])))];
  const widths = columns.map((_, index) => Math.max(...grid.map((line) => (line[index] as string).length)));
  return grid.map((line) =>
    line
      .map((value, index) =>
        index === 0 ? value.padEnd(widths[index] as number) : value.padStart(widths[index] as number),
      )
      .join('  ')
      .trimEnd(),
  );
}

function wrap(paragraph: string): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of paragraph.split(/\s+/)) {
    if (line.length + word.length > 118) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
