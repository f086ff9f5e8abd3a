/** The same for v1 controllers, one directory in each hierarchy. */

import { join } from 'node:path';

import type { SharedGroup } from '../outer-groups.ts';
import { childGroups, readOrNull } from '../cgroup2/directory.ts';
import { quotaUs } from '../cgroup2/parts.ts';
import { MemoryStall } from '../cgroup2/memory.ts';
import { Pids } from '../cgroup2/pids.ts';
import { openParts } from '../cgroup2/shared-group.ts';
import { errnoOf, writeKernelFile } from '../kernel-file.ts';
import { Cpu1 } from './cpu.ts';
import type { Directories, HierarchyName } from './hierarchy.ts';
import { Memory1 } from './memory.ts';

/** @param name of the group below the tops; null: the tops themselves. @returns null when it is not there in each of them */
export function openSharedGroup1(tops: Directories, name: string | null): SharedGroup | null {
  const path = (hierarchy: HierarchyName): string | null => {
    const top = tops.get(hierarchy);
    return top === undefined ? null : join(top, name ?? '.');
  };
  const all = [...new Set(tops.values())].map((top) => join(top, name ?? '.'));
  return openParts(all, () => {
    const [unified, memory, cpu, cpuacct, pids] = [
      path('unified'),
      path('memory'),
      path('cpu'),
      path('cpuacct'),
      path('pids'),
    ];
    const cpuPart = cpuacct === null && unified === null ? null : new Cpu1({ unified, cpuacct, cpu });
    return {
      memory: memory === null ? null : new Memory1(memory, true),
      cpu: cpuPart,
      tasks: pids === null ? null : new Pids(pids),
      stall: unified === null ? null : MemoryStall.tryOpen(unified),
      setQuota: cpuPart === null || cpu === null ? null : (percent) => setQuota(cpu, cpuPart, percent),
    };
  });
}

/** In v1 no group may have a larger quota than the one above it (kernel/sched/core.c, tg_cfs_schedulable_down). */
async function setQuota(directory: string, cpu: Cpu1, percent: number | null): Promise<void> {
  try {
    await cpu.setQuota(percent);
  } catch (error) {
    if (percent === null || errnoOf(error) !== 'EINVAL') throw error;
    await lowerBelow(directory, quotaUs(percent));
    await cpu.setQuota(percent);
  }
}

/** A run whose own brake is lifted later loses its quota by that; until then the lower one holds it anyway. */
async function lowerBelow(directory: string, mostUs: number): Promise<void> {
  for (const child of await childGroups(directory)) {
    const file = join(child, 'cpu.cfs_quota_us');
    if (Number(readOrNull(file) ?? -1) > mostUs) await writeKernelFile(file, String(mostUs));
    await lowerBelow(child, mostUs);
  }
}
