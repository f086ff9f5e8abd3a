/** What is written, and read back at the start. Everything inside one transaction of the keeper's. */

import type { Connection, Row } from './database.ts';
import { numberOf, rowsOf } from './database.ts';
import { FINER, idOf, insert, MEANS, rollUp, RUN_SPACE, TABLES, VALUES } from './sql.ts';
import { TIERS } from './tiers.ts';
import type { HistorySettings, Tier } from './tiers.ts';
import type { Boot } from './timeline.ts';

/** A run as the worker knows it. */
export interface KnownRun {
  readonly tool: string;
  readonly run: string;
  readonly context: string | null;
  /** In the file; null: it is not in there yet. */
  id: number | null;
  firstS: number;
  lastS: number;
  /** `lastS` as it is in the file. */
  savedS: number;
}

/** One second of a run. */
export interface SecondRow {
  readonly run: KnownRun;
  readonly second: number;
  /** In the order of RESOURCES: of a plain row the mean of each, of others its mean, lowest and highest. */
  readonly values: readonly (number | null)[];
  /** Each of them is a single reading, or none. */
  readonly isPlain: boolean;
}

/** A run that was heard of within this is not known to be over. */
const LIVE_S = 300;
/** Of the size of the file, what runs may take, and lines of totals, before the oldest of them go. */
const KNOWN_SHARE = 1 / 4;
/** Runs that make room at once where no more can be told apart. */
const FREED_AT_ONCE = 4_096;
/** Where none could, it is tried again after this. */
const FULL_S = 60;
/** What a line takes beside its text and numbers. */
const LINE_BYTES = 64;
const LINES: Readonly<Record<'runs' | 'calls' | 'contexts', string>> = {
  // The tool and the name are in the index too.
  runs: `sum(2 * (length(tool) + length(run)) + length(coalesce(context, '')) + ${LINE_BYTES})`,
  calls: `sum(length(tool) + length(method) + length(name) + ${LINE_BYTES})`,
  contexts: `sum(length(tool) + length(context) + ${LINE_BYTES})`,
};

/** Fewer calls into the library: most of what a row costs. */
const ROWS_AT_ONCE = 32;

type Statement = ReturnType<Connection['prepare']>;

const PLAIN_COLUMNS = ['id', ...MEANS];
const INSERT_ONE = insert('second', PLAIN_COLUMNS, 1);
const INSERT_SEVERAL = insert('second', PLAIN_COLUMNS, ROWS_AT_ONCE);
const INSERT_WIDE = insert('second', ['id', ...VALUES], 1);

export class Store {
  readonly connection: Connection;
  readonly #statements = new Map<string, Statement>();
  readonly #runSpace: number;
  #nextRun: number;
  #freed: number[] = [];
  /** Since then no run more can be told apart. */
  #fullS = -Infinity;

  /** @param runSpace runs that can be told apart */
  constructor(connection: Connection, runSpace = RUN_SPACE) {
    this.connection = connection;
    this.#runSpace = runSpace;
    this.#nextRun = (numberOf(connection, 'SELECT max(id) FROM runs') ?? -1) + 1;
  }

  boots(): readonly Boot[] {
    return rowsOf(this.connection, 'SELECT boot, first_s, base_ms, offset_s FROM boots ORDER BY id').map(
      ([boot, firstS, baseMs, offsetS]) => ({
        boot: String(boot),
        firstS: Number(firstS),
        baseMs: Number(baseMs),
        offsetS: Number(offsetS),
      }),
    );
  }

  saveBoots(boots: readonly Boot[]): void {
    this.run('DELETE FROM boots');
    for (const [index, { boot, firstS, baseMs, offsetS }] of boots.entries())
      this.run(insert('boots', TABLES['boots'] ?? [], 1), [index, boot, firstS, baseMs, offsetS]);
  }

  /** The last second that there is a reading of; null: there is none. */
  lastS(): number | null {
    const last = TIERS.flatMap(({ table, stepS }) => {
      const id = numberOf(this.connection, `SELECT max(id) FROM ${table}`);
      return id === null ? [] : [Math.floor(id / RUN_SPACE) * stepS + stepS - 1];
    });
    return last.length === 0 ? null : Math.max(...last);
  }

