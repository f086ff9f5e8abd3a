/** What the v1 groups can do for each resource, in words. */

import type { ResourceCapability } from '../backend.ts';
import { niceText, perProcessCapabilities } from '../cgroup2/capabilities.ts';
import type { HierarchyName, OwnDirectories } from './hierarchy.ts';

export function capabilities1(own: OwnDirectories): readonly ResourceCapability[] {
  const has = (name: HierarchyName): boolean => own.directories.has(name);
  const toGetMore = (name: HierarchyName): string => `the ${name} controller: ${own.missing.get(name) ?? 'not usable'}`;
  const killed = has('unified') ? 'cgroup.kill by the daemon' : 'freezer and SIGKILL by the daemon';
  const cpuMeasured = has('cpuacct')
    ? 'cpuacct.usage'
    : has('unified')
      ? 'cpu.stat of the v2 group'
      : 'sum over processes';
  return [
    has('memory')
      ? {
          resource: 'memory',
          measuredBy: 'memory.stat: total_rss, total_shmem, swap (kernel memory is not told apart in cgroup v1)',
          enforcement: 'kernel',
          enforcedBy: 'memory.limit_in_bytes at the emergency stage',
          toGetMore: 'cgroup v2: memory.high for a gentle throttle, memory.oom.group for the whole tree at once',
        }
      : {
          resource: 'memory',
          measuredBy: 'sum of RSS, PSS near the limit',
          enforcement: 'polled',
          enforcedBy: killed,
          toGetMore: toGetMore('memory'),
        },
    has('cpu')
      ? {
          resource: 'cpu',
          measuredBy: cpuMeasured,
          enforcement: 'kernel',
          enforcedBy: 'cpu.cfs_quota_us while throttled',
        }
      : {
          resource: 'cpu',
          measuredBy: cpuMeasured,
          enforcement: 'polled',
          enforcedBy: niceText(),
          toGetMore: toGetMore('cpu'),
        },
    ...perProcessCapabilities(),
    has('pids')
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
          enforcedBy: killed,
          toGetMore: toGetMore('pids'),
        },
  ];
}
