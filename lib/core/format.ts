/** Amounts as people read and write them. What these print, limits.yaml accepts. */

import { assertNever } from './result.ts';
import { UNIT } from './resource.ts';
import type { Resource } from './resource.ts';

/** An amount in the unit of its resource: `412 MiB`, `87.5%`, `1024`, `1h30m`. */
export function formatAmount(resource: Resource, value: number): string {
  const unit = UNIT[resource];
  switch (unit) {
    case 'bytes':
      return formatBytes(value);
    case 'percent':
      return formatPercent(value);
    case 'count':
      return formatCount(value);
    case 'ms':
      return formatDuration(value);
  }
  return assertNever(unit);
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes in binary units, at most one decimal: `0 B`, `412 MiB`, `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  let value = Math.abs(bytes);
  let unit = 0;
  // Rounded before the comparison, so that 1023.96 KiB is shown as 1 MiB and not as 1024 KiB.
  while (rounded(value) >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${bytes < 0 ? '-' : ''}${rounded(value)} ${BYTE_UNITS[unit]}`;
}

/** @param percent 50 is half of one core; at most one decimal is shown */
export function formatPercent(percent: number): string {
  return `${rounded(percent)}%`;
}

/** @param ratio 0.75 is shown as `75%` */
export function formatRatio(ratio: number): string {
  return formatPercent(ratio * 100);
}

export function formatCount(count: number): string {
  return String(Math.round(count));
}

const DURATION_UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** The two largest parts of a duration: `250ms`, `1.5s`, `30s`, `1h30m`, `2d3h`. */
export function formatDuration(ms: number): string {
  const sign = ms < 0 ? '-' : '';
  const total = Math.abs(ms);
  if (total < 999.5) return `${sign}${total < 10 ? rounded(total) : Math.round(total)}ms`;
  if (total < 9_950) return `${sign}${rounded(total / 1000)}s`;
  let rest = Math.round(total / 1000) * 1000;
  let shown = '';
  let parts = 0;
  for (const [name, unitMs] of DURATION_UNITS) {
    const count = Math.floor(rest / unitMs);
    rest -= count * unitMs;
    if (count > 0) shown += `${count}${name}`;
    // The part after the first one shown counts even when it is zero: 1h0m5s reads as 1h.
    if (shown !== '') parts += 1;
    if (parts === 2) break;
  }
  return sign + shown;
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
