/** What a process costs, from the kernel's own books. */

import { readdirSync, readFileSync } from 'node:fs';

/** Nanosecond-exact CPU time of the threads that live (a daemon's threads do), milliseconds. proc(5), schedstat. */
export function cpuMs(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
  }
  return nanoseconds / 1e6;
}

/** utime + stime of /proc/PID/stat, milliseconds, in ticks of 10. */
export function statCpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** MB (10^6 bytes), as baselines.md counts. */
export function rssMb(pid: number): number {
  return statusMb(pid, 'VmRSS');
}

/** The part of RSS that is nobody else's and in no file, MB. */
export function anonymousMb(pid: number): number {
  return statusMb(pid, 'RssAnon');
}

function statusMb(pid: number, key: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return (Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024) / 1e6;
}

export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
