/**
 * The tables. One wide row a run and instant: `id` = bucket × 2^20 + run, so that what is written is appended, what is too old
 * is one range, and the row of a run at an instant is found by one look. A bucket is the instant divided by the step of its tier.
 *
 * NULL is a reading that could not be taken. Where lowest and highest are both the mean, they are NULL.
 */

import { RESOURCES, UNIT } from '../../core/resource.ts';
import type { Resource } from '../../core/resource.ts';
import { TIERS } from './tiers.ts';
import type { Tier } from './tiers.ts';

/** "govh", so that no other program's database is taken for it. */
export const APPLICATION_ID = 0x67_6f_76_68;
export const VERSION = 1;

/** Runs are told apart by 20 bits of the id. */
export const RUN_SPACE = 2 ** 20;

export function idOf(bucket: number, run: number): number {
  return bucket * RUN_SPACE + run;
}

export const MEANS = RESOURCES as readonly string[];
export const VALUES = RESOURCES.flatMap((resource) => [resource, `${resource}_min`, `${resource}_max`]);

export const TOTALS = ['calls', 'failures', 'duration_ms', 'max_ms', 'cpu_ms', 'shared_cpu_ms', 'unmeasured'] as const;

/** Tables with their columns, for whatever is saved from a file of another version. */
export const TABLES: Readonly<Record<string, readonly string[]>> = {
  boots: ['id', 'boot', 'first_s', 'base_ms', 'offset_s'],
  runs: ['id', 'tool', 'run', 'context', 'first_s', 'last_s'],
  calls: totalColumns(['method', 'name']),
  contexts: totalColumns(['context']),
  second: ['id', ...VALUES],
  ten_seconds: ['id', 'since', 'until', ...VALUES],
  minute: ['id', 'since', 'until', ...VALUES],
};

function totalColumns(key: readonly string[]): readonly string[] {
  return ['tool', ...key, ...TOTALS, 'last_s'];
}

const TOTAL_TYPES = TOTALS.map((name) => `${name} ${name.endsWith('_ms') ? 'REAL' : 'INTEGER'} NOT NULL`).join(', ');

/** REAL, so that whole numbers take no more room than they need. */
const VALUE_TYPES = VALUES.map((name) => `${name} REAL`).join(', ');

export const CREATE = [
  'CREATE TABLE boots (id INTEGER PRIMARY KEY, boot TEXT NOT NULL, first_s INTEGER NOT NULL, base_ms REAL NOT NULL, offset_s INTEGER NOT NULL)',
  'CREATE TABLE runs (id INTEGER PRIMARY KEY, tool TEXT NOT NULL, run TEXT NOT NULL, context TEXT, first_s INTEGER NOT NULL, last_s INTEGER NOT NULL)',
  'CREATE UNIQUE INDEX runs_by_tool ON runs (tool, run)',
  `CREATE TABLE calls (tool TEXT NOT NULL, method TEXT NOT NULL, name TEXT NOT NULL, ${TOTAL_TYPES}, last_s INTEGER NOT NULL, PRIMARY KEY (tool, method, name)) WITHOUT ROWID`,
  `CREATE TABLE contexts (tool TEXT NOT NULL, context TEXT NOT NULL, ${TOTAL_TYPES}, last_s INTEGER NOT NULL, PRIMARY KEY (tool, context)) WITHOUT ROWID`,
  `CREATE TABLE second (id INTEGER PRIMARY KEY, ${VALUE_TYPES})`,
  `CREATE TABLE ten_seconds (id INTEGER PRIMARY KEY, since INTEGER NOT NULL, until INTEGER NOT NULL, ${VALUE_TYPES})`,
  `CREATE TABLE minute (id INTEGER PRIMARY KEY, since INTEGER NOT NULL, until INTEGER NOT NULL, ${VALUE_TYPES})`,
  // Up to which bucket, itself excluded, a tier is made of the finer one.
  'CREATE TABLE marks (tier TEXT PRIMARY KEY, bucket INTEGER NOT NULL) WITHOUT ROWID',
] as const;

