/** What a run's end is called, when it was noticed rather than decided. */

import { maskShort } from '../core/mask.ts';
import { HOST_BUDGET } from '../core/budget.ts';
import { formatBytes } from '../core/format.ts';
import type { Finding } from './monitor.ts';
import type { EndRequest, Run } from './run.ts';
import type { EndView } from './views.ts';

/** The kernel was faster than the ladder: it killed the whole tree, and this is all that is left to say. */
export function oomEnd(run: Run): EndRequest {
  const { memory } = run.limits;
  const own =
    memory === null
      ? ''
      : `, ${Math.round(memory.thresholds.emergency * 100)} % of its limit of ${formatBytes(memory.limit)}, stage emergency`;
  return {
    reason: 'oom_kill',
    message: `the kernel killed it for lack of memory (OOM)${atHardLimits(run)}${own}`,
    resource: 'memory',
    graceMs: 0,
    breach: {
      usage: null,
      limit: memory?.limit ?? null,
      ratio: null,
      stage: 'emergency',
      action: 'kill',
    },
  };
}

/** The kernel does not tell whose limit it was. */
export function atHardLimits({ limits, sharedCaps }: Run): string {
  const shared = [...sharedCaps].map((budget) => `that of ${budget === HOST_BUDGET ? 'all tools together' : budget}`);
  const all = [...(limits.memory === null ? [] : ['its hard limit']), ...shared];
  return all.length === 0 ? '' : ` at ${all.join(' or ')}`;
}

export function endFor(
  run: Run,
  finding: Exclude<Finding, { kind: 'decisions' | 'failed' }>,
  graceMs: number,
): EndRequest {
  switch (finding.kind) {
    case 'empty':
      return run.judge.oomKilled ? oomEnd(run) : { reason: 'exited', message: 'ended by itself', graceMs: 0 };
    case 'leader_gone':
      // What the kernel killed may still be on its way out when the first process is gone.
      if (run.judge.oomKilled) return oomEnd(run);
      // Where nobody is told of the last one, they are counted.
      if (run.init.containment.membership.members().length === 0)
        return { reason: 'exited', message: 'ended by itself', graceMs: 0 };
      return { reason: 'exited', message: 'ended by itself; what it left behind was stopped', graceMs };
    case 'client_gone':
      return { reason: 'client_died', message: `stopped: its client (process ${finding.client.pid}) is gone`, graceMs };
  }
}

/** Not even a run came of it. */
export function neverBegan(error: unknown): EndView {
  const message = maskShort(`could not be started: ${error instanceof Error ? error.message : String(error)}`);
  return { reason: 'launch_failed', message, exit: 'unknown', cleanup: null };
}
