/** The machine that a figure was measured on: without it no figure means anything. */

import { readFileSync, statfsSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';

export interface HostFacts {
  readonly kernel: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly node: string;
  readonly user: 'root' | 'ordinary';
  readonly cgroups: string;
  /** File system of the temp dir. */
  readonly tempFileSystem: string;
}

export function hostFacts(): HostFacts {
  return {
    kernel: release(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    node: process.version,
    user: process.getuid?.() === 0 ? 'root' : 'ordinary',
    cgroups: cgroupMounts(),
    tempFileSystem: fileSystemOf(tmpdir()),
  };
}

/** statfs(2) */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x01021994: 'tmpfs',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x794c7630: 'overlay',
};

/** Its name, or its magic number. */
export function fileSystemOf(directory: string): string {
  const { type } = statfsSync(directory);
  return FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`;
}

/** Load of the last minute: a figure taken beside other work says so. */
export function load(): number {
  return loadavg()[0] ?? 0;
}

function cgroupMounts(): string {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const version1 = mounts
    .filter((line) => line.split(' ')[2] === 'cgroup')
    .map((line) => line.split(' ')[1]?.split('/').at(-1));
  const version2 = mounts.find((line) => line.split(' ')[2] === 'cgroup2')?.split(' ')[1];
  return `v1: ${version1.length === 0 ? 'none' : version1.join(' ')}; v2: ${version2 ?? 'none'}`;
}
