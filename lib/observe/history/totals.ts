/** What clients' calls came to, by what was called and by context: sums since they are kept. */

import { addTotals, TOTALS } from './sql.ts';
import type { Store } from './store.ts';

/** Sums of several calls, in the units of their names. */
export interface CallSums {
  readonly calls: number;
  /** Not `ok`. */
  readonly failures: number;
  readonly durationMs: number;
  /** The longest of them. */
  readonly maxMs: number;
  readonly cpuTimeMs: number;
  /** Of the CPU time, what was split among calls that were open in one process at once. */
  readonly sharedCpuTimeMs: number;
  /** Calls whose CPU time could not be read. */
  readonly unmeasured: number;
}

export interface CallTotal extends CallSums {
  readonly tool: string;
  readonly context: string;
  readonly method: string;
  /** Of the tool or prompt; empty: none. */
  readonly name: string;
}

/** Lines of a tool that are told apart; those that were heard of longest ago are added up in one without a name. */
export const CALLS_MAX = 500;
export const CONTEXTS_MAX = 1_000;

export function addSums(a: CallSums, b: CallSums): CallSums {
  return {
    calls: a.calls + b.calls,
    failures: a.failures + b.failures,
    durationMs: a.durationMs + b.durationMs,
    maxMs: Math.max(a.maxMs, b.maxMs),
    cpuTimeMs: a.cpuTimeMs + b.cpuTimeMs,
    sharedCpuTimeMs: a.sharedCpuTimeMs + b.sharedCpuTimeMs,
    unmeasured: a.unmeasured + b.unmeasured,
  };
}

export function saveTotals(store: Store, totals: Iterable<CallTotal>, nowS: number): void {
  for (const total of totals) {
    const sums = numbers(total);
    store.run(addTotals('calls', ['method', 'name']), [total.tool, total.method, total.name, ...sums, nowS]);
    store.run(addTotals('contexts', ['context']), [total.tool, total.context, ...sums, nowS]);
  }
}

export function boundTotals(store: Store): void {
  boundTable(store, 'calls', ['method', 'name'], CALLS_MAX);
  boundTable(store, 'contexts', ['context'], CONTEXTS_MAX);
}

function boundTable(store: Store, table: 'calls' | 'contexts', key: readonly string[], most: number): void {
  const others = `${key[0] ?? ''} = ''`;
  const full = store.rows(`SELECT tool FROM ${table} WHERE NOT ${others} GROUP BY tool HAVING count(*) > ?`, [most]);
  for (const [tool] of full) {
    const columns = [...key, ...TOTALS, 'last_s'].join(', ');
    const gone = store.rows(
      `SELECT ${columns} FROM ${table} WHERE tool = ? AND NOT ${others} ORDER BY last_s DESC, calls DESC LIMIT -1 OFFSET ${most}`,
      [tool],
    );
    for (const row of gone) {
      store.run(addTotals(table, key), [tool, ...key.map(() => ''), ...row.slice(key.length)]);
      const where = key.map((column) => `${column} = ?`).join(' AND ');
      store.run(`DELETE FROM ${table} WHERE tool = ? AND ${where}`, [tool, ...row.slice(0, key.length)]);
    }
  }
}

export interface KeptSums extends CallSums {
  /** Of the series. */
  readonly lastS: number;
}

/** Those with the most calls first. */
export function readTotals(store: Store, tool: string) {
  const read = (table: string, key: readonly string[]) =>
    store
      .rows(`SELECT ${[...key, ...TOTALS, 'last_s'].join(', ')} FROM ${table} WHERE tool = ? ORDER BY calls DESC`, [
        tool,
      ])
      .map((row) => ({ key: row.slice(0, key.length).map(String), sums: sumsOf(row.slice(key.length).map(Number)) }));
  return {
    calls: read('calls', ['method', 'name']).map(({ key, sums }) => ({
      method: key[0] ?? '',
      name: key[1] ?? '',
      ...sums,
    })),
    contexts: read('contexts', ['context']).map(({ key, sums }) => ({ context: key[0] ?? '', ...sums })),
  };
}

function numbers(sums: CallSums): readonly number[] {
  const { calls, failures, durationMs, maxMs, cpuTimeMs, sharedCpuTimeMs, unmeasured } = sums;
  return [calls, failures, durationMs, maxMs, cpuTimeMs, sharedCpuTimeMs, unmeasured];
}

function sumsOf(values: readonly number[]): KeptSums {
  const [
    calls = 0,
    failures = 0,
    durationMs = 0,
    maxMs = 0,
    cpuTimeMs = 0,
    sharedCpuTimeMs = 0,
    unmeasured = 0,
    lastS = 0,
  ] = values;
  return { calls, failures, durationMs, maxMs, cpuTimeMs, sharedCpuTimeMs, unmeasured, lastS };
}
