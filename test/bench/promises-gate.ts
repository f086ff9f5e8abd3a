/**
 * `npm run gate:promises`: whether the promises still hold, in minutes. The same measurements as `npm run bench:promises`,
 * with fewer trials and smaller programs; a promise passes when its 95 % bound holds, not when its figure does. What is broken
 * is measured once more, since a host may stand still for a moment; both are said, and the second counts.
 */

import { lacks } from '../helpers/skip.ts';
import { linuxBackends } from '../helpers/backends.ts';
import { cleanupTime } from './promises/cleanup-time.ts';
import { falseViolations } from './promises/false-violations.ts';
import { reclamation } from './promises/reclamation.ts';
import { recovery } from './promises/recovery.ts';
import { type Stand, type Stated, verdict } from './promises/stated.ts';
import { program } from './support/program.ts';

/** What is best on this host is what people get. */
const PREFERRED = ['cgroup2', 'cgroup2-scope', 'cgroup1', 'pidns', 'procfs'];

/** With one error, 93 trials show more than 95 %, 46 more than 90 %; with none, 299 less than 1 %. */
const PARTS: readonly (readonly [
  name: string,
  trials: number,
  measure: (stand: Stand) => Promise<readonly Stated[]>,
])[] = [
  ['cleanup', 30, cleanupTime],
  ['reclamation', 98, reclamation],
  ['false violations', 300, falseViolations],
  ['recovery', 54, recovery],
];

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const counts = { passed: 0, failed: 0, skipped: 0 };
const cleanups: (() => void | Promise<void>)[] = [];

async function clean(): Promise<void> {
  for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop())
    await Promise.resolve(cleanup()).catch((error: unknown) => say(`cleaning up: ${String(error)}`));
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => void clean().then(() => process.exit(130)));

const containment = await chosen();
if (containment === null) counts.skipped += PARTS.length;
else
  for (const part of PARTS) {
    let counted = await measured(part, containment);
    if (counted.failed > 0) {
      say(`# ${part[0]}: once more`);
      counted = await measured(part, containment);
    }
    counts.passed += counted.passed;
    counts.failed += counted.failed;
  }
say(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed === 0 ? 0 : 1);

async function measured(
  [name, trials, measure]: (typeof PARTS)[number],
  containment: string,
): Promise<{ readonly passed: number; readonly failed: number }> {
  const startedMs = performance.now();
  const tables: Readonly<Record<string, unknown>>[] = [];
  try {
    const stated = await measure({
      bench: {
        say: () => undefined,
        teardown: (work) => void cleanups.push(work),
        notMeasured: (what, reason) => say(`# ${what}: ${reason}`),
      },
      containment,
      trials,
      short: true,
      tempRoot: null,
      // Of these the lines that went wrong are told below.
      table: (rows) => void tables.push(...rows),
    });
    return judge(name, stated, tables);
  } catch (error) {
    say(`not ok ${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return { passed: 0, failed: 1 };
  } finally {
    await clean();
    say(`# ${name}: ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
  }
}

async function chosen(): Promise<string | null> {
  const skip = lacks('linux');
  if (skip !== false) {
    say(`# skipped: ${skip}`);
    return null;
  }
  try {
    program('holding');
  } catch (error) {
    say(`# skipped: no program to measure with: ${String(error)}`);
    return null;
  }
  const usable = (await linuxBackends()).filter((one) => one.usable).map(({ id }) => id);
  const best = PREFERRED.find((id) => usable.includes(id)) ?? null;
  say(best === null ? `# skipped: no containment of ${PREFERRED.join(', ')} is usable` : `# containment: ${best}`);
  return best;
}

function judge(
  name: string,
  stated: readonly Stated[],
  tables: readonly Readonly<Record<string, unknown>>[],
): { readonly passed: number; readonly failed: number } {
  const judgements = { passed: 0, failed: 0 };
  for (const one of stated)
    for (const aim of one.aims.filter(({ kind }) => kind === 'promise')) {
      const judged = verdict(one, aim);
      const [figure, bound] = [one.figure.toFixed(2), one.bound95?.toFixed(2) ?? 'none'];
      const line = `${name}: ${one.what}: ${figure} ${one.unit} of ${one.trials}, 95 % bound ${bound}, ${aim.is} ${aim.value}`;
      if (judged === 'met') judgements.passed += 1;
      else judgements.failed += 1;
      say(`${judged === 'met' ? 'ok' : 'not ok'} ${line}`);
    }
  if (judgements.failed > 0) for (const row of tables) say(`#   ${JSON.stringify(row)}`);
  return judgements;
}
