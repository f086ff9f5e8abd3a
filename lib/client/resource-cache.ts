/**
 * A cache of what is expensive to read: by key, with a time to live, bounds in entries and bytes, one load at a time for
 * each key, and, where there is one, a second level that is shared. Values are JSON and belong to all who get them: they
 * must not be changed.
 */

import { UriPatterns } from '../core/uri-patterns.ts';
import type { UriMatch } from '../core/uri-patterns.ts';
import { Flight } from './cache-flight.ts';
import { fullId, matcherOf } from './cache-selector.ts';
import type { Selector } from './cache-selector.ts';
import { newCounts } from './cache-counts.ts';
import { cacheSettings } from './cache-settings.ts';
import type { CacheSettings } from './cache-settings.ts';
import type * as types from './cache-types.ts';
import type { CacheEvent, CacheEvents, EntryId, EntryInfo, FullId, LoadOptions } from './cache-types.ts';
import { FirstLevel } from './first-level.ts';
import { GuardedLevel } from './guarded-level.ts';
import { jsonOf, NOT_KEPT } from './kept.ts';
import type { Kept } from './kept.ts';
import { Listeners } from './listeners.ts';

/** Ten years: Redis takes no endless number. */
const MAX_TTL_MS = 10 * 365 * 24 * 3_600_000;

export class ResourceCache<V = unknown> implements AsyncDisposable {
  readonly #settings: CacheSettings;
  readonly #patterns: UriPatterns<number>;
  readonly #first: FirstLevel;
  readonly #second: GuardedLevel | null;
  readonly #flights = new Map<string, Flight<V>>();
  readonly #listeners: Listeners<CacheEvents>;
  readonly #count = newCounts();
  #closed = false;

