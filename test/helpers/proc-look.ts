/** Single facts of one process, read plainly from /proc (proc(5)), for tests to compare with. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** One letter: R, S, D, T, Z, … */
export function state(pid: number): string {
  return statFields(pid)[0] ?? '?';
}

/** The session's id, which is the pid of its leader. */
export function session(pid: number): number {
  return Number(statFields(pid)[3]);
}

export function parent(pid: number): number {
  return Number(statFields(pid)[1]);
}

/** Direct children, those of every thread included. */
export function children(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`)
    .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' '))
    .filter((word) => word !== '')
    .map(Number);
}

export function environment(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').slice(0, -1);
}

/** What each open descriptor points to: a path, `socket:[inode]`, `pipe:[inode]`, … */
export function descriptors(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${descriptor}`)];
    } catch (error) {
      // ENOENT: closed since the directory was read.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    }
  });
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? Number.NaN) * 1024;
}

/** The fields from the third on: a command can hold blanks and parentheses. */
function statFields(pid: number): readonly string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
