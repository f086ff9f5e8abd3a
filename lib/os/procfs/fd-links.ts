/** What the file handles of one process are, as far as limits need it: sockets by inode, unlinked files of the temp dir. */

import { readdirSync, readlinkSync } from 'node:fs';
import { isGone } from '../kernel-file.ts';

/** Tables up to this size are read whole each time; larger ones only where a number is new (a link costs 4 µs). */
const SMALL_TABLE = 128;

const SOCKET_PREFIX = 'socket:[';
const DELETED_SUFFIX = ' (deleted)';

export class FdLinks {
  /** Inodes of sockets; one that is open twice stands here twice. */
  sockets: number[] = [];
  /** Numbers of handles on unlinked files of the temp dir. */
  deleted: number[] = [];
  /** Number of handles at the last read; -1 before the first. */
  count = -1;
  /** Monotonic milliseconds after which all links are read again, although their number did not change. */
  dueMs = Number.NEGATIVE_INFINITY;
  /** When all links were read last, and the CPU time that the process had used by then. */
  readMs = Number.NEGATIVE_INFINITY;
  ownTicks = -1;
  readonly #tempPrefix: string | null;
  /** By number: inode of a socket, 0 for anything else, -1 for an unlinked file of the temp dir. */
  #known = new Map<string, number>();

  /** @param tempPrefix real path of the temp dir with a slash at its end */
  constructor(tempPrefix: string | null) {
    this.#tempPrefix = tempPrefix;
  }

  /**
   * @param path /proc/PID/fd; the caller makes sure that the pid meant the same process until the end
   * @param full read every link again; otherwise, in a large table, only those of new numbers
   */
  read(path: string, full: boolean): void {
    const names = readdirSync(path);
    const before = full || names.length <= SMALL_TABLE ? null : this.#known;
    const known = new Map<string, number>();
    const sockets: number[] = [];
    const deleted: number[] = [];
    for (const name of names) {
      const kind = before?.get(name) ?? this.#kindOf(path, name);
      if (kind === null) continue;
      known.set(name, kind);
      if (kind > 0) sockets.push(kind);
      else if (kind < 0) deleted.push(Number(name));
    }
    this.#known = names.length <= SMALL_TABLE ? EMPTY : known;
    this.sockets = sockets;
    this.deleted = deleted;
    this.count = names.length;
  }

  /**
   * All links were read. The first period is stretched by pid, so that 200 processes are not all due in the same tick.
   * @param handle the process, with its pid; its CPU time if it was read
   */
  schedule(
    nowMs: number,
    periodMs: number,
    handle: { readonly pid: number; readonly stat: { readonly ownTicks: number } },
  ): void {
    const first = this.readMs === Number.NEGATIVE_INFINITY;
    this.dueMs = nowMs + periodMs + (first ? (handle.pid * 37) % periodMs : 0);
    this.readMs = nowMs;
    this.ownTicks = handle.stat.ownTicks;
  }

  /** The process has closed them all. */
  clear(): void {
    this.sockets = [];
    this.deleted = [];
    this.count = -1;
    this.#known = EMPTY;
  }

  #kindOf(path: string, name: string): number | null {
    let target: string;
    try {
      target = readlinkSync(`${path}/${name}`);
    } catch (error) {
      if (isGone(error)) return null; // closed since the directory was read
      throw error;
    }
    if (target.startsWith(SOCKET_PREFIX)) return Number(target.slice(SOCKET_PREFIX.length, -1));
    const unlinked =
      this.#tempPrefix !== null && target.startsWith(this.#tempPrefix) && target.endsWith(DELETED_SUFFIX);
    return unlinked ? -1 : 0;
  }
}

const EMPTY: Map<string, number> = new Map();
