/** Tools that look bad and are not, with limits to match, and controls that truly exceed one. */

import { fixtureCommand } from '../../helpers/fixture.ts';
import { program } from './program.ts';

const MIB = 2 ** 20;

export interface Benign {
  readonly name: string;
  readonly command: () => readonly string[];
  readonly limits: Readonly<Record<string, string | number>>;
  /** What the limit is about, and the limit in bytes or a count; null where the oracle has nothing to add. */
  readonly judged: readonly [resource: 'memory' | 'tasks' | 'sockets' | 'temp_storage', limit: number] | null;
  /** The last word it says before it is as bad as it gets. */
  readonly settled?: string;
}

export const BENIGN: readonly Benign[] = [
  {
    name: 'page cache',
    command: () => fixtureCommand('page-cache-reader', ['--mb=250']),
    limits: { memory: '128MiB' },
    judged: ['memory', 128 * MIB],
  },
  {
    name: 'mapped file',
    command: () => [program('benign'), '--map-mb=300'],
    limits: { memory: '128MiB' },
    judged: ['memory', 128 * MIB],
  },
  {
    name: 'shared forks',
    command: () => fixtureCommand('shared-forks', ['--forks=20', '--mb=300']),
    limits: { memory: '480MiB' },
    judged: ['memory', 480 * MIB],
  },
  {
    name: 'sawtooth',
    command: () => fixtureCommand('gc-sawtooth', ['--peak-mb=150', '--period-ms=1000']),
    limits: { memory: '320MiB' },
    judged: ['memory', 320 * MIB],
  },
  {
    name: 'step',
    command: () => [program('benign'), '--step-mb=80'],
    limits: { memory: '128MiB' },
    judged: ['memory', 128 * MIB],
  },
  {
    name: 'busy start',
    command: () => fixtureCommand('startup-burst', ['--burst-ms=3000', '--mb=100']),
    limits: { cpu: '100%', memory: '256MiB' },
    judged: null,
    settled: 'quiet',
  },
  {
    name: 'fork storm',
    command: () => [program('benign'), '--storm=300'],
    limits: { tasks: 40 },
    judged: ['tasks', 40],
  },
  {
    name: 'threads',
    command: () => [program('benign'), '--threads=80'],
    limits: { tasks: 128 },
    judged: ['tasks', 128],
  },
  {
    name: 'shared sockets',
    command: () => [program('benign'), '--shared=40'],
    // Every process's descriptors count; its sockets are the same ones.
    limits: { sockets: 64, file_handles: 4096 },
    judged: ['sockets', 64],
  },
  {
    name: 'sparse file',
    command: () => [program('benign'), '--sparse-mb=10240'],
    limits: { temp_storage: '16MiB' },
    judged: ['temp_storage', 16 * MIB],
  },
];

export const STALLED = 'while stalled';

/** CPU may be answered by every action there is, so that a false decision would not go unseen. */
export function definitions(): Readonly<Record<string, object>> {
  const base = { command: 'true', autostart: false, readiness: 'none' };
  const actions = { cpu: { cleanup: ['recycle'], emergency: ['kill'] } };
  return {
    ...Object.fromEntries(
      BENIGN.map(({ name, limits }) => [name, { ...base, limits, ...('cpu' in limits ? { actions } : {}) }]),
    ),
    [STALLED]: { ...base, limits: { memory: '128MiB' } },
  };
}

/** Each truly exceeds one limit, and stays there. */
export const CONTROLS: readonly (readonly [word: string, level: number, flags: readonly string[]])[] = [
  ['memory', 80, ['--memory', '64MiB']],
  ['files', 120, ['--file-handles', '100']],
  ['sockets', 80, ['--sockets', '64']],
  ['tasks', 50, ['--tasks', '40']],
  ['temp', 10_000, ['--temp-storage', '8MiB']],
];
