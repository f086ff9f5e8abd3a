/**
 * How much a directory tree takes up on disk. The walk is cut into slices of about a millisecond, one per sample, so
 * that a tool with a million files does not hold up the daemon; until a walk is complete the last complete one counts,
 * with the time that it had.
 */

import type { Dir } from 'node:fs';
import { type Gone, GONE, type Unsupported } from '../core/usage.ts';
import { errnoOf, failedReading, isDenied, isGone } from './kernel-file.ts';
import { type ByteString, bytesOf, lstatOrNull, OpenDirectory } from './open-directory.ts';

const SLICE_MS = 1.5;
/** Before an irreversible act the loop may be held up for longer. */
const FRESH_SLICE_MS = 50;
/** A walk is not begun again before this, nor before 50 times what the last one cost: 2 % of a core at most. */
const INTERVAL_MS = 1000;
const COST_FACTOR = 50;
/** How many entries are read between two looks at the clock. */
const ENTRIES_PER_LOOK = 32;
/** Paths below a handle longer than this get a handle of their own: PATH_MAX is 4096. */
const LONGEST_PATH = 3000;
const MOST_HANDLES = 64;

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
}

export class TempUsage {
  readonly #dir: ByteString;
  readonly #last = { kind: 'measured' as const, bytes: 0, inodes: 0, atMs: Number.NEGATIVE_INFINITY, complete: false };
  #walk: Walk | null = null;
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
      return failedReading(error, 'temp directory');
    }
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
      const changed = Math.max(root.mtimeMs, root.ctimeMs);
      // Coarse clock: a change in the same tick as the last walk leaves no trace, so a young directory is walked again.
      if (this.#emptySince === changed && !fresh && Date.now() - changed > 100) {
        this.#last.atMs = nowMs;
        this.#nextMs = nowMs + INTERVAL_MS;
        return this.#last;
      }
      this.#walk = new Walk(this.#dir, root.dev, root.ino, nowMs, changed);
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

  /** What an unfinished walk found is a lower bound: it counts where it is more than the last complete value. */
  #unfinished(walk: Walk): TempUsageReading {
    const last = this.#last;
    if (last.atMs !== Number.NEGATIVE_INFINITY && walk.bytes <= last.bytes && walk.inodes <= last.inodes) return last;
    const bytes = Math.max(walk.bytes, last.bytes);
    const inodes = Math.max(walk.inodes, last.inodes);
    return { kind: 'measured', bytes, inodes, atMs: walk.beganMs, complete: false };
  }
}

/** A directory that others are addressed from, kept open while any of them is still to be read. */
interface Anchor {
  readonly directory: OpenDirectory;
  users: number;
}

interface Pending {
  readonly anchor: Anchor;
  /** Path below the anchor. */
  readonly path: ByteString;
  readonly dev: number;
  readonly ino: number;
}

class Walk {
  bytes = 0;
  inodes = 0;
  complete = true;
  costMs = 0;
  readonly beganMs: number;
  readonly rootChangedMs: number;
  readonly #device: number;
  readonly #pending: Pending[] = [];
  readonly #anchors = new Set<Anchor>();
  /** Inodes of files with more than one name. */
  readonly #linked = new Set<number>();
  #current: { readonly pending: Pending; readonly directory: OpenDirectory; readonly list: Dir } | null = null;

  constructor(dir: ByteString, dev: number, ino: number, nowMs: number, rootChangedMs: number) {
    this.beganMs = nowMs;
    this.rootChangedMs = rootChangedMs;
    this.#device = dev;
    const anchor = this.#anchorAt(OpenDirectory.open(dir, { dev, ino }));
    this.#push({ anchor, path: '.', dev, ino });
  }

  /** @returns true when the walk is over */
  step(budgetMs: number): boolean {
    const began = performance.now();
    for (let count = 1; ; count += 1) {
      if (!this.#one()) {
        this.costMs += performance.now() - began;
        return true;
      }
      if (count % ENTRIES_PER_LOOK === 0 && performance.now() - began > budgetMs) {
        this.costMs += performance.now() - began;
        return false;
      }
    }
  }

  close(): void {
    this.#current?.list.closeSync();
    this.#current?.directory.close();
    this.#current = null;
    for (const anchor of this.#anchors) anchor.directory.close();
    this.#anchors.clear();
    this.#pending.length = 0;
  }

  /** One entry, or one directory opened. @returns false when nothing is left to do */
  #one(): boolean {
    if (this.#current === null) {
      const pending = this.#pending.pop();
      if (pending === undefined) return false;
      this.#open(pending);
      return true;
    }
    const { list, directory, pending } = this.#current;
    const entry = list.readSync();
    if (entry === null) {
      list.closeSync();
      directory.close();
      this.#release(pending.anchor);
      this.#current = null;
      return true;
    }
    this.#count(pending, directory, entry.name);
    return true;
  }

  #open(pending: Pending): void {
    let directory: OpenDirectory;
    try {
      directory = OpenDirectory.open(pending.anchor.directory.entry(pending.path), pending);
    } catch (error) {
      // Removed or swapped for something else since it was listed; or closed to us.
      if (isDenied(error)) this.complete = false;
      else if (!isGone(error) && !['ESWAPPED', 'ELOOP', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
      this.#release(pending.anchor);
      return;
    }
    this.#current = { pending, directory, list: directory.list() };
  }

  #count(parent: Pending, directory: OpenDirectory, name: ByteString): void {
    const found = lstatOrNull(directory.entry(name));
    if (found === null) return;
    if (found.isDirectory() && found.dev !== this.#device) return; // a mount point: not this file system's space
    if (!found.isDirectory() && found.nlink > 1) {
      if (this.#linked.has(found.ino)) return;
      this.#linked.add(found.ino);
    }
    this.bytes += found.blocks * 512;
    this.inodes += 1;
    if (found.isDirectory()) this.#descend(parent, directory, name, found);
  }

  #descend(
    parent: Pending,
    directory: OpenDirectory,
    name: ByteString,
    found: { readonly dev: number; readonly ino: number },
  ): void {
    const path = `${parent.path}/${name}`;
    if (path.length <= LONGEST_PATH) {
      this.#push({ anchor: parent.anchor, path, dev: found.dev, ino: found.ino });
      return;
    }
    if (this.#anchors.size >= MOST_HANDLES) {
      this.complete = false;
      return;
    }
    let own: OpenDirectory;
    try {
      own = OpenDirectory.open(directory.entry(name), found);
    } catch (error) {
      if (isDenied(error)) this.complete = false;
      else if (!isGone(error) && errnoOf(error) !== 'ESWAPPED') throw error; // removed since it was listed
      return;
    }
    this.#push({ anchor: this.#anchorAt(own), path: '.', dev: found.dev, ino: found.ino });
  }

  #push(pending: Pending): void {
    pending.anchor.users += 1;
    this.#pending.push(pending);
  }

  #anchorAt(directory: OpenDirectory): Anchor {
    const anchor = { directory, users: 0 };
    this.#anchors.add(anchor);
    return anchor;
  }

  #release(anchor: Anchor): void {
    anchor.users -= 1;
    if (anchor.users > 0) return;
    anchor.directory.close();
    this.#anchors.delete(anchor);
  }
}
