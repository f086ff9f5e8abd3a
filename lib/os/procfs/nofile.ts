/** RLIMIT_NOFILE of running processes, by prlimit(2). Shared by every Linux backend. */

import { readdirSync, statSync } from 'node:fs';
import type { ProcessIdentity } from '../../core/identity.ts';
import { openFilesCap, type ResolvedLimit } from '../../core/limits.ts';
import type { LimitOutcome } from '../backend.ts';
import { isDenied, isGone } from '../kernel-file.ts';
import { errnoName, native, type NativeCalls, type NofileLimits } from '../native.ts';
import { sameProcess } from './stat.ts';

/** How many handles a process may still open while it is held back: enough to finish what it does. */
const HEADROOM = 8;

/**
 * Sets the hard limit of each process to the emergency stage of the limit on the tree. It holds for each process and not
 * for their sum, so the tree is still polled, and the outcome says so.
 * @param limit null lifts nothing: a hard limit can only be raised with CAP_SYS_RESOURCE
 */
export function limitHardNofile(members: readonly ProcessIdentity[], limit: ResolvedLimit | null): LimitOutcome {
  const resource = 'file_handles';
  if (limit === null) return { resource, enforcement: 'none' };
  const calls = native();
  if (!calls.available) return { resource, enforcement: 'polled', note: calls.reason };
  const wanted = openFilesCap(limit);
  let refused: string | null = null;
  for (const identity of members) {
    const before = nofileOf(calls, identity);
    if (before === null || before.hard === wanted) continue;
    const result = calls.setNofile(identity.pid, { soft: Math.min(before.soft, wanted), hard: wanted });
    if (result < 0 && errnoName(result) !== 'ESRCH') {
      refused =
        wanted > before.hard
          ? 'applies from the next run: raising a hard NOFILE needs CAP_SYS_RESOURCE'
          : `prlimit: ${errnoName(result)}`;
    }
  }
  const note = refused ?? `each process is held to ${wanted} by RLIMIT_NOFILE; the sum over the tree is polled`;
  return { resource, enforcement: 'polled', note };
}

/** The `soft_nofile` brake: soft limits just above what is open, and back. A child that is forked meanwhile inherits the lowered one. */
export class SoftNofileBrake {
  readonly #members: () => readonly ProcessIdentity[];
  readonly #before = new Map<string, number>();
  /** Values that were set here: a child that has one of them got it by inheritance. */
  readonly #given = new Set<number>();

  constructor(members: () => readonly ProcessIdentity[]) {
    this.#members = members;
  }

  get supported(): true | { readonly reason: string } {
    const calls = native();
    return calls.available ? true : { reason: calls.reason };
  }

  /** Processes that are held back already keep what they got. */
  set(): void {
    const calls = native();
    if (!calls.available) return;
    for (const identity of this.#members()) {
      if (this.#before.has(keyOf(identity))) continue;
      const limits = nofileOf(calls, identity);
      const open = countOpen(identity.pid);
      if (limits === null || open === null) continue;
      const soft = open + HEADROOM;
      if (soft >= limits.soft) continue;
      if (calls.setNofile(identity.pid, { soft, hard: limits.hard }) !== 0) continue;
      const inherited = this.#given.has(limits.soft);
      this.#before.set(keyOf(identity), inherited ? this.#highestBefore(limits.hard) : limits.soft);
      this.#given.add(soft);
    }
  }

  lift(): void {
    if (this.#given.size === 0) return;
    const calls = native();
    if (!calls.available) return;
    for (const identity of this.#members()) {
      const limits = nofileOf(calls, identity);
      if (limits === null || !this.#given.has(limits.soft)) continue;
      const soft = this.#before.get(keyOf(identity)) ?? this.#highestBefore(limits.hard);
      calls.setNofile(identity.pid, { soft: Math.min(soft, limits.hard), hard: limits.hard });
    }
    this.#before.clear();
    this.#given.clear();
  }

  #highestBefore(otherwise: number): number {
    return this.#before.size === 0 ? otherwise : Math.max(...this.#before.values());
  }
}

/** Limits of the very process; null when it is gone or belongs to somebody else. */
function nofileOf(calls: NativeCalls, identity: ProcessIdentity): NofileLimits | null {
  return sameProcess(identity) ? calls.getNofile(identity.pid) : null;
}

function countOpen(pid: number): number | null {
  const path = `/proc/${pid}/fd`;
  try {
    // Linux 6.2 and newer; older kernels say 0.
    return statSync(path).size || readdirSync(path).length;
  } catch (error) {
    if (isGone(error) || isDenied(error)) return null;
    throw error;
  }
}

function keyOf(identity: ProcessIdentity): string {
  return `${identity.pid}:${identity.startTicks}`;
}
