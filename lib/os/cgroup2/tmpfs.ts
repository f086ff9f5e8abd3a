import { statfsSync } from 'node:fs';

import { isGone } from '../kernel-file.ts';

/** TMPFS_MAGIC and RAMFS_MAGIC of statfs(2). */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** Files in such a directory are charged to the writer's memory. */
export function isTmpfs(directory: string): boolean {
  try {
    return IN_MEMORY.has(statfsSync(directory).type);
  } catch (error) {
    // The temp dir was removed before a crashed run is adopted: nothing is charged for it.
    if (isGone(error)) return false;
    throw error;
  }
}
