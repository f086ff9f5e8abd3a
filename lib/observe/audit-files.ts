/**
 * The files of the audit log: names, key, head, and reading them line by line in bounded memory.
 *
 *     <stateDir>/audit.key                              32 random bytes, 0600
 *     <stateDir>/audit.head                             the last line that is known to be written
 *     <stateDir>/audit/audit-000000000001.jsonl         named by the sequence of its first line
 *     <stateDir>/audit/audit-….jsonl.torn-<time>        the cut-off end of that file after a crash
 */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { type Head, MAX_LINE_BYTES, openHead, sealHead } from './audit-chain.ts';

export const KEY_BYTES = 32;

export function auditDir(stateDir: string): string {
  return join(stateDir, 'audit');
}

export function fileNameOf(firstSeq: number): string {
  return `audit-${String(firstSeq).padStart(12, '0')}.jsonl`;
}

export interface AuditFileName {
  readonly name: string;
  readonly firstSeq: number;
}

export interface Listing {
  /** In the order of the chain. */
  readonly files: readonly AuditFileName[];
  readonly torn: readonly string[];
  /** Everything else that lies there, and what is no regular file. */
  readonly foreign: readonly string[];
}

const FILE_NAME = /^audit-(\d{12,15})\.jsonl$/;
const TORN_NAME = /^audit-\d{12,15}\.jsonl\.torn-[0-9TZ.-]+$/;

/** A directory that is not there is an empty one. */
export async function listAudit(stateDir: string): Promise<Listing> {
  const entries = await readdir(auditDir(stateDir), { withFileTypes: true }).catch(emptyWhenAbsent);
  const files: AuditFileName[] = [];
  const torn: string[] = [];
  const foreign: string[] = [];
  for (const entry of entries) {
    const match = FILE_NAME.exec(entry.name);
    if (match !== null && entry.isFile()) files.push({ name: entry.name, firstSeq: Number(match[1]) });
    else if (TORN_NAME.test(entry.name) && entry.isFile()) torn.push(entry.name);
    else foreign.push(entry.name);
  }
  files.sort((a, b) => a.firstSeq - b.firstSeq);
  return { files, torn: torn.sort(), foreign: foreign.sort() };
}

function emptyWhenAbsent(error: unknown): [] {
  if (errnoOf(error) === 'ENOENT') return [];
  throw error;
}

export type KeyReading =
  | { readonly kind: 'key'; readonly key: Buffer; readonly mode: number }
  | { readonly kind: 'absent' }
  | { readonly kind: 'invalid'; readonly reason: string };

export async function readKey(stateDir: string): Promise<KeyReading> {
  const path = join(stateDir, 'audit.key');
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return { kind: 'absent' };
    if (errnoOf(error) === 'ELOOP')
      return { kind: 'invalid', reason: `${path} is a symbolic link; it has to be a file` };
    throw error;
  }
  try {
    const { mode } = await handle.stat();
    const key = Buffer.alloc(KEY_BYTES + 1);
    const { bytesRead } = await handle.read(key, 0, KEY_BYTES + 1, 0);
    if (bytesRead !== KEY_BYTES) return { kind: 'invalid', reason: `${path} has to hold ${KEY_BYTES} bytes` };
    return { kind: 'key', key: key.subarray(0, KEY_BYTES), mode: mode & 0o777 };
  } finally {
    await handle.close();
  }
}

/**
 * Makes the key. The head is written before the key gets its name: from then on a key without a head is evidence.
 * @throws the file system's error
 */
export async function createKey(stateDir: string, firstHead: (key: Buffer) => Promise<void>): Promise<Buffer> {
  const key = randomBytes(KEY_BYTES);
  const fresh = join(stateDir, 'audit.key.new');
  try {
    await writeWhole(fresh, key, true);
    await firstHead(key);
    await link(fresh, join(stateDir, 'audit.key'));
  } finally {
    await rm(fresh, { force: true });
  }
  await syncDirectory(stateDir);
  return key;
}

export type HeadReading =
  | { readonly kind: 'head'; readonly head: Head }
  | { readonly kind: 'absent' }
  | { readonly kind: 'forged'; readonly reason: string };

/** Where the end of the chain is remembered, apart from the chain. */
export interface HeadAnchor {
  read(): Promise<HeadReading>;
  write(head: Head): Promise<void>;
}

/**
 * The anchor in `<stateDir>/audit.head`, replaced by rename and sealed with the key. It shows that lines were cut off to
 * everyone who has not the key. Who has it (the daemon's own user and root) can make a new chain, and who kept an older
 * copy of head *and* log can put both back: only a copy kept elsewhere shows that.
 * @param durable wait for the disk, so that the head survives a power cut as well as its lines do
 */
export function fileAnchor(stateDir: string, key: Buffer, durable = true): HeadAnchor {
  const path = join(stateDir, 'audit.head');
  return {
    async read() {
      try {
        const text = await readFile(path, 'utf8');
        const head = openHead(key, text);
        return head === null
          ? { kind: 'forged', reason: `${path} is not sealed with the key` }
          : { kind: 'head', head };
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return { kind: 'absent' };
        throw error;
      }
    },
    async write(head) {
      const fresh = `${path}.new`;
      await writeWhole(fresh, sealHead(key, head), durable);
      await rename(fresh, path);
    },
  };
}

/** One line without its line break, at byte `offset` of its file; `number` counts from 1 at the place where reading began. */
export interface Line {
  readonly bytes: Buffer;
  readonly number: number;
  readonly offset: number;
  /** False for the rest after the last line break. */
  readonly terminated: boolean;
  /** Longer than MAX_LINE_BYTES: `bytes` is empty. */
  readonly tooLong: boolean;
}

const CHUNK_BYTES = 64 * 1024;

/** Lines from byte `start` on, in batches of about 64 KiB. Memory is bounded by MAX_LINE_BYTES. */
export async function* readLines(path: string, start = 0): AsyncGenerator<readonly Line[], void, undefined> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    let rest: Buffer = Buffer.alloc(0);
    let skipped = 0;
    let number = 0;
    let offset = start;
    let position = start;
    for (;;) {
      const chunk = Buffer.alloc(CHUNK_BYTES);
      const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      const data =
        rest.length === 0 ? chunk.subarray(0, bytesRead) : Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
      const lines: Line[] = [];
      let from = 0;
      for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10, from)) {
        number += 1;
        const length = skipped + end - from;
        const tooLong = length > MAX_LINE_BYTES;
        lines.push({ bytes: tooLong ? EMPTY : data.subarray(from, end), number, offset, terminated: true, tooLong });
        offset += length + 1;
        skipped = 0;
        from = end + 1;
      }
      rest = data.subarray(from);
      if (skipped + rest.length > MAX_LINE_BYTES) {
        skipped += rest.length;
        rest = EMPTY;
      }
      if (lines.length > 0) yield lines;
    }
    const length = skipped + rest.length;
    const tooLong = length > MAX_LINE_BYTES;
    if (length > 0) yield [{ bytes: tooLong ? EMPTY : rest, number: number + 1, offset, terminated: false, tooLong }];
  } finally {
    await handle.close();
  }
}

const EMPTY = Buffer.alloc(0);

export async function makeAuditDir(stateDir: string): Promise<void> {
  await mkdir(auditDir(stateDir), { recursive: true, mode: 0o700 });
}

/** Makes names in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

export async function writeWhole(path: string, data: string | Buffer, durable: boolean): Promise<void> {
  const handle = await open(path, 'w', 0o600);
  try {
    await handle.writeFile(data);
    if (durable) await handle.datasync();
  } finally {
    await handle.close();
  }
}
