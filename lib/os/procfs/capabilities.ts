/** What can be measured and held without a cgroup, for `governor doctor` and `GET /v1/host`. */

import type { ResourceCapability } from '../backend.ts';
import { native } from '../native.ts';
import { TMPFS_HINT } from '../tmpfs.ts';
import { canLiftNice } from './nice.ts';

const CGROUP = 'run the daemon as root, or with a delegated cgroup (systemd user session, Delegate=yes)';

/** @param hidden what may hide from the readings, or null where nothing can */
export function procfsCapabilities(hidden: string | null): readonly ResourceCapability[] {
  const calls = native();
  const tree = hidden === null ? '' : ` (${hidden})`;
  const nice = canLiftNice()
    ? 'nice 10 while throttled'
    : 'nice 10 once throttled: without CAP_SYS_NICE it stays until the process ends';
  return [
    {
      resource: 'memory',
      measuredBy: `sum of RSS in /proc/PID/stat; PSS from /proc/PID/smaps_rollup above 70 % of the limit${tree}`,
      enforcement: 'polled',
      enforcedBy: 'the daemon, at each sample',
      toGetMore: CGROUP,
    },
    {
      resource: 'cpu',
      measuredBy: `/proc/PID/stat, 10 ms ticks, children that were waited for included${tree}`,
      enforcement: 'polled',
      enforcedBy: nice,
      toGetMore: CGROUP,
    },
    {
      resource: 'file_handles',
      measuredBy: `number of entries of /proc/PID/fd${tree}`,
      enforcement: 'polled',
      enforcedBy: calls.available ? 'the daemon; each process also by RLIMIT_NOFILE' : `the daemon (${calls.reason})`,
      ...(calls.available ? {} : { toGetMore: 'install the optional package koffi' }),
    },
    {
      resource: 'sockets',
      measuredBy: `distinct socket inodes among the links in /proc/PID/fd${tree}`,
      enforcement: 'polled',
      enforcedBy: 'the daemon, at each sample',
    },
    {
      resource: 'runtime',
      measuredBy: 'monotonic clock of the daemon',
      enforcement: 'polled',
      enforcedBy: 'a deadline in the daemon',
    },
    {
      resource: 'temp_storage',
      measuredBy: `walk of the private TMPDIR, unlinked files that are still open included${tree}`,
      enforcement: 'polled',
      enforcedBy: 'the daemon, at each walk',
      toGetMore: TMPFS_HINT,
    },
    {
      resource: 'tasks',
      measuredBy: `threads of every process, /proc/PID/stat${tree}`,
      enforcement: 'polled',
      enforcedBy: 'the daemon, at each sample',
      toGetMore: CGROUP,
    },
  ];
}
