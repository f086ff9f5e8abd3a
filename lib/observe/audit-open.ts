/**
 * Finds the end of the chain when a daemon starts, repairs what a crash left, and says what does not fit. Nothing that
 * is evidence is healed: where lines are missing the chain goes on from the head, so that the gap stays to be found.
 */

import { open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditRecord } from '../core/audit-record.ts';
import { GENESIS, type Head, MAX_LINE_BYTES, openLine, parseLine } from './audit-chain.ts';
import {
  auditDir,
  createKey,
  fileNameOf,
  type HeadAnchor,
  type HeadReading,
  listAudit,
  makeAuditDir,
  readKey,
  readLines,
  writeWhole,
} from './audit-files.ts';

/** What is wrong, by the name that the `audit_repair` entry carries in `detail.problem`. */
export type RepairProblem =
  | 'torn_line'
  | 'lines_missing'
  | 'last_line_invalid'
  | 'head_missing'
  | 'head_forged'
  | 'head_mismatch'
  | 'key_missing'
  | 'key_invalid';

export interface OpenedChain {
  readonly key: Buffer;
  readonly anchor: HeadAnchor;
  /** The next line follows this one. */
  readonly tip: Head;
  /** Name of the file to append to; it may not exist yet. */
  readonly file: string;
  /** To be written first. */
  readonly repairs: readonly AuditRecord[];
}

/** @throws the file system's error; nothing is lost then, and it can be called again */
export async function openChain(
  stateDir: string,
  anchorOf: (key: Buffer) => HeadAnchor,
  nowIso: () => string,
): Promise<OpenedChain> {
  await makeAuditDir(stateDir);
  const { files } = await listAudit(stateDir);
  const repairs: AuditRecord[] = [];

  const end = await readEnd(stateDir, files.map(({ name }) => name).reverse());
  const { key, fresh } = await loadKey(stateDir, end, anchorOf, nowIso, repairs);
  const anchor = anchorOf(key);
  const last = end.line === null ? null : openLine(key, end.line);
  const unproven = unprovenTip(end);
  const proven = last !== null && last.ok ? { seq: last.entry.seq, mac: last.entry.mac } : null;
  const tip = fresh ? unproven : findTip(await anchor.read(), proven, end, unproven, repairs);
  // Last of all: a failure before it is tried again, and the cut is never left unsaid.
  if (end.torn !== null) repairs.push(await cutTorn(stateDir, end.torn, nowIso()));
  return { key, anchor, tip, file: files.at(-1)?.name ?? fileNameOf(tip.seq + 1), repairs };
}

/** The last complete line of the log, and what lies unfinished behind it. */
interface End {
  readonly line: Buffer | null;
  readonly file: string | null;
  readonly torn: { readonly file: string; readonly offset: number; readonly size: number } | null;
}

const WINDOW_BYTES = 2 * MAX_LINE_BYTES + 2;

async function readEnd(stateDir: string, newestFirst: readonly string[]): Promise<End> {
  let torn: End['torn'] = null;
  for (const [index, file] of newestFirst.entries()) {
    const path = join(auditDir(stateDir), file);
    const { size } = await stat(path);
    let line: Buffer | null = null;
    for await (const lines of readLines(path, Math.max(0, size - WINDOW_BYTES))) {
      for (const { bytes, terminated, offset } of lines) {
        if (terminated) line = bytes;
        else if (index === 0) torn = { file, offset, size };
      }
    }
    if (line !== null) return { line: Buffer.from(line), file, torn };
  }
  return { line: null, file: null, torn };
}

async function loadKey(
  stateDir: string,
  end: End,
  anchorOf: (key: Buffer) => HeadAnchor,
  nowIso: () => string,
  repairs: AuditRecord[],
): Promise<{ readonly key: Buffer; readonly fresh: boolean }> {
  const reading = await readKey(stateDir);
  if (reading.kind === 'key') return { key: reading.key, fresh: false };
  if (reading.kind === 'invalid') {
    const aside = `audit.key.damaged-${compact(nowIso())}`;
    await rename(join(stateDir, 'audit.key'), join(stateDir, aside));
    repairs.push(repair('key_invalid', { reason: reading.reason, movedTo: aside }));
  } else if (end.line !== null) {
    repairs.push(repair('key_missing', { reason: 'the lines before this one were sealed with a key that is gone' }));
  }
  const key = await createKey(stateDir, (made) => anchorOf(made).write(unprovenTip(end)));
  return { key, fresh: true };
}

/** The last line as it reads, without proof: good enough to number the next one. */
function unprovenTip(end: End): Head {
  const entry = end.line === null ? null : parseLine(end.line);
  return entry === null ? GENESIS : { seq: entry.seq, mac: entry.mac };
}

function findTip(head: HeadReading, proven: Head | null, end: End, unproven: Head, repairs: AuditRecord[]): Head {
  if (head.kind === 'absent') {
    repairs.push(repair('head_missing', { reason: 'lines before this one may have been cut off' }));
    return proven ?? unproven;
  }
  if (head.kind === 'forged') {
    repairs.push(repair('head_forged', { reason: head.reason }));
    return proven ?? unproven;
  }
  const anchored = head.head;
  if (proven !== null && proven.seq >= anchored.seq) {
    if (proven.seq === anchored.seq && proven.mac !== anchored.mac) {
      repairs.push(repair('head_mismatch', { seq: anchored.seq }));
    }
    return proven;
  }
  if (end.line === null && anchored.seq === 0) return anchored;
  if (end.line !== null && proven === null) repairs.push(repair('last_line_invalid', { file: end.file }));
  else repairs.push(repair('lines_missing', { fromSeq: (proven?.seq ?? 0) + 1, toSeq: anchored.seq }));
  return anchored;
}

/** Moves what lies behind the last line break into a side file; first the copy, then the cut. */
async function cutTorn(
  stateDir: string,
  torn: { readonly file: string; readonly offset: number; readonly size: number },
  at: string,
): Promise<AuditRecord> {
  const path = join(auditDir(stateDir), torn.file);
  const movedTo = `${torn.file}.torn-${compact(at)}`;
  const handle = await open(path, 'r+');
  try {
    const bytes = Buffer.alloc(Math.min(torn.size - torn.offset, MAX_LINE_BYTES));
    await handle.read(bytes, 0, bytes.length, torn.offset);
    await writeWhole(join(auditDir(stateDir), movedTo), bytes, true);
    await handle.truncate(torn.offset);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  return repair('torn_line', { file: torn.file, movedTo, bytes: torn.size - torn.offset });
}

function repair(problem: RepairProblem, detail: Readonly<Record<string, unknown>>): AuditRecord {
  return { kind: 'daemon', event: 'audit_repair', detail: { problem, ...detail } };
}

function compact(iso: string): string {
  return iso.replaceAll(/[-:]/g, '');
}
