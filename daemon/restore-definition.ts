/**
 * The definition for a run that an earlier daemon left: for a managed one today's entry of the file, for a direct one
 * what the ledger kept, because its flags were its client's.
 */

import type { Config } from '../config/config.ts';
import { DEFAULT_CALLS, DEFAULT_LADDER, DEFAULT_RECOVERY, UNSEEN_LEAKS } from '../config/defaults.ts';
import { GovernorError } from '../lib/core/errors.ts';
import type { LedgerEntry } from '../lib/process/ledger.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';

/** For what a daemon wrote that knew no such things. */
const UNSERVED = {
  sharing: 'context',
  idleTimeoutMs: null,
  healthCheckMs: null,
  calls: DEFAULT_CALLS,
  leaks: UNSEEN_LEAKS,
} as const;

export function restoreDefinition(entry: LedgerEntry, config: Config): ToolDefinition {
  const today = config.tools.find(({ name }) => name === entry.tool);
  if (today !== undefined && entry.mode === 'managed') return today;
  const kept = entry.definition;
  if (!isDefinition(kept)) throw new GovernorError('internal', `the ledger's definition of ${entry.tool} is damaged`);
  // What the daemon's own version decides is taken from today; limits and origin are the run's.
  const { ladder, recovery, ...rest } = kept;
  return {
    ...UNSERVED,
    ...rest,
    ladder: { ...DEFAULT_LADDER, ...ladder },
    recovery: { ...DEFAULT_RECOVERY, ...recovery },
    autostart: false,
  };
}

function isDefinition(value: unknown): value is ToolDefinition {
  return (
    typeof value === 'object' &&
    value !== null &&
    'limits' in value &&
    'name' in value &&
    'recovery' in value &&
    'graceMs' in value
  );
}
