/**
 * Our own place in the v2 hierarchy: `governor/<instance>` below a directory in which we may make groups, with the
 * controllers switched on for the runs below it. Kernel: cgroup-v2.rst, "Top-down Constraint", "No Internal Process
 * Constraint", "Delegation".
 */

import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { GovernorError } from '../../core/errors.ts';
import { err, ok, type Result } from '../../core/result.ts';
import { errnoOf, isDenied, isGone, KernelWriteError, writeKernelFile } from '../kernel-file.ts';
import type { Hierarchy } from '../mounts.ts';
import { readStat } from '../procfs/stat.ts';
import { ensureGroup, isWritable, readOrNull, removeIfEmpty } from './directory.ts';
import { withoutHeadStarts } from './grace-period.ts';

export const CONTROLLERS = ['memory', 'cpu', 'pids'] as const;

/** Where a delegated daemon goes, so that its own group may hand controllers to sub-groups. systemd's DelegateSubgroup= may name it too. */
const LEAF = 'supervisor';

/** More daemons than this do not end in the same millisecond. */
const ATTEMPTS = 10;

export interface OwnSubtree {
  /** Parent of all runs of this instance. */
  readonly directory: string;
  /** Which of CONTROLLERS the runs have. */
  readonly controllers: readonly string[];
  /** For people: what was done to get here. */
  readonly detail: string;
  /** Makes the directories again that somebody removed while they were empty. */
  readonly renew: () => Promise<void>;
  /** Undoes it, as far as nobody else uses it. */
  readonly release: () => Promise<void>;
}

export interface SubtreeOptions {
  readonly hierarchy: Hierarchy;
  readonly instance: string;
  /** Make groups directly below the mount point; else only below the own group. */
  readonly atRoot: boolean;
  /** Hand these down, of CONTROLLERS, where the hierarchy has them. None: membership, kill and freeze only. */
  readonly controllers: readonly string[];
  /** Asked before anything is made below the own group. @returns why it is not ours to divide, or null */
  readonly objection: (ownDirectory: string) => Promise<string | null>;
}

/** As `openSubtree`, in the first place of those that this user may write to. */
export async function openFirstSubtree(places: readonly SubtreeOptions[]): Promise<Result<OwnSubtree, string>> {
  const errors: string[] = [];
  for (const place of places) {
    const opened = await openSubtree(place);
    if (opened.ok) return opened;
    errors.push(opened.error);
  }
  return err([...new Set(errors)].join('; '));
}

/** Makes the subtree. What cannot be had is left out of `controllers`; a refusal says which file or right is missing. */
export async function openSubtree(options: SubtreeOptions): Promise<Result<OwnSubtree, string>> {
  const { hierarchy } = options;
  if (hierarchy.readOnly) return err(`${hierarchy.mountPoint} is mounted read-only`);
  const base = options.atRoot ? hierarchy.mountPoint : delegatedBase(hierarchy.ownDirectory);
  const objection = options.atRoot ? null : await options.objection(hierarchy.ownDirectory);
  if (objection !== null) return err(objection);
  return openSubtreeBelow(base, options.instance, options.controllers);
}

/** As `openSubtree`, in a directory that is known to be ours to divide. */
export async function openSubtreeBelow(
  base: string,
  instance: string,
  controllers: readonly string[],
): Promise<Result<OwnSubtree, string>> {
  for (const path of [base, join(base, 'cgroup.procs'), join(base, 'cgroup.subtree_control')]) {
    if (!(await isWritable(path))) return err(`${path} is not writable for this user`);
  }
  try {
    return ok(await makeSubtree(base, instance, controllers));
  } catch (error) {
    if (error instanceof KernelWriteError || error instanceof GovernorError) return err(error.message);
    if (isDenied(error) || errnoOf(error) === 'EROFS') return err(`${base}: ${errnoOf(error)} when making a group`);
    throw error;
  }
}

/** A daemon that already sits in the leaf goes on from the group above. */
function delegatedBase(own: string): string {
  return basename(own) === LEAF ? dirname(own) : own;
}

async function makeSubtree(base: string, instance: string, controllers: readonly string[]): Promise<OwnSubtree> {
  const wanted = words(join(base, 'cgroup.controllers')).filter((name) => controllers.includes(name));
  const moved = await enableOrMoveAside(base, wanted);
  const top = join(base, 'governor');
  const directory = join(top, instance);
  const make = async (): Promise<void> => {
    for (const path of [top, directory]) {
      await ensureGroup(path);
      await enableControllers(path, wanted);
    }
  };
  const renew = (): Promise<void> => untilUndisturbed(make);
  await renew();
  const handedDown = words(join(directory, 'cgroup.subtree_control'));
  const detail = moved.length === 0 ? directory : `${directory}; moved ${moved.join(', ')} to ${join(base, LEAF)}`;
  const release = async (): Promise<void> => {
    await removeIfEmpty(directory);
    await removeIfEmpty(top);
    if (!existsSync(top)) await moveBack(base);
  };
  return { directory, controllers: handedDown, detail, renew, release };
}

