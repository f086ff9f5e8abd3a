/** `cgroup.freeze` (Linux 5.2): the whole sub-tree stands still; SIGKILL reaches it all the same. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { isGone, writeKernelFile } from '../kernel-file.ts';
import { readOrNull } from './directory.ts';
import type { Freezer } from './parts.ts';

export class Freezer2 implements Freezer {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async freeze(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    await this.#write('1');
    for (;;) {
      const events = readOrNull(join(this.#directory, 'cgroup.events'));
      if (events === null || /^frozen 1$/m.test(events)) return true;
      if (performance.now() >= deadline) return false;
      await sleep(1);
    }
  }

  async thaw(): Promise<void> {
    await this.#write('0');
  }

  async #write(text: string): Promise<void> {
    try {
      await writeKernelFile(join(this.#directory, 'cgroup.freeze'), text);
    } catch (error) {
      // The group is gone, or the kernel is older than the file.
      if (!isGone(error)) throw error;
    }
  }
}
