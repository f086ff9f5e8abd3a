/**
 * Which cgroup hierarchies this process can see, and where in each of them it lives.
 * Sources: proc_pid_mountinfo(5), cgroups(7) "/proc/PID/cgroup".
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One mounted hierarchy with this process's own place in it. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** v1: the controllers mounted together (`cpu`, `cpuacct`), named ones as `name=systemd`; v2: `cgroup.controllers` of the own group. */
  readonly controllers: readonly string[];
  readonly mountPoint: string;
  /** Absolute directory of the own group as seen here. */
  readonly ownDirectory: string;
  readonly readOnly: boolean;
}

export interface CgroupMounts {
  /** The v2 hierarchy, with or without controllers. */
  readonly unified: Hierarchy | null;
  /** v1 hierarchies by controller; co-mounted controllers share one object. */
  readonly byController: ReadonlyMap<string, Hierarchy>;
}

/** Reads `mountinfo` and `cgroup` of this process below `procRoot`. A hierarchy whose own group lies outside the mount is left out. */
export function readCgroupMounts(procRoot = '/proc'): CgroupMounts {
  const mounts = parseMountInfo(readFileSync(join(procRoot, 'self/mountinfo'), 'utf8'));
  const own = parseOwnGroups(readFileSync(join(procRoot, 'self/cgroup'), 'utf8'));
  return combine(mounts, own, (directory) => readWords(join(directory, 'cgroup.controllers')));
}

export interface CgroupMount {
  readonly version: 1 | 2;
  /** Path of the group that is the root of this mount, as `/proc/self/cgroup` would name it. */
  readonly root: string;
  readonly mountPoint: string;
  readonly readOnly: boolean;
  readonly superOptions: readonly string[];
}

/** Lines of other file systems are skipped. */
export function parseMountInfo(text: string): readonly CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of text.split('\n')) {
    const [left, right] = splitOnce(line, ' - ');
    if (right === null) continue;
    const [, , , root, mountPoint, options] = left.split(' ');
    const [type, , superOptions] = right.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') continue;
    if (root === undefined || mountPoint === undefined || options === undefined) continue;
    const supers = (superOptions ?? '').split(',');
    mounts.push({
      version: type === 'cgroup2' ? 2 : 1,
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      readOnly: options.split(',').includes('ro') || supers.includes('ro'),
      superOptions: supers,
    });
  }
  return mounts;
}

export interface OwnGroup {
  /** Empty for v2. */
  readonly controllers: readonly string[];
  readonly path: string;
}

/** `ID:controllers:path`; the path may hold colons, and ends in ` (deleted)` when the group is gone. */
export function parseOwnGroups(text: string): readonly OwnGroup[] {
  const groups: OwnGroup[] = [];
  for (const line of text.split('\n')) {
    const [, rest] = splitOnce(line, ':');
    if (rest === null) continue;
    const [controllers, path] = splitOnce(rest, ':');
    if (path === null || !path.startsWith('/')) continue;
    groups.push({ controllers: controllers === '' ? [] : controllers.split(','), path });
  }
  return groups;
}

/** @param controllersOf names in `cgroup.controllers` of a v2 directory */
export function combine(
  mounts: readonly CgroupMount[],
  own: readonly OwnGroup[],
  controllersOf: (directory: string) => readonly string[],
): CgroupMounts {
  let unified: Hierarchy | null = null;
  const byController = new Map<string, Hierarchy>();
  for (const group of own) {
    const version = group.controllers.length === 0 ? 2 : 1;
    for (const mount of mounts) {
      if (mount.version !== version) continue;
      if (version === 1 && !group.controllers.every((name) => mount.superOptions.includes(name))) continue;
      const ownDirectory = directoryOf(mount, group.path);
      if (ownDirectory === null) continue;
      const { mountPoint, readOnly } = mount;
      const controllers = version === 2 ? controllersOf(ownDirectory) : group.controllers;
      const hierarchy = { version, controllers, mountPoint, ownDirectory, readOnly } as const;
      // A later mount of the same hierarchy lies on top of, or beside, an earlier one: the first writable one is kept.
      if (version === 2) unified = better(unified, hierarchy);
      else for (const name of group.controllers) byController.set(name, better(byController.get(name), hierarchy));
    }
  }
  return { unified, byController };
}

function better(known: Hierarchy | null | undefined, found: Hierarchy): Hierarchy {
  if (known === null || known === undefined) return found;
  return known.readOnly && !found.readOnly ? found : known;
}

/** Where the group is below the mount, or null when the mount shows another part of the hierarchy (bind mounts, namespaces). */
function directoryOf(mount: CgroupMount, path: string): string | null {
  if (path.split('/').includes('..') || path.endsWith(' (deleted)')) return null;
  if (mount.root === '/') return below(mount.mountPoint, path);
  if (path !== mount.root && !path.startsWith(`${mount.root}/`)) return null;
  return below(mount.mountPoint, path.slice(mount.root.length));
}

/** `join` without a slash at the end. */
function below(mountPoint: string, path: string): string {
  return path === '' || path === '/' ? mountPoint : join(mountPoint, path);
}

/** Words of a one-line kernel file; none when the file is not there. */
function readWords(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8')
      .trim()
      .split(/\s+/)
      .filter((word) => word !== '');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ENOENT: no such file in this group; EACCES: not ours to read; ENODEV: the group is being removed.
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ENODEV') return [];
    throw error;
  }
}

/** mountinfo writes space, tab, newline and backslash as `\040` and so on. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function splitOnce(text: string, separator: string): readonly [string, string | null] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + separator.length)];
}
