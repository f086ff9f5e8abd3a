/** Opens what the groups of one run offer. A hierarchy that is not there degrades only its own resource. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { ContainmentRecord } from '../backend.ts';
import type { GroupLayout } from '../cgroup2/containment.ts';
import { Freezer2 } from '../cgroup2/freezer.ts';
import { MemoryStall } from '../cgroup2/memory.ts';
import type { Freezer } from '../cgroup2/parts.ts';
import { Pids } from '../cgroup2/pids.ts';
import { isTmpfs } from '../tmpfs.ts';
import { Cpu1 } from './cpu.ts';
import { Freezer1 } from './freezer.ts';
import { Memory1 } from './memory.ts';

export interface Group1Options {
  readonly cookie: string;
  readonly tempDir: string;
  readonly directories: ContainmentRecord['directories'];
}

/** @returns null when no hierarchy is left that tells the members */
export function openGroup1(options: Group1Options): GroupLayout | null {
  const paths = new Map(options.directories.map(({ hierarchy, path }) => [hierarchy, path]));
  const path = (name: string): string | null => paths.get(name) ?? null;
  const [unified, memory, cpu, cpuacct, pids, freezer] = [
    path('unified'),
    path('memory'),
    path('cpu'),
    path('cpuacct'),
    path('pids'),
    path('freezer'),
  ];
  const membership = unified ?? freezer ?? pids ?? memory ?? cpu ?? cpuacct;
  if (membership === null) return null;
  const tempOnTmpfs = isTmpfs(options.tempDir);
  return {
    backend: 'cgroup1',
    cookie: options.cookie,
    directories: options.directories,
    membership,
    tempDir: options.tempDir,
    tempOnTmpfs,
    memory: memory === null ? null : new Memory1(memory, tempOnTmpfs),
    cpu: cpuacct === null && unified === null ? null : new Cpu1({ unified, cpuacct, cpu }),
    tasks: pids === null ? null : new Pids(pids),
    stall: unified === null ? null : MemoryStall.tryOpen(unified),
    freezer: freezerOf(unified, freezer),
    mover: null,
    watched: unified === null ? [] : [join(unified, 'cgroup.events')],
  };
}

function freezerOf(unified: string | null, freezer: string | null): Freezer | null {
  if (freezer !== null) return new Freezer1(freezer);
  if (unified !== null && existsSync(join(unified, 'cgroup.freeze'))) return new Freezer2(unified);
  return null;
}
