/**
 * The last line on a tool's stderr, which says why it was stopped. Opened before the kill, written after it. It never
 * blocks the daemon, never takes a terminal over, never changes what the tool or its client share with us.
 */

import { closeSync, constants, fstatSync, openSync, readlinkSync, type Stats, statSync, writeSync } from 'node:fs';
import { errnoOf, isDenied, isGone, readKernelFile } from './kernel-file.ts';
import { native, type NativeCalls } from './native.ts';
import { printable } from './procfs/stat.ts';

export interface LastWord {
  /**
   * Writes one line, made printable and cut to what a pipe takes in one piece.
   * @returns false when it could not be written: nobody reads any more, or the pipe is full
   */
  write(line: string): boolean;
  /** To be called when the tree has ended: until then a reader of the pipe would not see its end. */
  close(): void;
}

/** PIPE_BUF is 4096: what is not longer is never mixed with somebody else's output, pipe(7). */
const LONGEST_LINE = 4000;

/**
 * Takes hold of what the process has as handle 2.
 * @returns null where writing could do harm, is not permitted, or makes no sense: closed, read-only, a device other
 * than a terminal or /dev/null, another user's, a socket that may not be duplicated
 */
export function openLastWord(pid: number): LastWord | null {
  try {
    return open(pid);
  } catch (error) {
    if (isGone(error) || isDenied(error)) return null;
    // ENXIO: nobody reads the pipe; EMFILE: no handle left; EROFS, ETXTBSY: no place to write; EIO: the terminal hung up.
    if (['ENXIO', 'EMFILE', 'ENFILE', 'EROFS', 'ETXTBSY', 'EIO'].includes(errnoOf(error) ?? '')) return null;
    throw error;
  }
}

/** Linux only, not in node:fs: a handle that names a file without opening it, open(2). */
const O_PATH = 0o10000000;

function open(pid: number): LastWord | null {
  if (!isOurs(pid) || !isWritable(pid)) return null;
  if (readlinkSync(`/proc/${pid}/fd/2`).startsWith('socket:')) return openSocket(pid);
  // A second opening of a file that others write by their shared position would be written over by them.
  if (!appends(pid) && statSync(`/proc/${pid}/fd/2`).isFile()) return openShared(pid);
  // Opening has effects on some devices, and what handle 2 is may change under our hands: first name it, then look, then open.
  const name = openSync(`/proc/${pid}/fd/2`, O_PATH);
  try {
    const found = fstatSync(name);
    if (!(found.isFIFO() || found.isFile() || isHarmlessDevice(found))) return null;
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK | constants.O_NOCTTY;
    const fd = openSync(`/proc/self/fd/${name}`, flags);
    return lastWord(fd, (bytes) => writeSync(fd, bytes) === bytes.length);
  } finally {
    closeSync(name);
  }
}

/** Reopening asks for our rights, not for the tool's: as root that could write where the tool may not. */
function isOurs(pid: number): boolean {
  return statSync(`/proc/${pid}`).uid === process.geteuid?.();
}

function isWritable(pid: number): boolean {
  const flags = openFlags(pid);
  return flags !== null && (flags & 3) !== constants.O_RDONLY;
}

function appends(pid: number): boolean {
  return ((openFlags(pid) ?? 0) & constants.O_APPEND) !== 0;
}

/** The flags it was opened with, proc_pid_fdinfo(5). */
function openFlags(pid: number): number | null {
  const flags = /^flags:\s*([0-7]+)/m.exec(readKernelFile(`/proc/${pid}/fdinfo/2`))?.[1];
  return flags === undefined ? null : Number.parseInt(flags, 8);
}

/** Numbers of Linux' devices.txt: 1:3 is /dev/null, 4 and 5 are terminals and consoles, 136 to 143 pseudo-terminals. */
function isHarmlessDevice(found: Stats): boolean {
  if (!found.isCharacterDevice()) return false;
  const major = ((found.rdev >> 8) & 0xfff) >>> 0;
  const minor = (found.rdev & 0xff) | ((found.rdev >> 12) & 0xfff00);
  if (major === 1) return minor === 3;
  return major === 4 || major === 5 || (major >= 136 && major <= 143);
}

/** A duplicate of a regular file: its position is the one that all its writers share. */
function openShared(pid: number): LastWord | null {
  const fd = duplicate(pid);
  return fd === null ? null : lastWord(fd, (bytes) => writeSync(fd, bytes) === bytes.length);
}

/** A socket cannot be reopened. A duplicate shares its flags with the tool, so it is written with send(2), which can be told not to wait. */
function openSocket(pid: number): LastWord | null {
  const calls = native();
  const fd = duplicate(pid);
  if (fd === null || !calls.available) return null;
  if (fstatSync(fd).isSocket()) return lastWord(fd, (bytes) => sendAll(calls, fd, bytes));
  closeSync(fd);
  return null;
}

/** pidfd_getfd(2): permitted for processes that we could trace. */
function duplicate(pid: number): number | null {
  const calls = native();
  if (!calls.available) return null;
  const pidfd = calls.openPidfd(pid);
  if (pidfd < 0) return null;
  try {
    const fd = calls.duplicateFrom(pidfd, 2);
    return fd < 0 ? null : fd;
  } finally {
    closeSync(pidfd);
  }
}

function sendAll(calls: NativeCalls, fd: number, bytes: Buffer): boolean {
  return calls.sendNow(fd, bytes) === bytes.length;
}

function lastWord(fd: number, send: (bytes: Buffer) => boolean): LastWord {
  let closed = false;
  return {
    write(line) {
      if (closed) return false;
      try {
        return send(oneLine(line));
      } catch (error) {
        // Nobody reads, nobody reads fast enough, or there is no space: it was worth a try.
        if (['EPIPE', 'EAGAIN', 'EIO', 'ENXIO', 'ENOSPC', 'EDQUOT', 'EFBIG'].includes(errnoOf(error) ?? ''))
          return false;
        throw error;
      }
    },
    close() {
      if (closed) return;
      closed = true;
      closeSync(fd);
    },
  };
}

function oneLine(line: string): Buffer {
  const text = Buffer.from(printable(line), 'utf8').subarray(0, LONGEST_LINE);
  return Buffer.concat([text, Buffer.from('\n')]);
}
