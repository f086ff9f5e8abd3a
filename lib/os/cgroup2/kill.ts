/** Ending every process of a group, v1 and v2 alike. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Killer, Membership } from '../backend.ts';
import { errnoOf, isGone, writeKernelFile } from '../kernel-file.ts';
import { protectedPids, signalProcess } from '../procfs/signal.ts';
import { readIdentity } from '../procfs/stat.ts';
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

  /** `cgroup.kill` (Linux 5.14): sub-groups, frozen processes and forks under way included. */
  async #killByKernel(): Promise<boolean> {
    const file = join(this.#directory, 'cgroup.kill');
    if (!existsSync(file)) return !existsSync(this.#directory);
    try {
      await writeKernelFile(file, '1');
      return true;
    } catch (error) {
      if (isGone(error)) return true;
      // EOPNOTSUPP: the tool made its group threaded.
      if (errnoOf(error) !== 'EOPNOTSUPP') throw error;
      return false;
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
          const identity = readIdentity(pid);
          if (identity !== null) signalProcess(identity, 'SIGKILL');
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
