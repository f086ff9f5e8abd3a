/**
 * A directory held open, so that its entries are addressed through the handle and not through a path that somebody may
 * swap for a symbolic link meanwhile: Node has no openat(2), but `/proc/self/fd/N/name` is resolved just like it.
 *
 * Names of files are bytes, and not always UTF-8. Here they travel as latin1 strings, one character a byte.
 */

import {
  chmodSync,
  closeSync,
  constants,
  type Dir,
  fstatSync,
  lstatSync,
  opendirSync,
  openSync,
  readFileSync,
  type Stats,
} from 'node:fs';
import { platform } from 'node:os';
import { isDenied } from './kernel-file.ts';

/** Bytes of a name or path, one character each. */
export type ByteString = string;

export function bytesOf(path: string): ByteString {
  return Buffer.from(path, 'utf8').toString('latin1');
}

/** For people; what is not UTF-8 becomes U+FFFD. */
export function readable(path: ByteString): string {
  return Buffer.from(path, 'latin1').toString('utf8');
}

/** For a system call. */
export function rawPath(path: ByteString): Buffer {
  return Buffer.from(path, 'latin1');
}

/** lstat(2), or null when there is nothing (any more). */
export function lstatOrNull(path: ByteString): Stats | null {
  return lstatSync(rawPath(path), { throwIfNoEntry: false }) ?? null;
}

/** Names the very same directory. */
interface Inode {
  readonly dev: number;
  readonly ino: number;
}

/** The directory at the path is not, or no longer, the one that was looked at. */
export class SwappedError extends Error {
  readonly code = 'ESWAPPED';
}

/** Linux only, not in node:fs: a handle that names a file without opening it, open(2). */
const O_PATH = 0o10000000;

const throughHandles = platform() === 'linux';

export class OpenDirectory {
  readonly device: number;
  readonly inode: number;
  readonly #fd: number;
  readonly #path: ByteString;

  private constructor(fd: number, path: ByteString, found: Inode) {
    this.#fd = fd;
    this.#path = path;
    this.device = found.dev;
    this.inode = found.ino;
  }

  /**
   * Opens without following a link in the last step.
   * @param expected what lstat showed; anything else found there is refused
   * @param force make it readable and writable for its owner first, where it is not
   * @throws SwappedError, or the errno (ELOOP and ENOTDIR: a link or a file took its place)
   */
  static open(path: ByteString, expected: Inode | null, force = false): OpenDirectory {
    const fd = openFollowingNothing(path, expected, force);
    const found = fstatSync(fd);
    if (expected !== null && (found.dev !== expected.dev || found.ino !== expected.ino)) {
      closeSync(fd);
      throw new SwappedError(`${readable(path)}: another directory took its place`);
    }
    return new OpenDirectory(fd, path, found);
  }

  /** Path of an entry, safe for one system call that does not follow links. */
  entry(name: ByteString): ByteString {
    return throughHandles ? `/proc/self/fd/${this.#fd}/${name}` : `${this.#path}/${name}`;
  }

  stat(): Stats {
    return fstatSync(this.#fd);
  }

  /** Its entries, names as byte strings. Closes itself where that fails. */
  list(): Dir {
    const path = throughHandles ? `/proc/self/fd/${this.#fd}` : this.#path;
    try {
      return opendirSync(rawPath(path), { encoding: 'latin1', bufferSize: 64 });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Id of the mount it lies on, or null where the kernel does not tell: differs behind every mount point, bind mounts too. */
  mountId(): string | null {
    return mountIdOfHandle(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Of a directory that may be closed to us for reading; links in its path are followed. */
export function mountIdOf(directory: ByteString): string | null {
  if (!throughHandles) return null;
  const fd = openSync(rawPath(directory), O_PATH | constants.O_DIRECTORY);
  try {
    return mountIdOfHandle(fd);
  } finally {
    closeSync(fd);
  }
}

function mountIdOfHandle(fd: number): string | null {
  if (!throughHandles) return null;
  return /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? null;
}

const OPEN_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

function openFollowingNothing(path: ByteString, expected: Inode | null, force: boolean): number {
  if (force) makeWritable(path, expected);
  return openSync(rawPath(path), OPEN_FLAGS);
}

/** chmod(2) follows links, so the mode is changed through a handle that was compared with what is expected. */
function makeWritable(path: ByteString, expected: Inode | null): void {
  if (!throughHandles || expected === null) return;
  const fd = openSync(rawPath(path), O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const found = fstatSync(fd);
    const owner = 0o700;
    if (found.dev !== expected.dev || found.ino !== expected.ino || (found.mode & owner) === owner) return;
    chmodSync(`/proc/self/fd/${fd}`, (found.mode & 0o7777) | owner);
  } catch (error) {
    if (!isDenied(error)) throw error; // not ours to change: opening it will tell
  } finally {
    closeSync(fd);
  }
}
