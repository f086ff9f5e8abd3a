/**
 * The v1 freezer. It can stay FREEZING while new tasks appear, so it is asked again, now and then after a short thaw.
 * Kernel: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst. A frozen process dies of SIGKILL only after the thaw.
 */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { readOrNull } from '../cgroup2/directory.ts';
import type { Freezer } from '../cgroup2/parts.ts';
import { isGone, writeKernelFile } from '../kernel-file.ts';

const THAW_EVERY = 50;

export class Freezer1 implements Freezer {
  readonly #state: string;

  constructor(directory: string) {
    this.#state = join(directory, 'freezer.state');
  }

  async freeze(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    for (let attempt = 1; ; attempt += 1) {
      await this.#write('FROZEN');
      const state = readOrNull(this.#state);
      if (state === null || state.trim() === 'FROZEN') return true;
      if (performance.now() >= deadline) return false;
      if (attempt % THAW_EVERY === 0) await this.thaw();
      await sleep(1);
    }
  }

  async thaw(): Promise<void> {
    await this.#write('THAWED');
  }

  async #write(text: string): Promise<void> {
    try {
      await writeKernelFile(this.#state, text);
    } catch (error) {
      // The group is gone.
      if (!isGone(error)) throw error;
    }
  }
}
