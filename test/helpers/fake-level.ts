/** A shared store in memory, that fails and hangs at a test's command. */

import { matcherOf, type Selector } from '../../lib/client/cache-selector.ts';
import type { FullId, SecondLevel, StoredText } from '../../lib/client/cache-types.ts';

export class FakeLevel implements SecondLevel {
  readonly stored = new Map<string, { readonly id: FullId } & StoredText>();
  readonly log: string[] = [];
  /** What the next calls do instead of answering. */
  trouble: 'none' | 'fails' | 'hangs' | 'refuses writes' = 'none';
  /** Settles when it is connected. */
  connection: Promise<unknown> = Promise.resolve();
  epoch = 0;
  closed = false;
  #listener: (selector: Selector) => void = () => undefined;

  ready(): Promise<unknown> {
    return this.connection;
  }

  async get(id: FullId): Promise<{ found: StoredText | null; stamp: string }> {
    this.log.push(`get ${id.key}`);
    await this.#trouble();
    const stored = this.stored.get(id.key);
    return {
      found: stored === undefined ? null : { text: stored.text, ttlMs: stored.ttlMs },
      stamp: String(this.epoch),
    };
  }

  async set(id: FullId, stored: StoredText, stamp: string | null): Promise<boolean> {
    this.log.push(`set ${id.key} ${stored.text}`);
    await this.#trouble();
    if (this.trouble === 'refuses writes') throw new Error('OOM');
    if (stamp !== null && stamp !== String(this.epoch)) return false;
    this.stored.set(id.key, { id, ...stored });
    return true;
  }

  async delete(id: FullId): Promise<void> {
    this.log.push(`delete ${id.key}`);
    await this.#trouble();
    this.stored.delete(id.key);
  }

  async invalidate(selector: Selector): Promise<void> {
    this.log.push(`invalidate ${JSON.stringify(selector)}`);
    await this.#trouble();
    this.epoch++;
    const matches = matcherOf(selector);
    for (const { id } of this.stored.values()) if (matches(id)) this.stored.delete(id.key);
  }

  listen(listener: (selector: Selector) => void): void {
    this.#listener = listener;
  }

  /** Another replica has invalidated. */
  hear(selector: Selector): void {
    this.#listener(selector);
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  async #trouble(): Promise<void> {
    if (this.trouble === 'fails') throw new Error('ECONNREFUSED');
    if (this.trouble === 'hangs') await new Promise(() => undefined);
  }
}
