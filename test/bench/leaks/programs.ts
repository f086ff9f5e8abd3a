/** Real programs of the leak bench: which families, how many of each, at which rates, with which seeds. Part of what is held out. */

import { join } from 'node:path';
import { projectRoot } from '../../helpers/project-root.ts';
import { FAST_PACE, REAL_WINDOWS } from './operating-point.ts';
import type { LeakResource } from './operating-point.ts';
import { seedOf } from './random.ts';
import { RATES } from './trials.ts';

interface RealFamily {
  readonly name: string;
  /** What it leaks; null: nothing. */
  readonly leaks: LeakResource | null;
}

const leak = (leaks: LeakResource, ...names: readonly string[]): readonly RealFamily[] =>
  names.map((name) => ({ name, leaks }));
const benign = (...names: readonly string[]): readonly RealFamily[] => names.map((name) => ({ name, leaks: null }));

export const HELD_OUT_PROGRAMS: readonly RealFamily[] = [
  ...leak(
    'memory',
    'buffers',
    'objects',
    'step a call',
    'slow under a saw',
    'partial frees',
    'only while busy',
    'listeners',
  ),
  ...leak('file_handles', 'file handles'),
  ...leak('sockets', 'sockets'),
  ...leak('temp_storage', 'temporary files'),
  ...leak('tasks', 'processes'),
  ...benign(
    'collector saw',
    'cache that fills',
    'ramp of the start',
    'bursts that are freed',
    'load in cycles',
    'fragments',
  ),
  ...benign('walk around a mean', 'page cache reader', 'log with rotation', 'pool of workers'),
  ...benign('files opened and closed', 'connections kept alive'),
];

export const TUNING_PROGRAMS: readonly RealFamily[] = [
  ...leak('memory', 'strings', 'stairs'),
  ...leak('file_handles', 'unread files'),
  ...leak('sockets', 'udp sockets'),
  ...leak('temp_storage', 'large temporary files'),
  ...benign('idle', 'json', 'cache of a time', 'one step', 'slow wave', 'churn of files', 'scratch files'),
];

export interface RealTrial {
  readonly name: string;
  readonly family: string;
  readonly leaks: LeakResource | null;
  readonly rate: number;
  readonly command: readonly string[];
}

/** From the start of the program to the end of the trial. */
export const REAL_TRIAL_MS = FAST_PACE.warmUpMs + REAL_WINDOWS * FAST_PACE.windowMs;

/** 11 × 28 leaking and 12 × 26 benign processes. */
export function heldOutPrograms(): readonly RealTrial[] {
  return HELD_OUT_PROGRAMS.flatMap((family) => programsOf('held-out', family, family.leaks === null ? 26 : 28));
}

export function tuningPrograms(each = 4): readonly RealTrial[] {
  return TUNING_PROGRAMS.flatMap((family) => programsOf('tuning', family, each));
}

function programsOf(set: 'held-out' | 'tuning', { name, leaks }: RealFamily, count: number): readonly RealTrial[] {
  return Array.from({ length: count }, (_, index) => {
    const rate = leaks === null ? 0 : (RATES[index % RATES.length] as number);
    const options = [
      `--family=${name}`,
      `--seed=${seedOf(`${set} program ${name} ${index}`)}`,
      `--index=${index}`,
      `--rate=${rate}`,
      `--warm-up-ms=${FAST_PACE.warmUpMs}`,
      `--window-ms=${FAST_PACE.windowMs}`,
    ];
    return {
      name: `${name} ${index}`,
      family: name,
      leaks,
      rate,
      command: [process.execPath, join(projectRoot, 'test/fixtures/leaks', `${set}.mjs`), ...options],
    };
  });
}
