/** A keeper of history without its thread, on clocks that stand still, and runs whose readings are given to it. */

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import Libsql from 'libsql';
import { COLUMNS, ReadingBatch } from '../../lib/observe/history/readings.ts';
import { Keeper } from '../../lib/observe/history/keeper.ts';
import type { Room } from '../../lib/observe/history/room.ts';
import type { Answer, KeeperStatus, NewRun } from '../../lib/observe/history/messages.ts';
import type { HistoryDocument, HistoryQuestion } from '../../lib/observe/history/query.ts';
import type { Note } from '../../lib/observe/history/rescue.ts';
import type { HistorySettings } from '../../lib/observe/history/tiers.ts';
import type { CallTotal } from '../../lib/observe/history/totals.ts';
import { RESOURCES } from '../../lib/core/resource.ts';
import type { Resource } from '../../lib/core/resource.ts';

export const USUAL: HistorySettings = {
  keepS: { '1s': 600, '10s': 21_600, '1m': 14 * 86_400 },
  maxBytes: 1024 ** 3,
};

/** Whole minutes, so that steps are easy to read. */
export const START_S = 1_700_000_040;

export interface HistoryStand {
  readonly path: string;
  readonly notes: readonly Note[];
  readonly statuses: readonly KeeperStatus[];
  readonly clock: { monotonicMs: number; uptimeMs: number; wallMs: number };
  /** All clocks go on. */
  advance(ms: number): void;
  begin(slot: number, tool: string, run: string, context?: string | null): void;
  end(slot: number): void;
  /** A reading now: what is not named could not be taken. */
  read(slot: number, values: Readonly<Partial<Record<Resource, number>>>): void;
  call(call: Partial<CallTotal> & { readonly tool: string }): void;
  /** Tells the keeper. */
  post(): void;
  /** `seconds` readings, one a second, told one by one. */
  live(slot: number, seconds: number, values: (second: number) => Readonly<Partial<Record<Resource, number>>>): void;
  ask(question: Partial<HistoryQuestion> & { readonly tool: string }): Answer;
  /** @throws when it is refused */
  document(question: Partial<HistoryQuestion> & { readonly tool: string }): HistoryDocument;
  /** The daemon's end, and another one on the same file and clocks. */
  restart(options?: { readonly crash?: boolean; readonly boot?: string }): void;
  close(): void;
}

export interface HistoryStandOptions {
  readonly settings?: HistorySettings;
  readonly boot?: string;
  readonly sampleIntervalMs?: number;
  /** Of the disk; default: more than enough, whatever this host has. Null: what this host has. */
  readonly room?: ((folder: string) => Room) | null;
}

const ENOUGH = (): Room => ({ freeBytes: 1e12, totalBytes: 1e12 });

export function historyStand(
  path: string,
  { settings = USUAL, boot = 'boot-1', sampleIntervalMs = 1_000, room = ENOUGH }: HistoryStandOptions = {},
): HistoryStand {
  const notes: Note[] = [];
  const statuses: KeeperStatus[] = [];
  const clock = { monotonicMs: 1_000, uptimeMs: 501_000, wallMs: START_S * 1000 };
  const made = (name: string): Keeper =>
    new Keeper({
      path,
      boot: name,
      settings,
      sampleIntervalMs,
      ...(room === null ? {} : { room }),
      open: (file) => new Libsql(file),
      onNote: (note) => notes.push(note),
      onStatus: (status) => statuses.push(status),
    });
  let keeper = made(boot);
  let batch = new ReadingBatch(new ArrayBuffer(ReadingBatch.bytes(4096)));
  let began: NewRun[] = [];
  let ended: number[] = [];
  let calls: CallTotal[] = [];
  const stand: HistoryStand = {
    path,
    notes,
    statuses,
    clock,
    advance(ms) {
      clock.monotonicMs += ms;
      clock.uptimeMs += ms;
      clock.wallMs += ms;
    },
    begin: (slot, tool, run, context = null) => void began.push({ slot, tool, run, context }),
    end: (slot) => void ended.push(slot),
    read(slot, values) {
      const reading = (resource: Resource) => {
        const value = values[resource];
        return value === undefined
          ? ({ kind: 'unsupported', reason: 'not here' } as const)
          : ({ kind: 'measured', value, quality: 'exact', atMs: clock.monotonicMs } as const);
      };
      const readings = Object.fromEntries(RESOURCES.map((resource) => [resource, reading(resource)]));
      batch.add(slot, clock.monotonicMs, readings as Parameters<ReadingBatch['add']>[2]);
    },
    call: (call) => void calls.push({ ...NO_CALL, ...call }),
    post() {
      keeper.take({ buffer: batch.buffer, rows: batch.rows, began, ended, calls, clock: { ...clock } });
      batch = new ReadingBatch(new ArrayBuffer(4096 * COLUMNS * 8));
      [began, ended, calls] = [[], [], []];
    },
    live(slot, seconds, values) {
      for (let second = 0; second < seconds; second++) {
        stand.read(slot, values(second));
        stand.advance(1_000);
        stand.post();
      }
    },
    ask: (question) =>
      keeper.ask({ run: null, resources: RESOURCES, fromS: null, toS: null, stepS: null, ...question }),
    document(question) {
      stand.post();
      const answer = stand.ask(question);
      if (answer.kind === 'document') return answer.document;
      throw new Error(JSON.stringify(answer));
    },
    restart({ crash = false, boot: next = boot } = {}) {
      const parts = ['', '-wal'].map((part) => path + part).filter((part) => crash && existsSync(part));
      const found = parts.map((part) => [part, readFileSync(part)] as const);
      keeper.close();
      // A crash: as the file and its log were before anybody could tidy up.
      if (crash) for (const part of ['', '-wal', '-journal']) rmSync(path + part, { force: true });
      for (const [part, bytes] of found) writeFileSync(part, bytes);
      keeper = made(next);
    },
    close: () => keeper.close(),
  };
  return stand;
}

const NO_CALL: Omit<CallTotal, 'tool'> = {
  context: 'chat',
  method: 'tools/call',
  name: 'echo',
  calls: 1,
  failures: 0,
  durationMs: 10,
  maxMs: 10,
  cpuTimeMs: 2,
  sharedCpuTimeMs: 0,
  unmeasured: 0,
};

/** Rows of so many minutes for so many runs of the tool `many`, straight into a file that nobody has open: the newest at `nowS`. */
export function fillMinutes(path: string, runs: number, minutes: number, nowS: number): void {
  const file = new Libsql(path);
  const last = Math.floor(nowS / 60) - 1;
  file.exec(`BEGIN; UPDATE boots SET first_s = 0;
    WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x + 1 < ${runs})
      INSERT INTO runs SELECT 1000 + x, 'many', 'r' || x, NULL, ${(last - minutes) * 60}, ${last * 60 + 59} FROM n;
    WITH RECURSIVE m(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM m WHERE x + 1 < ${minutes}),
      n(y) AS (SELECT 0 UNION ALL SELECT y + 1 FROM n WHERE y + 1 < ${runs})
      INSERT INTO minute (id, since, until, memory) SELECT (${last} - x) * 1048576 + 1000 + y, 0, 60, x FROM m CROSS JOIN n;
    COMMIT`);
  file.close();
}
