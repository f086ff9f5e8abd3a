/** What a v2 group can do for each resource, in words. */

import type { Resource } from '../../core/resource.ts';
import type { ResourceCapability } from '../backend.ts';
import { canLiftNice } from '../procfs/nice.ts';
import { TMPFS_HINT } from '../tmpfs.ts';

/** @param controllers of memory, cpu, pids: those that the groups of runs have */
export function capabilities2(controllers: readonly string[]): readonly ResourceCapability[] {
  const missing = (name: string): string =>
    `the ${name} controller in cgroup.subtree_control of the daemon's own group (systemd: Delegate=yes), or below the root as root`;
  return [
    controllers.includes('memory')
      ? {
          resource: 'memory',
          measuredBy: 'memory.stat: anon, shmem, swap, unreclaimable kernel memory',
          enforcement: 'kernel',
          enforcedBy: 'memory.max at the emergency stage, memory.oom.group; memory.high while throttled',
        }
      : {
          resource: 'memory',
          measuredBy: 'sum of RSS, PSS near the limit; stalls from memory.pressure',
          enforcement: 'polled',
          enforcedBy: 'cgroup.kill by the daemon',
          toGetMore: missing('memory'),
        },
    controllers.includes('cpu')
      ? {
          resource: 'cpu',
          measuredBy: 'cpu.stat usage_usec',
          enforcement: 'kernel',
          enforcedBy: 'cpu.max while throttled',
        }
      : {
          resource: 'cpu',
          measuredBy: 'cpu.stat usage_usec',
          enforcement: 'polled',
          enforcedBy: niceText(),
          toGetMore: missing('cpu'),
        },
    ...perProcessCapabilities(),
    controllers.includes('pids')
      ? {
          resource: 'tasks',
          measuredBy: 'pids.current',
          enforcement: 'kernel',
          enforcedBy: 'pids.max at the emergency stage',
        }
      : {
          resource: 'tasks',
          measuredBy: 'sum of threads over cgroup.procs',
          enforcement: 'polled',
          enforcedBy: 'cgroup.kill by the daemon',
          toGetMore: missing('pids'),
        },
  ];
}

export function niceText(): string {
  return canLiftNice()
    ? 'nice 10 while throttled'
    : 'nice 10 once throttled: without CAP_SYS_NICE it stays until the process ends';
}

/** The same in every cgroup backend: the kernel has no controller for these. */
export function perProcessCapabilities(): readonly ResourceCapability[] {
  return [
    {
      resource: 'file_handles',
      measuredBy: 'fd tables of all processes in cgroup.procs',
      enforcement: 'polled',
      enforcedBy:
        'the daemon for the tree; for each process the kernel: hard RLIMIT_NOFILE at the emergency stage (needs koffi)',
    },
    {
      resource: 'sockets',
      measuredBy: 'distinct socket inodes in the fd tables of all processes in cgroup.procs',
      enforcement: 'polled',
      enforcedBy: 'the daemon',
    },
    { resource: 'runtime', measuredBy: 'monotonic clock', enforcement: 'polled', enforcedBy: 'deadline in the daemon' },
    {
      resource: 'temp_storage',
      measuredBy: 'blocks and inodes below TMPDIR, and unlinked files that are still open',
      enforcement: 'polled',
      enforcedBy: 'the daemon',
      toGetMore: TMPFS_HINT,
    },
  ] satisfies readonly (ResourceCapability & { resource: Resource })[];
}
