/**
 * A cache of what is expensive to read: by key, with a time to live, bounds in entries and bytes, one load at a time for
 * each key, and, where there is one, a second level that is shared. Values are JSON and belong to all who get them: they
 * must not be changed.
 */

import { UriPatterns } from '../core/uri-patterns.ts';
import { Flight, RELEASED } from './cache-flight.ts';
import { Flights } from './cache-flights.ts';
import { fullId, matcherOf } from './cache-selector.ts';
import type { Matcher, Selector } from './cache-selector.ts';
import { bounded, loadInto } from './cache-load.ts';
import type { LoadsInto } from './cache-load.ts';
import { newCounts } from './cache-counts.ts';
import { cacheSettings } from './cache-settings.ts';
import type { CacheSettings } from './cache-settings.ts';
import type * as types from './cache-types.ts';
import type { CacheEvent, CacheEvents, EntryId, EntryInfo, FullId, Loaded, LoadOptions } from './cache-types.ts';
import { FirstLevel } from './first-level.ts';
import { GuardedLevel } from './guarded-level.ts';
import { keep, NOT_KEPT } from './kept.ts';
import type { Kept, ToKeep } from './kept.ts';
import { Listeners } from './listeners.ts';

export class ResourceCache<V = unknown> implements AsyncDisposable {
  readonly #first: FirstLevel;
  #settings: CacheSettings;
  #patterns: UriPatterns<number>;
  #second: GuardedLevel | null;
  readonly #flights = new Flights<Loaded<V>>();
  readonly #listeners: Listeners<CacheEvents>;
  readonly #count = newCounts();
  readonly #intoThis: LoadsInto;
  #closed = false;

  /** @throws GovernorError invalid_request for numbers out of range and templates that are none */
  constructor(options: types.CacheOptions = {}) {
    const settings = cacheSettings(options);
    this.#settings = settings;
    this.#patterns = patternsOf(settings);
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
    this.#second = this.#guarded(options.secondLevel);
    this.#intoThis = this.#forLoads();
  }

  /**
   * Holds to other options from now on, as if it had been made with them; what is in memory stays as far as it fits, with
   * the time that it was given. With another `secondLevel` (the same object is the same one) the memory is emptied, the
   * former one is let go of, and keeps its entries.
   * @throws GovernorError invalid_request as the constructor: then nothing has changed
   */
  async reconfigure(options: types.CacheOptions): Promise<void> {
    const settings = cacheSettings(options);
    const patterns = patternsOf(settings);
    const former = this.#second;
    const isSame = (former?.level ?? null) === (options.secondLevel ?? null);
    this.#settings = settings;
    this.#patterns = patterns;
    this.#first.resize(settings);
    if (isSame && former !== null) former.timeoutMs = settings.secondLevelTimeoutMs;
    if (isSame) return;
    this.#second = this.#guarded(options.secondLevel);
    // Who else invalidates is heard of elsewhere from now on.
    this.#drop({ all: true }, 'here');
    await former?.close();
  }

