/**
 * Directories of a cgroup hierarchy, v1 and v2 alike: making, finding again, removing. Everything that takes the kernel's
 * cgroup lock is asynchronous: it can wait milliseconds behind a migration.
 */

import { constants, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { access, mkdir, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { GovernorError } from '../../core/errors.ts';
import { errnoOf, isGone } from '../kernel-file.ts';

/**
 * Makes the group of a run. An empty leftover of the same name is replaced, so that no old limit survives in it.
 * @throws GovernorError `launch_failed` when the name holds processes, sub-groups or is frozen
 */
export async function createGroup(directory: string): Promise<number> {
  if (!(await tryMkdir(directory))) {
    const state = frozenState(directory);
    if (state !== null) {
      throw new GovernorError('launch_failed', `${directory} exists and is ${state}: it is not used for a new run`);
    }
    const pids = pidsBelow(directory);
    if (pids.length > 0) {
      throw new GovernorError(
        'launch_failed',
        `${directory} exists and holds ${pids.length} processes that are not ours`,
      );
    }
    await removeGroup(directory, performance.now() + 100);
    await mkdir(directory);
  }
  return statSync(directory).ino;
}

/** As `createGroup`, below a top directory that somebody may have removed while it was empty. */
export async function createGroupBelow(directory: string, renewTop: () => Promise<void>): Promise<number> {
  try {
    return await createGroup(directory);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    await renewTop();
    return await createGroup(directory);
  }
}

/** Makes a shared directory; being there already is fine. @returns whether it was not */
export async function ensureGroup(directory: string): Promise<boolean> {
  return tryMkdir(directory);
}

async function tryMkdir(directory: string): Promise<boolean> {
  try {
    await mkdir(directory);
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

/** `frozen`, or null for a running group or one without a freezer. */
function frozenState(directory: string): 'frozen' | null {
  for (const [file, running] of [
    ['cgroup.freeze', '0'],
    ['freezer.state', 'THAWED'],
  ] as const) {
    const text = readOrNull(join(directory, file));
    if (text !== null && text.trim() !== running) return 'frozen';
  }
  return null;
}

/**
 * Removes a group and what the tool made below it, deepest first. EBUSY (a process that is still exiting) is retried
 * after 1, 2, 4 … ms until the deadline. A group that is gone already is fine.
 * @param deadline on the scale of `performance.now()`
 */
export async function removeGroup(directory: string, deadline: number): Promise<void> {
  for (const child of await childGroups(directory)) await removeGroup(child, deadline);
  for (let waitMs = 1; ; waitMs *= 2) {
    try {
      await rmdir(directory);
      return;
    } catch (error) {
      // Somebody else removed it.
      if (isGone(error)) return;
      const code = errnoOf(error);
      if (code !== 'EBUSY' && code !== 'ENOTEMPTY') throw error;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw error;
      await sleep(Math.min(waitMs, leftMs, 50));
      for (const child of await childGroups(directory)) await removeGroup(child, deadline);
    }
  }
}

/** Removes each, whatever becomes of the others. @throws the first error, once all were tried */
export async function removeGroups(directories: Iterable<string>, deadline: number): Promise<void> {
  const removals = await Promise.allSettled([...directories].map((directory) => removeGroup(directory, deadline)));
  for (const removal of removals) if (removal.status === 'rejected') throw removal.reason;
}

/** Removes a shared top directory if nobody uses it. The kernel lets go of the last group in it a moment later than it says. */
export async function removeIfEmpty(directory: string): Promise<void> {
  for (let waitMs = 1; ; waitMs *= 2) {
    try {
      await rmdir(directory);
      return;
    } catch (error) {
      const code = errnoOf(error) ?? '';
      if (code === 'EBUSY' && waitMs <= LETTING_GO_MS && (await childGroups(directory)).length === 0) {
        await sleep(waitMs);
        continue;
      }
      // EBUSY, ENOTEMPTY: runs or another instance are in it; ENOENT: removed already; EACCES, EPERM: made by another user.
      if (['EBUSY', 'ENOTEMPTY', 'ENOENT', 'ENODEV', 'EACCES', 'EPERM'].includes(code)) return;
      throw error;
    }
  }
}

/** The last and longest of the waits. */
const LETTING_GO_MS = 256;

/** Empty when the group is gone. */
export async function childGroups(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(directory, entry.name));
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** Pids of a group and everything below it. Not fast: for kills and checks. */
export function pidsBelow(directory: string): readonly number[] {
  const pids = new Set<number>();
  const pending = [directory];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    // A sub-group that a tool made threaded does not tell: its processes are in the list of the group above.
    for (const line of (readOrNull(join(next, 'cgroup.procs')) ?? '').split('\n')) {
      // pid 0 is a process of an outer PID namespace.
      if (line !== '' && line !== '0') pids.add(Number(line));
    }
    for (const name of directoryNames(next)) pending.push(join(next, name));
  }
  return [...pids];
}

function directoryNames(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** The text of a kernel file, or null when the group or the file is not there. */
export function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    // ENOTSUP (EOPNOTSUPP in the kernel's words): the processes of a threaded group.
    if (isGone(error) || errnoOf(error) === 'ENOTSUP') return null;
    throw error;
  }
}

/** Magic numbers of statfs(2) for cgroup v1 and v2. */
const CGROUP1_MAGIC = 0x27e0eb;
const CGROUP2_MAGIC = 0x63677270;

export function isVersion1(directory: string): boolean {
  return statfsSync(directory).type === CGROUP1_MAGIC;
}

/**
 * True when the directory still is the very group that had this inode. Never true outside a cgroup file system.
 * @param inode null: any group
 */
export function isSameGroup(directory: string, inode: number | null): boolean {
  try {
    const { type } = statfsSync(directory);
    if (type !== CGROUP1_MAGIC && type !== CGROUP2_MAGIC) return false;
    return inode === null || statSync(directory).ino === inode;
  } catch (error) {
    // ENOTDIR: a parent was replaced; EACCES: not ours to see, so not the one we made.
    if (isGone(error) || errnoOf(error) === 'ENOTDIR' || errnoOf(error) === 'EACCES') return false;
    throw error;
  }
}

/** True when this user may write there; a probe, not a promise. */
export async function isWritable(path: string): Promise<boolean> {
  try {
    await access(path, constants.W_OK);
    return true;
  } catch (error) {
    const code = errnoOf(error) ?? '';
    // ENOENT: no such group; the others: not permitted.
    if (['ENOENT', 'EACCES', 'EPERM', 'EROFS'].includes(code)) return false;
    throw error;
  }
}
