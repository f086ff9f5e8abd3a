/**
 * Audit entries that wait for the disk. Bounded in number and bytes: when it is full the oldest entry that is no intent
 * goes, an intent only when nothing else is left, and what went is counted so that the log can say so.
 */

import type { ChainRecord, UnsealedLine } from './audit-chain.ts';

export interface QueuedEntry extends UnsealedLine {
  readonly at: string;
  readonly intent: boolean;
  /** Dropped only when nothing else is left: intents, and what the log says about itself. */
  readonly spared: boolean;
  /** Upper bound of the length of its line, with the line break. */
  readonly bytes: number;
}

export interface Losses {
  readonly count: number;
  readonly intents: number;
  readonly firstAt: string;
  readonly lastAt: string;
}

/** `{"seq":…,` + `"prev":"…",` + `"mac":"…"}` + line break, with a sequence of 16 digits. */
const SEAL_BYTES = 192;

/** Longest JSON text of one record; a longer one is reduced to its short members. */
export const MAX_RECORD_BYTES = 256 * 1024;
const MAX_MEMBER_LENGTH = 200;

/** Text is made at once, so that a record that is changed later is logged as it was. Never throws. */
export function queuedEntry(
  record: ChainRecord,
  stamp: { readonly at: string; readonly monotonicMs: number; readonly bootId: string; readonly daemon: string },
): QueuedEntry {
  const { at, monotonicMs, bootId, daemon } = stamp;
  const envelope = members({ at, monotonicMs: Math.round(monotonicMs * 1000) / 1000, bootId, daemon });
  const text = recordText(record);
  const bytes = Buffer.byteLength(envelope) + Buffer.byteLength(text) + SEAL_BYTES;
  const intent = record.kind === 'intent';
  const spared = intent || (record.kind === 'daemon' && record.event === 'audit_repair');
  return { envelope, record: text, at, intent, spared, bytes };
}

export class AuditQueue {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  #entries: QueuedEntry[] = [];
  #bytes = 0;
  #losses: Losses | null = null;
  #dropped = 0;

  constructor(limits: { readonly maxEntries: number; readonly maxBytes: number }) {
    this.#maxEntries = limits.maxEntries;
    this.#maxBytes = limits.maxBytes;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** What was dropped and is not yet written down. */
  get losses(): Losses | null {
    return this.#losses;
  }

  /** All that was ever dropped. */
  get dropped(): number {
    return this.#dropped;
  }

  push(entry: QueuedEntry): void {
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    this.#shrink();
  }

  /** Back to the front, in their old order. */
  putBack(entries: readonly QueuedEntry[]): void {
    this.#entries = [...entries, ...this.#entries];
    for (const entry of entries) this.#bytes += entry.bytes;
    this.#shrink();
  }

  /** Bytes of the next entry, 0 when there is none. */
  nextBytes(): number {
    return this.#entries[0]?.bytes ?? 0;
  }

  /** The oldest entries that fit, at least one when there is one. */
  take(maxBytes: number): readonly QueuedEntry[] {
    let count = 0;
    let bytes = 0;
    for (const entry of this.#entries) {
      if (count > 0 && bytes + entry.bytes > maxBytes) break;
      count += 1;
      bytes += entry.bytes;
    }
    this.#bytes -= bytes;
    return this.#entries.splice(0, count);
  }

  /** These losses are written down now. */
  forget(written: Losses): void {
    const now = this.#losses;
    if (now === null) return;
    const count = now.count - written.count;
    this.#losses =
      count <= 0
        ? null
        : { count, intents: now.intents - written.intents, firstAt: written.lastAt, lastAt: now.lastAt };
  }

  #shrink(): void {
    while (this.#entries.length > 1 && (this.#entries.length > this.#maxEntries || this.#bytes > this.#maxBytes)) {
      const index = Math.max(
        0,
        this.#entries.findIndex((entry) => !entry.spared),
      );
      for (const entry of this.#entries.splice(index, 1)) {
        this.#bytes -= entry.bytes;
        this.lose(entry);
      }
    }
  }

  /** Counts an entry that will never be written. */
  lose(entry: QueuedEntry): void {
    this.#dropped += 1;
    const { count, intents, firstAt } = this.#losses ?? { count: 0, intents: 0, firstAt: entry.at };
    this.#losses = { count: count + 1, intents: intents + (entry.intent ? 1 : 0), firstAt, lastAt: entry.at };
  }
}

/** The members of a JSON object, without its braces. */
function members(value: object): string {
  return JSON.stringify(value).slice(1, -1);
}

function recordText(record: ChainRecord): string {
  let reason: string;
  try {
    const text = members(record);
    const bytes = Buffer.byteLength(text);
    if (bytes <= MAX_RECORD_BYTES) return text;
    reason = `${bytes} bytes are more than the ${MAX_RECORD_BYTES} of one entry`;
  } catch (error) {
    // A cycle, a BigInt or a toJSON that throws: the entry is kept in part and says why.
    reason = error instanceof Error ? error.message.slice(0, MAX_MEMBER_LENGTH) : 'cannot be written as JSON';
  }
  return members({ ...shortMembers(record), reduced: reason });
}

/** The members that are short and plain, so that who, what and why of an entry survive whatever its detail holds. */
function shortMembers(record: ChainRecord): Readonly<Record<string, unknown>> {
  const kept = Object.entries(record).filter(([, value]) => {
    if (typeof value === 'string') return value.length <= MAX_MEMBER_LENGTH;
    return typeof value === 'number' || typeof value === 'boolean';
  });
  return Object.fromEntries(kept);
}
