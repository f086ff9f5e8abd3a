/** What a tool has open and wants closed in order before it ends: critical ones first, each kind in reverse order. */

import type { HandlesClosed } from '../core/tool-protocol.ts';
import { MAX_NAMED_HANDLES } from '../core/tool-protocol.ts';
import { closeInOrder } from './close-in-order.ts';
import type { Closing, ToClose } from './close-in-order.ts';

export type CloseHandle = Closing['close'];

export interface HandleEntry extends Closing {
  readonly critical: boolean;
  /** Of the tool itself: it stays open when only the context changes. */
  readonly shared: boolean;
}

export class Handles {
  /** In the order in which they were registered. */
  readonly #entries = new Set<HandleEntry>();
  readonly #onChanged: () => void;
  #closing: { readonly keepShared: boolean; readonly done: Promise<HandlesClosed> } | null = null;

  constructor(onChanged: () => void) {
    this.#onChanged = onChanged;
  }

  get size(): number {
    return this.#entries.size;
  }

  add(entry: HandleEntry): void {
    this.#entries.add(entry);
    this.#onChanged();
  }

  /** False when it was closed, or taken away before. */
  remove(entry: HandleEntry): boolean {
    const removed = this.#entries.delete(entry);
    if (removed) this.#onChanged();
    return removed;
  }

  /**
   * Closes all, or all but the shared ones, also those that are registered meanwhile. Never rejects; while it runs,
   * another call for no more than that is the same.
   */
  closeAll(reason: string, deadlineMs: number, keepShared = false): Promise<HandlesClosed> {
    const running = this.#closing;
    if (running !== null && (keepShared || !running.keepShared)) return running.done;
    const done = this.#closeAll(reason, deadlineMs, keepShared).finally(() => {
      if (this.#closing?.done === done) this.#closing = null;
    });
    this.#closing = { keepShared, done };
    return done;
  }

  #take(keepShared: boolean): HandleEntry | null {
    let latest: HandleEntry | null = null;
    for (const entry of this.#entries) {
      if (keepShared && entry.shared) continue;
      if (entry.critical || latest?.critical !== true) latest = entry;
    }
    if (latest !== null) this.remove(latest);
    return latest;
  }

  async #closeAll(reason: string, deadlineMs: number, keepShared: boolean): Promise<HandlesClosed> {
    const entries = this.#entries;
    const toClose: ToClose = {
      get size() {
        return keepShared ? [...entries].filter(({ shared }) => !shared).length : entries.size;
      },
      take: () => this.#take(keepShared),
    };
    const outcomes = await closeInOrder(toClose, reason, deadlineMs);
    const failed = outcomes.flatMap(({ name, error }) => (error === null ? [] : [{ name, reason: error.message }]));
    return {
      held: outcomes.length,
      closed: outcomes.length - failed.length,
      failed: failed.slice(0, MAX_NAMED_HANDLES),
    };
  }
}
