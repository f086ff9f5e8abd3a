/** The sockets of a set of processes: which inodes their handles lead to, each counted once however many have it open. */

import type { Unsupported } from '../../core/usage.ts';
import { type ProcessHandle, unreadable } from './process-table.ts';

/**
 * Links are read again this often even when the number of handles stays the same (a closed socket replaced by a file),
 * unless the process did not get a tick of CPU time since: then after a minute.
 */
const LINKS_MS = 10_000;
const IDLE_LINKS_MS = 60_000;

export class TreeSockets {
  /** Inode → number of handles on it. */
  readonly #counts = new Map<number, number>();
  readonly #mustReadStat: boolean;
  /** Why links of a process could not be read since `begin`. */
  denied: Unsupported | null = null;

  /** @param mustReadStat nobody else reads the CPU time of each process before its links are asked for */
  constructor(mustReadStat: boolean) {
    this.#mustReadStat = mustReadStat;
  }

  get size(): number {
    return this.#counts.size;
  }

  begin(): void {
    this.denied = null;
  }

  /** @param fresh whatever the number of handles says */
  read(handle: ProcessHandle, nowMs: number, fresh: boolean): void {
    const links = handle.links;
    const due = fresh || (nowMs >= links.dueMs && !this.#wasIdle(handle, nowMs));
    if (!due && links.count === handle.fdCount) return;
    const before = links.sockets;
    const state = handle.readLinks(due);
    if (state === 'gone') return;
    if (state !== 'ok') {
      this.denied ??= unreadable(handle.pid, state);
      return;
    }
    if (due) links.schedule(nowMs, LINKS_MS, handle);
    for (const inode of before) this.#release(inode);
    for (const inode of links.sockets) this.#counts.set(inode, (this.#counts.get(inode) ?? 0) + 1);
  }

  /** Of what has ended and is not reaped yet there is a pid, and nothing is open any more. */
  forget(handle: ProcessHandle): void {
    for (const inode of handle.links.sockets) this.#release(inode);
    handle.links.clear();
  }

  clear(): void {
    this.#counts.clear();
  }

  /** Puts the next read off when nothing can have changed. */
  #wasIdle(handle: ProcessHandle, nowMs: number): boolean {
    const links = handle.links;
    if (links.count < 0 || nowMs - links.readMs >= IDLE_LINKS_MS) return false;
    if (this.#mustReadStat && handle.readStat() !== 'ok') return false;
    if (handle.stat.ownTicks !== links.ownTicks) return false;
    links.dueMs = nowMs + LINKS_MS;
    return true;
  }

  #release(inode: number): void {
    const count = this.#counts.get(inode) ?? 0;
    if (count > 1) this.#counts.set(inode, count - 1);
    else this.#counts.delete(inode);
  }
}
