/** PID namespaces by inode, namespaces(7). */

import { readlinkSync } from 'node:fs';
import { isDenied, isGone, readKernelFile } from '../kernel-file.ts';

/** @returns null when the process is gone, or is not ours to look at */
export function readPidNamespace(pid: number, procRoot = '/proc'): number | null {
  return readNamespace(`${procRoot}/${pid}/ns/pid`);
}

/** The namespace that children of the process are born in; null as well while it has no first process yet. */
export function readChildPidNamespace(pid: number, procRoot = '/proc'): number | null {
  return readNamespace(`${procRoot}/${pid}/ns/pid_for_children`);
}

/** The pid of the process as its own namespace counts, NSpid in proc_pid_status(5); 1 for the first. */
export function innermostPid(pid: number, procRoot = '/proc'): number | null {
  try {
    const pids = /^NSpid:\s*(.*)$/m.exec(readKernelFile(`${procRoot}/${pid}/status`))?.[1];
    return pids === undefined ? null : Number(pids.trim().split(/\s+/).at(-1));
  } catch (error) {
    if (isGone(error) || isDenied(error)) return null;
    throw error;
  }
}

function readNamespace(path: string): number | null {
  try {
    const match = /^pid:\[(\d+)\]$/.exec(readlinkSync(path));
    return match === null ? null : Number(match[1]);
  } catch (error) {
    if (isGone(error) || isDenied(error)) return null;
    throw error;
  }
}
