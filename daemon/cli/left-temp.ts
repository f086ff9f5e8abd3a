/**
 * For `governor doctor`: temp directories and sockets of runs whose daemon was killed and never came back. Where a run's
 * socket refuses, nobody holds the run any more. Its tool may live all the same, and the next daemon of the same state
 * directory may know it: so nothing removes them by itself.
 */

import { lstatSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { quoted, type Leftovers, type Telling } from './leftovers.ts';

export const TEMP_TELLING: Telling = {
  title: 'temp',
  dead: 'directories and sockets of runs, of daemons that are gone',
  unknown: 'directories of runs that have no socket',
  beforeRemoval: { dead: 'if none of their tools runs', unknown: 'if none of their tools runs' },
  removal: (paths) => `rm -rf -- ${paths.map(quoted).join(' ')}`,
};

/** A run that starts has its directory before its socket. */
const STARTING_MS = 60 * 60_000;
const RUN = /^([0-9a-z]{1,32})(\.sock)?$/;

/** @param roots those that are not there hold nothing */
export async function leftTemp(roots: readonly string[], nowMs: number): Promise<Leftovers> {
  const left = { dead: [] as string[], unknown: [] as string[] };
  for (const root of roots) {
    const names = new Set(listing(root).filter((name) => RUN.test(name)));
    const runs = new Set([...names].map((name) => RUN.exec(name)?.[1] ?? name));
    for (const run of runs) {
      const directory = join(root, run);
      const socket = `${directory}.sock`;
      const own = [...(names.has(run) ? [directory] : []), ...(names.has(`${run}.sock`) ? [socket] : [])];
      if (!names.has(`${run}.sock`)) {
        if (isOld(directory, nowMs)) left.unknown.push(...own);
      } else if (await isRefused(socket)) left.dead.push(...own);
    }
  }
  return left;
}

function listing(root: string): readonly string[] {
  try {
    return readdirSync(root);
  } catch {
    // Not there, or somebody else's: then it holds nothing of ours.
    return [];
  }
}

function isOld(directory: string, nowMs: number): boolean {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  return found?.isDirectory() === true && nowMs - found.mtimeMs > STARTING_MS;
}

function isRefused(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}
