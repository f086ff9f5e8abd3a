/** Readings, limits and times as the tables show them. What could not be read is `–`, never a zero. */

import { formatAmount, formatDuration, formatRatio } from '../../lib/core/format.ts';
import type { Resource } from '../../lib/core/resource.ts';
import type { ToolState } from '../../lib/core/tool-state.ts';
import type { Reading } from '../../lib/core/usage.ts';
import type { EndView, LimitView, ResourceUsageView, RunView } from '../../lib/supervisor/views.ts';

export const NOTHING = '–';

export function usageText(usage: ResourceUsageView): string {
  if (usage.usage === null) return NOTHING;
  const inodes = usage.inodes === undefined ? '' : ` (${usage.inodes} inodes)`;
  return formatAmount(usage.resource, usage.usage) + inodes;
}

/** `n/a (reason)` where a reading is missing. @param state of the tool; null for what is of one run */
export function usageWithReason(usage: ResourceUsageView, state: ToolState | null): string {
  if (usage.usage !== null) return usageText(usage);
  if (usage.unsupported !== undefined) return `n/a (${usage.unsupported})`;
  if (usage.quality !== 'gone') return 'n/a (not read yet)';
  return state === 'registered' ? 'n/a (asleep)' : 'n/a (the processes are gone)';
}

export function limitText(limit: Pick<LimitView, 'resource' | 'limit' | 'inodes' | 'renew' | 'cap'>): string {
  if (limit.limit === null) return 'none';
  const inodes = limit.inodes === undefined ? '' : `, ${limit.inodes} inodes`;
  const cap = limit.cap === undefined ? '' : `, cap ${formatDuration(limit.cap)}`;
  const renew = limit.renew === 'none' ? ', not renewed' : '';
  return formatAmount(limit.resource, limit.limit) + inodes + cap + renew;
}

export function ratioText(ratio: number | null): string {
  return ratio === null ? NOTHING : formatRatio(ratio);
}

export function readingText(resource: Resource, reading: Reading): string {
  switch (reading.kind) {
    case 'measured':
      return formatAmount(resource, reading.value);
    case 'unsupported':
      return `n/a (${reading.reason})`;
    case 'gone':
      return 'n/a (gone)';
  }
}

const BAR_COLUMNS = 10;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const;

/** Ten columns up to 100 %; what is over the limit shows as `▶` at the end. Empty without a ratio. */
export function bar(ratio: number | null): string {
  if (ratio === null) return '';
  const eighths = Math.round(Math.min(1, Math.max(0, ratio)) * BAR_COLUMNS * 8);
  const filled = '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
  const body = filled.padEnd(BAR_COLUMNS, '·');
  return ratio > 1 ? `${body.slice(0, -1)}▶` : body;
}

/** `3m12s`: how long ago, never negative. */
export function ago(iso: string, nowMs: number): string {
  return formatDuration(Math.max(0, nowMs - Date.parse(iso)));
}

/** `exit code 3`, `signal SIGKILL`; nothing where the kernel did not tell. */
export function exitText(exit: EndView['exit']): string {
  if (exit === 'unknown') return 'exit status unknown';
  return 'code' in exit ? `exit code ${exit.code}` : `signal ${exit.signal}`;
}

export function endText(end: EndView): string {
  return `${end.message} (${end.reason}, ${exitText(end.exit)}${unprovenText(end)})`;
}

/** Who ended by itself was not stopped: there was nothing to prove. */
function unprovenText({ reason, cleanup }: EndView): string {
  return cleanup?.proven === false && reason !== 'exited' ? ', not proven to be all of it' : '';
}

/** The runs that still hold something. */
export function liveRuns(runs: readonly RunView[]): readonly RunView[] {
  return runs.filter((run) => run.state !== 'ended');
}

/** A command as it could be typed: words with anything special in single quotes. */
export function commandText(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
