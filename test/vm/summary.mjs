// Sums up what the guests printed: a line for each mode and file, why tests were skipped, what failed, and as the last line
// `N passed, N failed, N skipped`, counted in assertions. Ends with 1 when one failed.
// usage: node summary.mjs LOG MODES FILES   MODES and FILES: files of one word a line; every pair is expected in the log
// VM_SKIPPED: why something was left out as a whole; it counts as one skip.

import { readFileSync } from 'node:fs';

const [log = '', modes = '', files = ''] = process.argv.slice(2);
const results = new Map();
let now = null;
for (const line of readFileSync(log, 'utf8').split('\n')) take(line);

const total = { passed: 0, failed: 0, skipped: 0 };
for (const mode of words(modes)) {
  for (const file of words(files)) {
    const result = results.get(`${mode} ${file}`) ?? fresh();
    // A file that died or ran out of time fails, whatever its assertions said; so does one that was never reached.
    if (result.status !== 0 && result.failed === 0) {
      result.failed = 1;
      result.failures.push(
        result.status === null ? 'the guest did not get to its end' : `ended with status ${result.status}`,
      );
    }
    for (const count of Object.keys(total)) total[count] += result[count];
    const { passed, failed, skipped, seconds } = result;
    console.log(`${mode}: ${file}: ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds ?? '?'} s)`);
    for (const reason of result.reasons) console.log(`    skipped: ${reason}`);
    for (const failure of result.atFirst) console.log(`    red at first, run once more: ${failure}`);
    for (const failure of result.failures) console.log(`    failed: ${failure}`);
  }
}
const leftOut = process.env['VM_SKIPPED'] ?? '';
if (leftOut !== '') {
  total.skipped++;
  console.log(`skipped: ${leftOut}`);
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 ? 0 : 1);

function take(line) {
  const begin = /^# ([a-z0-9]+): (\S+\.test\.js)$/.exec(line);
  if (begin !== null) {
    now = fresh();
    const key = `${begin[1]} ${begin[2]}`;
    // A second time: what was red at first is said beside what counts.
    const before = results.get(key);
    if (before !== undefined)
      now.atFirst = before.failures.length > 0 ? before.failures : [`ended with status ${before.status}`];
    results.set(key, now);
    return;
  }
  if (now === null) return;
  const took = /^# took (\d+) s$/.exec(line);
  if (took !== null) now.seconds = Number(took[1]);
  const end = /^VM_RESULT \S+ \S+ (\d+)$/.exec(line);
  if (end !== null) now.status = Number(end[1]);
  const verdict = /^\s*(not ok|ok) \d+(?: - (.*?))?(?: # (.*))?$/.exec(line);
  if (verdict !== null) count(now, verdict[1] === 'ok', verdict[2] ?? '', verdict[3] ?? '');
}

/** A group's own line carries the time that it took; what counts are assertions and skipped groups. */
function count(result, passed, name, directive) {
  const skip = /^SKIP ?(.*)/i.exec(directive);
  if (skip !== null) {
    result.skipped++;
    result.reasons.add(`${name}: ${skip[1]}`);
  } else if (/time=/.test(directive)) {
    if (!passed) result.failures.push(name);
  } else if (passed) {
    result.passed++;
  } else {
    result.failed++;
    result.failures.push(name);
  }
}

function fresh() {
  return {
    passed: 0,
    failed: 0,
    skipped: 0,
    seconds: null,
    status: null,
    reasons: new Set(),
    atFirst: [],
    failures: [],
  };
}

function words(file) {
  return readFileSync(file, 'utf8')
    .split(/\s+/)
    .filter((word) => word !== '');
}
