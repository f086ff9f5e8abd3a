/**
 * `governor ensure-daemon`: what the launcher calls when it finds no daemon. Of many that start at once, the one that
 * makes the start file starts the daemon and the others wait for it. The launcher makes it before it calls, so that those
 * who only wait need no Node: daemon/bin/governor holds to the same rules. The file only saves work: that there is one
 * daemon is seen to by the daemon's own lock, so a start file left by a crash delays nobody for long and can do no harm.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GovernorError } from '../../../lib/core/errors.ts';
import { createClient, type Client } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Locations } from '../locations.ts';
import type { Session } from '../session.ts';
import { startTimeoutMs } from '../start-timeout.ts';
import { makePrivateDirectory } from '../../make-directory.ts';

const FIRST_POLL_MS = 20;
/** Many may wait for one start: they must not take its time. */
const SLOWEST_POLL_MS = 200;
const LOG_NAME = 'daemon.log';
/** As in daemon/bin/governor, which says why. */
const NODE_OPTIONS = ['--max-semi-space-size=1', '--v8-pool-size=0', '--expose-gc'];
const START_NAME = 'daemon.start';
/** A start takes at most as long as one waits for it, so a start file that is older by this was left by a crash. */
const STALE_AFTER_MS = 2000;
const LOG_ROTATE_BYTES = 8 * 1024 * 1024;
const SHOWN_LOG_BYTES = 2000;

/** Prints nothing when it succeeds. */
export async function ensureDaemon(session: Session): Promise<ExitCode> {
  const locations = session.locations();
  const client = createClient(locations);
  const timeoutMs = startTimeoutMs(session.terminal.env);
  const deadline = performance.now() + timeoutMs;
  const startFile = join(locations.stateDir, START_NAME);
  let starting = null as Starting | null;
  let pollMs = FIRST_POLL_MS;
  try {
    if (await ready(client, locations)) return EXIT.ok;
    makeStateDir(locations.stateDir);
    while (!(await ready(client, locations))) {
      if (starting === null && takeStartFile(startFile, locations.stateDir, timeoutMs))
        starting = startDaemon(session, locations);
      else if (starting?.ended() === true && !anotherDaemonLives(locations.stateDir, starting))
        throw startFailed(starting, locations);
      if (performance.now() > deadline) throw tooLate(starting, locations, timeoutMs);
      await sleep(pollMs);
      pollMs = Math.min(pollMs * 1.1, SLOWEST_POLL_MS);
    }
    return EXIT.ok;
  } finally {
    const isOurs = starting !== null || holderOf(startFile) === process.ppid;
    starting?.release();
    if (isOurs) rmSync(startFile, { force: true });
  }
}

async function ready(client: Client, { connectSocketPaths }: Locations): Promise<boolean> {
  // Many look many times while one daemon starts: without a socket there is nobody to ask.
  if (!connectSocketPaths.some((path) => existsSync(path))) return false;
  try {
    await client.get('/readyz', { timeoutMs: 2000 });
    return true;
  } catch (error) {
    // Not there, or there and not ready yet: the deadline decides.
    if (error instanceof GovernorError) return false;
    throw error;
  }
}

