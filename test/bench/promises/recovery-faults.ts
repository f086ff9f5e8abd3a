/** What goes wrong with a tool on purpose. */

import type { RunningDaemon } from '../../helpers/daemon.ts';
import type { Registered } from '../../helpers/registered.ts';
import { killIdentity, survivors } from '../../helpers/survivors.ts';
import { canary } from './canary.ts';

/** `stop` brings nothing back. */
const STRATEGIES = ['restart', 'degrade', 'restart-on-demand'] as const;
export type Strategy = (typeof STRATEGIES)[number];

export interface Fault {
  readonly name: string;
  readonly fixture: 'mcp-echo' | 'fails-then-works';
  readonly args: readonly string[];
  /** Null: it fails by itself, once it was started. */
  readonly inject: ((daemon: RunningDaemon, tool: Registered) => Promise<unknown>) | null;
}

const signal =
  (word: NodeJS.Signals) =>
  async (_: RunningDaemon, { marker }: Registered): Promise<void> => {
    for (const process of survivors(marker)) killIdentity(process, word);
  };

/** Each passes: the next start would work. */
export const RECOVERABLE: readonly Fault[] = [
  { name: 'ends before its handshake', fixture: 'fails-then-works', args: ['--times=1'], inject: null },
  { name: 'ends while it serves', fixture: 'fails-then-works', args: ['--times=1', '--after-ms=2000'], inject: null },
  { name: 'killed from outside', fixture: 'mcp-echo', args: [], inject: signal('SIGKILL') },
  {
    name: 'ends in a call',
    fixture: 'mcp-echo',
    args: [],
    inject: (daemon, { name }) => canary(daemon, name, 'exit', { code: 3 }),
  },
  {
    name: 'too much memory',
    fixture: 'mcp-echo',
    args: [],
    inject: (daemon, { name }) => canary(daemon, name, 'allocate', { mb: 220 }),
  },
  { name: 'hangs', fixture: 'mcp-echo', args: [], inject: signal('SIGSTOP') },
];

/** Each stays: no start ever works. */
export const PERMANENT: readonly Fault[] = [
  { name: 'never gets ready', fixture: 'fails-then-works', args: ['--times=100000'], inject: null },
  {
    name: 'ends soon after each start',
    fixture: 'fails-then-works',
    args: ['--times=100000', '--after-ms=300'],
    inject: null,
  },
];

export type Episode = readonly [fault: Fault, strategy: Strategy];

export function episodesOf(faults: readonly Fault[]): readonly Episode[] {
  return faults.flatMap((fault) => STRATEGIES.map((strategy): Episode => [fault, strategy]));
}
