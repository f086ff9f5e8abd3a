/** Where the private temp directories of runs lie: on a disk, on a short path, owned by this user alone. */

import { mkdirSync, realpathSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** statfs(2) */
const TMPFS_MAGIC = 0x01021994;
/** A socket below it must fit into 107 bytes with room for the tool's own name. */
const ROOT_MAX_BYTES = 60;

/** @param configured `daemon.temp_root`, or null to choose: tmpfs would charge temp files to memory */
export function chooseTempRoot(configured: string | null): string {
  const name = `governor-${process.getuid?.() ?? 'user'}`;
  const candidates = [tmpdir(), '/var/tmp'].filter((folder) => Buffer.byteLength(folder) <= ROOT_MAX_BYTES);
  const root = configured ?? `${candidates.find(onDisk) ?? candidates[0] ?? '/tmp'}/${name}`;
  mkdirSync(root, { recursive: true, mode: 0o700 });
  // The path that the kernel shows of what lies below. A root that is a link itself stays one: it is refused when used.
  return join(realpathSync(dirname(root)), basename(root));
}

function onDisk(folder: string): boolean {
  try {
    return statfsSync(folder).type !== TMPFS_MAGIC;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
