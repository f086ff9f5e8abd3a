/** Defaults of the cache, and what its numbers may be. */

import { GovernorError } from '../core/errors.ts';
import type { CacheLog, CacheOptions } from './cache-types.ts';
import { checkedMs } from './cleanup-interval.ts';

export interface CacheSettings extends Required<
  Pick<
    CacheOptions,
    | 'ttlMs'
    | 'maxEntries'
    | 'maxBytes'
    | 'patterns'
    | 'sweepIntervalMs'
    | 'firstLevelTtlMs'
    | 'secondLevelTimeoutMs'
    | 'monotonicMs'
    | 'wallMs'
  >
> {
  readonly log: CacheLog;
}

export const CACHE_DEFAULTS = {
  ttlMs: 15 * 60_000,
  maxEntries: 100,
  maxEntriesBeforeSecondLevel: 1_000,
  maxBytes: 100_000_000,
  sweepIntervalMs: 60_000,
  firstLevelTtlMs: 60_000,
  secondLevelTimeoutMs: 250,
} as const;

const PROCESS_LOG: CacheLog = {
  info: () => undefined,
  warn: (message) => process.emitWarning(message, 'CacheWarning'),
};

/** @throws GovernorError invalid_request */
export function cacheSettings(options: CacheOptions): CacheSettings {
  const { maxEntries, maxEntriesBeforeSecondLevel, ...others } = CACHE_DEFAULTS;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as CacheOptions;
  const settings: CacheSettings = {
    ...others,
    maxEntries: options.secondLevel === undefined ? maxEntries : maxEntriesBeforeSecondLevel,
    patterns: [],
    log: PROCESS_LOG,
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    ...given,
  };
  for (const name of ['firstLevelTtlMs', 'secondLevelTimeoutMs'] as const)
    if (given[name] !== undefined && given.secondLevel === undefined)
      throw new GovernorError('invalid_request', `${name} is given, but no secondLevel`);
  checkedMs('ttlMs', settings.ttlMs, 0);
  checkedMs('sweepIntervalMs', settings.sweepIntervalMs, 1);
  checkedMs('firstLevelTtlMs', settings.firstLevelTtlMs, 1);
  checkedMs('secondLevelTimeoutMs', settings.secondLevelTimeoutMs, 1);
  for (const { template, ttlMs } of settings.patterns) checkedMs(`ttlMs of ${template}`, ttlMs, 0);
  for (const name of ['maxEntries', 'maxBytes'] as const)
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 1)
      throw new GovernorError('invalid_request', `${name} is ${settings[name]}: it must be a whole number from 1 on`);
  return settings;
}
