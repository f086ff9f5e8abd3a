/** The state directory: made, private, writable, or refused with the reason; and the link that leads to the socket. */

import { chmodSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GovernorError } from '../lib/core/errors.ts';
import type { Locations } from './cli/locations.ts';
import { SOCKET_NAME } from './cli/locations.ts';
import { makePrivateDirectory } from './make-directory.ts';

/** @throws GovernorError state_dir */
export function prepareStateDir(stateDir: string): void {
  try {
    makePrivateDirectory(stateDir);
    const found = statSync(stateDir);
    const uid = process.getuid?.();
    if (uid !== undefined && found.uid !== uid) {
      throw new GovernorError(
        'state_dir',
        `the state directory ${stateDir} belongs to user ${found.uid}, not to ${uid}; choose another with --state-dir`,
      );
    }
    chmodSync(stateDir, 0o700);
    const probe = join(stateDir, '.probe');
    writeFileSync(probe, 'written to see whether the directory can be written\n');
    rmSync(probe);
  } catch (error) {
    if (error instanceof GovernorError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      {
        EROFS: 'the file system is read-only',
        ENOSPC: 'the disk is full',
        EACCES: 'permission denied',
        ENOTDIR: 'a part of the path is not a directory',
      }[code ?? ''] ?? message;
    throw new GovernorError(
      'state_dir',
      `the state directory ${stateDir} cannot be written: ${why}; choose another with --state-dir`,
      { cause: error },
    );
  }
}

/** The folder of the socket is made before it is bound. */
export function prepareSocketDir(locations: Locations): void {
  makePrivateDirectory(dirname(locations.listenSocketPath));
}

/** A socket outside of the state directory is linked from there; see locations.ts, rule 3. @returns what undoes it */
export function linkSocket(locations: Locations): () => void {
  const link = join(locations.stateDir, SOCKET_NAME);
  if (link === locations.listenSocketPath) return () => undefined;
  rmSync(link, { force: true });
  symlinkSync(locations.listenSocketPath, link);
  return () => rmSync(link, { force: true });
}
