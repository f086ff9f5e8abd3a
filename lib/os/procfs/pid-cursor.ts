/** Which pids may have been given out anew since the last look, so that the others need no check of their identity. */

import { statSync } from 'node:fs';
import { KeptFile } from '../kernel-file.ts';

export class PidCursor {
  readonly #procRoot: string;
  #file: KeptFile | null = null;
  #from = -1;
  #to = -1;

  constructor(procRoot: string) {
    this.#procRoot = procRoot;
  }

  /** Begins a new look: from now on `mayBeReused` is about the time between the last call and this one. */
  advance(): void {
    this.#from = this.#to;
    this.#to = this.#read();
  }

  /** Pids are given out in rising order, beginning again at the end. True as well where nothing is known. */
  mayBeReused(pid: number): boolean {
    if (this.#from < 0 || this.#to < 0) return true;
    if (this.#from <= this.#to) return pid > this.#from && pid <= this.#to;
    return pid > this.#from || pid <= this.#to;
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  /** The pid that the kernel gave out last, the last field of /proc/loadavg; -1 where it cannot be read. */
  #read(): number {
    this.#file ??= openLoadavg(this.#procRoot);
    const file = this.#file;
    const length = file?.fill() ?? -1;
    if (file === null || length < 0) return -1;
    return Number(file.buffer.toString('latin1', 0, length).trim().split(' ').at(-1) ?? -1);
  }
}

/** Only the kernel's own: in containers lxcfs mounts a file of its own there, which need not tell the truth. */
function openLoadavg(procRoot: string): KeptFile | null {
  const path = `${procRoot}/loadavg`;
  const own = statSync(path, { throwIfNoEntry: false });
  return own !== undefined && own.dev === statSync(procRoot).dev ? KeptFile.tryOpen(path) : null;
}
