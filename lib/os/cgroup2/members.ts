/** The processes of a group, from `cgroup.procs` (cgroups(7)), v1 and v2 alike. */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';

import type { Membership, ProcessIdentity } from '../backend.ts';
import { isGone, KeptFile } from '../kernel-file.ts';
import { readIdentity } from '../procfs/stat.ts';
import { isVersion1, pidsBelow } from './directory.ts';

/** How long the number of sub-groups is trusted with the same list: only a tool with rights on the hierarchy can make any. */
const NESTED_CHECK_MS = 5000;
/** `cgroup.procs` comes in pieces of a page; a shorter first piece is the whole file. */
const WHOLE_BELOW = 4000;
const NEWLINE = 0x0a;
/** How often the members are listed anew when each listed one had ended before it could be looked at. */
const LOOKS = 100;

export class GroupMembers implements Membership {
  readonly exact = true;
  /** Whether the last `pids()` differed from the one before, as far as is known. */
  changed = true;
  readonly #directory: string;
  readonly #path: string;
  /** Null in v1, where a list that is read from a kept file stays what it was while it is read more than once a second. */
  readonly #procs: KeptFile | null;
  #directoryFd: number;
  readonly #pids: number[] = [];
  #nested = false;
  #checkedAtMs = Number.NEGATIVE_INFINITY;

  /** @throws the errno of open(2) */
  constructor(directory: string) {
    this.#directory = directory;
    this.#path = join(directory, 'cgroup.procs');
    this.#procs = isVersion1(directory) ? null : new KeptFile(this.#path);
    this.#directoryFd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /**
   * Empty only when the kernel lists nobody. A process that forks and exits is gone between the list and the look at it,
   * while its child lives: then the list is read again. Who is still listed after that but cannot be looked at counts
   * as alive, with a start time that matches no process.
   */
  members(): readonly ProcessIdentity[] {
    for (let attempt = 1; ; attempt += 1) {
      const pids = pidsBelow(this.#directory);
      const members: ProcessIdentity[] = [];
      for (const pid of pids) {
        const identity = readIdentity(pid);
        if (identity !== null) members.push(identity);
      }
      if (members.length > 0 || pids.length === 0) return members;
      if (attempt === LOOKS) return pids.map((pid) => ({ pid, startTicks: 0 }));
    }
  }

  /** Pids for a sample; the array is reused. Empty when the group is gone. */
  pids(nowMs: number, fresh: boolean): readonly number[] {
    const pids = this.#nested ? pidsBelow(this.#directory) : this.#direct();
    this.changed ||= fresh || this.#nested;
    // Who was moved into a sub-group is missing from the list.
    if (!this.changed && nowMs - this.#checkedAtMs < NESTED_CHECK_MS) return pids;
    this.#checkedAtMs = nowMs;
    const nested = this.#hasSubGroups();
    if (nested === this.#nested) return pids;
    this.#nested = nested;
    this.changed = true;
    return nested ? pidsBelow(this.#directory) : this.#direct();
  }

  #direct(): readonly number[] {
    if (this.#procs !== null) return this.#parse(this.#procs);
    const opened = KeptFile.tryOpen(this.#path);
    this.changed = true;
    if (opened === null) return [];
    try {
      return this.#parse(opened);
    } finally {
      opened.close();
    }
  }

  #parse(procs: KeptFile): readonly number[] {
    const pids = this.#pids;
    this.changed = false;
    let length = procs.fill();
    if (length >= WHOLE_BELOW) length = procs.fillAll();
    const text = procs.buffer;
    let count = 0;
    let value = 0;
    for (let at = 0; at < length; at += 1) {
      const byte = text[at] as number;
      if (byte !== NEWLINE) value = value * 10 + byte - 0x30;
      else {
        // 0 is a process of an outer PID namespace.
        if (value > 0) {
          if (pids[count] !== value) this.changed = true;
          pids[count++] = value;
        }
        value = 0;
      }
    }
    if (pids.length !== count) this.changed = true;
    pids.length = count;
    return pids;
  }

  /** A directory of kernfs has two links and one more for each sub-group. */
  #hasSubGroups(): boolean {
    try {
      return fstatSync(this.#directoryFd).nlink > 2;
    } catch (error) {
      if (isGone(error)) return false;
      throw error;
    }
  }

  close(): void {
    this.#procs?.close();
    if (this.#directoryFd >= 0) closeSync(this.#directoryFd);
    this.#directoryFd = -1;
  }
}
