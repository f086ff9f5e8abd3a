/**
 * A pool of keyed resources (connections, browsers, SDK clients): each is made when it is first asked for, once for all
 * who ask, and destroyed when nobody has used it for a while.
 */

import { GovernorError } from '../core/errors.ts';
import { destroyReport } from './cleanup-error.ts';
import type { DestroyReport, ResourceCleanupError } from './cleanup-error.ts';
import { checkedMs, cleanupIntervalMs } from './cleanup-interval.ts';
import { PoolEntry } from './pool-entry.ts';
import type { Cleanup, Factory, Lease, PoolStatistics, ResourceManagerOptions } from './pool-types.ts';

/** For a final `destroyAllNow()` without a number. */
const DEFAULT_DEADLINE_MS = 10_000;
const DEFAULT_CLEANUP_TIMEOUT_MS = 10_000;
/** Of more failures the oldest are forgotten; they are counted, and were told. */
const KEPT_ERRORS = 100;

export class ResourceManager implements AsyncDisposable {
  readonly #options: ResourceManagerOptions;
  readonly #monotonicMs: () => number;
  readonly #cleanupTimeoutMs: number;
  readonly #entries = new Map<string, PoolEntry>();
  /** To be destroyed, and not gone yet. */
  readonly #leaving = new Map<PoolEntry, string>();
  readonly #count = { created: 0, reused: 0, failedFactories: 0, destroyed: 0, cleanupErrors: 0 };
  #errors: ResourceCleanupError[] = [];
  #intervalMs: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  /** @throws GovernorError invalid_request for a time that is none; a bad RESOURCE_CLEANUP_INTERVAL is told at the first use */
  constructor(options: ResourceManagerOptions = {}) {
    this.#options = options;
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.#cleanupTimeoutMs = checkedMs('cleanupTimeoutMs', options.cleanupTimeoutMs ?? DEFAULT_CLEANUP_TIMEOUT_MS, 1);
    if (options.idleMs !== undefined) checkedMs('idleMs', options.idleMs, 0);
    if (options.cleanupIntervalMs !== undefined)
      this.#intervalMs = checkedMs('cleanupIntervalMs', options.cleanupIntervalMs, 1);
  }

  /**
   * The resource of this type and key; the factory is called when there is none. The resource is safe from idle cleanup
   * for `idleMs` after the latest call for it: whoever uses it for longer at a time takes a lease.
   * @throws what the factory throws, to all who wait for it; the next call tries again
   * @throws GovernorError invalid_config for a bad RESOURCE_CLEANUP_INTERVAL; illegal_state when all was destroyed meanwhile
   */
  async getResource<T>(key: string, type: string, factory: Factory<T>, cleanup: Cleanup<T>): Promise<T> {
    const entry = this.#entryFor(key, type, factory, cleanup);
    return (await entry.made) as T;
  }

