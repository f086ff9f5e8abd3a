/** A real daemon in a state directory of its own, as a person would start it, and ways to speak to it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatConfig, type ConfigDocument } from './config-text.ts';
import type { TestScope } from './fixture.ts';
import { projectRoot } from './project-root.ts';
import { patience, waitFor } from './wait-for.ts';

export const LAUNCHER = join(projectRoot, 'daemon/bin/governor');

export interface DaemonOptions {
  /** limits.yaml as an object, or its text. Default: no tools. */
  readonly config?: ConfigDocument | string;
  readonly stateDir?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Force a backend for this daemon. */
  readonly backend?: string;
  /** Default: any free port. */
  readonly listen?: string;
  /** Words in front of every command of it: `setpriv …` makes it another user's daemon. */
  readonly as?: readonly string[];
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  // Documents of many shapes: the assertions say which.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningDaemon {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly stateDir: string;
  readonly configPath: string | null;
  /** What it printed so far, stdout and stderr. */
  output(): string;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Over the unix socket. */
  call(method: string, path: string, body?: unknown): Promise<Answer>;
  /** `governor …` for this daemon, to its end. */
  cli(
    args: readonly string[],
    options?: { readonly input?: string; readonly env?: Readonly<Record<string, string | undefined>> },
  ): Promise<Outcome>;
  /** Environment that leads the command line here. */
  readonly env: Readonly<Record<string, string>>;
  /** SIGINT and wait: every run is stopped. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** A state directory with a short path (socket paths hold 107 bytes), removed at the end of the test. */
export function newStateDir(t: TestScope): string {
  const directory = mkdtempSync(join(tmpdir(), 'gov-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts it and waits until it is ready; at the end of the test it is stopped with everything it runs. */
export async function startDaemon(t: TestScope, options: DaemonOptions = {}): Promise<RunningDaemon> {
  const stateDir = options.stateDir ?? newStateDir(t);
  const configPath = writeConfig(stateDir, options);
  const env: Record<string, string> = {
    ...cleanEnvironment(),
    GOVERNOR_STATE_DIR: stateDir,
    GOVERNOR_LISTEN: options.listen ?? '127.0.0.1:0',
  };
  for (const [name, value] of Object.entries(options.env ?? {})) {
    if (value === undefined) delete env[name];
    else env[name] = value;
  }
  const words = [...(options.as ?? []), LAUNCHER];
  const program = words.shift() ?? LAUNCHER;
  const child = spawn(program, [...words, 'daemon', ...(configPath === null ? [] : ['--config', configPath])], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  let over = false;
  void ended.then(() => (over = true));
  const stop = async (signal: NodeJS.Signals = 'SIGINT'): Promise<void> => {
    if (!over) child.kill(signal);
    const force = setTimeout(() => child.kill('SIGKILL'), patience(60_000));
    await ended;
    clearTimeout(force);
  };
  t.teardown(() => stop());
  const daemon: RunningDaemon = {
    process: child,
    pid: child.pid ?? 0,
    stateDir,
    configPath,
    output: () => output,
    ended,
    env,
    call: (method, path, body) => callUnix(join(stateDir, 'governor.sock'), method, path, body),
    cli: (args, cliOptions = {}) =>
      runCommand(program, [...words, ...args], {
        env: { ...env, ...cliOptions.env },
        ...(cliOptions.input === undefined ? {} : { input: cliOptions.input }),
      }),
    stop,
  };
  await waitFor('the daemon to be ready', async () => over || (await daemon.call('GET', '/readyz')).status === 200, {
    timeoutMs: 60_000,
  });
  if (over) throw new Error(`the daemon ended at once: ${output}`);
  return daemon;
}

/** The address that the daemon's greeting names. */
export function addressOf(daemon: RunningDaemon): { readonly url: string; readonly token: string } {
  const url = /Governor is up at (\S+)/.exec(daemon.output())?.[1];
  if (url === undefined) throw new Error(`no address in: ${daemon.output()}`);
  return { url, token: readFileSync(join(daemon.stateDir, 'token'), 'utf8').trim() };
}

/** Runs a command to its end. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string | undefined>>;
    readonly input?: string;
    readonly cwd?: string;
  } = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: options.env as NodeJS.ProcessEnv,
      cwd: options.cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

export function callUnix(socketPath: string, method: string, path: string, body?: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const call = request(
      // A kept connection may have been closed while a test kept this process from noticing.
      {
        socketPath,
        method,
        path,
        agent: false,
        headers: text === undefined ? {} : { 'content-type': 'application/json' },
      },
      (response) => {
        let received = '';
        response.setEncoding('utf8').on('data', (part: string) => (received += part));
        response.on('end', () => {
          const isJson = /json/.test(String(response.headers['content-type'] ?? ''));
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: received,
            json: isJson && received !== '' ? JSON.parse(received) : null,
          });
        });
        response.on('error', reject);
      },
    );
    call.on('error', reject);
    call.end(text);
  });
}

/**
 * This process's environment without what could lead to another daemon, or mark processes as somebody's run. Where tests
 * are patient, whoever waits for a daemon is as well.
 */
export function cleanEnvironment(): Record<string, string> {
  const startSeconds = patience(60);
  return Object.fromEntries([
    ...Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined || /^(GOVERNOR_|XDG_|STATE_DIRECTORY$|MEMORY_PRESSURE_|TAP)/.test(name)
        ? []
        : [[name, value] as const],
    ),
    ...(startSeconds === 60 ? [] : [['GOVERNOR_START_TIMEOUT_SECONDS', String(startSeconds)] as const]),
  ]);
}

function writeConfig(stateDir: string, { config, backend }: DaemonOptions): string | null {
  if (config === undefined && backend === undefined) return null;
  const path = join(stateDir, 'limits.yaml');
  const document =
    typeof config === 'object' || config === undefined
      ? { version: 1, ...config, daemon: { ...config?.daemon, ...(backend === undefined ? {} : { backend }) } }
      : config;
  writeFileSync(path, typeof document === 'string' ? document : formatConfig(document));
  return path;
}
