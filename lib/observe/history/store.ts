/** What is written, and read back at the start. Everything inside one transaction of the keeper's. */

import type { Connection, Row } from './database.ts';
import { numberOf, rowsOf } from './database.ts';
import { FINER, idOf, insert, MEANS, rollUp, RUN_SPACE, TABLES, VALUES } from './sql.ts';
import { TIERS } from './tiers.ts';
import type { HistorySettings, Tier, TierName } from './tiers.ts';
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

/** One second of a run: mean, lowest, highest by resource, in the order of RESOURCES. */
export interface SecondRow {
  readonly run: KnownRun;
  readonly second: number;
  readonly values: readonly (number | null)[];
  /** Each of them is a single reading, or none. */
  readonly isPlain: boolean;
}

/** Fewer calls into the library: most of what a row costs. */
const ROWS_AT_ONCE = 32;

type Statement = ReturnType<Connection['prepare']>;

function meansOf(id: number, values: SecondRow['values']): unknown[] {
  const row: unknown[] = [id];
  for (let n = 0; n < values.length; n += 3) row.push(values[n] ?? null);
  return row;
}

export class Store {
  readonly connection: Connection;
  readonly #statements = new Map<string, Statement>();
  #nextRun: number;

  constructor(connection: Connection) {
    this.connection = connection;
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
    const plain: unknown[][] = [];
    for (const { run, second, values, isPlain } of rows) {
      const runId = this.#idOf(run);
      if (runId === null) {
        lost += 1;
        continue;
      }
      run.lastS = Math.max(run.lastS, second);
      const id = idOf(second, runId);
      if (isPlain) plain.push(meansOf(id, values));
      else this.run(insert('second', ['id', ...VALUES], 1), [id, ...values]);
    }
    const columns = ['id', ...MEANS];
    for (let from = 0; from < plain.length; from += ROWS_AT_ONCE) {
      const part = plain.slice(from, from + ROWS_AT_ONCE);
      if (part.length === ROWS_AT_ONCE) this.run(insert('second', columns, ROWS_AT_ONCE), part.flat());
      else for (const row of part) this.run(insert('second', columns, 1), row);
    }
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

  /** The oldest first, of the coarsest tier first, until the pages in use are no more than that. */
  shrinkTo(maxBytes: number): void {
    const pageBytes = numberOf(this.connection, 'PRAGMA page_size') ?? 4096;
    for (const { table } of TIERS.toReversed()) {
      for (;;) {
        const usedBytes = this.#pages() * pageBytes;
        if (usedBytes <= maxBytes) return this.#giveBack();
        const oldest = numberOf(this.connection, `SELECT min(id) FROM ${table}`);
        const newest = numberOf(this.connection, `SELECT max(id) FROM ${table}`);
        if (oldest === null || newest === null) break;
        // Never less than a part of it, so that a file of ten times the size is small soon.
        const [first, last] = [Math.floor(oldest / RUN_SPACE), Math.floor(newest / RUN_SPACE)];
        this.run(`DELETE FROM ${table} WHERE id < ?`, [idOf(first + Math.max(1, Math.ceil((last - first) / 20)), 0)]);
      }
    }
    return this.#giveBack();
  }

  count(tier: TierName): number {
    const table = TIERS.find(({ name }) => name === tier)?.table ?? 'second';
    return numberOf(this.connection, `SELECT count(*) FROM ${table}`) ?? 0;
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

  #idOf(run: KnownRun): number | null {
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
    const id = this.#free();
    if (id === null) return null;
    this.run(insert('runs', TABLES['runs'] ?? [], 1), [id, run.tool, run.run, run.context, run.firstS, run.lastS]);
    run.savedS = run.lastS;
    return (run.id = id);
  }

  #free(): number | null {
    const taken = (id: number): boolean => this.rows('SELECT 1 FROM runs WHERE id = ?', [id]).length > 0;
    for (let tries = 0; tries < 1_000; tries++) {
      const id = this.#nextRun % RUN_SPACE;
      this.#nextRun = id + 1;
      if (!taken(id)) return id;
    }
    return null;
  }
}
