/**
 * Runs compiled tests with tap and ends with one plain line: `N passed, N failed, N skipped`. Skips are printed with
 * their reasons: a green run must not hide what it did not look at.
 */

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

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
const pace = isLong ? ['--timeout=900'] : ['--jobs=3'];
const args = ['--reporter=tap', '--allow-incomplete-coverage', '--coverage-report=text-summary', ...pace, ...files];
const tap = spawn(join(root, '../node_modules/.bin/tap'), args, {
  cwd: join(root, '..'),
  stdio: ['ignore', 'pipe', 'inherit'],
});
const counts = { passed: 0, failed: 0, skipped: 0 };
const skips: string[] = [];
const failures: string[] = [];
let inFailure = 0;

for await (const line of createInterface({ input: tap.stdout })) {
  const match = /^(\s*)(not ok|ok) \d+(?: - (.*?))?(?: # (.*))?$/.exec(line);
  if (match === null) {
    if (inFailure > 0 && inFailure-- > 0) console.log(line);
    else if (/^\s*#\s*(Statements|Branches|Functions|Lines|time=)|^(Statements|Branches|Functions|Lines)/.test(line))
      console.log(line.trim());
    continue;
  }
  const [, indent = '', verdict, name = '', directive = ''] = match;
  const skip = /SKIP ?(.*)/i.exec(directive);
  // A file and each group in it is a line of its own; what counts is the assertion or the skipped group.
  const leaf = !/time=/.test(directive) || skip !== null;
  if (skip !== null) {
    counts.skipped++;
    skips.push(`${name}: ${skip[1] ?? ''}`);
  } else if (verdict === 'not ok') {
    if (leaf) counts.failed++;
    failures.push(`${indent}${name}`);
    console.log(line);
    inFailure = leaf ? 40 : 0;
  } else if (leaf) {
    counts.passed++;
  } else if (indent === '') {
    console.log(`${name} (${directive.replace(/^.*time=/, '')})`);
  }
}
const code = await new Promise<number>((resolve) => tap.on('close', (status) => resolve(status ?? 1)));
if (skips.length > 0) console.log(`\nSkipped:\n${[...new Set(skips)].map((skip) => `  ${skip}`).join('\n')}`);
if (failures.length > 0) console.log(`\nFailed:\n${failures.map((failure) => `  ${failure}`).join('\n')}`);
// tap fails for reasons of its own too (a file that dies, a time-out): those must not end as `0 failed`.
const failed = counts.failed === 0 && code !== 0 ? Math.max(1, failures.length) : counts.failed;
console.log(`\n${counts.passed} passed, ${failed} failed, ${counts.skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);

function testFiles(path: string): string[] {
  if (!existsSync(path)) return existsSync(`${path}.test.js`) ? [`${path}.test.js`] : [];
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const child = join(path, entry.name);
    if (entry.isDirectory()) return testFiles(child);
    return entry.name.endsWith('.test.js') ? [child] : [];
  });
}
