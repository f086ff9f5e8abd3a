/**
 * Runs compiled tests with tap and ends with one plain line: `N passed, N failed, N skipped`. Skips are printed with
 * their reasons: a green run must not hide what it did not look at.
 *
 * The tests start real processes beside each other, and a host that stands still for a moment can make one of them red. A
 * file that is red is run once more, alone; when it is green then, both are said.
 */

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** More red files than this are no accident of the host. */
const AGAIN_MOST = 3;
/**
 * Rooms of pure functions: their tests start nothing and change nothing of their process, so that a folder's can share
 * one. A process for each file costs 0.8 s of CPU, nearly all of it for tap and its loader.
 */
const PURE = ['test/unit/core', 'test/unit/config'];
/** Of what tap says of a failure. */
const DETAIL_LINES = 40;

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Outcome {
  /** By file, as tap names it. */
  readonly files: Map<string, Counts>;
  /** What failed, by file, each with what tap says of it. */
  readonly failures: Map<string, string[]>;
  readonly skips: Set<string>;
  /** Lines of the coverage report. */
  readonly coverage: readonly string[];
  readonly status: number;
}

const root = join(import.meta.dirname, '..');
const patterns = process.argv.slice(2);
const files = patterns.flatMap((pattern) => testFiles(join(root, 'test', pattern)));
if (files.length === 0) {
  console.error(`no test files match ${patterns.join(', ')}`);
  process.exit(2);
}

// A long suite sees many daemons come and go: on a machine that is busy with something else, that takes longer than .taprc allows.
const isLong = files.some((file) => ['test/fault', 'test/long'].some((folder) => file.startsWith(join(root, folder))));
// Many of the others wait for something most of the time: one more of them at once than the two cores that they are made for.
const first = await runTap(files, isLong ? ['--timeout=900'] : ['--jobs=3']);
for (const line of first.coverage) console.log(line);
const red = [...first.failures.keys()];
const again =
  red.length === 0 || red.length > AGAIN_MOST
    ? null
    : await runTap(pathsOf(red), ['--jobs=1', '--timeout=900', '--disable-coverage']);

print(
  'Skipped:',
  [...first.skips].map((skip) => `  ${skip}`),
);
const greenAlone = red.filter((file) => again?.files.has(file) === true && !again.failures.has(file));
for (const [title, some] of [
  ['Red beside others, green when run again alone:', greenAlone],
  ['Failed:', red.filter((file) => !greenAlone.includes(file))],
] as const)
  print(
    title,
    some.flatMap((file) => [`  ${file}`, ...(first.failures.get(file) ?? [])]),
  );

const counts = { passed: 0, failed: 0, skipped: 0 };
for (const [file, ofFirst] of first.files) {
  const held = greenAlone.includes(file) ? (again?.files.get(file) ?? ofFirst) : ofFirst;
  for (const key of ['passed', 'failed', 'skipped'] as const) counts[key] += held[key];
}
// tap fails for reasons of its own too (a file that dies, a time-out): those must not end as `0 failed`.
const isGreen = first.status === 0 || (again?.status === 0 && red.length > 0 && greenAlone.length === red.length);
const failed = counts.failed === 0 && !isGreen ? Math.max(1, red.length) : counts.failed;
console.log(`\n${counts.passed} passed, ${failed} failed, ${counts.skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);

async function runTap(some: readonly string[], options: readonly string[]): Promise<Outcome> {
  const args = ['--reporter=tap', '--allow-incomplete-coverage', '--coverage-report=text-summary', ...options, ...some];
  const tap = spawn(join(root, '../node_modules/.bin/tap'), args, {
    cwd: join(root, '..'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = new Promise<number>((resolve) => tap.on('close', (status) => resolve(status ?? 1)));
  const files = new Map<string, Counts>();
  const failures = new Map<string, string[]>();
  const skips = new Set<string>();
  const coverage: string[] = [];
  // What belongs to a file comes before the line of the file.
  let counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  let said: string[] = [];
  let detail = 0;
  for await (const line of createInterface({ input: tap.stdout })) {
    const match = /^(\s*)(not ok|ok) \d+(?: - (.*?))?(?: # (.*))?$/.exec(line);
    if (match === null) {
      if (detail > 0 && detail-- > 0) said.push(line);
      else if (/^\s*#?\s*(Statements|Branches|Functions|Lines) *:/.test(line)) coverage.push(line.trim());
      continue;
    }
    const [, indent = '', verdict, name = '', directive = ''] = match;
    const skip = /SKIP ?(.*)/i.exec(directive);
    // A file and each group in it is a line of its own; what counts is the assertion or the skipped group.
    const isLeaf = !/time=/.test(directive) || skip !== null;
    detail = 0;
    if (skip !== null) {
      counts.skipped++;
      skips.add(`${name}: ${skip[1] ?? ''}`);
    } else if (verdict === 'not ok') {
      if (isLeaf) counts.failed++;
      said.push(line);
      detail = isLeaf ? DETAIL_LINES : 0;
    } else if (isLeaf) counts.passed++;
    if (indent !== '') continue;
    if (verdict === 'not ok') failures.set(name, said);
    files.set(name, counts);
    console.log(`${verdict === 'ok' ? '' : 'NOT OK '}${name} (${directive.replace(/^.*time=/, '')})`);
    counts = { passed: 0, failed: 0, skipped: 0 };
    said = [];
  }
  return { files, failures, skips, coverage, status: await closed };
}

function print(title: string, lines: readonly string[]): void {
  if (lines.length > 0) console.log(`\n${title}\n${lines.join('\n')}`);
}

/** @param names as tap has them */
function pathsOf(names: readonly string[]): readonly string[] {
  return files.filter((file) => names.some((name) => file.endsWith(name.replace(/^dist\//, ''))));
}

/** @returns a file that imports every test of the folder: tap runs them one after the other */
function together(folder: string): string {
  const tests = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.js'));
  const path = join(folder, 'together.js');
  writeFileSync(path, tests.map((name) => `import './${name}';\n`).join(''));
  return path;
}

function testFiles(path: string): string[] {
  if (!existsSync(path)) return existsSync(`${path}.test.js`) ? [`${path}.test.js`] : [];
  if (!statSync(path).isDirectory()) return [path];
  if (PURE.some((room) => path === join(root, room))) return [together(path)];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const child = join(path, entry.name);
    if (entry.isDirectory()) return testFiles(child);
    return entry.name.endsWith('.test.js') ? [child] : [];
  });
}
