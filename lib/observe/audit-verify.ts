/**
 * Proves the audit log: every line by its mac, its place by sequence and `prev`, the start by genesis or a retention
 * entry, the end by the head. Streams; memory does not grow with the log.
 *
 * What it cannot show: someone who can read the key can make a new chain, and someone who put back an older copy of log
 * *and* head rolled both back. Compare `head` with a copy kept elsewhere, or give `expected`, against that.
 */

import { join } from 'node:path';
import type { Head } from './audit-chain.ts';
import { ChainCheck } from './audit-check.ts';
import {
  type AuditFileName,
  auditDir,
  errnoOf,
  fileAnchor,
  type HeadAnchor,
  listAudit,
  readKey,
  readLines,
} from './audit-files.ts';
import type { VerifyProblem } from './audit-problem.ts';

export { formatVerifyProblem } from './audit-problem.ts';
export type { ProblemKind, VerifyProblem } from './audit-problem.ts';

export interface VerifyReport {
  readonly ok: boolean;
  /** Lines that are proven and in their place. */
  readonly lines: number;
  readonly files: number;
  /** First and last sequence found; null in an empty log. */
  readonly fromSeq: number | null;
  readonly toSeq: number | null;
  /** Where the anchor says that the chain ends; null when it does not say. */
  readonly head: Head | null;
  /** The first bad line in the order of the log, else the first file that is not right. */
  readonly first: VerifyProblem | null;
  /** At most 100; `problemCount` counts all. */
  readonly problems: readonly VerifyProblem[];
  readonly problemCount: number;
  /** For people; nothing here is a fault of the log. */
  readonly notes: readonly string[];
}

export interface VerifyOptions {
  readonly anchor?: (key: Buffer) => HeadAnchor;
  /** The head as someone else knows it, for example the running daemon. */
  readonly expected?: Head;
}

const ATTEMPTS = 5;

/** @throws the file system's error when the log cannot be read at all */
export async function verifyAudit(stateDir: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await verifyOnce(stateDir, options);
    } catch (error) {
      // ENOENT: a live daemon removed an old file between listing and reading; with the new listing it is complete.
      if (errnoOf(error) !== 'ENOENT' || attempt === ATTEMPTS) throw error;
    }
  }
}

async function verifyOnce(stateDir: string, options: VerifyOptions): Promise<VerifyReport> {
  const reading = await readKey(stateDir);
  if (reading.kind !== 'key') return withoutKey(stateDir, reading.kind === 'invalid' ? reading.reason : null);

  // The head first: a live daemon may add lines after it was read, but never takes one back.
  const head = await (options.anchor ?? ((key) => fileAnchor(stateDir, key)))(reading.key).read();
  const listing = await listAudit(stateDir);
  const check = new ChainCheck(reading.key, head.kind === 'head' ? head.head : null, options.expected ?? null);
  if (head.kind === 'absent') check.whole('head_missing', 'audit.head', 'there is a key, so there has to be a head');
  if (head.kind === 'forged') check.whole('head_forged', 'audit.head', head.reason);
  for (const name of listing.foreign) check.whole('foreign_file', `audit/${name}`, 'not a file of the audit log');

  for (const [index, file] of listing.files.entries()) {
    await checkFile(stateDir, check, file, index === listing.files.length - 1);
  }
  check.end(listing.torn);

  const notes = [...check.notes];
  if ((reading.mode & 0o077) !== 0) {
    notes.push(
      `audit.key has mode ${reading.mode.toString(8)}: others can make a chain of their own; it should be 600`,
    );
  }
  return report(check, listing.files.length, head.kind === 'head' ? head.head : null, notes);
}

async function checkFile(stateDir: string, check: ChainCheck, file: AuditFileName, isLast: boolean): Promise<void> {
  check.file(file);
  for await (const lines of readLines(join(auditDir(stateDir), file.name))) {
    for (const line of lines) check.line(line, isLast);
  }
}

async function withoutKey(stateDir: string, invalid: string | null): Promise<VerifyReport> {
  const { files, foreign, torn } = await listAudit(stateDir);
  const found = files.length + foreign.length + torn.length;
  const check = new ChainCheck(Buffer.alloc(0), null, null);
  if (invalid !== null) check.whole('key_invalid', 'audit.key', invalid);
  else if (found > 0) check.whole('key_missing', 'audit.key', 'without the key nothing can be proven');
  const notes = invalid === null && found === 0 ? [`there is no audit log in ${stateDir}`] : [];
  return report(check, files.length, null, notes);
}

function report(check: ChainCheck, files: number, head: Head | null, notes: readonly string[]): VerifyReport {
  const { problems, problemCount } = check;
  return {
    ok: problemCount === 0,
    lines: check.lines,
    files,
    fromSeq: check.fromSeq,
    toSeq: check.toSeq,
    head,
    first: problems.find(({ line }) => line !== null) ?? problems[0] ?? null,
    problems,
    problemCount,
    notes,
  };
}
