/**
 * Whether the group we run in was handed over to us. A plain user may write in every group of the own systemd manager, but
 * one without Delegate= stays systemd's: it takes controllers away again when it likes, and shells of the user live there.
 */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';

import { GovernorError } from '../../core/errors.ts';
import type { Mover } from '../cgroup2/containment.ts';
import { UserManager } from './manager.ts';

const run = promisify(execFile);
const TIMEOUT_MS = 5000;

export interface OwningUnit {
  readonly name: string;
  /** Of the user's manager, else of the system's. */
  readonly user: boolean;
}

/** The innermost unit of a cgroup path; null outside of systemd's units (containers, other init systems). */
export function unitOfPath(path: string): OwningUnit | null {
  const parts = path.split('/');
  const at = parts.findLastIndex((part) => /\.(service|scope)$/.test(part));
  const name = parts[at];
  if (name === undefined) return null;
  return { name, user: parts.slice(0, at).some((part) => /^user@\d+\.service$/.test(part)) };
}

/** @returns null when it is ours to divide, else the reason why not */
export async function notDelegated(path: string, environment: NodeJS.ProcessEnv): Promise<string | null> {
  const unit = unitOfPath(path);
  if (unit === null || !existsSync('/run/systemd/system')) return null;
  const args = [...(unit.user ? ['--user'] : []), 'show', '--property=Delegate', '--value', '--', unit.name];
  try {
    const { stdout } = await run('systemctl', args, { env: environment, timeout: TIMEOUT_MS });
    if (stdout.trim() === 'yes') return null;
    return `${unit.name} is not delegated to this user (systemd: Delegate=yes)`;
  } catch (error) {
    return `systemctl could not tell whether ${unit.name} is delegated: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** For a daemon in a delegated unit of the user's manager: a tool that is started in a login session is out of our reach. */
export function moverThroughSystemd(environment: NodeJS.ProcessEnv, uid: number): Mover | null {
  const manager = UserManager.find(environment, uid);
  if (typeof manager === 'string') return null;
  return async (directory, pid) => {
    const unit = unitOfPath(directory);
    if (unit === null || !unit.user) {
      throw new GovernorError(
        'launch_failed',
        `${directory} is in no unit of the user's systemd: process ${pid} cannot be moved there`,
      );
    }
    const subgroup = directory.slice(directory.lastIndexOf(`/${unit.name}`) + unit.name.length + 1);
    await manager.moveIntoUnit(unit.name, subgroup, pid);
  };
}