/** Other daemons of the host, when they end, remove the directory that is above all of ours while it is empty. */
async function untilUndisturbed(make: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await make();
      return;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || attempt === ATTEMPTS) throw error;
    }
  }
}

/**
 * A group that is not the root of the whole hierarchy may either hold processes or hand controllers down. When all it
 * holds is us, our ancestors and our children, they move into a leaf; strangers are never moved.
 * @returns what was moved, for people
 */
async function enableOrMoveAside(base: string, wanted: readonly string[]): Promise<readonly string[]> {
  try {
    await enableControllers(base, wanted);
    return [];
  } catch (error) {
    if (errnoOf(error) !== 'EBUSY' && errnoOf(error) !== 'ENOTSUP') throw error;
    const pids = pidsOf(base);
    const strangers = pids.filter((pid) => !isRelated(pid) && readStat(pid) !== null).length;
    if (strangers > 0) {
      const message = `${base} holds ${strangers} processes that do not belong to the daemon: while they are in it, it can hand no controllers down`;
      throw new GovernorError('unsupported', message, { cause: error });
    }
    const leaf = join(base, LEAF);
    await ensureGroup(leaf);
    await disableControllers(base);
    const moved: string[] = [];
    for (const pid of pids) if (await move(pid, leaf)) moved.push(`process ${pid}`);
    await enableControllers(base, wanted);
    return moved;
  }
}

/** Only when nothing of Governor is left below: the group gets its processes back and hands nothing down. */
async function moveBack(base: string): Promise<void> {
  const leaf = join(base, LEAF);
  const pids = pidsOf(leaf);
  if (!pids.includes(process.pid) || !pids.every(isRelated)) return;
  try {
    await disableControllers(base);
    for (const pid of pids) await move(pid, base);
    await removeIfEmpty(leaf);
  } catch (error) {
    // EBUSY: another sub-group of this unit uses the controllers; everything stays as it is, and works.
    if (errnoOf(error) !== 'EBUSY') throw error;
  }
}

/**
 * Hands controllers down one by one: one that is not there must not keep the others away.
 * @throws EBUSY or ENOTSUP while the group itself holds processes
 */
export async function enableControllers(directory: string, controllers: readonly string[]): Promise<void> {
  const have = words(join(directory, 'cgroup.subtree_control'));
  for (const name of controllers) if (!have.includes(name)) await control(directory, `+${name}`);
}

/** Hands nothing down any more: a group with processes that hands down cpu or pids is half threaded, and nothing goes below it. */
export async function disableControllers(directory: string): Promise<void> {
  for (const name of words(join(directory, 'cgroup.subtree_control'))) await control(directory, `-${name}`);
}

async function control(directory: string, text: string): Promise<void> {
  try {
    await writeKernelFile(join(directory, 'cgroup.subtree_control'), text);
  } catch (error) {
    // ENOENT: not offered here. EINVAL: cpu, while a real-time process is in the way.
    if (!isGone(error) && errnoOf(error) !== 'EINVAL') throw error;
  }
}

async function move(pid: number, directory: string): Promise<boolean> {
  const write = (): Promise<void> => writeKernelFile(join(directory, 'cgroup.procs'), String(pid));
  try {
    await (pid === process.pid ? withoutHeadStarts(write) : write());
    return true;
  } catch (error) {
    // ESRCH: ended meanwhile.
    if (isGone(error)) return false;
    throw error;
  }
}

function pidsOf(directory: string): readonly number[] {
  return words(join(directory, 'cgroup.procs')).map(Number);
}

/** Ourselves, an ancestor, or a descendant. */
function isRelated(pid: number): boolean {
  return hasAncestor(pid, process.pid) || hasAncestor(process.pid, pid);
}

function hasAncestor(pid: number, ancestor: number): boolean {
  for (let at = pid, steps = 0; at > 0 && steps < 1000; steps += 1) {
    if (at === ancestor) return true;
    at = readStat(at)?.ppid ?? 0;
  }
  return false;
}

function words(path: string): readonly string[] {
  return (readOrNull(path) ?? '').split(/\s+/).filter((word) => word !== '');
}
