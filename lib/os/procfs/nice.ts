/** The `nice` brake: CPU time only when nobody else wants it. */

import { readdirSync, readFileSync } from 'node:fs';
import { getPriority, platform, setPriority } from 'node:os';
import type { ProcessIdentity } from '../../core/identity.ts';
import { isDenied, isGone } from '../kernel-file.ts';
import { sameProcess } from './stat.ts';

export const BRAKE_NICE = 10;

const CAP_SYS_NICE = 23;

/**
 * Whether niceness can be taken back: only with CAP_SYS_NICE or a RLIMIT_NICE of 20 or more, getrlimit(2). Without,
 * a process that was held back once stays so until it ends.
 */
export function canLiftNice(): boolean {
  try {
    const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
    if (((BigInt(`0x${capabilities}`) >> BigInt(CAP_SYS_NICE)) & 1n) === 1n) return true;
    const limit = /^Max nice priority\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? '0';
    return limit === 'unlimited' || Number(limit) >= 20;
  } catch (error) {
    if (isGone(error)) return process.getuid?.() === 0; // no /proc: not Linux
    throw error;
  }
}

/** Priorities belong to threads on Linux, setpriority(2): each thread of each process is set; later ones inherit. */
export class NiceBrake {
  readonly #members: () => readonly ProcessIdentity[];
  /** Niceness before, by thread id and start of its process. */
  readonly #before = new Map<string, number>();

  constructor(members: () => readonly ProcessIdentity[]) {
    this.#members = members;
  }

  set(): void {
    for (const identity of this.#members()) {
      for (const thread of threadsOf(identity)) {
        const nice = niceOf(thread);
        if (nice === null || nice >= BRAKE_NICE) continue;
        if (change(thread, BRAKE_NICE)) this.#before.set(keyOf(identity, thread), nice);
      }
    }
  }

  lift(): void {
    if (this.#before.size === 0) return;
    const usual = Math.min(...this.#before.values());
    for (const identity of this.#members()) {
      for (const thread of threadsOf(identity)) {
        if (niceOf(thread) === BRAKE_NICE) change(thread, this.#before.get(keyOf(identity, thread)) ?? usual);
      }
    }
    this.#before.clear();
  }
}

function threadsOf(identity: ProcessIdentity): readonly number[] {
  if (platform() !== 'linux') return [identity.pid];
  if (!sameProcess(identity)) return [];
  try {
    return readdirSync(`/proc/${identity.pid}/task`).map(Number);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

function niceOf(thread: number): number | null {
  try {
    return getPriority(thread);
  } catch (error) {
    if (hasErrno(error, 'ESRCH')) return null;
    throw error;
  }
}

function change(thread: number, nice: number): boolean {
  try {
    setPriority(thread, nice);
    return true;
  } catch (error) {
    // Ended meanwhile; another user's; or, when lowering, CAP_SYS_NICE is missing (see canLiftNice).
    if (isDenied(error) || hasErrno(error, 'ESRCH') || hasErrno(error, 'EACCES') || hasErrno(error, 'EPERM'))
      return false;
    throw error;
  }
}

/** node:os throws ERR_SYSTEM_ERROR with the errno in `info`. */
function hasErrno(error: unknown, errno: string): boolean {
  return error instanceof Error && 'info' in error && (error.info as { readonly code?: unknown }).code === errno;
}

function keyOf(identity: ProcessIdentity, thread: number): string {
  return `${identity.pid}:${identity.startTicks}:${thread}`;
}
