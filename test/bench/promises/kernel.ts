/** What the kernel says of processes, groups, sockets and files; no code of what is judged, and no question to it. */

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

export interface Alive {
  readonly pid: number;
  /** Clock ticks since boot; with the pid it names one process for ever. */
  readonly startTicks: number;
}

/** Whether a process has the marker in its environment or its arguments. */
export function carries(pid: number, marker: string): boolean {
  const environment = text(`/proc/${pid}/environ`);
  if (environment.includes(marker) || text(`/proc/${pid}/cmdline`).includes(marker)) return true;
  if (environment !== '') return false;
  // Where the first thread is gone /proc/PID shows nothing, while others live.
  return names(`/proc/${pid}/task`).some(
    (thread) => thread !== String(pid) && text(`/proc/${pid}/task/${thread}/environ`).includes(marker),
  );
}

/** All of the host, the newest first: what hops from pid to pid is met before it is gone. */
export function processes(except: ReadonlySet<number> = new Set()): readonly Alive[] {
  return names('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && !except.has(Number(name)))
    .toSorted((a, b) => Number(b) - Number(a))
    .flatMap((name) => {
      const startTicks = startOf(Number(name));
      return startTicks === null ? [] : [{ pid: Number(name), startTicks }];
    });
}

export function lives({ pid, startTicks }: Alive): boolean {
  return startOf(pid) === startTicks;
}

/** @returns null for what is gone or only waits to be reaped */
function startOf(pid: number): number | null {
  const fields = statOf(pid);
  if (fields === null) return null;
  const over = fields[0] === 'Z' || fields[0] === 'X';
  // A leader that has ended is a zombie while its other threads run.
  if (over && names(`/proc/${pid}/task`).length <= 1) return null;
  return Number(fields[19]);
}

/** Fields of proc_pid_stat(5) from the state on. */
function statOf(pid: number): readonly string[] | null {
  const line = text(`/proc/${pid}/stat`);
  const end = line.lastIndexOf(')');
  return end < 0 ? null : line.slice(end + 2).split(' ');
}

/** Clock ticks of CPU time, those of children that were waited for included. */
export function cpuTicks(pid: number): number {
  const fields = statOf(pid);
  return fields === null ? 0 : [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0);
}

export function variable(pid: number, name: string): string | null {
  const found = text(`/proc/${pid}/environ`)
    .split('\0')
    .find((pair) => pair.startsWith(`${name}=`));
  return found === undefined ? null : found.slice(name.length + 1);
}

export function descriptors(pid: number): readonly string[] {
  return names(`/proc/${pid}/fd`).map((fd) => link(`/proc/${pid}/fd/${fd}`));
}

/** Bytes that cannot be reclaimed: anonymous, shared and swapped, each page shared out among its users. */
export function unreclaimable(pid: number): number {
  let kib = 0;
  for (const [, amount] of text(`/proc/${pid}/smaps_rollup`).matchAll(/^(?:Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+) kB$/gm))
    kib += Number(amount);
  return kib * 1024;
}

/**
 * The directories of a process's control groups that are not this process's own. Never the root: that is nobody's, and of
 * whoever is just ending all v1 hierarchies say so (kernel/cgroup/cgroup.c, proc_cgroup_show).
 */
export function groupsOf(pid: number): readonly string[] {
  const own = new Set(text('/proc/self/cgroup').split('\n'));
  return text(`/proc/${pid}/cgroup`)
    .split('\n')
    .filter((line) => line !== '' && !line.endsWith(':/') && !own.has(line))
    .flatMap((line) => {
      const [, controllers = '', ...path] = line.split(':');
      const root = hierarchies().find(({ is }) => is(controllers.split(',')));
      return root === undefined ? [] : [join(root.at, path.join(':'))];
    });
}

export function membersOf(group: string): readonly number[] {
  return text(join(group, 'cgroup.procs')).split('\n').filter(Boolean).map(Number);
}

interface Hierarchy {
  readonly at: string;
  readonly is: (controllers: readonly string[]) => boolean;
}

let known: readonly Hierarchy[] | null = null;

function hierarchies(): readonly Hierarchy[] {
  known ??= text('/proc/mounts')
    .split('\n')
    .flatMap((line): readonly Hierarchy[] => {
      const [, at = '', type, options = ''] = line.split(' ');
      if (type === 'cgroup2') return [{ at, is: (controllers) => controllers.join(',') === '' }];
      const offered = options.split(',');
      return type === 'cgroup' ? [{ at, is: ([first = '']) => first !== '' && offered.includes(first) }] : [];
    });
  return known;
}

/** Inode → port of every socket that listens in the network namespace of a process ('self': in ours). */
export function listening(pid: number | 'self'): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const table of ['tcp', 'tcp6']) {
    for (const line of text(`/proc/${pid}/net/${table}`).split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] === '0A') found.set(fields[9] ?? '', Number.parseInt(fields[1]?.split(':')[1] ?? '0', 16));
    }
  }
  return found;
}

/** Inodes of every socket that the namespace still knows: TCP, UDP and unix. */
export function socketInodes(pid: number | 'self'): ReadonlySet<string> {
  const found = new Set<string>();
  for (const [table, column] of [
    ['tcp', 9],
    ['tcp6', 9],
    ['udp', 9],
    ['udp6', 9],
    ['unix', 6],
  ] as const)
    for (const line of text(`/proc/${pid}/net/${table}`).split('\n').slice(1)) {
      const inode = line.trim().split(/\s+/)[column];
      if (inode !== undefined && inode !== '0') found.add(inode);
    }
  return found;
}

/** Ids of System V shared memory that one of these processes made. */
export function sharedSegments(pids: ReadonlySet<number>): readonly string[] {
  return text('/proc/sysvipc/shm')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => pids.has(Number(fields[4])))
    .map((fields) => fields[1] ?? '');
}

export function mountsBelow(folder: string): number {
  return text('/proc/mounts')
    .split('\n')
    .filter((line) => line.split(' ')[1]?.startsWith(folder) === true).length;
}

/** Entries below a folder, itself excepted, and the bytes of their blocks, every inode once; links are not followed. */
export function filesBelow(
  folder: string,
  seen = new Set<number>(),
): { readonly entries: number; readonly bytes: number } {
  let [entries, bytes] = [0, 0];
  for (const name of names(folder)) {
    const path = join(folder, name);
    const status = unlessGone(() => lstatSync(path));
    if (status === null) continue;
    entries += 1;
    if (!seen.has(status.ino)) bytes += status.blocks * 512;
    seen.add(status.ino);
    if (!status.isDirectory()) continue;
    const inside = filesBelow(path, seen);
    entries += inside.entries;
    bytes += inside.bytes;
  }
  return { entries, bytes };
}

export function exists(path: string): boolean {
  return unlessGone(() => lstatSync(path)) !== null;
}

export function threads(pid: number): number {
  return names(`/proc/${pid}/task`).length;
}

export function link(path: string): string {
  return unlessGone(() => readlinkSync(path)) ?? '';
}

function text(path: string): string {
  return unlessGone(() => readFileSync(path, 'latin1')) ?? '';
}

function names(path: string): readonly string[] {
  return unlessGone(() => readdirSync(path)) ?? [];
}

const GONE = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENODEV', 'ENOTDIR', 'EINVAL']);

/** Processes, groups and files may go at any time, and some are not ours to read. */
function unlessGone<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && 'code' in error && GONE.has(String(error.code))) return null;
    throw error;
  }
}
