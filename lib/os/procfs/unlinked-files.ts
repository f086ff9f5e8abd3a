/** Files of the temp dir that were unlinked but are still open: they take up space that no walk of the dir finds. */

import { type Stats, statSync } from 'node:fs';
import { isDenied, isGone } from '../kernel-file.ts';
import type { ProcessHandle } from './process-table.ts';

export class UnlinkedFiles {
  bytes = 0;
  inodes = 0;
  readonly #tempDir: string;
  readonly #counted = new Set<number>();

  constructor(tempDir: string) {
    this.#tempDir = tempDir;
  }

  /**
   * Sums up what the link scans found; each file once, however many handles are on it. Files that are only mapped, with
   * no handle left, are not seen.
   */
  read(handles: ReadonlyMap<number, ProcessHandle>): void {
    this.bytes = 0;
    this.inodes = 0;
    this.#counted.clear();
    let device: number | null = null;
    for (const handle of handles.values()) {
      for (const fd of handle.links.deleted) {
        device ??= statOrNull(this.#tempDir)?.dev ?? -1;
        const file = statOrNull(handle.fdEntry(fd));
        // The link was read a while ago: the number may stand for something else by now.
        if (file === null || file.nlink > 0 || file.dev !== device || this.#counted.has(file.ino)) continue;
        this.#counted.add(file.ino);
        this.bytes += file.blocks * 512;
        this.inodes += 1;
      }
    }
  }
}

function statOrNull(path: string): Stats | null {
  try {
    return statSync(path);
  } catch (error) {
    if (isGone(error) || isDenied(error)) return null;
    throw error;
  }
}
