/**
 * An oracle of its own for "what is still alive": it looks at /proc and shares no code with what it judges. A process
 * belongs to a test when the test's marker is in its environment or in its arguments, so it finds what left its
 * process group, its session and its parent, and what was started with an empty environment but kept the argument.
 */

import { readFileSync, readdirSync } from 'node:fs';
import type { ProcessIdentity } from '../../lib/core/identity.ts';
import { patience, pause } from './wait-for.ts';

export const MARKER_VARIABLE = 'GOVERNOR_TEST_MARKER';

export interface Survivor extends ProcessIdentity {
  /** One letter, proc_pid_stat(5). A zombie counts only while one of its threads lives. */
  readonly state: string;
  readonly command: string;
}

/**
 * Every living process of the marker, this process excepted. Another user's processes are only seen by root.
 * A process that forks and exits every few milliseconds is gone when one pass gets to it, so several quick passes look
 * only at pids that are new, the newest first.
 */
export function survivors(marker: string): readonly Survivor[] {
  if (marker.length < 8) throw new Error('a marker of less than 8 characters could match strangers');
  const found = new Map<number, Survivor>();
  const seen = new Set<string>([String(process.pid)]);
  for (let pass = 0; pass < 10; pass += 1) {
    for (const pid of newestFirst().filter((name) => !seen.has(name))) {
      seen.add(pid);
      const survivor = carries(pid, marker) ? describe(Number(pid)) : null;
      if (survivor !== null) found.set(survivor.pid, survivor);
    }
  }
  return [...found.values()].toSorted((a, b) => a.pid - b.pid);
}

/**
 * What is left once the marker's processes were given time to go.
 * @returns at once when nothing is left; else, after the time, what still lives
 */
export async function survivorsAfter(marker: string, withinMs: number): Promise<readonly Survivor[]> {
  const deadline = performance.now() + patience(withinMs);
  for (;;) {
    const left = survivors(marker);
    if (left.length === 0 || performance.now() >= deadline) return left;
    await pause(10);
  }
}

/** SIGKILL to every process of the marker until none is found; for the end of a test, not for what it tests. */
export async function killSurvivors(marker: string): Promise<void> {
  const deadline = performance.now() + patience(10_000);
  for (let left = survivors(marker); left.length > 0; left = survivors(marker)) {
    if (performance.now() >= deadline) throw new Error(`cannot kill ${left.map(formatSurvivor).join(', ')}`);
    for (const process of left) killIdentity(process);
    await pause(5);
  }
}

/** @returns null when there is no such process (any more) */
export function identityOf(pid: number): ProcessIdentity | null {
  return describe(pid);
}

export function isAlive(identity: ProcessIdentity): boolean {
  const now = describe(identity.pid);
  return now !== null && now.startTicks === identity.startTicks && now.state !== 'Z' && now.state !== 'X';
}

/** Signals the process only while it is still the same one. @returns whether it was */
export function killIdentity(identity: ProcessIdentity, signal: NodeJS.Signals = 'SIGKILL'): boolean {
  if (describe(identity.pid)?.startTicks !== identity.startTicks) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false;
    throw error;
  }
}

export function formatSurvivor(survivor: Survivor): string {
  return `${survivor.pid} ${survivor.state} ${survivor.command}`;
}

/** Pids rise in order of birth, until they wrap around. */
function newestFirst(): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .toSorted((a, b) => Number(b) - Number(a));
}

function carries(pid: string, marker: string): boolean {
  if (read(`/proc/${pid}/environ`).includes(marker) || read(`/proc/${pid}/cmdline`).includes(marker)) return true;
  // The main thread of a process can be gone, and with it what /proc/PID shows, while other threads live.
  return list(`/proc/${pid}/task`).some(
    (thread) => thread !== pid && read(`/proc/${pid}/task/${thread}/environ`).includes(marker),
  );
}

function describe(pid: number): Survivor | null {
  const stat = read(`/proc/${pid}/stat`);
  const end = stat.lastIndexOf(')');
  if (end < 0) return null;
  const fields = stat.slice(end + 2).split(' ');
  const commandLine = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return {
    pid,
    startTicks: Number(fields[19]),
    state: fields[0] ?? '?',
    command: commandLine === '' ? stat.slice(stat.indexOf('('), end + 1) : commandLine,
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return '';
    throw error;
  }
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH', 'EACCES')) return [];
    throw error;
  }
}

function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
