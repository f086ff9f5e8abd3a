/**
 * Usage far outside a tool's own history, for whoever watches security: said, never acted on. Pure. The operating point
 * is written here once, and told with every finding. It looks for what is new by a factor; what lies below the factor, grows
 * slowly, or comes before there is a history is not found.
 */

import { formatAmount, formatCount, formatDuration } from './format.ts';
import type { Resource } from './resource.ts';
import type { SeriesName } from './usage-profile.ts';

/** Enough of a history to be outside of: observed time, and readings of that resource. */
export const HISTORY_LEAST_MS = 3_600_000;
export const HISTORY_LEAST_SAMPLES = 600;
/** One finding a tool and resource in this time. */
export const QUIET_MS = 600_000;

interface Rule {
  readonly resource: Resource;
  readonly event: 'peak' | 'burst';
  /** Times the highest that is remembered. */
  readonly factor: number;
  /** And above that by so much, in the unit of the series: small tools double without meaning anything. */
  readonly least: number;
}

const MIB = 1024 ** 2;

/** CPU and runtime are not here: a compiler that takes every core, and a long call, are no news. */
export const ANOMALY_RULES: Readonly<Partial<Record<SeriesName, Rule>>> = {
  memory: { resource: 'memory', event: 'peak', factor: 2, least: 64 * MIB },
  file_handles: { resource: 'file_handles', event: 'peak', factor: 2, least: 64 },
  sockets: { resource: 'sockets', event: 'peak', factor: 2, least: 32 },
  temp_storage: { resource: 'temp_storage', event: 'peak', factor: 2, least: 64 * MIB },
  tasks: { resource: 'tasks', event: 'peak', factor: 2, least: 32 },
  sockets_rise: { resource: 'sockets', event: 'burst', factor: 3, least: 16 },
  tasks_rise: { resource: 'tasks', event: 'burst', factor: 3, least: 16 },
};

export interface NewHigh {
  readonly series: SeriesName;
  readonly value: number;
  /** The highest that is remembered; −1: none. */
  readonly before: number;
  /** Of the tool, ms. */
  readonly observedMs: number;
  /** Readings of the resource. */
  readonly samples: number;
  /** Since the last finding of this tool and resource; Infinity: there was none. */
  readonly sinceLastMs: number;
}

export interface Anomaly {
  readonly resource: Resource;
  /** `peak`: it holds more than ever. `burst`: more than ever came within seconds. */
  readonly event: 'peak' | 'burst';
  /** In the unit of the resource. */
  readonly value: number;
  /** The highest before. */
  readonly before: number;
  readonly factor: number;
  readonly detail: string;
}

/** @returns null for what is nothing, or nothing new */
export function judgeAnomaly(high: NewHigh): Anomaly | null {
  const rule = ANOMALY_RULES[high.series];
  const { value, before, observedMs, samples } = high;
  if (rule === undefined || before < 0) return null;
  if (observedMs < HISTORY_LEAST_MS || samples < HISTORY_LEAST_SAMPLES || high.sinceLastMs < QUIET_MS) return null;
  if (value < before * rule.factor || value - before < rule.least) return null;
  const { resource, event } = rule;
  const text = (amount: number): string => formatAmount(resource, amount);
  const what =
    event === 'peak'
      ? `${resource} ${text(value)}, and never more than ${text(before)} in ${formatDuration(observedMs)} of it`
      : `${formatCount(value)} more ${resource} within seconds, and never more than ${formatCount(before)} in ${formatDuration(observedMs)} of it`;
  return {
    resource,
    event,
    value,
    before,
    factor: rule.factor,
    detail: `${what}; said from ${rule.factor} times that on`,
  };
}
