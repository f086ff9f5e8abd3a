/**
 * How much a directory tree takes up on disk. The walk is cut into slices of about a millisecond, one per sample, so
 * that a tool with a million files does not hold up the daemon; until a walk is complete the last complete one counts,
 * with the time that it had.
 */

import type { Stats } from 'node:fs';
import { type Gone, GONE, type Unsupported, unsupported } from '../core/usage.ts';
import { errnoOf, failedReading, isDenied, isGone } from './kernel-file.ts';
import { type ByteString, bytesOf, lstatOrNull } from './open-directory.ts';
import { TempWalk } from './temp-walk.ts';

const SLICE_MS = 1.5;
/** Before an irreversible act the loop may be held up for longer. */
const FRESH_SLICE_MS = 50;
/** A walk is not begun again before this, nor before 50 times what the last one cost: 2 % of a core at most. */
const INTERVAL_MS = 1000;
const COST_FACTOR = 50;

export interface TempUsageReading {
  readonly kind: 'measured';
  /** Disk space, st_blocks × 512: holes of sparse files are not counted. */
  readonly bytes: number;
  /** Files, directories and links, without the directory itself. */
  readonly inodes: number;
  /** When the walk began. */
  readonly atMs: number;
  /** False when a part could not be read. */
  readonly complete: boolean;
  /** No walk has come to its end yet: the values rise while more is found. */
  readonly isBeingFound: boolean;
}

export class TempUsage {
  readonly #dir: ByteString;
  readonly #last = {
    kind: 'measured' as const,
    bytes: 0,
    inodes: 0,
    atMs: Number.NEGATIVE_INFINITY,
    complete: false,
    isBeingFound: false,
  };
  #walk: TempWalk | null = null;
  #nextMs = Number.NEGATIVE_INFINITY;
  /** mtime and ctime of the directory when it was last found empty: while they stay, it is empty. */
  #emptySince: number | null = null;

  constructor(dir: string) {
    this.#dir = bytesOf(dir);
  }

  /**
   * Does one slice of work.
   * @param fresh begin anew and take up to 50 ms for it
   * @returns a reused object; before the first walk is complete, what was found so far with `complete: false`
   */
  sample(nowMs: number, fresh: boolean): TempUsageReading | Gone | Unsupported {
    try {
      return this.#advance(nowMs, fresh);
    } catch (error) {
      this.close();
      if (isGone(error) || isDenied(error)) return failedReading(error, 'temp directory');
      const errno = errnoOf(error);
      if (errno === null) throw error;
      // EIO, EMFILE, ELOOP, …: what is wrong with the tool's files is no fault of the daemon.
      return unsupported(`temp directory: it could not be read (${errno})`);
    }
  }

  /** True when the directory was empty and still is. Only of an empty one can one look tell. */
  standsEmpty(nowMs: number): boolean {
    if (this.#walk !== null || this.#emptySince === null) return false;
    const root = lstatOrNull(this.#dir);
    return root !== null && root.isDirectory() && this.#isStillEmpty(root, nowMs);
  }

  close(): void {
    this.#walk?.close();
    this.#walk = null;
  }

  #advance(nowMs: number, fresh: boolean): TempUsageReading | Gone {
    if (fresh) this.close();
    if (this.#walk === null) {
      if (!fresh && nowMs < this.#nextMs) return this.#last;
      const root = lstatOrNull(this.#dir);
      if (root === null || !root.isDirectory()) return GONE;
      if (!fresh && this.#isStillEmpty(root, nowMs)) return this.#last;
      this.#walk = new TempWalk(this.#dir, root.dev, root.ino, nowMs, changedMs(root));
    }
    const walk = this.#walk;
    if (!walk.step(fresh ? FRESH_SLICE_MS : SLICE_MS)) return this.#unfinished(walk);
    this.#last.bytes = walk.bytes;
    this.#last.inodes = walk.inodes;
    this.#last.atMs = walk.beganMs;
    this.#last.complete = walk.complete;
    this.#emptySince = walk.inodes === 0 && walk.complete ? walk.rootChangedMs : null;
    this.#nextMs = nowMs + Math.max(INTERVAL_MS, walk.costMs * COST_FACTOR);
    this.close();
    return this.#last;
  }

  #isStillEmpty(root: Stats, nowMs: number): boolean {
    const changed = changedMs(root);
    // Coarse clock: a change in the same tick as the last walk leaves no trace, so a young directory is walked again.
    if (this.#emptySince !== changed || Date.now() - changed <= 100) return false;
    this.#last.atMs = nowMs;
    this.#nextMs = nowMs + INTERVAL_MS;
    return true;
  }

  /** What an unfinished walk found is a lower bound: it counts where it is more than the last complete value. */
  #unfinished(walk: TempWalk): TempUsageReading {
    const last = this.#last;
    const isBeingFound = last.atMs === Number.NEGATIVE_INFINITY;
    if (!isBeingFound && walk.bytes <= last.bytes && walk.inodes <= last.inodes) return last;
    const bytes = Math.max(walk.bytes, last.bytes);
    const inodes = Math.max(walk.inodes, last.inodes);
    return { kind: 'measured', bytes, inodes, atMs: walk.beganMs, complete: false, isBeingFound };
  }
}

function changedMs(root: Stats): number {
  return Math.max(root.mtimeMs, root.ctimeMs);
}
