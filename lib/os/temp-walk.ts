/** One walk over a directory tree, in slices, through handles: nothing is followed out of it. */

import type { Dir } from 'node:fs';
import { errnoOf, isDenied, isGone } from './kernel-file.ts';
import { type ByteString, lstatOrNull, OpenDirectory } from './open-directory.ts';

/** How many entries are read between two looks at the clock. */
const ENTRIES_PER_LOOK = 32;
/** Paths below a handle longer than this get a handle of their own: PATH_MAX is 4096. */
const LONGEST_PATH = 3000;
const MOST_HANDLES = 64;

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

export class TempWalk {
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
    const before = process.cpuUsage();
    for (let count = 1; ; count += 1) {
      const over = !this.#one();
      if (!over && (count % ENTRIES_PER_LOOK !== 0 || performance.now() - began <= budgetMs)) continue;
      // On a busy machine the clock goes on while this process waits for its turn: that costs nobody anything.
      const { user, system } = process.cpuUsage(before);
      this.costMs += (user + system) / 1000;
      return over;
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
