/**
 * A second level that nobody has to wait for: each call has a deadline, the first that fails takes it out of the way until
 * it answers again, and what was to be invalidated meanwhile is made up for before it is believed again.
 */

import { TimeoutError, withDeadline } from '../scope/deadline.ts';
import { matcherOf } from './cache-selector.ts';
import type { Matcher, Selector } from './cache-selector.ts';
import { settledWithin } from './settled-within.ts';
import type { CacheLog, FullId, SecondLevel, SecondLevelStatistics, StoredText } from './cache-types.ts';

/** Looking through a large store takes longer than reading one entry, and nobody's call waits for it. */
const INVALIDATE_TIMEOUT_MS = 10_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/** Of more than this, everything is invalidated once. */
const PENDING_MAX = 1_000;
/** It is asked for this to see whether it is back. */
const PROBE: FullId = { key: 'probe', uri: 'probe', group: '' };

interface Pending {
  readonly selector: Selector;
  readonly matches: Matcher;
  state: 'waiting' | 'running' | 'done';
  /** One that means this and more. */
  instead: Pending | null;
}

export class GuardedLevel {
  readonly level: SecondLevel;
  timeoutMs: number;
  readonly #log: CacheLog;
  readonly #pending = new Set<Pending>();
  #batch: Promise<boolean> | null = null;
  readonly #count = { hits: 0, misses: 0, stored: 0, refused: 0, failures: 0, timeouts: 0, skipped: 0 };
  #up = true;
  /** One that cannot write says so once, though it reads. */
  #writes = true;
  #retryMs = FIRST_RETRY_MS;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(level: SecondLevel, timeoutMs: number, log: CacheLog) {
    this.level = level;
    this.timeoutMs = timeoutMs;
    this.#log = log;
  }

  async ready(): Promise<void> {
    try {
      await this.level.ready?.();
    } catch (error) {
      this.#failed(error);
      throw error;
    }
  }

  /** Null when it was not asked or did not answer: then nothing may be stored there either. Never rejects. */
  async get(id: FullId): Promise<{
    readonly found: { readonly value: unknown; readonly ttlMs: number } | null;
    readonly stamp: string;
  } | null> {
    if (!this.#up || this.#mayBeStale(id)) {
      this.#count.skipped++;
      return null;
    }
    try {
      if (!(await this.#isReady())) return null;
      const { found, stamp } = await withDeadline((signal) => this.level.get(id, signal), this.timeoutMs, 'reading');
      // It was invalidated while it was read.
      if (this.#mayBeStale(id)) return null;
      const read = found === null ? null : parse(found);
      if (found !== null && read === null) this.#delete(id);
      this.#count[read === null ? 'misses' : 'hits']++;
      return { found: read, stamp };
    } catch (error) {
      this.#failed(error);
      return null;
    }
  }

  /**
   * Nobody waits for it.
   * @param stamp of `get`; null: it replaces what is there, which must not be read any more when that fails
   */
  set(id: FullId, stored: StoredText, stamp: string | null): void {
    if (!this.#up || this.#mayBeStale(id)) {
      this.#count.skipped++;
      if (stamp === null) void this.invalidate({ key: id.key });
      return;
    }
    void this.#set(id, stored, stamp);
  }

  /** `pending`: to be made up for. Never rejects. */
  async invalidate(selector: Selector): Promise<'done' | 'pending'> {
    const pending = this.#add(selector);
    return this.#up && (await this.#makeUp(pending)) ? 'done' : 'pending';
  }

  statistics(): SecondLevelStatistics {
    return { state: this.#up ? 'up' : 'down', ...this.#count, pendingInvalidations: this.#pending.size };
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.level.close();
  }

  async #set(id: FullId, stored: StoredText, stamp: string | null): Promise<void> {
    try {
      if (!(await this.#isReady())) {
        if (stamp === null) void this.invalidate({ key: id.key });
        return;
      }
      const done = await withDeadline((signal) => this.level.set(id, stored, stamp, signal), this.timeoutMs, 'writing');
      this.#count[done ? 'stored' : 'refused']++;
      this.#writes = true;
    } catch (error) {
      // Where it is gone, the next one to read finds out.
      this.#count[error instanceof TimeoutError ? 'timeouts' : 'failures']++;
      if (this.#writes && this.#up && !this.#closed)
        this.#log.warn(`the second level of the cache takes no entries: ${textOf(error)}`);
      this.#writes = false;
      if (stamp === null) void this.invalidate({ key: id.key });
    }
  }

  /** A first connection takes its time: calls wait for it no longer than for an answer, and it is no failure yet. */
  async #isReady(): Promise<boolean> {
    const ready = this.level.ready?.();
    if (ready === undefined || (await settledWithin(() => ready, this.timeoutMs, true))) return true;
    this.#count.skipped++;
    return false;
  }

  #delete(id: FullId): void {
    withDeadline((signal) => this.level.delete(id, signal), this.timeoutMs, 'deleting').catch((error: unknown) =>
      this.#failed(error),
    );
  }

  #mayBeStale(id: FullId): boolean {
    for (const { matches } of this.#pending) if (matches(id)) return true;
    return false;
  }

  #add(selector: Selector): Pending {
    const text = JSON.stringify(selector);
    for (const known of this.#pending)
      if (known.state === 'waiting' && ('all' in known.selector || JSON.stringify(known.selector) === text))
        return known;
    const full = this.#pending.size >= PENDING_MAX;
    const chosen: Selector = full ? { all: true } : selector;
    const pending: Pending = { selector: chosen, matches: matcherOf(chosen), state: 'waiting', instead: null };
    if (full) {
      for (const known of this.#pending) known.instead = pending;
      this.#pending.clear();
    }
    this.#pending.add(pending);
    return pending;
  }

  /** One search of the store at a time: a storm of invalidations is one search after another, each for all that wait. */
  async #makeUp(pending: Pending): Promise<boolean> {
    for (let wanted = pending; ; wanted = wanted.instead ?? wanted) {
      if (wanted.state === 'done') return true;
      if (wanted.instead !== null) continue;
      this.#batch ??= this.#makeUpBatch().finally(() => (this.#batch = null));
      if (!(await this.#batch)) return false;
    }
  }

  async #makeUpBatch(): Promise<boolean> {
    const batch = [...this.#pending];
    for (const pending of batch) pending.state = 'running';
    const [first] = batch;
    const selector: Selector =
      first !== undefined && batch.length === 1 ? first.selector : { any: batch.map((pending) => pending.selector) };
    try {
      await withDeadline((signal) => this.level.invalidate(selector, signal), INVALIDATE_TIMEOUT_MS, 'invalidating');
      for (const pending of batch) {
        pending.state = 'done';
        this.#pending.delete(pending);
      }
      return true;
    } catch (error) {
      for (const pending of batch) pending.state = 'waiting';
      this.#failed(error);
      return false;
    }
  }

  #failed(error: unknown): void {
    this.#count[error instanceof TimeoutError ? 'timeouts' : 'failures']++;
    if (!this.#up || this.#closed) return;
    this.#up = false;
    this.#log.warn(`the second level of the cache does not answer, calls go on without it: ${textOf(error)}`);
    this.#retryLater();
  }

  /** By itself, so that others hear of what was invalidated even when nobody asks for anything. */
  #retryLater(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#retry(), this.#retryMs);
    this.#timer.unref();
  }

  async #retry(): Promise<void> {
    if (await this.#isBack()) {
      this.#up = true;
      this.#retryMs = FIRST_RETRY_MS;
      this.#log.info('the second level of the cache answers again');
      return;
    }
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    this.#retryLater();
  }

  async #isBack(): Promise<boolean> {
    for (const pending of this.#pending) if (!(await this.#makeUp(pending))) return false;
    try {
      await withDeadline((signal) => this.level.get(PROBE, signal), this.timeoutMs, 'reading');
      return this.#pending.size === 0 || this.#isBack();
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }
}

function parse({ text, ttlMs }: StoredText): { readonly value: unknown; readonly ttlMs: number } | null {
  try {
    return { value: JSON.parse(text), ttlMs };
  } catch {
    // Written by something else, or cut off.
    return null;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
