/**
 * A head start for moving a process into a group. The kernel lets a move wait for an RCU grace period (10 to 20 ms), but
 * not when another move has just been made (kernel/cgroup/cgroup.c, cgroup_attach_lock; kernel/rcu/sync.c). So a move
 * that changes nothing is made as early as possible: this process into the group that it is in.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { KernelWriteError, writeKernelFile } from '../kernel-file.ts';
import { readCgroupMounts } from '../mounts.ts';

let known: { readonly groups: string; readonly procs: string | null } | null = null;
const underWay = new Set<Promise<void>>();
let held = 0;

/** Returns at once; a kernel that refuses only takes the head start away. */
export function beginGracePeriod(): void {
  if (held > 0) return;
  // Asked anew each time: somebody may have moved this process, and it must not be moved back.
  const groups = readFileSync('/proc/self/cgroup', 'latin1');
  if (known?.groups !== groups) known = { groups, procs: ownProcs() };
  if (known.procs === null) return;
  const move = writeKernelFile(known.procs, '0')
    .catch((error: unknown) => {
      // EACCES, EPERM, EROFS: not ours to write; EBUSY, ENOTSUP: the group hands controllers down; ENOENT, ENODEV: it is gone.
      if (!(error instanceof KernelWriteError)) throw error;
    })
    .finally(() => underWay.delete(move));
  underWay.add(move);
}

/**
 * Around a move of this process to another group. A head start takes its turn on a thread: one that was begun before the
 * move and comes after it would take this process back.
 */
export async function withoutHeadStarts<T>(move: () => Promise<T>): Promise<T> {
  held += 1;
  try {
    await Promise.all(underWay);
    return await move();
  } finally {
    held -= 1;
  }
}

function ownProcs(): string | null {
  const { unified, byController } = readCgroupMounts();
  // Any hierarchy does: the lock is one for all.
  const hierarchy = [unified, ...byController.values()].find((found) => found?.readOnly === false);
  return hierarchy == null ? null : join(hierarchy.ownDirectory, 'cgroup.procs');
}
