/** Benign programs of which hundreds fit beside each other, for a run of minutes. */

import type { Benign } from '../support/benign-set.ts';
import { program } from '../support/program.ts';

const MIB = 2 ** 20;

/** The same ideas in a size of which sixty fit beside each other. */
const SMALL: readonly Benign[] = [
  {
    name: 'small step',
    command: () => [program('benign'), '--step-mb=20'],
    limits: { memory: '32MiB' },
    judged: ['memory', 32 * MIB],
  },
  {
    name: 'small mapped file',
    command: () => [program('benign'), '--map-mb=24'],
    limits: { memory: '16MiB' },
    judged: ['memory', 16 * MIB],
  },
  {
    name: 'some threads',
    command: () => [program('benign'), '--threads=40'],
    limits: { tasks: 64 },
    judged: ['tasks', 64],
  },
  {
    name: 'few shared sockets',
    command: () => [program('benign'), '--shared=20'],
    limits: { sockets: 32, file_handles: 4096 },
    judged: ['sockets', 32],
  },
  {
    name: 'small sparse file',
    command: () => [program('benign'), '--sparse-mb=1024'],
    limits: { temp_storage: '16MiB' },
    judged: ['temp_storage', 16 * MIB],
  },
];

/** At least so many, as many of each; a number is added to the name of each. */
export function copiesOfSmall(least: number): readonly Benign[] {
  return Array.from({ length: Math.ceil(least / SMALL.length) }, (_, at) =>
    SMALL.map((one) => ({ ...one, name: `${one.name} ${at}` })),
  ).flat();
}

/** For limits.yaml. */
export function definitionsOf(set: readonly Benign[]): Readonly<Record<string, object>> {
  return Object.fromEntries(
    set.map(({ name, limits }) => [name, { command: 'true', autostart: false, readiness: 'none', limits }]),
  );
}
