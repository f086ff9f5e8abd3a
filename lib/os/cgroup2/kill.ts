/** Ending every process of a group, v1 and v2 alike. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Killer, Membership } from '../backend.ts';
import { isGone, writeKernelFile } from '../kernel-file.ts';
import { protectedPids, signalProcess } from '../procfs/signal.ts';
import { readIdentity, readStat } from '../procfs/stat.ts';
import { pidsBelow } from './directory.ts';
import type { Freezer } from './parts.ts';

/** A round that kills nobody new ends the loop; a tree that forks faster than this is stopped by the freezer. */
const MAX_ROUNDS = 50;
const FREEZE_TIMEOUT_MS = 200;

export class GroupKiller implements Killer {
  readonly #directory: string;
  readonly #membership: Membership;
  readonly #freezer: Freezer | null;

  /**
   * @param directory of the group whose `cgroup.procs` is the truth
   * @param freezer stops forks where the kernel has no `cgroup.kill` (before 5.14, and v1)
   */
  constructor(directory: string, membership: Membership, freezer: Freezer | null) {
    this.#directory = directory;
    this.#membership = membership;
    this.#freezer = freezer;
  }

  async kill(): Promise<void> {
    this.#refuseOurselves();
    if (await this.#killByKernel()) return;
    await this.#killByRounds();
  }

  /** The kernel would not ask who is in the group. */
  #refuseOurselves(): void {
    const ours = protectedPids();
    const found = pidsBelow(this.#directory).find((pid) => ours.has(pid));
    if (found === undefined) return;
    throw new Error(`refused to kill ${this.#directory}: process ${found} in it is the daemon or one of its ancestors`);
  }

  /**
   * `cgroup.kill` (Linux 5.14): sub-groups, frozen processes and forks under way included. It signals the leading thread
   * of each process, so one whose leader has ended while other threads go on does not hear it: those are signalled as
   * a whole, and the group once more for what they forked until then.
   */
  async #killByKernel(): Promise<boolean> {
    const file = join(this.#directory, 'cgroup.kill');
    if (!existsSync(file)) return !existsSync(this.#directory);
    const deaf = new Set<number>();
    try {
      for (let round = 0; round < MAX_ROUNDS; round += 1) {
        await writeKernelFile(file, '1');
        const found = pidsBelow(this.#directory).filter((pid) => !deaf.has(pid) && readStat(pid)?.leaderless === true);
        if (found.length === 0) return true;
        for (const pid of found) {
          deaf.add(pid);
          killPid(pid);
        }
      }
      return true;
    } catch (error) {
      if (isGone(error)) return true;
      throw error;
    }
  }

  async #killByRounds(): Promise<void> {
    const killed = new Set<number>();
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const frozen = await this.#freezer?.freeze(FREEZE_TIMEOUT_MS);
      let found = 0;
      try {
        for (const pid of pidsBelow(this.#directory)) {
          if (!killed.has(pid)) found += 1;
          killed.add(pid);
          killPid(pid);
        }
      } finally {
        // In v1 a signal only takes effect after the thaw; a freeze that failed half-way is undone as well.
        await this.#freezer?.thaw();
      }
      if (found === 0 || frozen === true) return;
      await sleep(1);
    }
  }

  async signal(signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP'): Promise<number> {
    let reached = 0;
    for (const member of this.#membership.members()) {
      if (signalProcess(member, signal) !== 'sent') continue;
      // A stopped process would only see the signal once it goes on.
      signalProcess(member, 'SIGCONT');
      reached += 1;
    }
    return reached;
  }
}

/** The pid was read from the group a moment ago. */
function killPid(pid: number): void {
  const identity = readIdentity(pid);
  if (identity !== null) signalProcess(identity, 'SIGKILL');
}