function makeStateDir(stateDir: string): void {
  try {
    makePrivateDirectory(stateDir);
  } catch (error) {
    throw new GovernorError('state_dir', `cannot make the state directory ${stateDir}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** True for the one that may start the daemon. */
function takeStartFile(file: string, stateDir: string, timeoutMs: number): boolean {
  try {
    makeStartFile(file);
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') {
      throw new GovernorError('state_dir', `cannot write to the state directory ${stateDir}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  if (holderOf(file) === process.ppid) return true;
  // Two that judge the same file stale may both start a daemon; its lock then lets one of them live.
  if (isAbandoned(file, timeoutMs)) rmSync(file, { force: true });
  return false;
}

function makeStartFile(file: string): void {
  const made = openSync(file, 'wx', 0o600);
  try {
    writeFileSync(made, `${process.pid} ${Math.floor(uptime())}\n`);
  } catch (error) {
    // On a full disk: an empty one would keep everybody waiting once there is room again.
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(made);
  }
}

function isAbandoned(file: string, timeoutMs: number): boolean {
  try {
    const { mtimeMs } = statSync(file);
    const pid = holderOf(file);
    return Date.now() - mtimeMs > timeoutMs + STALE_AFTER_MS || (pid !== null && !isAlive(pid));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** The process that made the start file, which holds `PID UPTIMESECONDS`; null: there is none, or it holds something else. */
function holderOf(file: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
    return pid > 0 ? pid : null;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, as another user.
    return codeOf(error) === 'EPERM';
  }
}

/** The one that refused ours: started by hand at the same time, or on its way out. Its file is `PID STARTTICKS`. */
function anotherDaemonLives(stateDir: string, starting: Starting): boolean {
  try {
    const pid = Number.parseInt(readFileSync(join(stateDir, 'daemon.pid'), 'utf8'), 10);
    return pid > 0 && pid !== starting.child.pid && isAlive(pid);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

interface Starting {
  readonly child: ChildProcess;
  readonly logFile: string;
  /** Where this start's own output begins in the log. */
  readonly logStart: number;
  /** True when it ended, and not because another daemon was quicker. */
  ended(): boolean;
  /** Lets this process end while the daemon lives. */
  release(): void;
}

function startDaemon(session: Session, locations: Locations): Starting {
  const logFile = join(locations.stateDir, LOG_NAME);
  const log = openLog(logFile);
  const logStart = fstatSync(log).size;
  const { terminal } = session;
  const child = spawn(process.execPath, [...NODE_OPTIONS, terminal.entry, ...daemonWords(locations)], {
    // A session of its own: no terminal and no client takes it along. Its folder pins no mount.
    detached: true,
    cwd: locations.stateDir,
    stdio: ['ignore', log, log],
    env: daemonEnvironment(terminal.env, locations),
  });
  closeSync(log);
  let failed = false;
  child.once('error', () => {
    failed = true;
  });
  return {
    child,
    logFile,
    logStart,
    ended: () => failed || child.exitCode !== null || child.signalCode !== null,
    release: () => child.unref(),
  };
}

function daemonWords(locations: Locations): readonly string[] {
  const { configPath, explicitStateDir, listen, stateDir } = locations;
  return [
    'daemon',
    '--background',
    ...(configPath === null ? [] : ['--config', configPath]),
    // A state directory that was not named must not look named: the place of the socket hangs on it.
    ...(explicitStateDir ? ['--state-dir', stateDir] : []),
    ...(listen === null ? [] : ['--listen', listen]),
  ];
}

/**
 * A daemon that starts because a client started a tool must not carry that one tool's secrets: it outlives the client, and
 * its environment is the base of every tool that it starts itself. So only what a login gives goes in. With a
 * configuration everything does, because `${NAME}` in it asks for it, but nothing of a run that this was called from.
 */
export function daemonEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  locations: Pick<Locations, 'configPath'>,
): NodeJS.ProcessEnv {
  // The TMPDIR of a run goes when the run goes.
  const insideRun = env['GOVERNOR_RUN'] !== undefined;
  const kept = Object.entries(env).filter(
    ([name]) =>
      (locations.configPath === null ? FROM_A_LOGIN.test(name) : !OF_A_RUN.test(name)) &&
      !(insideRun && name === 'TMPDIR'),
  );
  return Object.fromEntries(kept);
}

const FROM_A_LOGIN =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|XDG_[A-Z_]+|DBUS_SESSION_BUS_ADDRESS|STATE_DIRECTORY|GOVERNOR_(CONFIG|STATE_DIR|LISTEN|LIMIT_[A-Z_]+))$/;
const OF_A_RUN = /^(GOVERNOR_(?!CONFIG$|STATE_DIR$|LISTEN$|LIMIT_).*|MEMORY_PRESSURE_.*)$/;

function openLog(file: string): number {
  try {
    if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_ROTATE_BYTES) renameSync(file, `${file}.1`);
    return openSync(file, 'a', 0o600);
  } catch (error) {
    throw new GovernorError('state_dir', `cannot write ${file}: ${messageOf(error)}`, { cause: error });
  }
}

function startFailed(starting: Starting, locations: Locations): GovernorError {
  return new GovernorError(
    'daemon_unreachable',
    `the daemon for ${locations.stateDir} did not start:${ownLog(starting)}`,
  );
}

function tooLate(starting: Starting | null, locations: Locations, timeoutMs: number): GovernorError {
  const log = starting === null ? `; see ${join(locations.stateDir, LOG_NAME)}` : `:${ownLog(starting)}`;
  return new GovernorError(
    'daemon_unreachable',
    `the daemon for ${locations.stateDir} is not ready after ${timeoutMs / 1000} s${log}`,
  );
}

/** The end of what this start wrote. */
function ownLog({ logFile, logStart }: Starting): string {
  const file = openSync(logFile, 'r');
  try {
    const size = fstatSync(file).size;
    const from = Math.max(logStart, size - SHOWN_LOG_BYTES);
    const bytes = Buffer.alloc(Math.max(0, size - from));
    const text = bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, from)).trim();
    if (text === '') return ` it said nothing (${logFile})`;
    // What is said here is under that name already.
    const lines = text.split('\n').map((line) => line.trim().replace(/^governor: /, ''));
    return ` ${lines.slice(-5).join(' · ')}`;
  } finally {
    closeSync(file);
  }
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
