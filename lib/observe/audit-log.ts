/**
 * The audit log as the rest of Governor sees it. `write` only queues; one pump brings the queue to the disk in batches
 * and tries again with back-off while the disk refuses. Nobody waits for the disk but who asks for `flush`. There is one
 * writer per state directory: the daemon's lock sees to that.
 */

import type { AuditRecord } from '../core/audit-record.ts';
import type { Clock } from '../core/clock.ts';
import { type ChainRecord, GENESIS, type Head } from './audit-chain.ts';
import { type AuditDisk, NODE_DISK } from './audit-disk.ts';
import { fileAnchor, type HeadAnchor } from './audit-files.ts';
import { AuditQueue, type QueuedEntry, queuedEntry } from './audit-queue.ts';
import { ChainWriter, type WriterOptions } from './audit-writer.ts';
import type { Sink } from './recorder.ts';

export interface AuditLogOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly bootId: string;
  /** Instance id of this daemon. */
  readonly daemon: string;
  /** A file is closed before it grows beyond this; a longer entry still goes into one file. Default 8 MiB. */
  readonly maxFileBytes?: number;
  /** Files kept, the current one included; at least 1. Default 16. */
  readonly keepFiles?: number;
  /** When lines are forced to the disk by fdatasync(2): after every batch (default), after one with an intent, never. */
  readonly sync?: 'batch' | 'intent' | 'never';
  /** Entries that may wait while the disk refuses, of at most 16 MiB in all. Default 10,000. */
  readonly maxQueued?: number;
  /** How long entries that are no intent wait for others to join them, ms. Default 20. */
  readonly gatherMs?: number;
  /** Where the end of the chain is remembered. Default: `<stateDir>/audit.head`. */
  readonly anchor?: (key: Buffer) => HeadAnchor;
  readonly disk?: AuditDisk;
  /** When writing begins to fail, and when it works again. Must not throw. */
  readonly onStatus?: (status: AuditStatus) => void;
}

export interface AuditStatus {
  readonly ok: boolean;
  /** Entries that are not yet on the disk. */
  readonly queued: number;
  /** Entries of this daemon that will never be. */
  readonly lost: number;
  readonly error: string | null;
}

/** Opens the log and brings its end in order. On failure the log keeps trying, and `status` says why. */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  const log = new AuditLog(options);
  await log.flush();
  return log;
}

const MAX_QUEUED_BYTES = 16 * 1024 * 1024;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 10_000;

