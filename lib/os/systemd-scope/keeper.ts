/**
 * A scope needs a process to begin with and one to stay: a `cat` that reads from the daemon and so ends with it. After that the
 * scope stays for as long as runs are in it, and systemd removes it by itself.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { GovernorError } from '../../core/errors.ts';
import { err, ok, type Result } from '../../core/result.ts';
import { readOrNull } from '../cgroup2/directory.ts';
import { parseOwnGroups } from '../mounts.ts';
import type { UserManager } from './manager.ts';

const MOVE_TIMEOUT_MS = 10_000;

export class Keeper {
  readonly #manager: UserManager;
  readonly #unit: string;
  readonly #mountPoint: string;
  #child: ChildProcess | null = null;

  constructor(manager: UserManager, unit: string, mountPoint: string) {
    this.#manager = manager;
    this.#unit = unit;
    this.#mountPoint = mountPoint;
  }

  /** @returns the directory of the scope */
  async start(): Promise<Result<string, string>> {
    // In a session of its own, out of reach of a Ctrl-C that is meant for the daemon.
    const child = spawn('cat', [], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    this.#child = child;
    try {
      await once(child, 'spawn');
      const pid = child.pid ?? 0;
      await this.#manager.startScope(this.#unit, 'Tools that Governor runs', pid);
      const directory = await this.#scopeOf(pid);
      // It must not keep the daemon alive by itself.
      child.unref();
      if (child.stdin instanceof Socket) child.stdin.unref();
      return ok(directory);
    } catch (error) {
      await this.stop();
      if (error instanceof GovernorError) return err(error.message);
      throw error;
    }
  }

  /** After somebody killed the keeper while no run was there: the scope is gone and gets the same name again. */
  async restart(): Promise<void> {
    await this.stop();
    const started = await this.start();
    if (!started.ok) throw new GovernorError('launch_failed', started.error);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.ref();
    child.kill('SIGKILL');
    await exited;
  }

  /** The move is a job of the manager: waits until the kernel shows the process in the scope. */
  async #scopeOf(pid: number): Promise<string> {
    const deadline = performance.now() + MOVE_TIMEOUT_MS;
    for (;;) {
      const groups = parseOwnGroups(readOrNull(`/proc/${pid}/cgroup`) ?? '');
      const path = groups.find((group) => group.controllers.length === 0)?.path ?? '';
      if (path.endsWith(`/${this.#unit}`)) return join(this.#mountPoint, path);
      if (performance.now() >= deadline) {
        throw new GovernorError('unsupported', `systemd --user did not make ${this.#unit} in ${MOVE_TIMEOUT_MS} ms`);
      }
      await sleep(2);
    }
  }
}
