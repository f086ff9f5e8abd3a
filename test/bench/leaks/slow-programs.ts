/** Real programs at the slow pace: which families, how many of each, at which rates, with which seeds. Part of what is held out. */

import { join } from 'node:path';
import { projectRoot } from '../../helpers/project-root.ts';
import type { LeakResource, Pace } from './operating-point.ts';
import type { RealTrial } from './programs.ts';
import { seedOf } from './random.ts';
import { RATES } from './trials.ts';

/** A fifth and an eighth of what is usual: V8 collects by what is allocated, and a minute is too short for it. */
export const SLOW_PACE: Pace = { cadenceMs: 1_000, warmUpMs: 60_000, windowMs: 240_000 };
export const SLOW_WINDOWS = 2;

interface SlowFamily {
  readonly name: string;
  /** What it leaks; null: nothing. */
  readonly leaks: LeakResource | null;
  /** What rises with that by its mechanism. */
  readonly entails: readonly LeakResource[];
}

export interface SlowTrial extends RealTrial {
  readonly entails: readonly LeakResource[];
}

const leak = (leaks: LeakResource, entails: readonly LeakResource[], ...names: readonly string[]) =>
  names.map((name): SlowFamily => ({ name, leaks, entails }));
const benign = (...names: readonly string[]) => names.map((name): SlowFamily => ({ name, leaks: null, entails: [] }));

export const SLOW_PROGRAMS: readonly SlowFamily[] = [
  ...leak('memory', [], 'timers never cleared', 'promises that never settle', 'names in a registry'),
  ...leak('memory', [], 'undo steps that stay', 'pages of WebAssembly', 'slices that hold the whole'),
  ...leak('memory', [], 'errors with what they saw', 'generators never finished'),
  ...leak('file_handles', [], 'folders left open', 'streams half read'),
  // A socket is a file handle.
  ...leak('sockets', ['file_handles'], 'ended by the other side'),
  ...leak('temp_storage', [], 'log never rotated'),
  // A process has memory and file handles of its own; its input is a pair of sockets.
  ...leak('tasks', ['memory', 'file_handles', 'sockets'], 'helpers that wait'),
  ...benign('ring written anew', 'segments that double', 'least recently used', 'snapshots in turn', 'thread a job'),
  ...benign('helpers in batches', 'requests over loopback', 'sessions with a time limit'),
  ...benign('journal with checkpoints', 'unpacked and removed', 'files in batches', 'worked on in place'),
  ...benign('quota of a disk cache'),
];

/** To try the slow pace out on. */
export const SLOW_TUNING_PROGRAMS: readonly SlowFamily[] = [
  ...leak('memory', [], 'blocks'),
  ...leak('file_handles', [], 'files'),
  ...leak('sockets', ['file_handles'], 'listeners'),
  ...leak('tasks', ['memory', 'file_handles'], 'sleepers'),
  ...benign('idle', 'scratch'),
];

const TRIALS_A_FAMILY = 24;

/** 13 × 24 leaking and 13 × 24 benign processes. */
export function heldOutSlowPrograms(): readonly SlowTrial[] {
  return SLOW_PROGRAMS.flatMap((family) => programsOf('held-out-slow', family, TRIALS_A_FAMILY));
}

export function tuningSlowPrograms(each: number): readonly SlowTrial[] {
  return SLOW_TUNING_PROGRAMS.flatMap((family) => programsOf('tuning-slow', family, each));
}

function programsOf(
  set: 'held-out-slow' | 'tuning-slow',
  { name, leaks, entails }: SlowFamily,
  count: number,
): readonly SlowTrial[] {
  return Array.from({ length: count }, (_, index) => {
    const rate = leaks === null ? 0 : (RATES[index % RATES.length] as number);
    const options = [
      `--family=${name}`,
      `--seed=${seedOf(`${set} program ${name} ${index}`)}`,
      `--index=${index}`,
      `--rate=${rate}`,
      `--warm-up-ms=${SLOW_PACE.warmUpMs}`,
      `--window-ms=${SLOW_PACE.windowMs}`,
    ];
    return {
      name: `${name} ${index}`,
      family: name,
      leaks,
      entails,
      rate,
      command: [process.execPath, join(projectRoot, 'test/fixtures/leaks', `${set}.mjs`), ...options],
    };
  });
}
