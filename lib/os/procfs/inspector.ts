/** Processes, sockets and files one by one, for people. Costs milliseconds; never reads arguments or environments. */

import { constants, readdirSync, readlinkSync } from 'node:fs';
import { measured, type Reading } from '../../core/usage.ts';
import type { FileView, Inspector, Pace, ProcessView, SocketView } from '../inspector.ts';
import { failedReading, isDenied, isGone, readKernelFile } from '../kernel-file.ts';
import { PAGE_BYTES } from './memory-total.ts';
import { type NetSocket, readNetTables } from './net-table.ts';
import { MS_PER_TICK, printable, readNamedStat } from './stat.ts';

/** @param pids called anew for each view */
export function createInspector(pids: () => readonly number[], procRoot: string): Inspector {
  return {
    processes: (pace = atLeisure) => pids().flatMap((pid) => viewProcess(pid, procRoot, pace) ?? []),
    sockets: (pace = atLeisure) => viewSockets(pids(), procRoot, pace),
    files: (pace = atLeisure) => pids().flatMap((pid) => viewFiles(pid, procRoot, pace)),
  };
}

const atLeisure: Pace = () => undefined;

function viewProcess(pid: number, procRoot: string, pace: Pace): ProcessView | null {
  const found = readNamedStat(pid, procRoot);
  if (found === null) return null;
  const { stat, name } = found;
  const nowMs = performance.now();
  const view = {
    pid,
    ppid: stat.ppid,
    startTicks: stat.startTicks,
    name,
    state: stat.state,
    memory: measured(stat.rssPages * PAGE_BYTES, 'rss-sum', nowMs),
    cpuTimeMs: stat.ownTicks * MS_PER_TICK,
    threads: stat.threads,
  };
  const { fileHandles, sockets } = countHandles(pid, procRoot, nowMs, pace);
  return { ...view, fileHandles, sockets };
}

function countHandles(
  pid: number,
  procRoot: string,
  nowMs: number,
  pace: Pace,
): { readonly fileHandles: Reading; readonly sockets: Reading } {
  try {
    const handles = listHandles(pid, procRoot, pace);
    const sockets = new Set(handles.flatMap((handle) => socketInode(handle.target) ?? []));
    return { fileHandles: measured(handles.length, 'exact', nowMs), sockets: measured(sockets.size, 'exact', nowMs) };
  } catch (error) {
    const failed = failedReading(error, `file handles of process ${pid}`);
    return { fileHandles: failed, sockets: failed };
  }
}

function viewSockets(pids: readonly number[], procRoot: string, pace: Pace): readonly SocketView[] {
  const tables = new Map<string, ReadonlyMap<number, NetSocket>>();
  const views: SocketView[] = [];
  for (const pid of pids) {
    for (const { fd, target } of readHandles(pid, procRoot, pace) ?? []) {
      const inode = socketInode(target);
      if (inode === null) continue;
      const known = tableOf(pid, procRoot, tables, pace).get(inode);
      const { kind, state, local, remote } = known ?? { kind: 'other', state: null, local: null, remote: null };
      views.push({ pid, fd, inode, kind, state, local: shown(local), remote: shown(remote) });
    }
  }
  return views;
}

/** Tables are those of a network namespace: read once for all processes in it. */
function tableOf(
  pid: number,
  procRoot: string,
  tables: Map<string, ReadonlyMap<number, NetSocket>>,
  pace: Pace,
): ReadonlyMap<number, NetSocket> {
  let namespace = `pid ${pid}`;
  try {
    namespace = readlinkSync(`${procRoot}/${pid}/ns/net`);
  } catch (error) {
    if (!isGone(error) && !isDenied(error)) throw error;
  }
  const known = tables.get(namespace) ?? readNetTables(pid, procRoot, pace);
  tables.set(namespace, known);
  return known;
}

interface Handle {
  readonly fd: number;
  readonly target: string;
}

function readHandles(pid: number, procRoot: string, pace: Pace): readonly Handle[] | null {
  try {
    return listHandles(pid, procRoot, pace);
  } catch (error) {
    if (isGone(error) || isDenied(error)) return null;
    throw error;
  }
}

function listHandles(pid: number, procRoot: string, pace: Pace): readonly Handle[] {
  const directory = `${procRoot}/${pid}/fd`;
  return readdirSync(directory).flatMap((name) => {
    pace();
    try {
      return { fd: Number(name), target: readlinkSync(`${directory}/${name}`) };
    } catch (error) {
      if (isGone(error)) return []; // closed meanwhile
      throw error;
    }
  });
}

function socketInode(target: string): number | null {
  const match = /^socket:\[(\d+)\]$/.exec(target);
  return match === null ? null : Number(match[1]);
}

const DELETED = ' (deleted)';

function viewFiles(pid: number, procRoot: string, pace: Pace): readonly FileView[] {
  const handles = readHandles(pid, procRoot, pace) ?? [];
  return handles.map((handle) => {
    pace();
    return viewFile(pid, handle, procRoot);
  });
}

function viewFile(pid: number, { fd, target }: Handle, procRoot: string): FileView {
  const deleted = target.startsWith('/') && target.endsWith(DELETED);
  const path = deleted ? target.slice(0, -DELETED.length) : target;
  return { pid, fd, kind: kindOf(pid, fd, target, procRoot), target: printable(path), deleted };
}

function kindOf(pid: number, fd: number, target: string, procRoot: string): string {
  if (target.startsWith('socket:')) return 'socket';
  if (target.startsWith('pipe:')) return 'pipe';
  if (target.startsWith('/dev/')) return 'device';
  if (!target.startsWith('/')) return 'anon';
  return isDirectory(pid, fd, procRoot) ? 'directory' : 'file';
}

/** By the flags it was opened with, proc_pid_fdinfo(5): a stat would ask the file system, which may hang. */
function isDirectory(pid: number, fd: number, procRoot: string): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readKernelFile(`${procRoot}/${pid}/fdinfo/${fd}`))?.[1] ?? '0';
    return (Number.parseInt(flags, 8) & constants.O_DIRECTORY) !== 0;
  } catch (error) {
    if (isGone(error) || isDenied(error)) return false;
    throw error;
  }
}

function shown(text: string | null): string | null {
  return text === null ? null : printable(text);
}
