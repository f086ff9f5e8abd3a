/** What a tool truly uses, by this process's own look at /proc and at TMPDIR: no code of what is judged. */

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { survivors } from '../../helpers/survivors.ts';

export interface TrueUsage {
  /** Bytes that cannot be reclaimed: anonymous, shared memory and swap, each page shared out among its users. */
  readonly memory: number;
  readonly tasks: number;
  /** Distinct ones. */
  readonly sockets: number;
  /** Bytes of blocks, every file once. */
  readonly temp_storage: number;
}

export function trueUsage(marker: string, tempDir: string): TrueUsage {
  let [memory, tasks] = [0, 0];
  const sockets = new Set<string>();
  for (const { pid } of survivors(marker)) {
    memory += unlessGone(() => unreclaimable(pid)) ?? 0;
    tasks += unlessGone(() => readdirSync(`/proc/${pid}/task`).length) ?? 0;
    for (const fd of unlessGone(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
      const target = unlessGone(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? '';
      if (target.startsWith('socket:')) sockets.add(target);
    }
  }
  return { memory, tasks, sockets: sockets.size, temp_storage: tempDir === '' ? 0 : blocksBelow(tempDir, new Set()) };
}

function unreclaimable(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  let kib = 0;
  for (const [, amount] of rollup.matchAll(/^(?:Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+) kB$/gm)) kib += Number(amount);
  return kib * 1024;
}

function blocksBelow(folder: string, seen: Set<number>): number {
  let bytes = 0;
  for (const entry of unlessGone(() => readdirSync(folder, { withFileTypes: true })) ?? []) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      bytes += blocksBelow(path, seen);
      continue;
    }
    const status = unlessGone(() => lstatSync(path));
    if (status === null || seen.has(status.ino)) continue;
    seen.add(status.ino);
    bytes += status.blocks * 512;
  }
  return bytes;
}

/** Processes and files may go at any time. */
function unlessGone<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return null;
    throw error;
  }
}
