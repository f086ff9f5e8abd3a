/** The private TMPDIR of a run. */

import { chmodSync, lstatSync, mkdirSync, realpathSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { GovernorError } from '../core/errors.ts';
import { errnoOf } from './kernel-file.ts';

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
