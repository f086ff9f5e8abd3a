/** Where the private temp directories of runs lie: on a disk, on a short path, owned by this user alone. */

import { realpathSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { GovernorError } from '../lib/core/errors.ts';
import { socketPathLimitBytes } from './cli/locations.ts';
import { makePrivateDirectory } from './make-directory.ts';

/** statfs(2) */
const TMPFS_MAGIC = 0x01021994;
/** A socket below it must fit into 107 bytes with room for the tool's own name. */
const ROOT_MAX_BYTES = 60;
/** `/`, a run's id, `.sock`: where its pressure channel listens. */
const CHANNEL_BYTES = 16;

/**
 * @param configured `daemon.temp_root`, or null to choose: tmpfs would charge temp files to memory
 * @throws GovernorError invalid_config for one that is too long
 */
export function chooseTempRoot(configured: string | null): string {
  const candidates = placesForRoots();
  const root = configured ?? rootIn(candidates.find(onDisk) ?? candidates[0] ?? '/tmp');
  makePrivateDirectory(root);
  // The path that the kernel shows of what lies below. A root that is a link itself stays one: it is refused when used.
  const path = join(realpathSync(dirname(root)), basename(root));
  const maxBytes = socketPathLimitBytes(process.platform) - CHANNEL_BYTES;
  if (Buffer.byteLength(path) > maxBytes) {
    throw new GovernorError(
      'invalid_config',
      `daemon.temp_root: ${path} is too long for the sockets below it: at most ${maxBytes} bytes`,
    );
  }
  return path;
}

/** Where a root may lie that nobody configured; they need not exist. */
export function possibleTempRoots(): readonly string[] {
  return placesForRoots().map(rootIn);
}

function placesForRoots(): readonly string[] {
  return [...new Set([tmpdir(), '/var/tmp'])].filter((folder) => Buffer.byteLength(folder) <= ROOT_MAX_BYTES);
}

function rootIn(folder: string): string {
  return `${folder}/governor-${process.getuid?.() ?? 'user'}`;
}

function onDisk(folder: string): boolean {
  try {
    return statfsSync(folder).type !== TMPFS_MAGIC;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