  /** Up to which bucket, itself excluded, a tier is made of the finer one; 0: nothing is. */
  mark(tier: Tier): number {
    const known = numberOf(this.connection, 'SELECT bucket FROM marks WHERE tier = ?', [tier.name]);
    if (known !== null) return known;
    const id = numberOf(this.connection, `SELECT max(id) FROM ${tier.table}`);
    return id === null ? 0 : Math.floor(id / RUN_SPACE);
  }

  /** @returns rows that found no place: more runs than can be told apart */
  write(rows: readonly SecondRow[]): number {
    let lost = 0;
    // One row after the other: arrays of rows would be most of what a message leaves to be collected.
    const plain: (number | null)[] = [];
    for (const { run, second, values, isPlain } of rows) {
      const runId = this.#idOf(run, second);
      if (runId === null) {
        lost += 1;
        continue;
      }
      run.lastS = Math.max(run.lastS, second);
      const id = idOf(second, runId);
      if (isPlain) {
        plain.push(id);
        for (const value of values) plain.push(value);
      } else this.run(INSERT_WIDE, [id, ...values]);
    }
    const width = PLAIN_COLUMNS.length;
    const several = ROWS_AT_ONCE * width;
    let from = 0;
    for (; from + several <= plain.length; from += several) this.run(INSERT_SEVERAL, plain.slice(from, from + several));
    for (; from < plain.length; from += width) this.run(INSERT_ONE, plain.slice(from, from + width));
    return lost;
  }

  /** @param nowS seconds before it are written */
  rollUp(nowS: number): void {
    let doneS = nowS;
    for (const tier of TIERS) {
      const finer = FINER.get(tier);
      if (finer === undefined) continue;
      const from = this.mark(tier);
      const to = Math.floor(doneS / tier.stepS);
      if (to > from) {
        const factor = tier.stepS / finer.stepS;
        this.run(rollUp(finer, tier), [idOf(from * factor, 0), idOf(to * factor, 0)]);
        this.run('INSERT OR REPLACE INTO marks (tier, bucket) VALUES (?, ?)', [tier.name, to]);
      }
      doneS = to * tier.stepS;
    }
  }

  /** Removes what is older than it is kept. */
  prune(tier: Tier, { keepS }: HistorySettings, nowS: number): void {
    this.run(`DELETE FROM ${tier.table} WHERE id < ?`, [idOf(Math.floor((nowS - keepS[tier.name]) / tier.stepS), 0)]);
  }

  /** Runs, totals and boots that nothing is kept of any more. @param beforeS heard of last before it */
  pruneKnown(beforeS: number): void {
    for (const table of ['runs', 'calls', 'contexts']) this.run(`DELETE FROM ${table} WHERE last_s < ?`, [beforeS]);
    this.run('DELETE FROM boots WHERE id < (SELECT max(id) FROM boots WHERE first_s < ?)', [beforeS]);
  }

  saveRuns(runs: Iterable<KnownRun>): void {
    for (const run of runs) {
      if (run.id === null || run.savedS === run.lastS) continue;
      this.run('UPDATE runs SET last_s = ? WHERE id = ?', [run.lastS, run.id]);
      run.savedS = run.lastS;
    }
  }

  /**
   * Until the pages in use are no more than that: runs that are over and totals where they take much of it, the oldest first;
   * then rows of the coarsest tier first, the oldest first.
   * @returns runs and lines of totals that are gone
   */
  shrinkTo(maxBytes: number, nowS: number): number {
    const pageBytes = numberOf(this.connection, 'PRAGMA page_size') ?? 4096;
    if (this.#pages() * pageBytes <= maxBytes) {
      this.#giveBack();
      return 0;
    }
    const most = maxBytes * KNOWN_SHARE;
    const gone =
      this.#shrinkLines('runs', most, nowS - LIVE_S) +
      this.#shrinkLines('calls', most / 2, nowS + 1) +
      this.#shrinkLines('contexts', most / 2, nowS + 1);
    this.#shrinkTiers(maxBytes, pageBytes);
    this.#giveBack();
    return gone;
  }

