/** What a tool holds at one moment, and what of that is there later. */

import * as kernel from './kernel.ts';

/** What is looked for by kind. `shared_memory` lies outside of TMPDIR: /dev/shm and System V. */
export const KINDS = [
  'processes',
  'descriptors',
  'sockets',
  'listeners',
  'files',
  'shared_memory',
  'mounts',
  'namespaces',
  'groups',
] as const;
export type Kind = (typeof KINDS)[number];
export type Counts = Readonly<Record<Kind, number>>;

export interface Holdings {
  readonly marker: string;
  readonly members: readonly kernel.Alive[];
  readonly descriptors: number;
  readonly sockets: ReadonlySet<string>;
  readonly listeners: ReadonlyMap<string, number>;
  readonly tempDir: string | null;
  readonly files: number;
  readonly sharedPaths: ReadonlySet<string>;
  readonly segments: readonly string[];
  readonly mounts: number;
  readonly namespaces: ReadonlySet<string>;
  readonly groups: readonly string[];
}

const OWN_TEMP = process.env['TMPDIR'] ?? '/tmp';
const PASSES = 10;
const NAMESPACES = ['pid', 'net', 'ipc', 'mnt'] as const;

export function holdingsOf(marker: string): Holdings {
  const members = membersOf(marker, []);
  const groups = [...new Set(members.flatMap(({ pid }) => kernel.groupsOf(pid)))];
  const all = membersOf(marker, groups);
  const sockets = new Set<string>();
  const listeners = new Map<string, number>();
  const sharedPaths = new Set<string>();
  const namespaces = new Set<string>();
  let descriptors = 0;
  for (const { pid } of all) {
    for (const target of kernel.descriptors(pid)) {
      descriptors += 1;
      if (target.startsWith('socket:[')) sockets.add(target.slice(8, -1));
      if (target.startsWith('/dev/shm/')) sharedPaths.add(target);
    }
    for (const space of NAMESPACES) {
      const name = kernel.link(`/proc/${pid}/ns/${space}`);
      if (name !== '' && name !== kernel.link(`/proc/self/ns/${space}`)) namespaces.add(name);
    }
  }
  const [first] = all;
  if (first !== undefined)
    for (const [inode, port] of kernel.listening(first.pid)) if (sockets.has(inode)) listeners.set(inode, port);
  const tempDir = tempDirOf(all);
  const others = socketsExcept(new Set(all.map(({ pid }) => pid)));
  return {
    marker,
    members: all,
    descriptors,
    // What somebody outside holds the other end of, as the client does of stdio, is not the tool's to give back.
    sockets: new Set([...sockets].filter((inode) => !others.has(inode))),
    listeners,
    tempDir,
    files: tempDir === null ? 0 : kernel.filesBelow(tempDir).entries + 1,
    sharedPaths,
    segments: kernel.sharedSegments(new Set(all.map(({ pid }) => pid))),
    mounts: tempDir === null ? 0 : kernel.mountsBelow(tempDir),
    namespaces,
    groups,
  };
}

export function countsOf(held: Holdings): Counts {
  return {
    processes: held.members.length,
    descriptors: held.descriptors,
    sockets: held.sockets.size,
    listeners: held.listeners.size,
    files: held.files,
    shared_memory: held.sharedPaths.size + held.segments.length,
    mounts: held.mounts,
    namespaces: held.namespaces.size,
    groups: held.groups.length,
  };
}

/** What of it is there now, and what has come since. */
export function leftOf(held: Holdings): Counts {
  const alive = new Map(
    [...held.members.filter(kernel.lives), ...membersOf(held.marker, held.groups)].map((one) => [one.pid, one]),
  );
  const inodes = kernel.socketInodes('self');
  const segments = new Set(kernel.sharedSegments(new Set(held.members.map(({ pid }) => pid))));
  return {
    processes: alive.size,
    descriptors: [...alive.keys()].reduce((sum, pid) => sum + kernel.descriptors(pid).length, 0),
    sockets: [...held.sockets].filter((inode) => inodes.has(inode)).length,
    listeners: [...held.listeners.keys()].filter((inode) => inodes.has(inode)).length,
    files: held.tempDir !== null && kernel.exists(held.tempDir) ? kernel.filesBelow(held.tempDir).entries + 1 : 0,
    shared_memory:
      [...held.sharedPaths].filter(kernel.exists).length + held.segments.filter((id) => segments.has(id)).length,
    mounts: held.tempDir === null ? 0 : kernel.mountsBelow(held.tempDir),
    namespaces: held.namespaces.size === 0 ? 0 : livingNamespaces(held.namespaces),
    groups: held.groups.filter(kernel.exists).length,
  };
}

/** Nobody of those who were seen lives, and the groups hold nobody: quick enough to be asked each half millisecond. */
export function isEmpty(held: Holdings): boolean {
  return held.groups.every((group) => kernel.membersOf(group).length === 0) && !held.members.some(kernel.lives);
}

/** The rest of the definition: groups removed, TMPDIR gone with its mounts, nobody listens. */
export function isAllGone(held: Holdings): boolean {
  if (held.groups.some(kernel.exists)) return false;
  if (held.tempDir !== null && (kernel.exists(held.tempDir) || kernel.mountsBelow(held.tempDir) > 0)) return false;
  if (held.listeners.size === 0) return true;
  const now = kernel.listening('self');
  return [...held.listeners.keys()].every((inode) => !now.has(inode));
}

function membersOf(marker: string, groups: readonly string[]): readonly kernel.Alive[] {
  const inGroups = new Set(groups.flatMap(kernel.membersOf));
  const found: kernel.Alive[] = [];
  const seen = new Set<number>();
  // What hops from pid to pid is gone when one pass gets to it: later ones look only at who is new.
  for (let pass = 0; pass < PASSES; pass += 1) {
    for (const one of kernel.processes(seen)) {
      seen.add(one.pid);
      if (inGroups.has(one.pid) || kernel.carries(one.pid, marker)) found.push(one);
    }
  }
  return found;
}

/** As the tool's own environment names it; the launcher that a client started has the client's. */
function tempDirOf(members: readonly kernel.Alive[]): string | null {
  for (const { pid } of members) {
    const named = kernel.variable(pid, 'TMPDIR');
    if (named !== null && named !== OWN_TEMP && kernel.exists(named)) return named;
  }
  return null;
}

/** Inodes that any process but these holds. */
function socketsExcept(except: ReadonlySet<number>): ReadonlySet<string> {
  const targets = kernel.processes(except).flatMap(({ pid }) => kernel.descriptors(pid));
  return new Set(targets.filter((target) => target.startsWith('socket:[')).map((target) => target.slice(8, -1)));
}

function livingNamespaces(names: ReadonlySet<string>): number {
  const alive = new Set(
    kernel.processes().flatMap(({ pid }) => NAMESPACES.map((space) => kernel.link(`/proc/${pid}/ns/${space}`))),
  );
  return [...names].filter((name) => alive.has(name)).length;
}
