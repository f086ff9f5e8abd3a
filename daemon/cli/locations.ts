/**
 * Where a daemon keeps its state and where it can be reached. One rule for the daemon, the command line and the shell
 * launcher (daemon/bin/governor), which repeats it in POSIX sh, word for word:
 *
 * 1. A variable that is set to the empty string counts as not set. A variable of the XDG Base Directory Specification
 *    whose value is not an absolute path counts as not set, as that specification asks.
 * 2. State directory, the first that is given: `--state-dir` · `GOVERNOR_STATE_DIR` · `STATE_DIRECTORY` (systemd.exec(5);
 *    of several, separated by colons, the first) · `$XDG_STATE_HOME/governor` · `$HOME/.local/state/governor`.
 *    None of them is an error. A relative path is taken from the working directory.
 *    The first three are *explicit*.
 * 3. A daemon listens on `governor.sock` in the state directory when that is explicit or XDG_RUNTIME_DIR is not set, else
 *    on `$XDG_RUNTIME_DIR/governor/governor.sock`; there it also keeps `governor.sock` in the state directory, as a
 *    symbolic link to it. MCP clients start servers with a short environment that often lacks XDG_RUNTIME_DIR: with
 *    the link both kinds of caller meet the same daemon.
 * 4. A client tries `governor.sock` in the state directory first, then the path of rule 3, and takes the first that answers.
 */

import { join, resolve } from 'node:path';
import { GovernorError } from '../../lib/core/errors.ts';

export const SOCKET_NAME = 'governor.sock';

/** Bytes of sun_path without its terminating NUL: unix(7), and sys/un.h of macOS. */
export function socketPathLimitBytes(platform: NodeJS.Platform): number {
  return platform === 'linux' ? 107 : 103;
}

/** What was given on the command line; null = not given. */
export interface LocationFlags {
  readonly config: string | null;
  readonly stateDir: string | null;
  readonly listen: string | null;
}

export interface LocationFacts {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly platform: NodeJS.Platform;
}

export interface Locations {
  /** Absolute. */
  readonly stateDir: string;
  /** True when the state directory was named by flag, GOVERNOR_STATE_DIR or STATE_DIRECTORY. */
  readonly explicitStateDir: boolean;
  /** Where the daemon listens. */
  readonly listenSocketPath: string;
  /** Where a client looks, in this order; never empty. */
  readonly connectSocketPaths: readonly string[];
  /** Absolute, or null: no configuration was named. */
  readonly configPath: string | null;
  /** `host:port`, or null: as configured. Checked by the daemon. */
  readonly listen: string | null;
}

/** @throws GovernorError('state_dir') when there is no place for the state, or its socket path is too long */
export function resolveLocations(flags: LocationFlags, facts: LocationFacts): Locations {
  const { stateDir, explicit } = resolveStateDir(flags, facts);
  const inStateDir = join(stateDir, SOCKET_NAME);
  const runtimeDir = explicit ? null : absoluteVariable(facts.env, 'XDG_RUNTIME_DIR');
  const listenSocketPath = runtimeDir === null ? inStateDir : join(runtimeDir, 'governor', SOCKET_NAME);
  const limitBytes = socketPathLimitBytes(facts.platform);
  refuseLongPath(listenSocketPath, limitBytes);
  const config = flags.config ?? variable(facts.env, 'GOVERNOR_CONFIG');
  return {
    stateDir,
    explicitStateDir: explicit,
    listenSocketPath,
    connectSocketPaths: [...new Set([inStateDir, listenSocketPath])].filter(
      (path) => Buffer.byteLength(path) <= limitBytes,
    ),
    configPath: config === null ? null : resolve(facts.cwd, config),
    listen: flags.listen ?? variable(facts.env, 'GOVERNOR_LISTEN'),
  };
}

function resolveStateDir(flags: LocationFlags, facts: LocationFacts): { stateDir: string; explicit: boolean } {
  const named =
    flags.stateDir ??
    variable(facts.env, 'GOVERNOR_STATE_DIR') ??
    variable(facts.env, 'STATE_DIRECTORY')
      ?.split(':')
      .find((part) => part !== '') ??
    null;
  if (named !== null) return { stateDir: resolve(facts.cwd, named), explicit: true };
  const stateHome = absoluteVariable(facts.env, 'XDG_STATE_HOME');
  if (stateHome !== null) return { stateDir: join(stateHome, 'governor'), explicit: false };
  const home = variable(facts.env, 'HOME');
  if (home === null) {
    throw new GovernorError(
      'state_dir',
      'there is no place for the state: neither GOVERNOR_STATE_DIR, XDG_STATE_HOME nor HOME is set; give --state-dir DIR',
    );
  }
  return { stateDir: join(resolve(facts.cwd, home), '.local/state/governor'), explicit: false };
}

function refuseLongPath(path: string, limitBytes: number): void {
  const lengthBytes = Buffer.byteLength(path);
  if (lengthBytes <= limitBytes) return;
  throw new GovernorError(
    'state_dir',
    `the socket path ${path} has ${lengthBytes} bytes, the system allows ${limitBytes}; choose a shorter --state-dir`,
  );
}

function variable(env: LocationFacts['env'], name: string): string | null {
  const value = env[name];
  return value === undefined || value === '' ? null : value;
}

function absoluteVariable(env: LocationFacts['env'], name: string): string | null {
  const value = variable(env, name);
  return value !== null && value.startsWith('/') ? value : null;
}
