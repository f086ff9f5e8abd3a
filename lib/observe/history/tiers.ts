/** What is kept at which resolution, and how much room that takes. Pure. */

import type { Unit } from '../../core/resource.ts';

export const TIERS = [
  { name: '1s', table: 'second', stepS: 1 },
  { name: '10s', table: 'ten_seconds', stepS: 10 },
  { name: '1m', table: 'minute', stepS: 60 },
] as const;

export type Tier = (typeof TIERS)[number];
export type TierName = Tier['name'];

export interface HistorySettings {
  /** Seconds that each tier reaches back. */
  readonly keepS: Readonly<Record<TierName, number>>;
  /** The oldest of the coarsest tier goes where the file would grow beyond this. */
  readonly maxBytes: number;
}

/** As it is kept and shown: bytes and milliseconds have no parts that anybody wants to read. */
export function rounded(unit: Unit, value: number): number {
  return unit === 'bytes' || unit === 'ms' ? Math.round(value) : Math.round(value * 1000) / 1000;
}

/** A row of one second with several readings: lowest and highest too. Within `sample_interval` 1 s a calm run has one. */
export const SEVERAL_BYTES = 156;
/**
 * The most that one row of a reading takes with its share of the page: header, id, and every value at its widest. A row of
 * one second has one reading here, and then neither lowest nor highest.
 */
export const ROW_BYTES: Readonly<Record<TierName, number>> = { '1s': 72, '10s': 156, '1m': 156 };
/** Its tool, context and times, and its place in the index. Names are taken to be of 64 characters. */
export const RUN_BYTES = 256;
/** One line of totals: by call, or by context. */
export const TOTAL_BYTES = 256;
/** The log that SQLite writes first, at its longest, and what the empty tables take. */
export const FIXED_BYTES = 12 * 1024 ** 2;

export interface Population {
  /** Runs that are watched at once, all the time that is kept. */
  readonly watched: number;
  /** Runs that began and ended within that time. */
  readonly runs: number;
  /** Lines of totals. */
  readonly totals: number;
  /** How often each of the watched is read in a second: calm at `sample_interval: 1s`, or more often all the time. */
  readonly readings: 'one' | 'several';
}

/** What the file and its log take at most, where `maxBytes` does not bound them before. */
export function expectedBytes({ keepS }: Pick<HistorySettings, 'keepS'>, population: Population): number {
  const rowBytes = population.readings === 'one' ? ROW_BYTES : { ...ROW_BYTES, '1s': SEVERAL_BYTES };
  const perRun = TIERS.reduce((sum, { name, stepS }) => sum + rowBytes[name] * Math.ceil(keepS[name] / stepS), 0);
  return population.watched * perRun + population.runs * RUN_BYTES + population.totals * TOTAL_BYTES + FIXED_BYTES;
}

/** How far back any of it reaches, seconds. */
export function longestS({ keepS }: Pick<HistorySettings, 'keepS'>): number {
  return Math.max(...Object.values(keepS));
}
