/** Times on the command line. */

import { parseDuration } from '../../config/units.ts';
import { err, ok, type Result } from '../../lib/core/result.ts';

const ISO = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/;

/** A time without offset is local time, as people mean it; a date alone is its beginning in UTC (ECMA-262). Milliseconds since the epoch. */
export function parseTime(option: string, value: unknown, nowMs: number): Result<number | null, string> {
  if (typeof value !== 'string') return ok(null);
  const time = ISO.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(time)) return ok(time);
  const back = parseDuration(value);
  if (back.ok) return ok(nowMs - back.value);
  return err(
    `${option} ${JSON.stringify(value)} is neither a time such as 2026-01-31T12:00:00Z nor a duration such as 10m`,
  );
}
