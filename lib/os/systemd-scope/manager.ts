/**
 * The user's own systemd, asked through `busctl` (org.freedesktop.systemd1(5)). A plain user may not make groups outside of
 * what belongs to that manager; the manager may, and may move the user's processes there.
 */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import { GovernorError } from '../../core/errors.ts';
import { errnoOf } from '../kernel-file.ts';

const run = promisify(execFile);

const CALL_TIMEOUT_MS = 10_000;
const DESTINATION = ['org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager'];

export class UserManager {
  readonly #environment: NodeJS.ProcessEnv;

  private constructor(environment: NodeJS.ProcessEnv) {
    this.#environment = environment;
  }

  /** @returns why there is none, for people */
  static find(environment: NodeJS.ProcessEnv, uid: number): UserManager | string {
    const paths = (environment['PATH'] ?? '').split(delimiter);
    if (!paths.some((path) => path !== '' && existsSync(join(path, 'busctl'))))
      return 'busctl (of systemd) is not in PATH';
    // A daemon that was not started from a login session lacks the variable; the place is fixed by pam_systemd(8).
    const runtimeDir = environment['XDG_RUNTIME_DIR'] ?? `/run/user/${uid}`;
    if (!existsSync(join(runtimeDir, 'bus')))
      return `no user bus at ${join(runtimeDir, 'bus')}: is systemd --user running?`;
    return new UserManager({ ...environment, XDG_RUNTIME_DIR: runtimeDir });
  }

  /** Starts a scope that holds this process; the manager moves it shortly after. */
  async startScope(unit: string, description: string, pid: number): Promise<void> {
    // busctl takes property values as: name, type, value. Delegate= keeps systemd out of what is below the scope, and
    // CollectMode= lets a scope that ended in an OOM kill vanish like any other.
    const properties = [
      ['Description', 's', description],
      ['Delegate', 'b', 'true'],
      ['CollectMode', 's', 'inactive-or-failed'],
      ['PIDs', 'au', '1', String(pid)],
    ].flat();
    await this.#call('StartTransientUnit', 'ssa(sv)a(sa(sv))', unit, 'fail', '4', ...properties, '0');
  }

  /**
   * Moves a process of the user into a group below a delegated unit, from wherever it is: out of a login session only
   * the system's manager can take it, and the user's manager asks that one.
   * @param subgroup path below the group of the unit, beginning with `/`
   */
  async moveIntoUnit(unit: string, subgroup: string, pid: number): Promise<void> {
    await this.#call('AttachProcessesToUnit', 'ssau', unit, subgroup, '1', String(pid));
  }

  async #call(method: string, ...words: readonly string[]): Promise<void> {
    // Everything that could begin with a dash stands behind `--`.
    const args = ['--user', '--quiet', 'call', '--', ...DESTINATION, method, ...words];
    try {
      await run('busctl', args, { env: this.#environment, timeout: CALL_TIMEOUT_MS });
    } catch (error) {
      throw new GovernorError('launch_failed', `systemd --user refused ${method}: ${detailOf(error)}`, {
        cause: error,
      });
    }
  }
}

function detailOf(error: unknown): string {
  if (errnoOf(error) === 'ENOENT') return 'busctl could not be run';
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
  return stderr === '' ? String(error) : stderr;
}
