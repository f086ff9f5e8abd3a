/** RESOURCE_CLEANUP_INTERVAL: how often idle resources are looked for. */

import { GovernorError } from '../core/errors.ts';

export const CLEANUP_INTERVAL_VARIABLE = 'RESOURCE_CLEANUP_INTERVAL';
/** Long enough for a conversation that pauses, short enough for a connection not to be forgotten. */
export const DEFAULT_CLEANUP_INTERVAL_MS = 5 * 60_000;
/** A timer takes a signed 32-bit number of milliseconds; a longer one fires at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Milliseconds; the default where the variable is not set or empty.
 * @throws GovernorError invalid_config for what is no whole number of milliseconds in range
 */
export function cleanupIntervalMs(environment: Readonly<Record<string, string | undefined>>): number {
  const text = environment[CLEANUP_INTERVAL_VARIABLE];
  if (text === undefined || text === '') return DEFAULT_CLEANUP_INTERVAL_MS;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 1 && value <= MAX_TIMER_MS) return value;
  throw new GovernorError(
    'invalid_config',
    `${CLEANUP_INTERVAL_VARIABLE} is ${JSON.stringify(text.slice(0, 40))}: it must be a whole number of milliseconds from 1 to ${MAX_TIMER_MS}, such as ${DEFAULT_CLEANUP_INTERVAL_MS} (5 minutes, the default)`,
    { problems: [{ message: 'not a number of milliseconds', hint: 'stopCleanupTimer() switches idle cleanup off' }] },
  );
}

/** @throws GovernorError invalid_request */
export function checkedMs(name: string, value: number, leastMs: number): number {
  if (Number.isFinite(value) && value >= leastMs && value <= MAX_TIMER_MS) return value;
  throw new GovernorError(
    'invalid_request',
    `${name} is ${value}: it must be a number of milliseconds from ${leastMs} to ${MAX_TIMER_MS}`,
  );
}