  #guarded(level: types.SecondLevel | undefined): GuardedLevel | null {
    if (level === undefined) return null;
    const { secondLevelTimeoutMs, log } = this.#settings;
    const guarded = new GuardedLevel(level, secondLevelTimeoutMs, log);
    level.listen?.((selector) => void (this.#second === guarded && this.#drop(selector, 'elsewhere')));
    return guarded;
  }

  /** What the first level has; counts as an access. */
  get(id: string | EntryId): V | undefined {
    const hit = this.#read(typeof id === 'string' ? id : id.key);
    if (hit === null) this.#count.misses++;
    return hit?.value;
  }

  /** As `get`, with how long it is still good for; what is not there is no miss. */
  find(id: string | EntryId): Loaded<V> | null {
    return this.#read(typeof id === 'string' ? id : id.key);
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
    return (await this.loadEntry(id, loader, options)).value;
  }

  /** As `load`, with where it came from and how long it is good for. @throws as `load` */
  async loadEntry(
    id: string | EntryId,
    loader: (signal: AbortSignal) => Promise<V> | V,
    options: LoadOptions<V> = {},
  ): Promise<Loaded<V>> {
    const full = fullId(id);
    for (let tries = 0; ; tries++) {
      options.signal?.throwIfAborted();
      const hit = this.#read(full.key);
      if (hit !== null) return hit;
      if (tries === 0) this.#count.misses++;
      const known = options.isAlone?.() === true ? undefined : this.#flights.find(full.key);
      if (known !== undefined) this.#count.joined++;
      const loaded = await (known ?? this.#begin(full, loader, options)).join(options.signal, options.party);
      if (loaded !== RELEASED) return loaded;
    }
  }

  /**
   * Loads of these that are under way are joined by nobody any more, because what they wait for may be somebody who asks
   * for the same now. Of those who have joined already, the ones of this party load for themselves.
   */
  setApart(selector: Selector, party: string): void {
    this.#flights.setApart(matcherOf(selector), party);
  }

  /** Keeps a value that was got elsewhere, in both levels. @returns false when it is too large or no JSON */
  set(id: string | EntryId, value: V, options: { readonly ttlMs?: number } = {}): boolean {
    const full = fullId(id);
    this.#flights.overtake(({ key }) => key === full.key);
    const pattern = this.#patterns.match(full.uri);
    const ttlMs = bounded(options.ttlMs ?? pattern?.value ?? this.#settings.ttlMs);
    const kept = this.#keep(full, value, { pattern, ttlMs, inSecond: this.#second !== null });
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
   * @param options `firstLevelOnly`: of what is in no second level
   * @throws GovernorError invalid_request at once, for what selects nothing
   */
  invalidate(selector: Selector, options: { readonly firstLevelOnly?: boolean } = {}): Promise<types.Invalidation> {
    const entries = this.#drop(selector, 'here');
    return this.#second === null || options.firstLevelOnly === true
      ? Promise.resolve({ entries, secondLevel: 'none' })
      : this.#second.invalidate(selector).then((secondLevel) => ({ entries, secondLevel }));
  }

  /** As `invalidate`, by a rule of the caller's own, of what is in no second level. @returns how many have gone */
  invalidateWhere(matches: Matcher): number {
    return this.#dropWhere(matches, ({ key }) => ({ key }), 'here');
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
    this.#flights.overtake(() => true);
    this.#first.close();
    await this.#second?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #read(key: string): Loaded<V> | null {
    const hit = this.#first.read(key);
    if (hit === null) return null;
    this.#count.hits++;
    this.#listeners.tell('accessed', () => hit.info());
    return { value: hit.value as V, from: 'first_level', freshMs: hit.freshMs };
  }

  #begin(id: FullId, loader: (signal: AbortSignal) => Promise<V> | V, options: LoadOptions<V>): Flight<Loaded<V>> {
    const flight: Flight<Loaded<V>> = new Flight<Loaded<V>>(
      id,
      (own, signal) => this.#fly(own, loader, options, signal),
      () => {
        flight.overtaken = true;
        this.#flights.land(flight);
      },
    );
    this.#flights.begin(flight);
    return flight;
  }

  async #fly(
    flight: Flight<Loaded<V>>,
    loader: (signal: AbortSignal) => Promise<V> | V,
    options: LoadOptions<V>,
    signal: AbortSignal,
  ): Promise<Loaded<V>> {
    try {
      return await loadInto(this.#intoThis, flight, loader, options, signal);
    } finally {
      this.#flights.land(flight);
    }
  }

  #forLoads(): LoadsInto {
    const settings = (): CacheSettings => this.#settings;
    const patterns = (): UriPatterns<number> => this.#patterns;
    const second = (): GuardedLevel | null => this.#second;
    return {
      get settings() {
        return settings();
      },
      get patterns() {
        return patterns();
      },
      get second() {
        return second();
      },
      count: this.#count,
      listeners: this.#listeners,
      keep: (id, value, how) => this.#keep(id, value, how),
    };
  }

  /** In the first level. */
  #keep(id: FullId, value: unknown, how: Pick<ToKeep, 'pattern' | 'ttlMs' | 'inSecond'>): Kept {
    if (this.#closed) return NOT_KEPT;
    const { maxBytes, firstLevelTtlMs } = this.#settings;
    return keep({ ...how, id, value, maxBytes, firstLevelTtlMs }, this.#first, this.#count);
  }

  #drop(selector: Selector, from: 'here' | 'elsewhere'): number {
    return this.#dropWhere(matcherOf(selector), () => selector, from);
  }

  #dropWhere(matches: Matcher, by: (info: EntryInfo) => Selector, from: 'here' | 'elsewhere'): number {
    this.#flights.overtake(matches);
    const gone = this.#first.removeAll(matches);
    this.#count.invalidated += gone.length;
    for (const info of gone) this.#listeners.tell('invalidated', () => ({ ...info, by: by(info), from }));
    return gone.length;
  }
}

function patternsOf({ patterns }: CacheSettings): UriPatterns<number> {
  return new UriPatterns(patterns.map(({ template, ttlMs }) => [template, ttlMs]));
}