export class AuditLog implements Sink {
  readonly #options: AuditLogOptions;
  readonly #queue: AuditQueue;
  #writer: ChainWriter | null = null;
  #pumping: Promise<void> | null = null;
  #timer: { readonly handle: NodeJS.Timeout; readonly urgent: boolean } | null = null;
  #retryMs = FIRST_RETRY_MS;
  #error: string | null = null;
  #closed = false;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#queue = new AuditQueue({ maxEntries: options.maxQueued ?? 10_000, maxBytes: MAX_QUEUED_BYTES });
  }

  /** Queues. Never throws, never waits. After `close` the entry is only counted as lost. */
  write(record: AuditRecord): void {
    const entry = this.#entry(record);
    if (this.#closed) {
      this.#queue.lose(entry);
      return;
    }
    this.#queue.push(entry);
    // While the disk refuses, only the back-off and `flush` try again.
    if (this.#error === null) this.#schedule(entry.intent ? 0 : (this.#options.gatherMs ?? 20), entry.intent);
  }

  /** Resolves when all that was queued is written, or when an attempt made now has failed (`status` says so). */
  async flush(): Promise<void> {
    if (this.#pumping !== null) await this.#pumping;
    if (this.#unfinished() && !this.#closed) await this.#pump();
  }

  status(): AuditStatus {
    return { ok: this.#error === null, queued: this.#queue.length, lost: this.#queue.dropped, error: this.#error };
  }

  /** The last line that is written, for whoever keeps a copy of it elsewhere. */
  head(): Head {
    return this.#writer?.head ?? GENESIS;
  }

  /** Tries a last time to write what waits; what then still waits is lost. */
  async close(): Promise<AuditStatus> {
    await this.flush();
    this.#closed = true;
    this.#cancelTimer();
    for (const entry of this.#queue.take(Number.POSITIVE_INFINITY)) this.#queue.lose(entry);
    await this.#writer?.close();
    return this.status();
  }

  #unfinished(): boolean {
    return this.#writer === null || this.#queue.length > 0 || this.#writer.behind;
  }

  #schedule(delayMs: number, urgent: boolean): void {
    if (this.#pumping !== null || (this.#timer !== null && (this.#timer.urgent || !urgent))) return;
    this.#startTimer(delayMs, urgent);
  }

  #startTimer(delayMs: number, urgent: boolean): NodeJS.Timeout {
    this.#cancelTimer();
    const handle = setTimeout(() => void this.#pump(), delayMs);
    this.#timer = { handle, urgent };
    return handle;
  }

  #cancelTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer.handle);
    this.#timer = null;
  }

  #pump(): Promise<void> {
    this.#cancelTimer();
    this.#pumping ??= this.#drain().finally(() => {
      this.#pumping = null;
      // An entry may have come between the last look at the queue and here.
      if (this.#queue.length > 0 && this.#error === null) this.#schedule(0, true);
    });
    return this.#pumping;
  }

  /** Never rejects. */
  async #drain(): Promise<void> {
    try {
      while (this.#unfinished()) await this.#step();
      this.#recovered();
    } catch (error) {
      // Whatever the disk says (ENOSPC, EDQUOT, EROFS, EIO, …): the entries stay queued and are tried again.
      this.#failed(error);
    }
  }

  async #step(): Promise<void> {
    const writer = this.#writer ?? (await this.#open());
    if (this.#queue.length > 0) await this.#writeBatch(writer);
    if (writer.behind) await writer.anchor();
  }

  async #open(): Promise<ChainWriter> {
    const { writer, repairs } = await ChainWriter.open(this.#writerOptions());
    this.#queue.putBack(repairs.map((record) => this.#entry(record)));
    this.#writer = writer;
    return writer;
  }

  async #writeBatch(writer: ChainWriter): Promise<void> {
    const losses = this.#queue.losses;
    const batch = this.#queue.take(await writer.room(this.#queue.nextBytes()));
    try {
      await writer.append(losses === null ? batch : [this.#lossEntry(losses), ...batch]);
    } catch (error) {
      this.#queue.putBack(batch);
      throw error;
    }
    if (losses !== null) this.#queue.forget(losses);
  }

  #lossEntry(losses: NonNullable<AuditQueue['losses']>): QueuedEntry {
    return this.#entry({ kind: 'lost', ...losses, reason: this.#error ?? 'more entries at once than may wait' });
  }

  #entry(record: ChainRecord): QueuedEntry {
    const { bootId, daemon, clock } = this.#options;
    return queuedEntry(record, { at: this.#nowIso(), monotonicMs: clock.monotonicMs(), bootId, daemon });
  }

  #nowIso(): string {
    return new Date(this.#options.clock.wallMs()).toISOString();
  }

  #writerOptions(): WriterOptions {
    const {
      stateDir,
      maxFileBytes = 8 * 1024 * 1024,
      keepFiles = 16,
      sync = 'batch',
      disk = NODE_DISK,
    } = this.#options;
    return {
      stateDir,
      maxFileBytes,
      keepFiles: Math.max(1, keepFiles),
      sync,
      disk,
      anchorOf: this.#options.anchor ?? ((key) => fileAnchor(stateDir, key, sync !== 'never')),
      nowIso: () => this.#nowIso(),
      entryOf: (record) => this.#entry(record),
    };
  }

  #failed(error: unknown): void {
    const first = this.#error === null;
    this.#error = error instanceof Error ? error.message : String(error);
    // Unreferenced: a disk that stays full must not keep the process alive.
    this.#startTimer(this.#retryMs, true).unref();
    this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2);
    if (first) this.#options.onStatus?.(this.status());
  }

  #recovered(): void {
    this.#retryMs = FIRST_RETRY_MS;
    if (this.#error === null) return;
    this.#error = null;
    this.#options.onStatus?.(this.status());
  }
}