  /** @param beforeS only what was heard of last before it @returns lines that are gone */
  #shrinkLines(table: keyof typeof LINES, mostBytes: number, beforeS: number): number {
    const [bytes, lines] = (this.rows(`SELECT ${LINES[table]}, count(*) FROM ${table}`)[0] ?? []).map(Number);
    if (bytes === undefined || lines === undefined || bytes <= mostBytes) return 0;
    const many = Math.ceil((lines * (bytes - mostBytes)) / bytes);
    const key = table === 'runs' ? 'id' : TABLES[table]?.slice(0, table === 'calls' ? 3 : 2).join(', ');
    const before = this.#changes();
    const oldest = `SELECT ${key} FROM ${table} WHERE last_s < ? ORDER BY last_s LIMIT ${many}`;
    this.run(`DELETE FROM ${table} WHERE (${key}) IN (${oldest})`, [beforeS]);
    return this.#changes() - before;
  }

  #shrinkTiers(maxBytes: number, pageBytes: number): void {
    for (const { table } of TIERS.toReversed()) {
      for (;;) {
        const usedBytes = this.#pages() * pageBytes;
        if (usedBytes <= maxBytes) return;
        const oldest = numberOf(this.connection, `SELECT min(id) FROM ${table}`);
        const newest = numberOf(this.connection, `SELECT max(id) FROM ${table}`);
        if (oldest === null || newest === null) break;
        // Never less than a part of it, so that a file of ten times the size is small soon.
        const [first, last] = [Math.floor(oldest / RUN_SPACE), Math.floor(newest / RUN_SPACE)];
        this.run(`DELETE FROM ${table} WHERE id < ?`, [idOf(first + Math.max(1, Math.ceil((last - first) / 20)), 0)]);
      }
    }
  }

  run(sql: string, parameters: readonly unknown[] = []): void {
    this.statement(sql).run(parameters);
  }

  rows(sql: string, parameters: readonly unknown[] = []): readonly Row[] {
    return this.statement(sql).raw().all(parameters) as readonly Row[];
  }

  statement(sql: string): Statement {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const made = this.connection.prepare(sql);
    this.#statements.set(sql, made);
    return made;
  }

  #changes(): number {
    return numberOf(this.connection, 'SELECT total_changes()') ?? 0;
  }

  #pages(): number {
    const all = numberOf(this.connection, 'PRAGMA page_count') ?? 0;
    return all - (numberOf(this.connection, 'PRAGMA freelist_count') ?? 0);
  }

  /** Free pages beyond a fifth of the file go back to the disk, a few at a time. */
  #giveBack(): void {
    const free = numberOf(this.connection, 'PRAGMA freelist_count') ?? 0;
    const spare = free - Math.max(1_024, Math.floor(this.#pages() / 5));
    if (spare > 0) rowsOf(this.connection, `PRAGMA incremental_vacuum(${Math.min(spare, 4_096)})`);
  }

  #idOf(run: KnownRun, second: number): number | null {
    if (run.id !== null) return run.id;
    const known = this.rows('SELECT id, first_s, last_s FROM runs WHERE tool = ? AND run = ?', [run.tool, run.run])[0];
    if (known !== undefined) {
      run.firstS = Number(known[1]);
      run.savedS = Number(known[2]);
      run.lastS = Math.max(run.lastS, run.savedS);
      run.id = Number(known[0]);
      // It may have been away for longer than answers allow for.
      this.saveRuns([run]);
      return run.id;
    }
    if (second < this.#fullS + FULL_S) return null;
    const id = this.#free() ?? this.#freeOldest(second);
    if (id === null) {
      this.#fullS = second;
      return null;
    }
    this.run(insert('runs', TABLES['runs'] ?? [], 1), [id, run.tool, run.run, run.context, run.firstS, run.lastS]);
    run.savedS = run.lastS;
    return (run.id = id);
  }

  /** The oldest that are over make room. */
  #freeOldest(second: number): number | null {
    const most = Math.min(FREED_AT_ONCE, Math.ceil(this.#runSpace / 4));
    const oldest = this.rows(`SELECT id FROM runs WHERE last_s < ? ORDER BY last_s LIMIT ${most}`, [second - LIVE_S]);
    for (const [id] of oldest) this.run('DELETE FROM runs WHERE id = ?', [id]);
    this.#freed = oldest.map(([id]) => Number(id));
    return this.#freed.pop() ?? null;
  }

  #free(): number | null {
    const taken = (id: number): boolean => this.rows('SELECT 1 FROM runs WHERE id = ?', [id]).length > 0;
    for (let freed = this.#freed.pop(); freed !== undefined; freed = this.#freed.pop()) if (!taken(freed)) return freed;
    for (let tries = 0; tries < Math.min(1_000, this.#runSpace); tries++) {
      const id = this.#nextRun % this.#runSpace;
      this.#nextRun = id + 1;
      if (!taken(id)) return id;
    }
    return null;
  }
}
