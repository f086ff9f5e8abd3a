/**
 * The tmpfs over the TMPDIR of a run: its size is the emergency stage of the limit, so that the kernel answers ENOSPC
 * there whatever the daemon does. Through mount(8) and umount(8), because Node has no mount(2).
 */

import { execFile } from 'node:child_process';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GovernorError } from '../core/errors.ts';
import { formatBytes } from '../core/format.ts';
import type { ResolvedLimit } from '../core/limits.ts';
import type { LimitOutcome } from './backend.ts';
import { type Held, heldIn, isMountedTmpfs, statfsOrNull } from './tmpfs.ts';

export interface TmpfsSize {
  readonly bytes: number;
  /** Null: the kernel's default. */
  readonly inodes: number | null;
}

/** What the kernel is to hold, tmpfs(5): `size` and `nr_inodes`. */
export function tmpfsSize({ limit, inodes, thresholds }: ResolvedLimit): TmpfsSize {
  const { emergency } = thresholds;
  // The directory itself takes one.
  return {
    bytes: Math.ceil(limit * emergency),
    inodes: inodes === undefined ? null : Math.ceil(inodes * emergency) + 1,
  };
}

/** @throws GovernorError `unsupported` that says what to do, where this daemon may not mount */
export async function mountTmpfs(directory: string, size: TmpfsSize): Promise<void> {
  const owner = [`uid=${process.getuid?.() ?? 0}`, `gid=${process.getgid?.() ?? 0}`, 'mode=0700'];
  const options = [...FLAGS, ...sizeOptions(size), ...owner].join(',');
  const refused = await run('mount', ['-t', 'tmpfs', '-o', options, `governor-${basename(directory)}`, directory]);
  if (refused === null && isMountedTmpfs(directory)) return;
  throw new GovernorError(
    'unsupported',
    `temp_storage: backing: tmpfs is not possible here: ${refused ?? 'nothing was mounted'}; write backing: disk, or run the daemon as root`,
  );
}

export interface Unmounted extends Held {
  /** It was still in use: it is out of sight, and its memory is freed when its last user lets go of it. */
  readonly lazily: boolean;
}

/**
 * Takes a run's own tmpfs away, with all that is in it.
 * @returns null where none is mounted right there
 * @throws when it cannot be unmounted
 */
export async function unmountTmpfs(directory: string): Promise<Unmounted | null> {
  const total = { bytes: 0, inodes: 0, lazily: false };
  let layers = 0;
  for (; layers < MOST_LAYERS && isMountedTmpfs(directory); layers += 1) {
    const stats = statfsOrNull(directory);
    const held = stats === null ? { bytes: 0, inodes: 0 } : heldIn(stats);
    total.lazily = (await unmountOnce(directory)) || total.lazily;
    total.bytes += held.bytes;
    total.inodes += held.inodes;
  }
  return layers === 0 ? null : total;
}

/** True where the file system is going to be smaller than it is. */
export function tmpfsShrinks(directory: string, limit: ResolvedLimit | null): boolean {
  if (limit?.backing !== 'tmpfs') return false;
  const now = statfsOrNull(directory);
  return now !== null && tmpfsSize(limit).bytes < now.blocks * now.bsize;
}

/** Puts the limit in force where the kernel can hold it: on a tmpfs. Elsewhere it is the daemon's to look. */
export async function holdTempStorage(directory: string, limit: ResolvedLimit | null): Promise<LimitOutcome> {
  const resource = 'temp_storage';
  if (limit === null) return { resource, enforcement: 'none', note: 'no limit is set' };
  if (limit.backing !== 'tmpfs') return { resource, enforcement: 'polled' };
  if (!isMountedTmpfs(directory)) return { resource, enforcement: 'polled', note: 'its tmpfs is not mounted any more' };
  const size = tmpfsSize(limit);
  const refused = await resize(directory, size);
  if (refused === null) {
    return {
      resource,
      enforcement: 'kernel',
      note: `a tmpfs of ${formatBytes(size.bytes)}: in memory, beside the limit on memory`,
    };
  }
  return { resource, enforcement: 'polled', note: `the tmpfs keeps its former size: ${refused}` };
}

/** @returns null, or why the kernel left the size as it was: it takes none below what is in use */
async function resize(directory: string, size: TmpfsSize): Promise<string | null> {
  const now = statfsOrNull(directory);
  const sameBytes = now !== null && now.blocks === Math.ceil(size.bytes / now.bsize);
  if (sameBytes && (size.inodes === null || now.files === size.inodes)) return null;
  // All flags again: those that are left out are lost with some versions of mount(8).
  return run('mount', ['-o', ['remount', ...FLAGS, ...sizeOptions(size)].join(','), directory]);
}

/** Whoever mounts on top of his own TMPDIR has more than one. */
const MOST_LAYERS = 8;
const FLAGS = ['nosuid', 'nodev'] as const;
/** What a process held is let go of a moment after its end where the kernel does it in the background. */
const TRIES_AFTER_MS = [0, 20, 100, 400] as const;

function sizeOptions({ bytes, inodes }: TmpfsSize): readonly string[] {
  return [`size=${bytes}`, ...(inodes === null ? [] : [`nr_inodes=${inodes}`])];
}

/** @returns whether only lazily */
async function unmountOnce(directory: string): Promise<boolean> {
  for (const afterMs of TRIES_AFTER_MS) {
    await sleep(afterMs);
    if ((await run('umount', [directory])) === null) return false;
  }
  const refused = await run('umount', ['-l', directory]);
  if (refused !== null) throw new Error(`the tmpfs on ${directory} could not be unmounted: ${refused}`);
  return true;
}

const DEADLINE_MS = 10_000;
/** Both are in sbin on some systems, which is not in everybody's PATH. */
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** @returns null, or why it failed, in one line */
async function run(program: 'mount' | 'umount', args: readonly string[]): Promise<string | null> {
  const env = {
    PATH: [SYSTEM_PATH, ...(process.env['PATH']?.split(':') ?? [])].filter(Boolean).join(':'),
    LC_ALL: 'C',
  };
  return new Promise((resolve) => {
    execFile(program, args, { env, timeout: DEADLINE_MS, killSignal: 'SIGKILL' }, (error, _stdout, stderr) => {
      if (error === null) resolve(null);
      else if (error.code === 'ENOENT') resolve(`there is no ${program} command`);
      else if (error.killed === true) resolve(`${program} did not answer`);
      else resolve(stderr.trim().split('\n')[0]?.trim() || error.message);
    });
  });
}
