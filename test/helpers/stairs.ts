/** Leading the fixture `stairs` under `governor run`, and looking at what becomes of it. */

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { LAUNCHER, type RunningDaemon } from './daemon.ts';
import { type Ending, fixtureCommand, fixtureEnvironment, newMarker, type TestScope } from './fixture.ts';
import { type Heard, listen } from './heard.ts';
import { killSurvivors } from './survivors.ts';
import { waitFor } from './wait-for.ts';

export interface RunOptions {
  /** Flags of `governor run`, name excepted. */
  readonly flags?: readonly string[];
  /** Words of the command; default: the fixture `stairs` with these arguments. */
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  /** stdout must stay a pipe. Default: three pipes. */
  readonly stdio?: StdioOptions;
  readonly env?: Readonly<Record<string, string>>;
  readonly lifeMs?: number;
}

export interface GovernedRun extends Heard {
  readonly child: ChildProcess;
  readonly name: string;
  readonly marker: string;
  readonly ended: Promise<Ending>;
  /** All of its stderr so far. */
  stderr(): string;
  /** `memory 60`; resolves when it holds that. */
  hold(word: string, level: number): Promise<void>;
  /** The same without waiting: what asks for too much may not live to answer. */
  ask(word: string, level: number): void;
}

/** `governor run --name NAME … -- stairs`, as a client would start it. What it leaves is killed at the end of the test. */
export function runStairs(t: TestScope, daemon: RunningDaemon, name: string, options: RunOptions = {}): GovernedRun {
  const marker = newMarker();
  const command = options.command ?? fixtureCommand('stairs', options.args);
  t.teardown(() => killSurvivors(marker));
  const child = spawn(LAUNCHER, ['run', '--name', name, ...(options.flags ?? []), '--', ...command], {
    env: { ...daemon.env, ...fixtureEnvironment(marker, options.lifeMs), ...options.env },
    stdio: options.stdio ?? ['pipe', 'pipe', 'pipe'],
  });
  if (child.stdout === null) throw new Error('stdout must be a pipe');
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A write to what has ended is the test's to notice, by `ended`.
  child.stdin?.on('error', () => undefined);
  const ended = new Promise<Ending>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  const heard = listen(child.stdout, name);
  const said: Heard['said'] = (word, timeoutMs) =>
    heard.said(word, timeoutMs).catch((error: unknown) => {
      throw new Error(`${String(error)}; stderr: ${stderr}; ${String(child.exitCode ?? child.signalCode)}`);
    });
  const ask = (word: string, level: number): void => void child.stdin?.write(`${word} ${level}\n`);
  const hold = async (word: string, level: number): Promise<void> => {
    ask(word, level);
    await said(`${word}=${level}`);
  };
  return { child, name, marker, ended, lines: heard.lines, said, stderr: () => stderr, hold, ask };
}

/** What a shell would show as `$?`. */
export function statusOf({ code, signal }: Ending): number | null {
  const signals: Readonly<Record<string, number>> = { SIGTERM: 143, SIGKILL: 137, SIGINT: 130 };
  return signal === null ? code : (signals[signal] ?? null);
}

// Documents of many shapes: the assertions say which.
// oxlint-disable-next-line typescript/no-explicit-any
export async function usageOf(daemon: RunningDaemon, tool: string, resource: string): Promise<any> {
  const answer = await daemon.call('GET', `/v1/tools/${encodeURIComponent(tool)}/usage`);
  // oxlint-disable-next-line typescript/no-explicit-any
  return answer.json?.resources?.find((view: any) => view.resource === resource);
}

/** Waits until the tool's resource is in this stage. @returns the usage document's entry */
// oxlint-disable-next-line typescript/no-explicit-any
export function stageReached(daemon: RunningDaemon, tool: string, resource: string, stage: string): Promise<any> {
  return waitFor(
    `${tool} ${resource} ${stage}`,
    async () => {
      const view = await usageOf(daemon, tool, resource);
      if (view?.stage === stage) return view;
      throw new Error(JSON.stringify(view));
    },
    { timeoutMs: 20_000 },
  );
}
