/** Starting the misbehaving programs of test/fixtures/tools, with the promise that none outlives its test. */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../lib/core/identity.ts';
import { compileFixture } from './compile.ts';
import { type Heard, listen } from './heard.ts';
import { projectRoot } from './project-root.ts';
import { identityOf, killSurvivors, MARKER_VARIABLE } from './survivors.ts';
import { patience } from './wait-for.ts';

/** What this file needs of a tap test. */
export interface TestScope {
  teardown(work: () => void | Promise<void>): void;
}

export interface FixtureOptions {
  readonly args?: readonly string[];
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Session and process group of its own. */
  readonly detached?: boolean;
  /** Milliseconds after which the program ends by itself, orphaned or not. Default 60,000. */
  readonly lifeMs?: number;
  /** Take an existing marker, to count several fixtures as one. */
  readonly marker?: string;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunningFixture {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly identity: ProcessIdentity;
  /** In the environment of the whole tree; see survivors.ts. */
  readonly marker: string;
  readonly ended: Promise<Ending>;
  /** Waits for what it says on stdout; see heard.ts. */
  readonly said: Heard['said'];
  /** All complete lines of stdout so far. */
  readonly lines: Heard['lines'];
}

/** @returns the path of the program's file: .mjs, .sh, or the built .c; throws for an unknown name or without compiler */
export function fixturePath(name: string): string {
  const [first, script] = fixtureCommand(name);
  return script ?? first;
}

/** The words to start a fixture with: Node and the script, or the program itself. */
export function fixtureCommand(name: string, args: readonly string[] = []): readonly [string, ...string[]] {
  const base = join(projectRoot, 'test/fixtures/tools', name);
  if (existsSync(`${base}.mjs`)) return [process.execPath, `${base}.mjs`, ...args];
  if (existsSync(`${base}.sh`)) return [`${base}.sh`, ...args];
  if (!existsSync(`${base}.c`)) throw new Error(`no fixture ${name} in test/fixtures/tools`);
  const program = compileFixture(name);
  if (!program.ok) throw new Error(program.error);
  return [program.value, ...args];
}

/** @returns false, or why the fixture cannot be had here: for tap's `skip` */
export function lacksFixture(...names: readonly string[]): string | false {
  for (const name of names) {
    if (!existsSync(join(projectRoot, 'test/fixtures/tools', `${name}.c`))) continue;
    const program = compileFixture(name);
    if (!program.ok) return program.error;
  }
  return false;
}

export function newMarker(): string {
  return `governor-test-${randomBytes(12).toString('hex')}`;
}

/** The variables that a fixture reads, for programs that a test starts by other ways than startFixture(). */
export function fixtureEnvironment(marker: string, lifeMs = 60_000): Readonly<Record<string, string>> {
  return { [MARKER_VARIABLE]: marker, FIXTURE_LIFE_MS: String(patience(lifeMs)) };
}

/** Starts a fixture and, at the end of the test, kills all that carries its marker. */
export function startFixture(t: TestScope, name: string, options: FixtureOptions = {}): RunningFixture {
  return startProgram(t, fixtureCommand(name, options.args), options);
}

/** The same for any command; `args` of the options are not looked at. */
export function startProgram(t: TestScope, command: readonly string[], options: FixtureOptions = {}): RunningFixture {
  const marker = options.marker ?? newMarker();
  const [program = '', ...args] = command;
  const environment = { ...process.env, ...options.env, ...fixtureEnvironment(marker, options.lifeMs) };
  t.teardown(() => killSurvivors(marker));
  const child = spawn(program, args, {
    env: Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined)),
    cwd: options.cwd,
    detached: options.detached ?? false,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // What could not be started says so twice; the throw below is enough.
  child.once('error', () => undefined);
  // A write to a program that has ended is the test's to notice, by `ended`.
  child.stdin.on('error', () => undefined);
  child.stderr.resume();
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} did not start`);
  const identity = identityOf(pid);
  if (identity === null) throw new Error(`${program} was gone before it could be looked at`);
  const ended = new Promise<Ending>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  return { child, pid, identity, marker, ended, ...listen(child.stdout, command.join(' ')) };
}
