/** Brings sealed lines to the files of the audit log: the current file, rotation, retention and the head. */

import { join } from 'node:path';
import { type ChainRecord, GENESIS_MAC, type Head, parseLine, sealLine } from './audit-chain.ts';
import type { AuditDisk, AuditFile } from './audit-disk.ts';
import {
  type AuditFileName,
  auditDir,
  errnoOf,
  fileNameOf,
  type HeadAnchor,
  listAudit,
  readLines,
  syncDirectory,
} from './audit-files.ts';
import { type OpenedChain, openChain } from './audit-open.ts';
import type { QueuedEntry } from './audit-queue.ts';

export interface WriterOptions {
  readonly stateDir: string;
  readonly maxFileBytes: number;
  readonly keepFiles: number;
  readonly sync: 'batch' | 'intent' | 'never';
  readonly disk: AuditDisk;
  readonly anchorOf: (key: Buffer) => HeadAnchor;
  readonly nowIso: () => string;
  readonly entryOf: (record: ChainRecord) => QueuedEntry;
}

interface OpenFile {
  readonly handle: AuditFile;
  /** Bytes that are known to be whole lines. */
  size: number;
  /** An append failed: there may be more bytes than `size`. */
  dirty: boolean;
}

const MAX_BATCH_BYTES = 1024 * 1024;

/** Every method rejects with the file system's error and can then be called again; nothing is written twice. */
export class ChainWriter {
  readonly #options: WriterOptions;
  readonly #chain: OpenedChain;
  #tip: Head;
  #anchored: Head | null = null;
  #file: OpenFile | null = null;
  #retentionDue = true;

  private constructor(options: WriterOptions, chain: OpenedChain) {
    this.#options = options;
    this.#chain = chain;
    this.#tip = chain.tip;
  }

  /** Opens the chain; `repairs` have to be appended first. */
  static async open(
    options: WriterOptions,
  ): Promise<{ readonly writer: ChainWriter; readonly repairs: OpenedChain['repairs'] }> {
    const chain = await openChain(options.stateDir, options.anchorOf, options.nowIso);
    return { writer: new ChainWriter(options, chain), repairs: chain.repairs };
  }

  /** The last line that is written. */
  get head(): Head {
    return this.#tip;
  }

  /** True while the anchor does not know the last line. */
  get behind(): boolean {
    return this.#anchored !== this.#tip;
  }

  /**
   * Makes room for an entry, in a new file where the current one is full.
   * @returns bytes that may be appended at once; a longer entry has to come alone
   */
  async room(nextBytes: number): Promise<number> {
    const { maxFileBytes } = this.#options;
    let file = await this.#currentFile();
    if (file.size > 0 && file.size + nextBytes > maxFileBytes) file = await this.#nextFile();
    if (this.#retentionDue) await this.#retain(file);
    return Math.min(MAX_BATCH_BYTES, maxFileBytes - file.size);
  }

  async append(batch: readonly QueuedEntry[]): Promise<void> {
    const file = await this.#currentFile();
    let tip = this.#tip;
    const texts: string[] = [];
    for (const entry of batch) {
      const sealed = sealLine(this.#chain.key, tip, entry);
      texts.push(sealed.text, '\n');
      tip = sealed.head;
    }
    const bytes = Buffer.from(texts.join(''));
    const { sync } = this.#options;
    file.dirty = true;
    await file.handle.append(bytes);
    if (sync === 'batch' || (sync === 'intent' && batch.some(({ intent }) => intent))) await file.handle.sync();
    file.dirty = false;
    file.size += bytes.length;
    this.#tip = tip;
  }

  /** Tells the anchor where the chain ends. */
  async anchor(): Promise<void> {
    const tip = this.#tip;
    await this.#chain.anchor.write(tip);
    this.#anchored = tip;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    if (file !== null) await file.handle.close();
  }

  /** The file to append to, free of what a failed append may have left. */
  async #currentFile(): Promise<OpenFile> {
    const file = this.#file ?? (await this.#openFile(this.#chain.file));
    if (file.dirty) {
      await file.handle.truncate(file.size);
      file.dirty = false;
    }
    const { size, links } = await file.handle.stat();
    // Deleted, cut or written to by someone else: what follows goes where it is neither lost nor glued to a stump.
    return links === 0 || size !== file.size ? this.#nextFile() : file;
  }

  async #nextFile(): Promise<OpenFile> {
    const before = this.#file;
    const file = await this.#openFile(fileNameOf(this.#tip.seq + 1));
    this.#retentionDue = true;
    if (before !== null) await before.handle.close();
    return file;
  }

  async #openFile(name: string): Promise<OpenFile> {
    const { stateDir, disk, sync } = this.#options;
    const handle = await disk.open(join(auditDir(stateDir), name));
    try {
      const { size } = await handle.stat();
      if (size === 0 && sync !== 'never') await syncDirectory(auditDir(stateDir));
      this.#file = { handle, size, dirty: false };
      return this.#file;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Removes the oldest files beyond `keepFiles`, after the chain has recorded where its kept part begins. */
  async #retain(current: OpenFile): Promise<void> {
    const { stateDir, keepFiles } = this.#options;
    const { files, torn } = await listAudit(stateDir);
    const removed = files.slice(0, -keepFiles).map(({ name }) => name);
    const firstKept = files[removed.length];
    if (removed.length > 0 && firstKept !== undefined) {
      const before = current.size === 0 && firstKept === files.at(-1) ? this.#tip : await this.#before(firstKept);
      await this.append([
        this.#options.entryOf({ kind: 'retention', files: removed, toSeq: before.seq, lastMac: before.mac }),
      ]);
    }
    // Before the removals: one that fails is tried again at the next rotation, not recorded over and over.
    this.#retentionDue = false;
    const sides = torn.filter((side) => removed.some((name) => side.startsWith(name)));
    for (const name of [...removed, ...sides]) await this.#remove(join(auditDir(stateDir), name));
  }

  /** The line before the first one of a file. When that line is no entry, verification finds it anyway. */
  async #before(file: AuditFileName): Promise<Head> {
    for await (const [line] of readLines(join(auditDir(this.#options.stateDir), file.name))) {
      const entry = line === undefined ? null : parseLine(line.bytes);
      if (entry !== null) return { seq: entry.seq - 1, mac: entry.prev };
      break;
    }
    return { seq: file.firstSeq - 1, mac: GENESIS_MAC };
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#options.disk.remove(path);
    } catch (error) {
      // ENOENT: someone was faster.
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}
