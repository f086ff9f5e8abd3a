/** What the kernel says of a program of the slow pace, read by the bench itself. */

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { KernelReading } from './account.ts';

/** Parents of every process there is. */
export function parents(): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid)) continue;
    const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
    // After the name, which may hold anything: state, parent.
    if (stat !== null) found.set(pid, Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  return found;
}

/** @param pid of what the daemon started: the program, or what holds it @param marker word of the program's arguments */
export function programBelow(pid: number, marker: string, all: ReadonlyMap<number, number>): number | null {
  return (
    [pid, ...descendants(pid, all)].find((one) => {
      const words = attempt(() => readFileSync(`/proc/${one}/cmdline`, 'utf8'))?.split('\0') ?? [];
      return words.includes(marker) && words.some((word) => word.endsWith('.mjs'));
    }) ?? null
  );
}

export function readKernel(pid: number, all: ReadonlyMap<number, number>): KernelReading {
  const handles = (attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? []).flatMap(
    (name) => attempt(() => readlinkSync(`/proc/${pid}/fd/${name}`)) ?? [],
  );
  const environment = attempt(() => readFileSync(`/proc/${pid}/environ`, 'utf8'))?.split('\0') ?? [];
  const folder = environment.find((pair) => pair.startsWith('TMPDIR='))?.slice('TMPDIR='.length);
  return {
    file_handles: handles.length,
    sockets: handles.filter((target) => target.startsWith('socket:')).length,
    tasks: descendants(pid, all).length,
    temp_storage: folder === undefined ? 0 : bytesIn(join(`/proc/${pid}/root`, folder)),
  };
}

function descendants(pid: number, all: ReadonlyMap<number, number>): readonly number[] {
  const children = [...all].flatMap(([child, parent]) => (parent === pid ? [child] : []));
  return [...children, ...children.flatMap((child) => descendants(child, all))];
}

function bytesIn(folder: string): number {
  let bytes = 0;
  for (const entry of attempt(() => readdirSync(folder, { withFileTypes: true })) ?? []) {
    const path = join(folder, entry.name);
    bytes += entry.isDirectory() ? bytesIn(path) : (attempt(() => lstatSync(path).size) ?? 0);
  }
  return bytes;
}

/** What is gone by now is not there. */
function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
