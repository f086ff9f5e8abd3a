/**
 * Our own place in each v1 hierarchy: `governor-<instance>` below the group that the daemon itself is in, never above it
 * (in a container the root is not ours). The v2 hierarchy is taken along where it is mounted: it kills better.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { err, ok, type Result } from '../../core/result.ts';
import { ensureGroup, isWritable, readOrNull, removeIfEmpty } from '../cgroup2/directory.ts';
import { errnoOf, isDenied, writeKernelFile } from '../kernel-file.ts';
import type { CgroupMounts, Hierarchy } from '../mounts.ts';

/** Names of the hierarchies that a run can be in; `cpu` and `cpuacct` may be one and the same directory. */
export const HIERARCHIES = ['unified', 'memory', 'cpu', 'cpuacct', 'pids', 'freezer'] as const;
export type HierarchyName = (typeof HIERARCHIES)[number];

export type Directories = ReadonlyMap<HierarchyName, string>;

export interface OwnDirectories {
  /** Parent of all runs of this instance, by hierarchy. */
  readonly directories: Directories;
  /** Why a hierarchy is not among them. */
  readonly missing: ReadonlyMap<HierarchyName, string>;
  readonly release: () => Promise<void>;
}

/** Makes the top directory in each hierarchy that is needed; fails when there is no way to kill or nothing to limit. */
export async function openDirectories(mounts: CgroupMounts, instance: string): Promise<Result<OwnDirectories, string>> {
  const directories = new Map<HierarchyName, string>();
  const missing = new Map<HierarchyName, string>();
  for (const name of HIERARCHIES) {
    if (isSpare(name, directories)) continue;
    const made = await makeTop(name === 'unified' ? mounts.unified : mounts.byController.get(name), instance, name);
    if (made.ok) directories.set(name, made.value);
    else missing.set(name, made.error);
  }
  const release = async (): Promise<void> => {
    await Promise.all([...new Set(directories.values())].map(removeIfEmpty));
  };
  const reason = unusable(directories, missing);
  if (reason === null) return ok({ directories, missing, release });
  await release();
  return err(reason);
}

/** With a v2 group that kills and counts CPU time, two moves less for each start. */
function isSpare(name: HierarchyName, directories: ReadonlyMap<HierarchyName, string>): boolean {
  const unified = directories.get('unified');
  if (unified === undefined) return false;
  if (name === 'freezer') return existsSync(join(unified, 'cgroup.kill')) && existsSync(join(unified, 'cgroup.freeze'));
  return name === 'cpuacct' && existsSync(join(unified, 'cpu.stat'));
}

function unusable(directories: Directories, missing: ReadonlyMap<HierarchyName, string>): string | null {
  if (!directories.has('unified') && !directories.has('freezer')) {
    return `nothing to end a process tree with: ${missing.get('freezer') ?? 'no freezer'}`;
  }
  if (!directories.has('memory') && !directories.has('pids') && !directories.has('cpu')) {
    return `no v1 controller for memory, cpu or pids: ${missing.get('memory') ?? ''}`;
  }
  return null;
}

async function makeTop(
  hierarchy: Hierarchy | null | undefined,
  instance: string,
  name: string,
): Promise<Result<string, string>> {
  if (hierarchy === null || hierarchy === undefined) return err(`${name} is not mounted`);
  if (hierarchy.readOnly) return err(`${hierarchy.mountPoint} is mounted read-only`);
  if (!(await isWritable(hierarchy.ownDirectory)))
    return err(`${hierarchy.ownDirectory} is not writable for this user`);
  const directory = join(hierarchy.ownDirectory, `governor-${instance}`);
  try {
    await ensureTop(directory);
    return ok(directory);
  } catch (error) {
    if (isDenied(error) || errnoOf(error) === 'EROFS') return err(`${directory}: ${errnoOf(error)}`);
    throw error;
  }
}

/** @returns whether it was not there */
export async function ensureTop(directory: string): Promise<boolean> {
  const isNew = await ensureGroup(directory);
  await useHierarchy(directory);
  return isNew;
}

/** Before Linux 5.11 a group counted its sub-groups only when told to; later kernels always do. */
async function useHierarchy(directory: string): Promise<void> {
  const file = join(directory, 'memory.use_hierarchy');
  if (readOrNull(file)?.trim() === '0') await writeKernelFile(file, '1');
}
