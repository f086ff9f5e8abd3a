/**
 * Deletes a directory tree that a hostile program may still be changing. Every directory is entered through a handle
 * that was compared with what was listed, links are removed and never followed, and nothing behind a mount point is
 * touched. Nobody waits for it: the work is cut into slices of a few milliseconds.
 */

import { randomBytes } from 'node:crypto';
import { type Dir, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { posix } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { errnoOf, isGone } from './kernel-file.ts';
import {
  type ByteString,
  bytesOf,
  lstatOrNull,
  mountIdOf,
  OpenDirectory,
  rawPath,
  readable,
} from './open-directory.ts';

export interface Leftover {
  readonly path: string;
  readonly reason: string;
}

export interface RemovalReport {
  /** Files, links and directories removed. */
  readonly files: number;
  /** Disk space freed, as far as this was the last name of a file. */
  readonly bytes: number;
  /** What could not be removed, at most 50 of it. */
  readonly left: readonly Leftover[];
  /** All of it. */
  readonly leftCount: number;
}

const SLICE_MS = 4;
const MOST_LEFT = 50;
/** Deeper directories are moved up to the top first: handles are held for each level. */
const DEEPEST = 64;
/** A directory that is not empty after it was emptied is listed again this often: somebody still writes, or readdir missed entries. */
const PASSES = 5;

/** Removes `dir` and all below it. Nothing there is success. Never throws for what the file system refuses: that is `left`. */
export async function removeTree(dir: string): Promise<RemovalReport> {
  const removal = new Removal(bytesOf(dir));
  await removal.run();
  return removal.report();
}

interface Level {
  readonly name: ByteString;
  readonly path: ByteString;
  readonly directory: OpenDirectory;
  list: Dir;
  passes: number;
  /** How many directories had been moved up when the list was begun. */
  movedBefore: number;
  /** Something in it stays: removing it cannot succeed. */
  blocked: boolean;
}

class Removal {
  readonly #dir: ByteString;
  readonly #levels: Level[] = [];
  readonly #left: Leftover[] = [];
  #leftCount = 0;
  #files = 0;
  #bytes = 0;
  #moved = 0;
  readonly #mark = randomBytes(6).toString('hex');
  readonly #reported = new Set<ByteString>();
  #mountId: string | null = null;

  constructor(dir: ByteString) {
    this.#dir = dir;
  }

  report(): RemovalReport {
    return { files: this.#files, bytes: this.#bytes, left: this.#left, leftCount: this.#leftCount };
  }

  async run(): Promise<void> {
    if (!this.#begin()) return;
    let began = performance.now();
    try {
      while (this.#levels.length > 0) {
        this.#step(this.#levels.at(-1) as Level);
        if (performance.now() - began < SLICE_MS) continue;
        await setImmediate();
        began = performance.now();
      }
    } finally {
      for (const level of this.#levels) closeLevel(level);
    }
  }

  #begin(): boolean {
    const found = lstatOrNull(this.#dir);
    if (found === null) return false;
    if (!found.isDirectory()) {
      this.#leave(this.#dir, found.isSymbolicLink() ? 'is a symbolic link: not followed' : 'is not a directory');
      return false;
    }
    try {
      const mountAbove = mountIdOf(posix.dirname(this.#dir));
      const directory = OpenDirectory.open(this.#dir, found, true);
      this.#mountId = directory.mountId();
      if (this.#mountId !== mountAbove) {
        directory.close();
        this.#leave(this.#dir, 'another file system is mounted there');
        return false;
      }
      this.#levels.push(newLevel(directory, this.#dir, this.#dir));
      return true;
    } catch (error) {
      this.#leave(this.#dir, reasonOf(error));
      return false;
    }
  }

  #step(level: Level): void {
    const entry = level.list.readSync();
    if (entry === null) this.#finish(level);
    else this.#remove(level, entry.name);
  }

  #remove(level: Level, name: ByteString): void {
    const target = level.directory.entry(name);
    const path = `${level.path}/${name}`;
    try {
      const found = lstatOrNull(target);
      if (found === null) return;
      if (found.isDirectory()) {
        this.#enter(level, name, target, found);
        return;
      }
      unlinkSync(rawPath(target));
      this.#files += 1;
      if (found.nlink === 1) this.#bytes += found.blocks * 512;
    } catch (error) {
      if (isGone(error)) return;
      // A directory took the place of the file, or the other way round: the next pass sees it as what it is now.
      if (['EISDIR', 'ESWAPPED', 'ELOOP', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return;
      level.blocked = true;
      this.#leave(path, reasonOf(error));
    }
  }

  #enter(
    level: Level,
    name: ByteString,
    target: ByteString,
    found: { readonly dev: number; readonly ino: number },
  ): void {
    if (this.#levels.length >= DEEPEST) {
      this.#moveUp(target, found);
      return;
    }
    const directory = OpenDirectory.open(target, found, true);
    const path = `${level.path}/${name}`;
    if (directory.mountId() !== this.#mountId) {
      directory.close();
      level.blocked = true;
      this.#leave(path, 'another file system is mounted there');
      return;
    }
    this.#levels.push(newLevel(directory, name, path));
  }

  #moveUp(target: ByteString, found: { readonly dev: number; readonly ino: number }): void {
    OpenDirectory.open(target, found, true).close(); // made writable: its `..` changes
    const top = this.#levels[0] as Level;
    renameSync(rawPath(target), rawPath(top.directory.entry(`.removing-${this.#mark}-${this.#moved}`)));
    this.#moved += 1;
  }

  /** The list is at its end: removes the directory, or lists it again. */
  #finish(level: Level): void {
    const parent = this.#levels.at(-2);
    try {
      rmdirSync(rawPath(parent === undefined ? this.#dir : parent.directory.entry(level.name)));
      this.#files += 1;
    } catch (error) {
      if (this.#listAgain(level, error)) return;
      if (!isGone(error)) {
        if (parent !== undefined) parent.blocked = true;
        // What blocks it is in the report already.
        if (!level.blocked) this.#leave(level.path, reasonOf(error));
      }
    }
    closeLevel(level);
    this.#levels.pop();
  }

  #listAgain(level: Level, error: unknown): boolean {
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') return false;
    const moved = level === this.#levels[0] ? this.#moved - level.movedBefore : 0;
    // What was moved here from the depth is not listed yet: that is no sign of somebody writing.
    if (moved === 0 && (level.blocked || level.passes >= PASSES)) return false;
    level.list.closeSync();
    level.list = level.directory.list();
    if (moved === 0) level.passes += 1;
    level.movedBefore = this.#moved;
    return true;
  }

  #leave(path: ByteString, reason: string): void {
    if (this.#reported.has(path)) return;
    this.#reported.add(path);
    this.#leftCount += 1;
    if (this.#left.length < MOST_LEFT) this.#left.push({ path: readable(path), reason });
  }
}

function newLevel(directory: OpenDirectory, name: ByteString, path: ByteString): Level {
  return { name, path, directory, list: directory.list(), passes: 1, movedBefore: 0, blocked: false };
}

function closeLevel(level: Level): void {
  level.list.closeSync();
  level.directory.close();
}

function reasonOf(error: unknown): string {
  switch (errnoOf(error)) {
    case 'EACCES':
    case 'EPERM':
      return 'not permitted: it belongs to another user or is immutable';
    case 'EBUSY':
      return 'busy: something is mounted on it';
    case 'ENOTEMPTY':
    case 'EEXIST':
      return 'files are still being created in it';
    case 'EROFS':
      return 'the file system is read-only';
    case 'ESWAPPED':
      return 'was swapped for another directory while it was removed';
    case 'EMFILE':
      return 'the daemon has no file handles left';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
