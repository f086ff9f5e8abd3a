/** Tasks of a group: the pids controller has the same files in v1 and v2. */

import { join } from 'node:path';

import type { ResolvedLimits } from '../../core/limits.ts';
import type { LimitOutcome } from '../backend.ts';
import { KeptFile, writeKernelFile } from '../kernel-file.ts';
import { tasksCap, type TasksPart } from './parts.ts';

export class Pids implements TasksPart {
  readonly #directory: string;
  readonly #current: KeptFile;

  /** @throws the errno of open(2) when the group has no pids controller */
  constructor(directory: string) {
    this.#directory = directory;
    this.#current = new KeptFile(join(directory, 'pids.current'));
  }

  current(): number {
    return this.#current.readNumber() ?? Number.NaN;
  }

  /** A cap below what is there kills nothing: it only refuses forks. */
  async apply(limits: ResolvedLimits): Promise<LimitOutcome> {
    const cap = tasksCap(limits);
    await writeKernelFile(join(this.#directory, 'pids.max'), cap === null ? 'max' : String(cap));
    return cap === null
      ? { resource: 'tasks', enforcement: 'none', note: 'no limit is set' }
      : { resource: 'tasks', enforcement: 'kernel' };
  }

  close(): void {
    this.#current.close();
  }
}
