/** The containment of one run in the groups of one or several hierarchies. cgroup v1, v2 and scopes differ only in the layout. */

import { join } from 'node:path';

import { GovernorError } from '../../core/errors.ts';
import type { ResolvedLimits } from '../../core/limits.ts';
import type { BackendId, Containment, ContainmentRecord, ProcessIdentity } from '../backend.ts';
import type { Inspector } from '../inspector.ts';
import { isDenied, isGone, writeKernelFile } from '../kernel-file.ts';
import { sameProcess } from '../procfs/stat.ts';
import { TreeReader } from '../procfs/tree-reader.ts';
import { removeEmptyContexts } from './context-groups.ts';
import { pidsBelow, removeGroups } from './directory.ts';
import { watchFiles } from './events.ts';
import { GroupBrakes } from './brakes.ts';
import { GroupKiller } from './kill.ts';
import { GroupLimits } from './limits.ts';
import { GroupMembers } from './members.ts';
import type { MemoryStall } from './memory.ts';
import type { CpuPart, Freezer, MemoryPart, TasksPart } from './parts.ts';
import { GroupUsage } from './usage.ts';

export interface GroupLayout {
  readonly backend: BackendId;
  readonly cookie: string;
  /** Every group of the run, one for each hierarchy. */
  readonly directories: ContainmentRecord['directories'];
  /** The one whose `cgroup.procs` is the truth. */
  readonly membership: string;
  readonly tempDir: string;
  readonly tempOnTmpfs: boolean;
  /** Null: summed over the processes. */
  readonly memory: MemoryPart | null;
  readonly cpu: CpuPart | null;
  readonly tasks: TasksPart | null;
  readonly stall: MemoryStall | null;
  readonly freezer: Freezer | null;
  /** Kernel files that change when the run ended or was killed by the kernel. */
  readonly watched: readonly string[];
  /** Somebody who may move a process where we may not, or null. */
  readonly mover: Mover | null;
}

/** Moves a process into a group. @throws GovernorError with the reason */
export type Mover = (directory: string, pid: number) => Promise<void>;

export class GroupContainment implements Containment {
  readonly usage: GroupUsage;
  readonly inspect: Inspector;
  readonly membership: GroupMembers;
  readonly killer: GroupKiller;
  readonly limits: GroupLimits;
  readonly brakes: GroupBrakes;
  readonly wrap: readonly string[] = [];
  readonly record: ContainmentRecord;
  readonly #layout: GroupLayout;
  /** Co-mounted v1 controllers share a directory. */
  readonly #paths: readonly string[];
  #closed = false;

  constructor(layout: GroupLayout) {
    this.#layout = layout;
    this.#paths = [...new Set(layout.directories.map(({ path }) => path))];
    const { memory, cpu, tasks, stall, tempDir, tempOnTmpfs, backend, directories, cookie } = layout;
    this.record = { backend, directories, cookie };
    const parts = { memory: memory === null, cpu: cpu === null, tasks: tasks === null };
    const tree = new TreeReader({ tempDir, parts });
    this.membership = new GroupMembers(layout.membership);
    this.usage = new GroupUsage({ members: this.membership, tree, memory, cpu, tasks, stall, tempOnTmpfs });
    this.inspect = tree.inspector(() => pidsBelow(layout.membership));
    this.killer = new GroupKiller(layout.membership, this.membership, layout.freezer);
    this.brakes = new GroupBrakes(layout, this.membership);
    this.limits = new GroupLimits(layout, this.membership, this.brakes, tree);
  }

  /** Puts the limits in force on a group that is still empty; what was made is removed again when that fails. */
  async start(limits: ResolvedLimits): Promise<this> {
    try {
      await this.limits.apply(limits);
      return this;
    } catch (error) {
      await this.remove(100);
      this.close();
      throw error;
    }
  }

  /** Goes on with the group of an earlier daemon: same limits, brakes off. */
  async resume(limits: ResolvedLimits): Promise<this> {
    try {
      await this.limits.apply(limits);
      await this.brakes.lift();
      return this;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async attach(identity: ProcessIdentity): Promise<void> {
    const ended = `process ${identity.pid} ended before it could be contained`;
    if (!sameProcess(identity)) throw new GovernorError('launch_failed', ended);
    // All at once: the kernel waits for a grace period in each hierarchy, together that is hardly more than one.
    const moves = await Promise.allSettled(this.#paths.map((path) => this.#move(path, identity.pid)));
    for (const move of moves) {
      if (move.status === 'fulfilled') continue;
      if (isGone(move.reason)) throw new GovernorError('launch_failed', ended, { cause: move.reason });
      throw new GovernorError('launch_failed', moveRefused(identity.pid, move.reason), { cause: move.reason });
    }
    if (!sameProcess(identity)) throw new GovernorError('launch_failed', ended);
    if (!pidsBelow(this.#layout.membership).includes(identity.pid)) {
      throw new GovernorError(
        'launch_failed',
        `process ${identity.pid} is not in ${this.#layout.membership} after the move`,
      );
    }
    this.limits.attached(identity);
  }

  async #move(directory: string, pid: number): Promise<void> {
    try {
      await writeKernelFile(join(directory, 'cgroup.procs'), String(pid));
    } catch (error) {
      if (!isDenied(error) || this.#layout.mover === null) throw error;
      await this.#layout.mover(directory, pid);
    }
  }

  watch(onChange: () => void): () => void {
    return watchFiles(this.#layout.watched, onChange);
  }

  async remove(deadlineMs: number): Promise<void> {
    const left = this.membership.members();
    if (left.length > 0) {
      const pids = left.map(({ pid }) => pid);
      throw new GovernorError('tool_unproven', `${left.length} processes are still in ${this.#layout.membership}`, {
        data: { pids },
      });
    }
    await removeGroups(this.#paths, performance.now() + deadlineMs);
    await removeEmptyContexts(this.#paths);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.usage.close();
  }
}

function moveRefused(pid: number, error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (!isDenied(error)) return text;
  return `${text}: moving process ${pid} needs write access to the group that is common to its old place and the new one`;
}