  /** The same, held until it is released: `await using lease = await resources.lease(…)`. */
  async lease<T>(key: string, type: string, factory: Factory<T>, cleanup: Cleanup<T>): Promise<Lease<T>> {
    const entry = this.#entryFor(key, type, factory, cleanup);
    // Counted before it is there, so that nothing can come between.
    entry.leases++;
    const resource = (await entry.made) as T;
    let held = true;
    const release = (): void => {
      if (held) entry.release(this.#monotonicMs());
      held = false;
    };
    return { resource, release, [Symbol.asyncDispose]: async () => release() };
  }

  /**
   * Hands this one out no more and destroys it, at once or when its last lease is released; the next call makes another.
   * @returns false when there is none
   */
  discard(key: string, type: string): boolean {
    const id = idOf(key, type);
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#doom(id, entry);
    return entry !== undefined;
  }

  /**
   * Destroys what is not in use and was not asked for within this time.
   * @throws GovernorError invalid_config for a bad RESOURCE_CLEANUP_INTERVAL, and nothing else
   */
  async destroyIdle(idleMs = this.#options.idleMs ?? this.#interval()): Promise<DestroyReport> {
    const startedMs = this.#monotonicMs();
    const idle = [...this.#entries].filter(
      ([, entry]) => !entry.creating && entry.leases === 0 && startedMs - entry.lastUsedMs >= idleMs,
    );
    for (const [id, entry] of idle) this.#doom(id, entry);
    const outcomes = await Promise.all(idle.map(([, { ended }]) => ended));
    return destroyReport(outcomes, this.#monotonicMs() - startedMs);
  }

  /**
   * Destroys all: what is in use when its last lease is released, what is being made when it is there. What is not gone at
   * the deadline is in the report, and is still destroyed later. Never rejects; the manager can be used again.
   */
  async destroyAllNow(options: { readonly deadlineMs?: number } = {}): Promise<DestroyReport> {
    const startedMs = this.#monotonicMs();
    const deadlineMs = checkedMs('deadlineMs', options.deadlineMs ?? DEFAULT_DEADLINE_MS, 0);
    for (const [id, entry] of this.#entries) this.#doom(id, entry);
    this.#disarm();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs);
    });
    const outcomes = await Promise.all(
      [...this.#leaving.keys()].map((entry) => Promise.race([entry.ended, deadline.then(() => entry.heldUp)])),
    );
    clearTimeout(timer);
    return destroyReport(outcomes, this.#monotonicMs() - startedMs);
  }

  /** Idle resources stay until `startCleanupTimer()`. */
  stopCleanupTimer(): void {
    this.#stopped = true;
    this.#disarm();
  }

  startCleanupTimer(): void {
    this.#stopped = false;
    this.#arm();
  }

  /** The latest failures of cleanups, at most 100, and forgets them. */
  takeErrors(): readonly ResourceCleanupError[] {
    const errors = this.#errors;
    this.#errors = [];
    return errors;
  }

  statistics(): PoolStatistics {
    const entries = [...this.#entries.values()];
    const all = [...entries, ...this.#leaving.keys()];
    const byType: Record<string, number> = Object.create(null) as Record<string, number>;
    for (const { type } of entries) byType[type] = (byType[type] ?? 0) + 1;
    return {
      resources: entries.length,
      creating: entries.filter(({ creating }) => creating).length,
      inUse: all.filter(({ leases }) => leases > 0).length,
      leases: all.reduce((sum, { leases }) => sum + leases, 0),
      leaving: this.#leaving.size,
      byType,
      ...this.#count,
    };
  }

  /** `destroyAllNow()`. @throws AggregateError of what was not cleaned up */
  async [Symbol.asyncDispose](): Promise<void> {
    const { error } = await this.destroyAllNow();
    if (error !== null) throw error;
  }

  #entryFor<T>(key: string, type: string, factory: Factory<T>, cleanup: Cleanup<T>): PoolEntry {
    this.#interval();
    const id = idOf(key, type);
    const nowMs = this.#monotonicMs();
    const known = this.#entries.get(id);
    if (known !== undefined) {
      this.#count.reused++;
      known.lastUsedMs = nowMs;
      return known;
    }
    const entry = new PoolEntry({
      key,
      type,
      factory,
      cleanup: cleanup as Cleanup<unknown>,
      after: this.#lastCleanupOf(id),
      cleanupTimeoutMs: this.#cleanupTimeoutMs,
      nowMs,
    });
    this.#entries.set(id, entry);
    entry.made.then(
      () => {
        this.#count.created++;
        entry.lastUsedMs = this.#monotonicMs();
      },
      () => this.#notMade(id, entry),
    );
    this.#arm();
    return entry;
  }

  #notMade(id: string, entry: PoolEntry): void {
    if (entry.creating) this.#count.failedFactories++;
    else this.#count.created++;
    if (this.#entries.get(id) === entry) this.#entries.delete(id);
  }

  /** What is in use is not waited for: it may be so for ever. */
  #lastCleanupOf(id: string): Promise<unknown> | null {
    const cleaning = [...this.#leaving].filter(([entry, of]) => of === id && entry.leases === 0 && !entry.creating);
    return cleaning.length === 0 ? null : Promise.all(cleaning.map(([{ ended }]) => ended));
  }

  #doom(id: string, entry: PoolEntry): void {
    this.#entries.delete(id);
    this.#leaving.set(entry, id);
    void entry.ended.then((error) => {
      this.#leaving.delete(entry);
      if (error === null) this.#count.destroyed += entry.creating ? 0 : 1;
      else this.#collect(error);
    });
    entry.doom();
  }

  #collect(error: ResourceCleanupError): void {
    this.#count.cleanupErrors++;
    this.#errors.push(error);
    if (this.#errors.length > KEPT_ERRORS) this.#errors.shift();
    const tell = this.#options.onCleanupError ?? ((failure) => process.emitWarning(failure));
    try {
      tell(error);
    } catch {
      // A listener that fails must not keep the rest from being cleaned up; the error itself is kept.
    }
  }

  #interval(): number {
    this.#intervalMs ??= cleanupIntervalMs(this.#options.environment ?? process.env);
    return this.#intervalMs;
  }

  #arm(): void {
    if (this.#stopped || this.#timer !== null || this.#entries.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.destroyIdle();
      this.#arm();
    }, this.#interval());
    this.#timer.unref();
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** Two strings as one that no other two have. @throws GovernorError invalid_request */
function idOf(key: string, type: string): string {
  if (typeof key !== 'string' || typeof type !== 'string' || type === '')
    throw new GovernorError('invalid_request', 'a resource has a key and a type, both strings, the type not empty');
  return JSON.stringify([type, key]);
}

/** One pool for a whole tool. */
export const resourceManager = new ResourceManager();