  /** @throws GovernorError invalid_request for numbers out of range and templates that are none */
  constructor(options: types.CacheOptions = {}) {
    const settings = cacheSettings(options);
    this.#settings = settings;
    this.#patterns = new UriPatterns(settings.patterns.map(({ template, ttlMs }) => [template, ttlMs]));
    this.#listeners = new Listeners((error) => {
      this.#count.listenerErrors++;
      // Once: a listener that fails fails at every entry.
      if (this.#count.listenerErrors === 1) settings.log.warn(`a listener of the cache failed: ${String(error)}`);
    });
    this.#first = new FirstLevel({
      ...settings,
      onGone: (info, reason) => {
        this.#count[reason]++;
        this.#listeners.tell(reason, () => info);
      },
    });
    this.#second =
      options.secondLevel === undefined
        ? null
        : new GuardedLevel(options.secondLevel, settings.secondLevelTimeoutMs, settings.log);
    options.secondLevel?.listen?.((selector) => void this.#drop(selector, 'elsewhere'));
  }

  /** What the first level has; counts as an access. */
  get(id: string | EntryId): V | undefined {
    const hit = this.#read(typeof id === 'string' ? id : id.key);
    if (hit === null) this.#count.misses++;
    return hit?.value as V | undefined;
  }

  /**
   * The value, from the first level that has it, else from the loader, once for all who ask meanwhile.
   * @throws what the loader throws, to all who wait for it; nothing is kept of that
   */
  async load(
    id: string | EntryId,
    loader: (signal: AbortSignal) => Promise<V> | V,
    options: LoadOptions<V> = {},
  ): Promise<V> {
    options.signal?.throwIfAborted();
    const full = fullId(id);
    const hit = this.#read(full.key);
    if (hit !== null) return hit.value as V;
    this.#count.misses++;
    const known = this.#flights.get(full.key);
    if (known !== undefined) {
      this.#count.joined++;
      return known.join(options.signal);
    }
    const flight: Flight<V> = new Flight<V>(
      full,
      (own, signal) => this.#fly(own, loader, options, signal),
      () => this.#overtake(flight),
    );
    this.#flights.set(full.key, flight);
    return flight.join(options.signal);
  }

  /** Keeps a value that was got elsewhere, in both levels. @returns false when it is too large or no JSON */
  set(id: string | EntryId, value: V, options: { readonly ttlMs?: number } = {}): boolean {
    const full = fullId(id);
    const flight = this.#flights.get(full.key);
    if (flight !== undefined) this.#overtake(flight);
    const pattern = this.#patterns.match(full.uri);
    const ttlMs = this.#ttlMs(value, pattern, options);
    const kept = this.#keep(full, value, pattern, ttlMs);
    if (kept.stored) this.#second?.set(full, { text: kept.text, ttlMs }, null);
    else void this.#second?.invalidate({ key: full.key });
    return kept.stored;
  }

  /** How an entry of the first level is doing; does not count as an access. */
  info(id: string | EntryId): EntryInfo | null {
    return this.#first.info(typeof id === 'string' ? id : id.key);
  }

  /** The first level, latest used first. */
  entries(): readonly EntryInfo[] {
    return this.#first.infos();
  }

  /**
   * When this returns, nothing of it is in the first level, and no load that is under way will put it there; what it
   * resolves to tells of the second level too. Never rejects.
   * @throws GovernorError invalid_request at once, for what selects nothing
   */
  invalidate(selector: Selector): Promise<types.Invalidation> {
    const entries = this.#drop(selector, 'here');
    return this.#second === null
      ? Promise.resolve({ entries, secondLevel: 'none' })
      : this.#second.invalidate(selector).then((secondLevel) => ({ entries, secondLevel }));
  }

  /**
   * For a start: waits until the second level is connected. Nobody has to; until then calls go on without it.
   * @throws why it cannot be connected
   */
  async ready(): Promise<void> {
    await this.#second?.ready();
  }

  /** Removes expired entries now. */
  sweep(): void {
    this.#first.sweep();
  }

  /** @returns takes the listener away again */
  on<K extends CacheEvent>(event: K, listener: (event: CacheEvents[K]) => unknown): () => void {
    return this.#listeners.add(event, listener);
  }

  statistics(): types.CacheStatistics {
    return {
      entries: this.#first.size,
      bytes: this.#first.bytes,
      maxEntries: this.#settings.maxEntries,
      maxBytes: this.#settings.maxBytes,
      loading: this.#flights.size,
      ...this.#count,
      secondLevel: this.#second?.statistics() ?? null,
    };
  }

  /** Empties the first level and lets go of the second, whose entries stay. From then on nothing is kept. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const flight of this.#flights.values()) this.#overtake(flight);
    this.#first.close();
    await this.#second?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #read(key: string): { readonly value: unknown } | null {
    const hit = this.#first.read(key);
    if (hit === null) return null;
    this.#count.hits++;
    this.#listeners.tell('accessed', () => hit.info());
    return hit;
  }

  async #fly(
    flight: Flight<V>,
    loader: (signal: AbortSignal) => Promise<V> | V,
    options: LoadOptions<V>,
    signal: AbortSignal,
  ): Promise<V> {
    const { id } = flight;
    const startedMs = this.#settings.monotonicMs();
    const tell = (from: 'loader' | 'second_level', { bytes, stored }: Kept): void =>
      this.#listeners.tell('loaded', () => {
        const durationMs = this.#settings.monotonicMs() - startedMs;
        return { ...id, from, bytes, stored, durationMs };
      });
    try {
      const pattern = this.#patterns.match(id.uri);
      const second = (await this.#second?.get(id)) ?? null;
      // What was invalidated meanwhile is asked of the loader.
      if (second !== null && second.found !== null && !flight.overtaken) {
        const value = second.found.value as V;
        tell('second_level', this.#keep(id, value, pattern, second.found.ttlMs));
        return value;
      }
      this.#count.loads++;
      const value = await loader(signal);
      const ttlMs = this.#ttlMs(value, pattern, options);
      if (flight.overtaken) this.#count.overtaken++;
      const kept = flight.overtaken ? NOT_KEPT : this.#keep(id, value, pattern, ttlMs);
      if (kept.stored && second !== null) this.#second?.set(id, { text: kept.text, ttlMs }, second.stamp);
      tell('loader', kept);
      return value;
    } catch (error) {
      this.#count.failedLoads++;
      throw error;
    } finally {
      this.#land(flight);
    }
  }

  #ttlMs(value: V, pattern: UriMatch<number> | null, options: LoadOptions<V>): number {
    const keep = options.keep?.(value) ?? {};
    if (keep === 'skip') return 0;
    const ttlMs = keep.ttlMs ?? options.ttlMs ?? pattern?.value ?? this.#settings.ttlMs;
    return Number.isNaN(ttlMs) ? 0 : Math.min(ttlMs, MAX_TTL_MS);
  }

  /** In the first level. */
  #keep(id: FullId, value: V, pattern: UriMatch<number> | null, ttlMs: number): Kept {
    // What was there is older, whatever becomes of this.
    this.#first.remove(id.key);
    if (ttlMs <= 0 || this.#closed) return NOT_KEPT;
    const text = jsonOf(value);
    if (text === null) {
      this.#count.notJson++;
      return NOT_KEPT;
    }
    const bytes = Buffer.byteLength(text);
    if (bytes > this.#settings.maxBytes) {
      this.#count.tooLarge++;
      return { text, bytes, stored: false };
    }
    const ownMs = this.#second === null ? ttlMs : Math.min(ttlMs, this.#settings.firstLevelTtlMs);
    const matched = pattern === null ? null : { template: pattern.template, parameters: pattern.parameters };
    this.#first.store(value, id, matched, bytes, ownMs);
    this.#count.stored++;
    return { text, bytes, stored: true };
  }

  #drop(selector: Selector, from: 'here' | 'elsewhere'): number {
    const matches = matcherOf(selector);
    for (const flight of this.#flights.values()) if (matches(flight.id)) this.#overtake(flight);
    const gone = this.#first.removeAll(matches);
    this.#count.invalidated += gone.length;
    for (const info of gone) this.#listeners.tell('invalidated', () => ({ ...info, by: selector, from }));
    return gone.length;
  }

  /** Who comes now starts another load. */
  #overtake(flight: Flight<V>): void {
    flight.overtaken = true;
    this.#land(flight);
  }

  #land(flight: Flight<V>): void {
    if (this.#flights.get(flight.id.key) === flight) this.#flights.delete(flight.id.key);
  }
}
