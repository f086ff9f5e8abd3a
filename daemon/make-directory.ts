/** `mkdir -p` for a path that a person wrote. */

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes it, and what is missing above it, for its owner only. Not by `recursive: true`, which never returns where the
 * kernel answers ENOENT below a directory that exists, as in /proc.
 */
export function makePrivateDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    makePrivateDirectory(dirname(path));
    makeLast(path);
  }
}

/** Its parent exists now; another process may have been faster. */
function makeLast(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
