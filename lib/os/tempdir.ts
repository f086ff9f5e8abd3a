/** The private TMPDIR of a run. */

import { chmodSync, lstatSync, mkdirSync, realpathSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { GovernorError } from '../core/errors.ts';
import type { ResolvedLimit } from '../core/limits.ts';
import { errnoOf } from './kernel-file.ts';
import { type RemovalReport, removeTree } from './remove-tree.ts';
import { mountTmpfs, tmpfsSize, unmountTmpfs } from './tmpfs-mount.ts';

export { removeTree, type Leftover, type RemovalReport } from './remove-tree.ts';
export { TempUsage, type TempUsageReading } from './temp-usage.ts';

export interface TempDir {
  /** Real path: what /proc shows as target of handles on its files. */
  readonly path: string;
  readonly inode: number;
}

/**
 * Makes `<root>/<runId>` with mode 0700. The root is made too where it is missing.
 * @throws GovernorError `state_dir` when the root is a link, somebody else's, or writable by others
 */
export function createTempDir(root: string, runId: string): TempDir {
  if (!/^[0-9a-z]{1,32}$/.test(runId))
    throw new GovernorError('internal', `run id ${JSON.stringify(runId)} is no name for a directory`);
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 });
    refuseForeign(root, lstatSync(root));
    const path = join(realpathSync(root), runId);
    mkdirSync(path, { mode: 0o700 });
    chmodSync(path, 0o700); // mkdir takes the umask off, which may be 0777
    return { path, inode: lstatSync(path).ino };
  } catch (error) {
    if (error instanceof GovernorError) throw error;
    throw new GovernorError(
      'state_dir',
      `${join(root, runId)}: no temp directory could be made (${errnoOf(error) ?? 'unknown error'})`,
      {
        cause: error,
      },
    );
  }
}

/**
 * The directory as its limit wants it: on the disk that the root is on, or a tmpfs of its own.
 * @returns its real path
 * @throws GovernorError `state_dir`, or `unsupported` where a tmpfs is wanted and may not be mounted: never the disk instead
 */
export async function createRunDirectory(root: string, runId: string, limit: ResolvedLimit | null): Promise<string> {
  const { path } = createTempDir(root, runId);
  if (limit?.backing !== 'tmpfs') return path;
  try {
    await mountTmpfs(path, tmpfsSize(limit));
    return path;
  } catch (error) {
    await removeRunDirectory(path);
    throw error;
  }
}

export interface RunDirectoryRemoval extends RemovalReport {
  /** For people, what was not as it should be; null when there is nothing to tell. */
  readonly note: string | null;
}

/** Unmounts what is the run's own, then deletes. @throws when it cannot be unmounted */
export async function removeRunDirectory(path: string): Promise<RunDirectoryRemoval> {
  const unmounted = await unmountTmpfs(path);
  const report = await removeTree(path);
  if (unmounted === null) return { ...report, note: null };
  return {
    ...report,
    files: report.files + unmounted.inodes,
    bytes: report.bytes + unmounted.bytes,
    note: unmounted.lazily
      ? 'its tmpfs was still in use: it is detached, and its memory is freed with its last user'
      : null,
  };
}

function refuseForeign(root: string, found: Stats): void {
  const hint = 'name another directory, or remove this one';
  const refuse = (what: string): never => {
    throw new GovernorError('state_dir', `${root}: ${what}: not used for temp directories (${hint})`);
  };
  if (found.isSymbolicLink()) refuse('is a symbolic link');
  if (!found.isDirectory()) refuse('is not a directory');
  const own = process.getuid?.();
  if (own !== undefined && found.uid !== own) refuse(`belongs to user ${found.uid}, not to ${own}`);
  if ((found.mode & 0o022) !== 0) refuse(`can be written by others (mode ${(found.mode & 0o777).toString(8)})`);
}
