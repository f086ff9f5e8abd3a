/** Reading the audit log for people and programs. Reads what is there; whether it is genuine is what verify says. */

import { join } from 'node:path';
import { type AuditEntry, type ChainKind, parseLine } from './audit-chain.ts';
import { type AuditFileName, auditDir, errnoOf, listAudit, readLines } from './audit-files.ts';

/** Everything given has to hold. */
export interface AuditQuery {
  readonly tool?: string;
  readonly run?: string;
  readonly kind?: ChainKind;
  /** Wall times, milliseconds since the Unix epoch: from `sinceMs` on, before `untilMs`. */
  readonly sinceMs?: number;
  readonly untilMs?: number;
  /** Only entries with a greater sequence: to go on where the last answer ended. */
  readonly afterSeq?: number;
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  /** There are more that fit: go on with `afterSeq` of the last entry (oldest first), or ask for a greater limit. */
  readonly more: boolean;
  /** Lines that could not be read as an entry; `verifyAudit` says which. */
  readonly unreadable: number;
}

export const DEFAULT_LIMIT = 100;
export const MAX_LIMIT = 10_000;

export interface ReadOptions extends AuditQuery {
  /** 1 to MAX_LIMIT; default DEFAULT_LIMIT. */
  readonly limit?: number;
  /** `newest`: the last ones, newest first. Default `oldest`. */
  readonly order?: 'oldest' | 'newest';
}

/** @throws the file system's error */
export async function readAudit(stateDir: string, options: ReadOptions = {}): Promise<AuditPage> {
  const limit = Math.min(MAX_LIMIT, Math.max(1, Math.floor(options.limit ?? DEFAULT_LIMIT)));
  const files = relevant((await listAudit(stateDir)).files, options.afterSeq ?? 0);
  return options.order === 'newest' ? newest(stateDir, files, options, limit) : oldest(stateDir, files, options, limit);
}

async function oldest(
  stateDir: string,
  files: readonly AuditFileName[],
  query: AuditQuery,
  limit: number,
): Promise<AuditPage> {
  const entries: AuditEntry[] = [];
  const count = { unreadable: 0 };
  for (const file of files) {
    for await (const batch of matching(stateDir, file, query, count)) {
      entries.push(...batch);
      if (entries.length > limit) return { entries: entries.slice(0, limit), more: true, ...count };
    }
  }
  return { entries, more: false, ...count };
}

async function newest(
  stateDir: string,
  files: readonly AuditFileName[],
  query: AuditQuery,
  limit: number,
): Promise<AuditPage> {
  const entries: AuditEntry[] = [];
  const count = { unreadable: 0 };
  for (const file of files.toReversed()) {
    const wanted = limit - entries.length + 1;
    let ofFile: AuditEntry[] = [];
    for await (const batch of matching(stateDir, file, query, count)) ofFile = [...ofFile, ...batch].slice(-wanted);
    entries.push(...ofFile.reverse());
    if (entries.length > limit) return { entries: entries.slice(0, limit), more: true, ...count };
  }
  return { entries, more: false, ...count };
}

/** The whole of what fits, oldest first, as text in pieces: one JSON object a line, or CSV as in RFC 4180. */
export async function* exportAudit(
  stateDir: string,
  query: AuditQuery,
  format: 'jsonl' | 'csv',
): AsyncGenerator<string, void, undefined> {
  if (format === 'csv') yield csvLine(CSV_COLUMNS);
  const files = relevant((await listAudit(stateDir)).files, query.afterSeq ?? 0);
  const count = { unreadable: 0 };
  for (const file of files) {
    for await (const batch of matching(stateDir, file, query, count)) {
      yield batch.map((entry) => (format === 'csv' ? csvLine(csvCells(entry)) : `${JSON.stringify(entry)}\n`)).join('');
    }
  }
}

/** A file can be left out when the next one begins at or before the first wanted sequence. */
function relevant(files: readonly AuditFileName[], afterSeq: number): readonly AuditFileName[] {
  return files.filter((_file, index) => {
    const next = files[index + 1];
    return next === undefined || next.firstSeq > afterSeq + 1;
  });
}

async function* matching(
  stateDir: string,
  file: AuditFileName,
  query: AuditQuery,
  count: { unreadable: number },
): AsyncGenerator<readonly AuditEntry[], void, undefined> {
  // What the line has to hold as text, so that most lines need no parsing.
  const needles = [textMember('tool', query.tool), textMember('run', query.run), textMember('kind', query.kind)].filter(
    (needle) => needle !== null,
  );
  try {
    for await (const lines of readLines(join(auditDir(stateDir), file.name))) {
      const found: AuditEntry[] = [];
      for (const { bytes, terminated } of lines) {
        // The rest after the last line break is being written, or was torn by a crash.
        if (!terminated || needles.some((needle) => !bytes.includes(needle))) continue;
        const entry = parseLine(bytes);
        if (entry === null) count.unreadable += 1;
        else if (fits(entry, query)) found.push(entry);
      }
      if (found.length > 0) yield found;
    }
  } catch (error) {
    // ENOENT: retention removed the file since it was listed; what it held is no longer kept.
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

function textMember(name: string, value: string | undefined): string | null {
  return value === undefined ? null : `${JSON.stringify(name)}:${JSON.stringify(value)}`;
}

function fits(entry: AuditEntry, query: AuditQuery): boolean {
  const at = Date.parse(entry.at);
  return (
    (query.tool === undefined || toolOf(entry) === query.tool) &&
    (query.run === undefined || runOf(entry) === query.run) &&
    (query.kind === undefined || entry.kind === query.kind) &&
    (query.sinceMs === undefined || at >= query.sinceMs) &&
    (query.untilMs === undefined || at < query.untilMs) &&
    (query.afterSeq === undefined || entry.seq > query.afterSeq)
  );
}

function toolOf(entry: AuditEntry): string | null {
  return 'tool' in entry ? entry.tool : null;
}

function runOf(entry: AuditEntry): string | null {
  return 'run' in entry ? (entry.run ?? null) : null;
}

const CSV_COLUMNS = ['seq', 'at', 'kind', 'tool', 'run', 'boot_id', 'daemon', 'record', 'mac'] as const;

function csvCells(entry: AuditEntry): readonly string[] {
  const { seq, at, monotonicMs: _monotonicMs, bootId, daemon, prev: _prev, mac, ...record } = entry;
  return [
    String(seq),
    at,
    entry.kind,
    toolOf(entry) ?? '',
    runOf(entry) ?? '',
    bootId,
    daemon,
    JSON.stringify(record),
    mac,
  ];
}

function csvLine(cells: readonly string[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`;
}

function csvCell(text: string): string {
  // A cell that begins like a formula would be run by a spreadsheet: a quote in front makes it text.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
