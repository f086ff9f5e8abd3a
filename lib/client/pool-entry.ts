/** One resource of the pool, from the call of its factory to the end of its cleanup. */

import { GovernorError } from '../core/errors.ts';
import { ResourceCleanupError } from './cleanup-error.ts';
import { maskKey } from './mask-key.ts';
import { settledWithin } from './settled-within.ts';

export interface EntryInit {
  readonly key: string;
  readonly type: string;
  readonly factory: () => unknown;
  readonly cleanup: (resource: unknown) => unknown;
  /** An earlier resource of this key that is still being cleaned up: two at once could get into each other's way. */
  readonly after: Promise<unknown> | null;
  readonly cleanupTimeoutMs: number;
  readonly nowMs: number;
}

export class PoolEntry {
  readonly key: string;
  readonly type: string;
  lastUsedMs: number;
  leases = 0;
  /** Settles with its factory. Rejects, too, when it was to be destroyed before it was handed out. */
  readonly made: Promise<unknown>;
  /** Resolves when it is gone, with what went wrong; never rejects. */
  readonly ended: Promise<ResourceCleanupError | null>;
  readonly #cleanup: (resource: unknown) => unknown;
  readonly #cleanupTimeoutMs: number;
  #resource: { readonly value: unknown } | null = null;
  #doomed = false;
  #cleaning = false;
  #end: (error: ResourceCleanupError | null) => void = () => undefined;

  constructor(init: EntryInit) {
    this.key = init.key;
    this.type = init.type;
    this.lastUsedMs = init.nowMs;
    this.#cleanup = init.cleanup;
    this.#cleanupTimeoutMs = init.cleanupTimeoutMs;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.made = this.#make(init);
  }

  get creating(): boolean {
    return this.#resource === null;
  }

  /** What keeps it from being gone, while it is to be destroyed. */
  get heldUp(): ResourceCleanupError {
    if (this.#cleaning) return new ResourceCleanupError('timed_out', this, 'its cleanup has not ended yet');
    if (this.creating) return new ResourceCleanupError('not_made', this, 'its factory has not ended yet');
    return new ResourceCleanupError('in_use', this, `${this.leases} leases hold it`);
  }

  /** It is handed out no more, and destroyed as soon as nobody uses it. Idempotent. */
  doom(): void {
    this.#doomed = true;
    this.#destroyIfFree();
  }

  release(nowMs: number): void {
    this.leases--;
    this.lastUsedMs = nowMs;
    this.#destroyIfFree();
  }

  async #make({ after, factory }: EntryInit): Promise<unknown> {
    try {
      // Never before it is in the pool: a factory may ask the pool for others.
      await after;
      this.#resource = { value: await factory() };
    } catch (error) {
      this.#end(null);
      throw error;
    }
    if (!this.#doomed) return this.#resource.value;
    this.leases = 0;
    this.#destroyIfFree();
    throw new GovernorError(
      'illegal_state',
      `${this.type} ${maskKey(this.key)} was to be destroyed while it was being made`,
    );
  }

  #destroyIfFree(): void {
    if (!this.#doomed || this.#resource === null || this.leases > 0 || this.#cleaning) return;
    this.#cleaning = true;
    void this.#destroy(this.#resource.value).then(this.#end);
  }

  async #destroy(resource: unknown): Promise<ResourceCleanupError | null> {
    try {
      // Idle cleanup keeps no process alive.
      const settled = await settledWithin(async () => this.#cleanup(resource), this.#cleanupTimeoutMs, false);
      if (settled) return null;
      return new ResourceCleanupError('timed_out', this, `its cleanup took longer than ${this.#cleanupTimeoutMs} ms`);
    } catch (error) {
      return new ResourceCleanupError('failed', this, { thrown: error });
    }
  }
}
