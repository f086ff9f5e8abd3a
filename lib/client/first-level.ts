/** The first level: entries in this process, least recently used first out (lru-cache), each with its own time to live. */

import { LRUCache } from 'lru-cache';
import type { Matcher } from './cache-selector.ts';
import type { EntryInfo, FullId } from './cache-types.ts';

export interface FirstLevelOptions {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly sweepIntervalMs: number;
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
  readonly onGone: (info: EntryInfo, reason: 'expired' | 'evicted') => void;
}

interface Times {
  readonly ttlMs: number;
  readonly freshMs: number;
}

interface Entry {
  readonly value: unknown;
  readonly id: FullId;
  readonly pattern: EntryInfo['pattern'];
  readonly bytes: number;
  readonly createdMs: number;
  readonly expiresMs: number;
  /** Monotonic: when it is stale in the second level as well. */
  readonly staleMs: number;
  lastAccessMs: number;
  accessCount: number;
}

export class FirstLevel {
  readonly #entries: LRUCache<string, Entry>;
  readonly #options: FirstLevelOptions;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: FirstLevelOptions) {
    this.#options = options;
    this.#entries = new LRUCache<string, Entry>({
      max: options.maxEntries,
      maxSize: options.maxBytes,
      ttl: 1,
      // No timer of its own, and no time that stands still in between.
      ttlResolution: 0,
      perf: { now: options.monotonicMs },
      dispose: (entry, _key, reason) => {
        if (reason === 'evict') options.onGone(infoOf(entry), 'evicted');
        if (reason === 'expire') options.onGone(infoOf(entry), 'expired');
      },
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** Counts as an access. */
  read(key: string): { readonly value: unknown; readonly freshMs: number; info(): EntryInfo } | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    entry.accessCount++;
    entry.lastAccessMs = this.#options.wallMs();
    const freshMs = Math.max(0, entry.staleMs - this.#options.monotonicMs());
    return { value: entry.value, freshMs, info: () => infoOf(entry) };
  }

  /** Does not count. */
  info(key: string): EntryInfo | null {
    const entry = this.#entries.peek(key);
    return entry === undefined ? null : infoOf(entry);
  }

  infos(): EntryInfo[] {
    return [...this.#entries.values()].map(infoOf);
  }

  /** @param kept `ttlMs`: above 0, in this level. `freshMs`: in all of them. `bytes`: at most maxBytes */
  store(value: unknown, id: FullId, kept: Pick<EntryInfo, 'pattern' | 'bytes'> & Times): void {
    const nowMs = this.#options.wallMs();
    const { ttlMs, freshMs, pattern, bytes } = kept;
    const staleMs = this.#options.monotonicMs() + freshMs;
    const times = { createdMs: nowMs, expiresMs: nowMs + ttlMs, lastAccessMs: nowMs, staleMs };
    const entry = { value, id, pattern, bytes, ...times };
    this.#entries.set(id.key, { ...entry, accessCount: 0 }, { ttl: ttlMs, size: Math.max(1, bytes) });
    this.#arm();
  }

  /** Without a word. */
  remove(key: string): void {
    this.#entries.delete(key);
  }

  removeAll(matches: Matcher): EntryInfo[] {
    this.sweep();
    const gone = [...this.#entries.values()].filter(({ id }) => matches(id));
    for (const { id } of gone) this.#entries.delete(id.key);
    return gone.map(infoOf);
  }

  sweep(): void {
    this.#entries.purgeStale();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#entries.clear();
  }

  /** Runs while there is anything to expire, and keeps no process alive. */
  #arm(): void {
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.sweep();
      if (this.size > 0) this.#arm();
    }, this.#options.sweepIntervalMs);
    this.#timer.unref();
  }
}

function infoOf({ id, bytes, createdMs, lastAccessMs, accessCount, expiresMs, pattern }: Entry): EntryInfo {
  return { ...id, bytes, createdMs, lastAccessMs, accessCount, expiresMs, pattern };
}
