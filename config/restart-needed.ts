/** What of `daemon:` a running daemon cannot take up. */

import type { Config, DaemonConfig } from './config.ts';

/**
 * `auth` holds with the next request, `calls` and `cache` at once, and `leaks` and `dry_run` for tools that are defined
 * anew; these are built in at the start.
 */
const BUILT_IN: Readonly<Record<Exclude<keyof DaemonConfig, 'auth' | 'cache' | 'calls' | 'leaks' | 'dryRun'>, string>> =
  {
    listen: 'listen',
    mcp: 'mcp',
    backend: 'backend',
    sampleIntervalMs: 'sample_interval',
    audit: 'audit',
    history: 'history',
    postMortems: 'post_mortems',
    logLevel: 'log_level',
    tempRoot: 'temp_root',
  };

/** @returns one note a key that changed and holds only from the next start of the daemon */
export function restartNeeded(before: DaemonConfig, after: DaemonConfig): readonly string[] {
  return Object.entries(BUILT_IN)
    .filter(([field]) => {
      const key = field as keyof typeof BUILT_IN;
      return JSON.stringify(before[key]) !== JSON.stringify(after[key]);
    })
    .map(([, key]) => `daemon.${key}: the new value holds from the next start of the daemon`);
}

/** No tool is changed by it; what no longer fits has gone. */
export function cacheNote({ cache: before }: DaemonConfig, { cache: after }: DaemonConfig): readonly string[] {
  return JSON.stringify(before) === JSON.stringify(after) ? [] : ['daemon.cache: the new values hold from now on'];
}

/** No tool is changed by these, and they hold at once. */
export function sharedLimitsNote({ budgets: before }: Config, { budgets: after }: Config): readonly string[] {
  const text = ({ host, contexts }: Config['budgets']): string =>
    JSON.stringify([host, contexts], (key, value: unknown) => (key === 'source' ? undefined : value));
  return text(before) === text(after) ? [] : ['daemon.budget, contexts: the new limits hold from now on'];
}