export function insert(table: string, columns: readonly string[], rows: number): string {
  const row = `(${columns.map(() => '?').join(',')})`;
  return `INSERT OR REPLACE INTO ${table} (${columns.join(',')}) VALUES ${Array(rows).fill(row).join(',')}`;
}

/** Rows of the coarser tier out of those of the finer one, ids from the first parameter on, before the second. Again is the same. */
export function rollUp(from: Tier, to: Tier): string {
  const factor = to.stepS / from.stepS;
  const bucket = `(id / ${RUN_SPACE})`;
  const place = `((${bucket} % ${factor}) * ${from.stepS})`;
  const [since, until] = from.stepS === 1 ? ['0', '1'] : ['since', 'until'];
  const columns = RESOURCES.flatMap((resource) => aggregates(resource, from.stepS === 1));
  return `INSERT OR REPLACE INTO ${to.table} (id, since, until, ${VALUES.join(', ')})
    SELECT (${bucket} / ${factor}) * ${RUN_SPACE} + id % ${RUN_SPACE} AS target,
      min(${place} + ${since}), max(${place} + ${until}), ${columns.join(', ')}
    FROM ${from.table} WHERE id >= ?1 AND id < ?2 GROUP BY target`;
}

function aggregates(resource: Resource, isEqual: boolean): readonly string[] {
  const lowest = `min(coalesce(${resource}_min, ${resource}))`;
  const highest = `max(coalesce(${resource}_max, ${resource}))`;
  const span = `(until - since)`;
  const mean = isEqual
    ? `avg(${resource})`
    : `sum(${resource} * ${span}) / CAST(sum(CASE WHEN ${resource} IS NOT NULL THEN ${span} END) AS REAL)`;
  const unit = UNIT[resource];
  const short = unit === 'bytes' || unit === 'ms' ? `CAST(round(${mean}) AS INTEGER)` : `round(${mean}, 3)`;
  const unlessSame = (value: string): string => `CASE WHEN ${lowest} < ${highest} THEN ${value} END`;
  // What never changed is itself, whatever a division would make of it.
  const kept = `CASE WHEN ${lowest} = ${highest} THEN ${lowest} ELSE ${short} END`;
  return [kept, unlessSame(lowest), unlessSame(highest)];
}

/** The rows of one run, buckets from the first parameter on, before the second; the third is the run. By bucket. */
export function rowsOf(tier: Tier, resources: readonly Resource[]): string {
  const span = tier.stepS === 1 ? '0, 1' : 'since, until';
  const values = resources.map(
    (resource) => `${resource}, coalesce(${resource}_min, ${resource}), coalesce(${resource}_max, ${resource})`,
  );
  return `WITH RECURSIVE buckets(bucket) AS (SELECT ?1 WHERE ?1 < ?2 UNION ALL SELECT bucket + 1 FROM buckets WHERE bucket + 1 < ?2)
    SELECT bucket, ${span}, ${values.join(', ')}
    FROM buckets CROSS JOIN ${tier.table} ON ${tier.table}.id = bucket * ${RUN_SPACE} + ?3`;
}

export function addTotals(table: 'calls' | 'contexts', key: readonly string[]): string {
  const sums = TOTALS.map((name) =>
    name === 'max_ms' ? 'max_ms = max(max_ms, excluded.max_ms)' : `${name} = ${name} + excluded.${name}`,
  );
  const columns = ['tool', ...key, ...TOTALS, 'last_s'];
  return `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})
    ON CONFLICT (tool, ${key.join(', ')}) DO UPDATE SET ${sums.join(', ')}, last_s = max(last_s, excluded.last_s)`;
}

export const FINER: ReadonlyMap<Tier, Tier> = new Map<Tier, Tier>([
  [TIERS[1], TIERS[0]],
  [TIERS[2], TIERS[1]],
]);
