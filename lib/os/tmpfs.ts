/** Temp directories in memory: how to tell one, and what is in one that is the run's own, by the kernel's own count. */

import { lstatSync, statfsSync, type StatsFs, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { GONE, type Reading, unsupported } from '../core/usage.ts';
import { failedReading, isDenied, isGone } from './kernel-file.ts';
import { measure, reusedReading } from './procfs/reused-reading.ts';

/** How a tool gets more than polling; for the chooser's report. */
export const TMPFS_HINT =
  'for a tool: temp_storage: { backing: tmpfs }, counted and held by the kernel (needs the right to mount)';

/** statfs(2) */
const TMPFS_MAGIC = 0x01021994;
const RAMFS_MAGIC = 0x858458f6;

/** Files in such a directory are charged to the writer's memory. */
export function isTmpfs(directory: string): boolean {
  const type = statfsOrNull(directory)?.type;
  return type === TMPFS_MAGIC || type === RAMFS_MAGIC;
}

/** A tmpfs is mounted right there, and not somewhere above. */
export function isMountedTmpfs(directory: string): boolean {
  const here = lstatSync(directory, { throwIfNoEntry: false });
  if (here?.isDirectory() !== true || statfsOrNull(directory)?.type !== TMPFS_MAGIC) return false;
  return here.dev !== lstatSync(dirname(directory), { throwIfNoEntry: false })?.dev;
}

/** False where that process sees something else at this path: it lives in another mount namespace. */
export function seesDirectory(pid: number, directory: string): boolean {
  try {
    const theirs = statSync(`/proc/${pid}/root${directory}`);
    const ours = statSync(directory);
    return theirs.dev === ours.dev && theirs.ino === ours.ino;
  } catch (error) {
    if (isGone(error) || isDenied(error)) return false;
    throw error;
  }
}

export interface Held {
  /** In bytes, unlinked files that are still open included. */
  readonly bytes: number;
  /** Files, directories, links and further names of files, without the directory itself. */
  readonly inodes: number;
}

export function heldIn({ blocks, bfree, bsize, files, ffree }: StatsFs): Held {
  return { bytes: (blocks - bfree) * bsize, inodes: Math.max(0, files - ffree - 1) };
}

/** Usage of a run's own tmpfs: exact and fresh each time, for the price of two system calls. */
export class TmpfsUsage {
  readonly #directory: string;
  readonly #device: number;
  readonly #reading = reusedReading('exact');

  private constructor(directory: string, device: number) {
    this.#directory = directory;
    this.#device = device;
  }

  /** Null where no tmpfs is mounted right there. */
  static tryOpen(directory: string): TmpfsUsage | null {
    return isMountedTmpfs(directory) ? new TmpfsUsage(directory, lstatSync(directory).dev) : null;
  }

  /** Reads again. @returns true when nothing has changed */
  stands(nowMs: number): boolean {
    const { value, inodes } = this.#reading;
    return this.sample(nowMs) === this.#reading && this.#reading.value === value && this.#reading.inodes === inodes;
  }

  /** @returns a reused object */
  sample(nowMs: number): Reading {
    try {
      const found = lstatSync(this.#directory, { throwIfNoEntry: false });
      if (found === undefined) return GONE;
      // The numbers would be those of the disk below.
      if (found.dev !== this.#device) return unsupported('the tmpfs of the run is not mounted any more');
      const { bytes, inodes } = heldIn(statfsSync(this.#directory));
      this.#reading.inodes = inodes;
      return measure(this.#reading, bytes, nowMs);
    } catch (error) {
      return failedReading(error, 'temp directory');
    }
  }
}

export function statfsOrNull(directory: string): StatsFs | null {
  try {
    return statfsSync(directory);
  } catch (error) {
    // Removed before a crashed run is adopted: nothing is held there.
    if (isGone(error)) return null;
    throw error;
  }
}
