/** Opens what one v2 group offers. The same for a group with controllers, without them, and inside a systemd scope. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { BackendId } from '../backend.ts';
import type { GroupLayout, Mover } from './containment.ts';
import { Cpu2 } from './cpu.ts';
import { Freezer2 } from './freezer.ts';
import { Memory2, MemoryStall } from './memory.ts';
import { Pids } from './pids.ts';
import { isTmpfs } from '../tmpfs.ts';

export interface Group2Options {
  readonly backend: BackendId;
  readonly directory: string;
  readonly inode: number;
  readonly cookie: string;
  readonly tempDir: string;
  readonly mover?: Mover | null;
}

export function openGroup2(options: Group2Options): GroupLayout {
  const { directory } = options;
  const has = (file: string): boolean => existsSync(join(directory, file));
  const tempOnTmpfs = isTmpfs(options.tempDir);
  return {
    backend: options.backend,
    cookie: options.cookie,
    directories: [{ hierarchy: 'unified', path: directory, inode: options.inode }],
    membership: directory,
    tempDir: options.tempDir,
    tempOnTmpfs,
    memory: has('memory.current') ? new Memory2(directory, tempOnTmpfs) : null,
    cpu: new Cpu2(directory),
    tasks: has('pids.current') ? new Pids(directory) : null,
    stall: MemoryStall.tryOpen(directory),
    freezer: has('cgroup.freeze') ? new Freezer2(directory) : null,
    mover: options.mover ?? null,
    watched: ['cgroup.events', 'memory.events'].map((file) => join(directory, file)),
  };
}
