/**
 * System calls that Node does not have, through koffi where it is installed. Everything works without it, less exactly;
 * what is missing then is in the reason.
 */

import { createRequire } from 'node:module';
import { arch, constants as osConstants, endianness, platform } from 'node:os';

export interface NofileLimits {
  /** Numbers of handles; Infinity for none. */
  readonly soft: number;
  readonly hard: number;
}

/** Each call returns what it got, or the errno as a negative number, as the kernel does. */
export interface NativeCalls {
  readonly available: true;
  /** prlimit(2), RLIMIT_NOFILE of another process; null when it is gone or not permitted. */
  getNofile(pid: number): NofileLimits | null;
  /** prlimit(2). @returns 0 or -errno */
  setNofile(pid: number, limits: NofileLimits): number;
  /** pidfd_open(2), Linux 5.3. @returns a file handle to be closed, or -errno */
  openPidfd(pid: number): number;
  /** pidfd_send_signal(2): hits the very process or nobody. @returns 0 or -errno */
  signalPidfd(pidfd: number, signal: number): number;
  /** pidfd_getfd(2), Linux 5.6: a duplicate of a handle of that process; needs the right to trace it. @returns a handle or -errno */
  duplicateFrom(pidfd: number, fd: number): number;
  /** send(2) with MSG_DONTWAIT and MSG_NOSIGNAL: neither waits nor changes the flags of the shared socket. @returns bytes or -errno */
  sendNow(fd: number, bytes: Uint8Array): number;
  /** madvise(2), MADV_DONTNEED: only for what the file that is mapped there still has. @returns 0 or -errno */
  forgetPages(address: bigint, bytes: number): number;
  /** malloc_trim(3): free pages of the C heap, back to the kernel. @returns false where the C library has none (musl) */
  trimHeap(): boolean;
}

export type Native = NativeCalls | { readonly available: false; readonly reason: string };

let loaded: Native | null = null;

/**
 * Loads koffi at the first call (5 ms, 3 MB). On Node 22 and newer loading it sets O_NONBLOCK on our own stderr where
 * that is a pipe or socket.
 */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

/** `ESRCH` for 3 and so on. */
export function errnoName(errno: number): string {
  const names = osConstants.errno as unknown as Readonly<Record<string, number>>;
  return Object.keys(names).find((name) => names[name] === Math.abs(errno)) ?? `errno ${Math.abs(errno)}`;
}

const MISSING =
  'limits on file handles are polled, signals rely on a check of the start time, stderr of a tool cannot be written where it is a socket';

/** The generic numbers, the same on x86-64 and arm64 for calls newer than 4.x. */
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
const RLIMIT_NOFILE = 7;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MADV_DONTNEED = 4;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

function load(): Native {
  const unavailable = (why: string): Native => ({ available: false, reason: `${why}: ${MISSING}` });
  if (platform() !== 'linux') return unavailable('native calls are for Linux');
  if (arch() !== 'x64' && arch() !== 'arm64')
    return unavailable(`the numbers of system calls on ${arch()} are not known here`);
  try {
    return bind(createRequire(import.meta.url)('koffi') as Koffi);
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return unavailable(`koffi could not be loaded (${why})`);
  }
}

/** The part of koffi that is used here. */
interface Koffi {
  load(path: null): {
    func(name: string, result: string, parameters: readonly string[]): (...values: readonly unknown[]) => unknown;
  };
  errno(): number;
}

function bind(koffi: Koffi): NativeCalls {
  const libc = koffi.load(null);
  const syscall = libc.func('syscall', 'long', ['long', 'long', 'long', 'long', 'long']);
  const prlimit = libc.func('prlimit', 'int', ['int', 'int', 'void *', 'void *']);
  const send = libc.func('send', 'long', ['int', 'void *', 'size_t', 'int']);
  const madvise = libc.func('madvise', 'int', ['void *', 'size_t', 'int']);
  const trim = functionOrNull(() => libc.func('malloc_trim', 'int', ['size_t']));
  const orErrno = (result: unknown): number => (Number(result) < 0 ? -koffi.errno() : Number(result));
  return {
    available: true,
    getNofile(pid) {
      const found = Buffer.alloc(16);
      if (orErrno(prlimit(pid, RLIMIT_NOFILE, null, found)) < 0) return null;
      return { soft: readLimit(found, 0), hard: readLimit(found, 8) };
    },
    setNofile(pid, limits) {
      const wanted = Buffer.alloc(16);
      writeLimit(wanted, 0, limits.soft);
      writeLimit(wanted, 8, limits.hard);
      return orErrno(prlimit(pid, RLIMIT_NOFILE, wanted, null));
    },
    openPidfd: (pid) => orErrno(syscall(SYS_PIDFD_OPEN, pid, 0, 0, 0)),
    signalPidfd: (pidfd, signal) => orErrno(syscall(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, 0, 0)),
    duplicateFrom: (pidfd, fd) => orErrno(syscall(SYS_PIDFD_GETFD, pidfd, fd, 0, 0)),
    sendNow: (fd, bytes) => orErrno(send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL)),
    forgetPages: (address, bytes) => orErrno(madvise(address, bytes, MADV_DONTNEED)),
    trimHeap: () => trim?.(0) === 1,
  };
}

function functionOrNull<T>(find: () => T): T | null {
  try {
    return find();
  } catch {
    return null;
  }
}

function readLimit(from: Buffer, at: number): number {
  const value = endianness() === 'LE' ? from.readBigUInt64LE(at) : from.readBigUInt64BE(at);
  return value === RLIM_INFINITY ? Number.POSITIVE_INFINITY : Number(value);
}

function writeLimit(into: Buffer, at: number, limit: number): void {
  const value = Number.isFinite(limit) ? BigInt(Math.trunc(limit)) : RLIM_INFINITY;
  if (endianness() === 'LE') into.writeBigUInt64LE(value, at);
  else into.writeBigUInt64BE(value, at);
}
