/** The official conformance suite as a program: runs a set of server scenarios and reads what it found. */

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export interface Verdict {
  readonly scenario: string;
  /** False: the suite runs it and does not count it (extensions, pending). */
  readonly scored: boolean;
  readonly passed: boolean;
  /** Checks of the suite that held. */
  readonly held: number;
  /** One line each. */
  readonly failures: readonly string[];
  /** What the suite would have otherwise, and does not count. */
  readonly warnings: readonly string[];
}

export interface SuiteRun {
  /** Folder of the installed package. */
  readonly directory: string;
  /** A Node that the suite starts on. */
  readonly runtime: string;
  readonly url: string;
  /** A frozen set of a revision; null: the default suite, all of it scored. */
  readonly requirements: string | null;
  readonly only: string | null;
  /** An empty folder for the suite's results. */
  readonly output: string;
}

interface Check {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly errorMessage?: string;
}

const TIME_LIMIT_MS = 300_000;

/** @throws Error when the suite did not come to an end, or judged otherwise than its own checks say */
export async function runSuite(run: SuiteRun): Promise<readonly Verdict[]> {
  const set = run.requirements === null ? [] : ['--requirements', run.requirements];
  const { code, text } = await output(run.runtime, [
    join(run.directory, 'dist/index.js'),
    'server',
    '--url',
    run.url,
    '-o',
    run.output,
    ...(run.only === null ? set : ['--scenario', run.only, ...versionOf(run)]),
  ]);
  const ran =
    run.only === null
      ? [...text.matchAll(/^=== Running scenario: (\S+) ===$/gm)].map(([, name]) => name ?? '')
      : [run.only];
  const scored = scoredBy(run, ran);
  const verdicts = ran.map((scenario) => judge(scenario, scored.has(scenario), run.output));
  const unseen = [...scored].filter((scenario) => !ran.includes(scenario) && run.only === null);
  if (ran.length === 0 || unseen.length > 0)
    throw new Error(`the suite did not run ${unseen.join(', ') || 'anything'}:\n${text.slice(-4000)}`);
  const lost = verdicts.some((verdict) => verdict.scored && !verdict.passed);
  if ((code === 0) === lost)
    throw new Error(`the suite ended with ${code}, which its checks do not explain:\n${text.slice(-4000)}`);
  return verdicts;
}

/** One scenario alone is told its revision, or it runs by the newest that it is in. */
function versionOf({ requirements }: SuiteRun): readonly string[] {
  return requirements === null ? [] : ['--spec-version', requirements];
}

function scoredBy({ directory, requirements }: SuiteRun, ran: readonly string[]): ReadonlySet<string> {
  if (requirements === null) return new Set(ran);
  const file = parse(readFileSync(join(directory, `requirements/${requirements}.yaml`), 'utf8')) as {
    server: string[];
  };
  return new Set(file.server);
}

function judge(scenario: string, scored: boolean, folder: string): Verdict {
  // Named by scenario and time; no scenario's name begins with another's and goes on with a year.
  const pattern = new RegExp(`^server-${scenario}-\\d{4}-\\d{2}-\\d{2}T`);
  const name = readdirSync(folder).find((entry) => pattern.test(entry));
  const checks = name === undefined ? null : readChecks(join(folder, name, 'checks.json'));
  if (checks === null)
    return { scenario, scored, passed: false, held: 0, failures: ['it broke off and left no result'], warnings: [] };
  const said = (status: string): readonly string[] =>
    checks
      .filter((check) => check.status === status)
      .map((check) => `${check.id}: ${check.errorMessage ?? check.name}`);
  const failures = said('FAILURE');
  return {
    scenario,
    scored,
    passed: failures.length === 0,
    held: checks.filter(({ status }) => status === 'SUCCESS').length,
    failures,
    warnings: said('WARNING'),
  };
}

function readChecks(path: string): readonly Check[] | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as readonly Check[];
  } catch {
    return null;
  }
}

function output(
  command: string,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: TIME_LIMIT_MS });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => (text += part));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, text }));
  });
}
