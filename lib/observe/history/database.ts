/** A connection to the file: how it is opened, and what an error of it means. */

import type Libsql from 'libsql';

export type Connection = Libsql.Database;
export type OpenConnection = (path: string) => Connection;

/** How long a statement waits for a lock of somebody else, ms. The worker has time; its queue has not much. */
const BUSY_MS = 250;

/**
 * Exclusive: nobody else can read it while the daemon runs, and so there is no shared memory file, which on a full or broken
 * disk could end the whole process. The log makes a crash harmless; it is not synced at each commit, so that a power cut
 * takes the last seconds and nothing else.
 */
const PRAGMAS = [
  `busy_timeout = ${BUSY_MS}`,
  'locking_mode = EXCLUSIVE',
  'synchronous = NORMAL',
  'cache_size = -1024',
  'temp_store = MEMORY',
  `journal_size_limit = ${4 * 1024 ** 2}`,
];

/** Nothing in the file is changed. */
export function prepareConnection(connection: Connection): void {
  for (const pragma of PRAGMAS) connection.pragma(pragma);
}

/** Leaves one file without a log, and no lock: statements that nobody has collected yet would hold it. */
export function closeConnection(connection: Connection): void {
  try {
    connection.pragma('journal_mode = DELETE');
    connection.pragma('locking_mode = NORMAL');
    rowsOf(connection, 'SELECT 1 FROM sqlite_master LIMIT 1');
  } catch {
    // The log stays; the next one that opens it reads it.
  }
  connection.close();
}

export type Row = readonly (number | string | null)[];

export function rowsOf(connection: Connection, sql: string, parameters: readonly unknown[] = []): readonly Row[] {
  return connection.prepare(sql).raw().all(parameters) as readonly Row[];
}

export function numberOf(connection: Connection, sql: string, parameters: readonly unknown[] = []): number | null {
  const value = rowsOf(connection, sql, parameters)[0]?.[0];
  return typeof value === 'number' ? value : null;
}

export interface Trouble {
  /** `corrupt`: the file cannot be used as it is; anything else may pass by itself. */
  readonly kind: 'corrupt' | 'full' | 'locked' | 'failed';
  /** For people. */
  readonly reason: string;
}

export function troubleOf(error: unknown): Trouble {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  const message = error instanceof Error ? error.message : String(error);
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return { kind: 'corrupt', reason: message };
  if (/^(SQLITE_FULL|ENOSPC|EDQUOT)/.test(code)) return { kind: 'full', reason: 'the disk is full' };
  if (/^SQLITE_(BUSY|LOCKED)/.test(code)) return { kind: 'locked', reason: 'another process has locked it' };
  return { kind: 'failed', reason: code === '' ? message : `${code}: ${message}` };
}
