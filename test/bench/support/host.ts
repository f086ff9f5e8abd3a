/** The machine that a figure was measured on: without it no figure means anything. */

import { readFileSync, statfsSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

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
    tempFileSystem: `0x${statfsSync('/tmp').type.toString(16)}`,
  };
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
