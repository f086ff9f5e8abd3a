/** What launchers leave in the daemon's `launch` folder: requests that wait for an answer, and environments. */

import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** `PID FD`, of `connect` with two descriptors more. */
export interface Ring {
  readonly pid: number;
  readonly descriptor: number;
  readonly pipes: readonly [fromClient: number, toClient: number] | null;
}

/** A launcher reads its environment file at once; what lies there for longer belongs to one that died together with its daemon. */
const ENVIRONMENT_KEPT_MS = 60_000;

export function forgetEnvironments(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (!name.startsWith('environment-')) continue;
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined && Date.now() - found.mtimeMs > ENVIRONMENT_KEPT_MS) rmSync(path, { force: true });
  }
}

/**
 * Processes that wait for an answer in this directory, by the names of their requests.
 * @param directory `<stateDir>/launch`
 */
export function waitingLaunchers(directory: string): readonly number[] {
  const pending = join(directory, 'pending');
  if (!existsSync(pending)) return [];
  return readdirSync(pending)
    .filter((name) => /^\d{1,10}$/.test(name))
    .map(Number);
}

/**
 * Of these, the processes that still hold the pipe which their request names. A daemon that dies right after an answer
 * leaves the request of a process that has become its tool, or is gone.
 * @param directory `<stateDir>/launch`
 */
export function unansweredLaunchers(directory: string): readonly number[] {
  putBack(directory);
  return waitingLaunchers(directory).filter((pid) => {
    const ring = parseRing(readRequest(join(directory, 'pending', String(pid))));
    return ring !== null && isPipe(`/proc/${pid}/fd/${ring.descriptor}`);
  });
}

export function parseRing(line: string): Ring | null {
  const match = /^(\d{1,10}) (\d{1,4})(?: (\d{1,4}) (\d{1,4}))?$/.exec(line);
  if (match === null) return null;
  const [, pid, descriptor, from, to] = match;
  const pipes = from === undefined || to === undefined ? null : ([Number(from), Number(to)] as const);
  return { pid: Number(pid), descriptor: Number(descriptor), pipes };
}

/** After the pid of a request that is being answered. */
export const ASIDE = '.answered';

/** What an earlier daemon was about to answer when it died. */
export function putBack(directory: string): void {
  const pending = join(directory, 'pending');
  if (!existsSync(pending)) return;
  for (const name of readdirSync(pending).filter((found) => found.endsWith(ASIDE))) {
    const request = join(pending, name.slice(0, -ASIDE.length));
    // Its process has asked again since: as another launcher.
    if (existsSync(request)) rmSync(join(pending, name), { force: true });
    else renameSync(join(pending, name), request);
  }
}

/** Empty when its launcher has not written it yet, or has taken it back. */
export function readRequest(pending: string): string {
  try {
    return readFileSync(pending, 'latin1').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

function isPipe(path: string): boolean {
  try {
    return statSync(path).isFIFO();
  } catch (error) {
    // ENOENT: no such process or descriptor; ESRCH: it is just ending; EACCES: another user's.
    if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
