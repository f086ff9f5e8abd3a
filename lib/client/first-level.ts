/** The first level: entries in this process, least recently used first out (lru-cache), each with its own time to live. */

import { LRUCache } from 'lru-cache';
import type { Matcher } from './cache-selector.ts';
import type { EntryInfo, FullId } from './cache-types.ts';

/** What it may hold, and for how long. */
export interface Bounds {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly sweepIntervalMs: number;
  /** Of what a second level has too. */
  readonly firstLevelTtlMs: number;
}

export interface FirstLevelOptions extends Bounds {
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
  readonly onGone: (info: EntryInfo, reason: 'expired' | 'evicted') => void;
}

interface Times {
  readonly ttlMs: number;
  readonly freshMs: number;
  readonly inSecond: boolean;
}

interface Entry {
  readonly value: unknown;
  readonly id: FullId;
  readonly pattern: EntryInfo['pattern'];
  readonly bytes: number;
  readonly createdMs: number;
  readonly expiresMs: number;
  /** Monotonic. */
  readonly storedMs: number;
  readonly inSecond: boolean;
  /** Monotonic: when it is stale in the second level as well. */
  readonly staleMs: number;
  lastAccessMs: number;
  accessCount: number;
}

export class FirstLevel {
  readonly #options: FirstLevelOptions;
  #entries: LRUCache<string, Entry>;
  #bounds: Bounds;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: FirstLevelOptions) {
    this.#options = options;
    this.#bounds = options;
    this.#entries = this.#made();
  }

  #made(): LRUCache<string, Entry> {
    const { monotonicMs, onGone } = this.#options;
    return new LRUCache<string, Entry>({
      max: this.#bounds.maxEntries,
      maxSize: this.#bounds.maxBytes,
      ttl: 1,
      // No timer of its own, and no time that stands still in between.
      ttlResolution: 0,
      perf: { now: monotonicMs },
      dispose: (entry, _key, reason) => {
        if (reason === 'evict') onGone(infoOf(entry), 'evicted');
        if (reason === 'expire') onGone(infoOf(entry), 'expired');
      },
    });
  }

  /** What is too old or too large for them goes, and for lack of room what was used longest ago. */
  resize(bounds: Bounds): void {
    this.sweep();
    this.#bounds = bounds;
    const former = this.#entries;
    // It reserves its places when it is made.
    this.#entries = this.#made();
    const nowMs = this.#options.monotonicMs();
    for (const key of [...former.rkeys()]) {
      const entry = former.peek(key);
      if (entry === undefined) continue;
      const leftMs = former.getRemainingTTL(key);
      const ttlMs = entry.inSecond ? Math.min(leftMs, bounds.firstLevelTtlMs - (nowMs - entry.storedMs)) : leftMs;
      const kept = { ...entry, expiresMs: this.#options.wallMs() + ttlMs };
      if (ttlMs <= 0) this.#options.onGone(infoOf(entry), 'expired');
      else if (entry.bytes > bounds.maxBytes) this.#options.onGone(infoOf(entry), 'evicted');
      else this.#entries.set(key, kept, { ttl: ttlMs, size: Math.max(1, entry.bytes) });
    }
    this.#disarm();
    if (this.size > 0) this.#arm();
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
    const { ttlMs, freshMs, pattern, bytes, inSecond } = kept;
    const storedMs = this.#options.monotonicMs();
    const times = { createdMs: nowMs, expiresMs: nowMs + ttlMs, lastAccessMs: nowMs, storedMs };
    const entry = { value, id, pattern, bytes, inSecond, ...times, staleMs: storedMs + freshMs };
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
    this.#disarm();
    this.#entries.clear();
  }

  /** Runs while there is anything to expire, and keeps no process alive. */
  #arm(): void {
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.sweep();
      if (this.size > 0) this.#arm();
    }, this.#bounds.sweepIntervalMs);
    this.#timer.unref();
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function infoOf({ id, bytes, createdMs, lastAccessMs, accessCount, expiresMs, pattern }: Entry): EntryInfo {
  return { ...id, bytes, createdMs, lastAccessMs, accessCount, expiresMs, pattern };
}
