/**
 * Opens the file whatever state it is in. What cannot be used is set aside under a name that is told, and what can still be
 * read of it is carried over, the newest first.
 */

import { chmodSync, closeSync, lstatSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { numberOf, prepareConnection, rowsOf, troubleOf } from './database.ts';
import type { Connection, OpenConnection, Row } from './database.ts';
import { APPLICATION_ID, CREATE, insert, RUN_SPACE, TABLES, VERSION } from './sql.ts';

export interface Note {
  readonly level: 'info' | 'warn' | 'error';
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** Why a file is set aside, as it stands in its new name. */
type Unusable = 'corrupt' | 'foreign' | `newer-v${number}` | `older-v${number}`;

export interface RescueOptions {
  readonly path: string;
  readonly open: OpenConnection;
  readonly wallMs: () => number;
  readonly note: (note: Note) => void;
}

/** Larger ones are not read through at the start: what is wrong in them shows when it is met. */
const CHECKED_BYTES = 64 * 1024 ** 2;
/** Files of Governor's own that are set aside and kept: the newest, with their logs. */
const ASIDE_MAX = 3;
const ASIDE_BYTES = 256 * 1024 ** 2;
/** What the database of another program was set aside as is never removed: it is not ours. */
const OWN_ASIDE = /^\.(corrupt|newer-v\d+|older-v\d+)-\d{8}T\d{6}Z(-\d+)?$/;
const PARTS = ['', '-wal', '-shm', '-journal'] as const;
const CARRY_MS = 5_000;
const CARRY_ROWS = 1_000;

export class Rescue {
  readonly #options: RescueOptions;
  /** Kept over attempts that fail: a second one in this process would find the locks of the first. */
  #connection: Connection | null = null;
  /** Set aside, and not carried over yet: the disk may have no room for another one at the moment. */
  #unread: { readonly connection: Connection; readonly file: string } | null = null;

  constructor(options: RescueOptions) {
    this.#options = options;
  }

  /** @throws what the disk says, or whoever has locked the file: it may pass */
  ready(): Connection {
    const connection = (this.#connection ??= this.#connect());
    let unusable: Unusable | null;
    try {
      unusable = this.#inspect(connection);
    } catch (error) {
      if (troubleOf(error).kind !== 'corrupt') throw error;
      unusable = 'corrupt';
    }
    if (unusable !== null) return this.setAside(unusable);
    try {
      return this.#carry(begin(connection));
    } catch (error) {
      if (troubleOf(error).kind !== 'corrupt') throw error;
      return this.setAside('corrupt');
    }
  }

  /** The file goes aside, another takes its place, with what can be read of the old one. @throws as `ready` */
  setAside(why: Unusable): Connection {
    const { note } = this.#options;
    const old = this.#connection;
    const file = basename(this.#moveAway(why));
    note({ level: 'error', fields: { file }, message: MESSAGES[why.replace(/-.*/, '') as keyof typeof MESSAGES] });
    this.#connection = null;
    // One that is damaged before the last one was carried over has nothing in it.
    if (old !== null && this.#unread === null && (why === 'corrupt' || why.startsWith('older')))
      this.#unread = { connection: old, file };
    else old?.close();
    if (this.#unread === null) this.#dropOldest();
    return this.#carry(begin((this.#connection = this.#connect())));
  }

  /** Before anything that was set aside is removed: it may be the one. */
  #carry(fresh: Connection): Connection {
    if (this.#unread === null) return fresh;
    const { connection, file } = this.#unread;
    this.#unread = null;
    try {
      const rows = carryOver(connection, fresh);
      this.#options.note({ level: 'warn', fields: { file, rows }, message: 'what could be read of it is kept' });
    } finally {
      connection.close();
    }
    this.#dropOldest();
    return fresh;
  }

  #dropOldest(): void {
    for (const file of dropOldest(this.#options.path))
      this.#options.note({ level: 'warn', fields: { file }, message: 'an old history that was set aside is removed' });
  }

  #connect(): Connection {
    const { path, open } = this.#options;
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
    return open(path);
  }

  #inspect(connection: Connection): Unusable | null {
    prepareConnection(connection);
    const tables = numberOf(connection, 'SELECT count(*) FROM sqlite_master') ?? 0;
    const application = numberOf(connection, 'PRAGMA application_id') ?? 0;
    const version = numberOf(connection, 'PRAGMA user_version') ?? 0;
    if (tables === 0 && version === 0) return null;
    if (application !== APPLICATION_ID) return 'foreign';
    if (version > VERSION) return `newer-v${version}`;
    if (version < VERSION) return `older-v${version}`;
    if (
      statSync(this.#options.path).size <= CHECKED_BYTES &&
      rowsOf(connection, 'PRAGMA quick_check(1)')[0]?.[0] !== 'ok'
    )
      return 'corrupt';
    for (const [table, columns] of Object.entries(TABLES))
      if (missing(connection, table, columns).length > 0) return 'corrupt';
    return null;
  }

  #moveAway(why: Unusable): string {
    const { path, wallMs } = this.#options;
    const stamp = new Date(wallMs()).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const taken = new Set(readdirSync(dirname(path)));
    let aside = `${path}.${why}-${stamp}`;
    for (let n = 2; taken.has(basename(aside)); n++) aside = `${path}.${why}-${stamp}-${n}`;
    renameSync(path, aside);
    for (const part of ['-wal', '-shm', '-journal'])
      if (taken.has(`${basename(path)}${part}`)) renameSync(`${path}${part}`, `${aside}${part}`);
    return aside;
  }
}

const MESSAGES = {
  corrupt: 'the history is damaged: it is set aside',
  foreign: 'the history is the database of another program: it is set aside',
  newer: 'the history is of a newer version of Governor: it is set aside as it is, for that version',
  older: 'the history is of an older version of Governor: it is set aside',
} as const;

/** Empty: tables are made. Not empty: nothing is changed but the way it is written. */
function begin(connection: Connection): Connection {
  prepareConnection(connection);
  const isEmpty = numberOf(connection, 'SELECT count(*) FROM sqlite_master') === 0;
  // Only before there is a table: room can be given back to the disk.
  if (isEmpty) connection.pragma('auto_vacuum = INCREMENTAL');
  connection.pragma('journal_mode = WAL');
  if (!isEmpty) return connection;
  connection.exec(
    `BEGIN IMMEDIATE; ${CREATE.join('; ')}; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${VERSION}; COMMIT`,
  );
  return connection;
}

function missing(connection: Connection, table: string, columns: readonly string[]): readonly string[] {
  const there = new Set(rowsOf(connection, `SELECT name FROM pragma_table_info('${table}')`).map(([name]) => name));
  return columns.filter((column) => !there.has(column));
}

/** @returns rows carried over */
function carryOver(from: Connection, to: Connection): number {
  const untilMs = performance.now() + CARRY_MS;
  let carried = 0;
  for (const [table, columns] of Object.entries(TABLES)) {
    try {
      const lacking = new Set(missing(from, table, columns));
      const common = columns.filter((column) => !lacking.has(column));
      if (common.length > 0) carried += carryTable(from, to, table, common, untilMs);
    } catch {
      // Of this table nothing can be read, or nothing that fits.
    }
  }
  // Rows of runs that nobody knows the tool of.
  for (const table of ['second', 'ten_seconds', 'minute'])
    to.exec(`DELETE FROM ${table} WHERE id % ${RUN_SPACE} NOT IN (SELECT id FROM runs)`);
  return carried;
}

/** From the newest down to where it is damaged, then from the oldest up to there. */
function carryTable(
  from: Connection,
  to: Connection,
  table: string,
  columns: readonly string[],
  untilMs: number,
): number {
  if (!columns.includes('id'))
    return keep(to, table, columns, rowsOf(from, `SELECT ${columns.join(',')} FROM ${table}`));
  let carried = 0;
  let [least, most] = [-1, Number.MAX_SAFE_INTEGER];
  for (const order of ['DESC', 'ASC'] as const) {
    try {
      for (;;) {
        if (performance.now() > untilMs) return carried;
        const sql = `SELECT ${columns.join(',')} FROM ${table} WHERE id > ? AND id < ? ORDER BY id ${order} LIMIT ${CARRY_ROWS}`;
        const rows = rowsOf(from, sql, [least, most]);
        const last = rows.at(-1)?.[columns.indexOf('id')];
        if (typeof last !== 'number') return carried;
        carried += keep(to, table, columns, rows);
        if (order === 'DESC') most = last;
        else least = last;
      }
    } catch (error) {
      if (troubleOf(error).kind !== 'corrupt') throw error;
    }
  }
  return carried;
}

function keep(to: Connection, table: string, columns: readonly string[], rows: readonly Row[]): number {
  const statement = to.prepare(insert(table, columns, 1));
  to.exec('BEGIN IMMEDIATE');
  try {
    let kept = 0;
    for (const row of rows) {
      try {
        statement.run(row);
        kept += 1;
      } catch (error) {
        // It does not fit: a damaged value where there has to be one.
        if (!String((error as { readonly code?: unknown }).code).startsWith('SQLITE_CONSTRAINT')) throw error;
      }
    }
    to.exec('COMMIT');
    return kept;
  } catch (error) {
    if (to.inTransaction) to.exec('ROLLBACK');
    throw error;
  }
}

/** The newest stay, within their number and size. @returns names of what was removed */
function dropOldest(path: string): readonly string[] {
  const folder = dirname(path);
  const aside = readdirSync(folder)
    .filter((name) => name.startsWith(basename(path)) && OWN_ASIDE.test(name.slice(basename(path).length)))
    .flatMap((name) => {
      const stat = lstatSync(join(folder, name), { throwIfNoEntry: false });
      if (stat?.isFile() !== true) return [];
      const bytes = PARTS.reduce((sum, part) => sum + sizeOf(join(folder, name + part)), 0);
      return [{ name, atMs: stat.mtimeMs, bytes }];
    })
    .sort((a, b) => b.atMs - a.atMs);
  let bytes = 0;
  return aside.flatMap((each, n) => {
    bytes += each.bytes;
    if (n < ASIDE_MAX && bytes <= ASIDE_BYTES) return [];
    return remove(PARTS.map((part) => join(folder, each.name + part))) ? [each.name] : [];
  });
}

function sizeOf(path: string): number {
  return lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** @returns false: it may not, and stays */
function remove(paths: readonly string[]): boolean {
  try {
    for (const path of paths) rmSync(path, { force: true });
    return true;
  } catch {
    return false;
  }
}
