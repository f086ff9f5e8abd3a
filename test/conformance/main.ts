/**
 * The official suite against `/mcp/{tool}` of a real daemon, with a stdio server of each era behind it. Prints each scenario
 * that failed with its checks and ends with `N passed, N failed`.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { addressOf, startDaemon } from '../helpers/daemon.ts';
import type { TestScope } from '../helpers/fixture.ts';
import { listen } from '../helpers/heard.ts';
import { projectRoot } from '../helpers/project-root.ts';
import { runSuite, type Verdict } from './suite.ts';

type Era = 'legacy' | 'modern';

/** What is run against which fixture; the counts are those of the suite's own lists, so that none is lost unseen. */
const SETS: readonly {
  readonly suite: string;
  readonly requirements: string | null;
  readonly era: Era;
  readonly scored: number;
}[] = [
  { suite: '0.1.16', requirements: null, era: 'legacy', scored: 30 },
  { suite: '0.2.0-alpha.12', requirements: '2025-11-25', era: 'legacy', scored: 30 },
  { suite: '0.2.0-alpha.12', requirements: '2026-07-28', era: 'modern', scored: 37 },
];
const FIXTURES = join(projectRoot, 'test/fixtures/conformance');

const { values: options } = parseArgs({
  options: {
    runtime: { type: 'string' },
    cache: { type: 'string' },
    direct: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
const { runtime, cache } = options;
if (runtime === undefined || cache === undefined) throw new Error('started by scripts/conformance.sh');

const cleanups: (() => void | Promise<void>)[] = [];
const scope: TestScope = { teardown: (work) => void cleanups.push(work) };
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => void clean().then(() => process.exit(130)));
let passed = 0;
let failed = 0;
try {
  const address = options.direct ? await serveDirectly() : await serveByGovernor();
  for (const set of SETS) await report(set, address(set.era));
} catch (error) {
  failed += 1;
  process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`);
} finally {
  await clean();
}
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;

async function report({ suite, requirements, era, scored }: (typeof SETS)[number], url: string): Promise<void> {
  const output = mkdtempSync(join(tmpdir(), 'governor-conformance-'));
  scope.teardown(() => rmSync(output, { recursive: true, force: true }));
  const directory = join(cache ?? '', `suite-${suite}`, 'node_modules/@modelcontextprotocol/conformance');
  const only = options.only ?? null;
  const verdicts = await runSuite({ directory, runtime: runtime ?? '', url, requirements, only, output });
  const counted = verdicts.filter((verdict) => verdict.scored);
  const lost = counted.filter((verdict) => !verdict.passed);
  process.stdout.write(
    `${suite}, ${requirements ?? 'default suite'}, ${era} server: ${counted.length - lost.length} of ${counted.length} scored, ` +
      `${counted.reduce((sum, { held }) => sum + held, 0)} checks held${notScored(verdicts)}\n`,
  );
  for (const { scenario, failures } of lost)
    process.stdout.write(`  FAILED ${scenario}\n${failures.map((line) => `    ${line}\n`).join('')}`);
  for (const { scenario, warnings } of counted)
    process.stdout.write(warnings.map((line) => `  warning, ${scenario}: ${line}\n`).join(''));
  passed += counted.length - lost.length;
  failed += lost.length;
  if (only === null && counted.length !== scored)
    throw new Error(`${scored} scenarios are scored, the suite ran ${counted.length}`);
}

function notScored(verdicts: readonly Verdict[]): string {
  const others = verdicts.filter((verdict) => !verdict.scored);
  if (others.length === 0) return '';
  const lost = others.filter((verdict) => !verdict.passed).map(({ scenario }) => scenario);
  return `; not scored: ${others.length - lost.length} of ${others.length}${lost.length === 0 ? '' : ` (not: ${lost.join(', ')})`}`;
}

async function serveByGovernor(): Promise<(era: Era) => string> {
  const daemon = await startDaemon(scope, {
    config: {
      daemon: { auth: { mcp: 'none' } },
      tools: Object.fromEntries(
        (['legacy', 'modern'] as const).map((era) => [
          era,
          { command: process.execPath, args: [join(FIXTURES, `${era}.mjs`)] },
        ]),
      ),
    },
  });
  const { url } = addressOf(daemon);
  return (era) => new URL(`/mcp/${era}`, url).href;
}

async function serveDirectly(): Promise<(era: Era) => string> {
  const urls = new Map<Era, string>();
  for (const era of ['legacy', 'modern'] as const) {
    const child = spawn(process.execPath, [join(FIXTURES, 'over-http.mjs'), era], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    scope.teardown(() => void child.kill());
    const { url } = await listen(child.stdout, `over-http ${era}`).said('ready');
    urls.set(era, String(url));
  }
  return (era) => urls.get(era) ?? '';
}

async function clean(): Promise<void> {
  for (let work = cleanups.pop(); work !== undefined; work = cleanups.pop()) await work();
}
