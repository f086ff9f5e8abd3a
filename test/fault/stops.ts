/** Every way to stop, over every program that tries to get away, for one stand. */

import type t from 'tap';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LAUNCHER, type RunningDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, fixtureEnvironment, newMarker, type RunningFixture, startProgram, type TestScope } from '../helpers/fixture.ts';
import { formatSurvivor, identityOf, killIdentity, killSurvivors, survivors, survivorsAfter } from '../helpers/survivors.ts';
import { waitFor } from '../helpers/wait-for.ts';
import { leftovers, newStandDir, runsOf, type Stand, startOn } from './stand.ts';

type Test = typeof t;

interface Program {
  readonly fixture: string;
  readonly args: readonly string[];
  /** What a scan of /proc cannot promise to find. */
  readonly hides?: true;
}

/** supervisors.md's escape programs A to E, and tools that do not want to go. */
const PROGRAMS: Readonly<Record<string, Program>> = {
  'setsid and double fork': { fixture: 'escape-setsid-double-fork', args: [] },
  'hop fork': { fixture: 'hop-fork', args: [], hides: true },
  'hop fork, leader gone, sessions': { fixture: 'hop-fork', args: ['--leave', '--setsid'], hides: true },
  'env -i daemon': { fixture: 'env-i-daemon', args: [process.execPath], hides: true },
  'fork bomb': { fixture: 'fork-bomb', args: ['--max=60'] },
  'leaky tree, polite': { fixture: 'leaky-tree', args: [process.execPath] },
  'leaky tree, stubborn': { fixture: 'leaky-tree', args: [process.execPath, '--stubborn'] },
  'ignores SIGTERM': { fixture: 'ignore-term', args: [] },
  'forks on SIGTERM': { fixture: 'term-handler-forks', args: [] },
  'stopped by SIGSTOP': { fixture: 'stopped', args: [] },
  'zombie leader': { fixture: 'zombie-leader', args: [] },
  'unreaped zombies': { fixture: 'unreaped-zombies', args: [] },
};
export const PROGRAM_NAMES = Object.keys(PROGRAMS);

const GRACE = '200ms';
const LIFE_MS = 90_000;

interface Started {
  readonly name: string;
  readonly tool: string;
  readonly marker: string;
  /** Null for a managed tool. */
  readonly client: RunningFixture | null;
}
