/**
 * Redis as the second level. An entry is one key, `PREFIX:e:GROUP:URI:HASH OF ITS KEY`, so that those of a URI or group can
 * be found by name. What invalidates writes another epoch first; who has read before that cannot store any more. Others
 * hear of it by PUBLISH, on the same connection that reads (RESP 3): who cannot hear cannot read either.
 */

import { createHash, randomUUID } from 'node:crypto';
import { GovernorError } from '../core/errors.ts';
import { matcherOf } from './cache-selector.ts';
import type { Selector } from './cache-selector.ts';
import type { FullId, SecondLevel, StoredText } from './cache-types.ts';
import { connectRedis } from './redis-link.ts';
import type { RedisLink } from './redis-link.ts';

export interface RedisLevelOptions {
  /** `redis[s]://[[user][:password]@]host[:port][/database]`, or `unix:///path/of/the/socket`. */
  readonly url: string;
  /** Whoever has the same prefix shares entries. Default: `governor:cache`. */
  readonly prefix?: string;
}

/** Another layout is another cache. */
const LAYOUT = '1';
/** Keys looked at in one step of a search; each step blocks Redis for about 100 µs. */
const SCAN_COUNT = 500;

/** KEYS: epoch, entry. ARGV: epoch as it was read, entry, ms. */
const SET_IF_SAME_EPOCH = `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1`;

export function redisLevel(options: RedisLevelOptions): SecondLevel {
  return new RedisLevel(options);
}

class RedisLevel implements SecondLevel {
  readonly #url: string;
  readonly #prefix: string;
  readonly #self = randomUUID();
  #listener: ((selector: Selector) => void) | null = null;
  #link: Promise<RedisLink> | null = null;
  #missed = false;
  #closed = false;

  constructor({ url, prefix = 'governor:cache' }: RedisLevelOptions) {
    if (!/^(rediss?|unix):\/\//.test(url) || !URL.canParse(url))
      throw new GovernorError('invalid_request', 'the URL of Redis begins with redis://, rediss:// or unix://');
    this.#url = url;
    this.#prefix = `${prefix}:${LAYOUT}`;
  }

  ready(): Promise<unknown> {
    this.#link ??= this.#connect();
    return this.#link;
  }

  listen(listener: (selector: Selector) => void): void {
    if (this.#listener !== null) throw new GovernorError('invalid_request', 'a second level belongs to one cache');
    this.#listener = listener;
  }

  async get(id: FullId, signal: AbortSignal): Promise<{ found: StoredText | null; stamp: string }> {
    const { client } = await this.#connected(signal);
    const key = this.#keyOf(id);
    const [text, ttlMs, epoch] = await client.multi().get(key).pTTL(key).get(this.#epochKey).exec();
    const found = typeof text === 'string' && Number(ttlMs) > 0 ? { text, ttlMs: Number(ttlMs) } : null;
    return { found, stamp: typeof epoch === 'string' ? epoch : '' };
  }

  async set(id: FullId, { text, ttlMs }: StoredText, stamp: string | null, signal: AbortSignal): Promise<boolean> {
    const { client } = await this.#connected(signal);
    const key = this.#keyOf(id);
    const milliseconds = Math.ceil(ttlMs);
    if (stamp !== null) {
      const done = await client.eval(SET_IF_SAME_EPOCH, {
        keys: [this.#epochKey, key],
        arguments: [stamp, text, String(milliseconds)],
      });
      return done === 1;
    }
    await client.set(key, text, { expiration: { type: 'PX', value: milliseconds } });
    await this.#publish(client, { key: id.key });
    return true;
  }

  async delete(id: FullId, signal: AbortSignal): Promise<void> {
    const { client } = await this.#connected(signal);
    await client.unlink(this.#keyOf(id));
  }

  async invalidate(selector: Selector, signal: AbortSignal): Promise<void> {
    const { client } = await this.#connected(signal);
    await client.set(this.#epochKey, randomUUID());
    // Told before, so that it is out of others' memory soon; and after, because they may have read it again meanwhile.
    await this.#publish(client, selector);
    const matches = this.#matcherOf(selector);
    let cursor = '0';
    do {
      signal.throwIfAborted();
      const step = await client.scan(cursor, { MATCH: this.#searchFor(selector), COUNT: SCAN_COUNT });
      const found = step.keys.filter(matches);
      if (found.length > 0) await client.unlink(found);
      ({ cursor } = step);
    } while (cursor !== '0');
    await this.#publish(client, selector);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const link = await this.#link?.catch(() => null);
    link?.close();
  }

  get #epochKey(): string {
    return `${this.#prefix}:epoch`;
  }

  get #channel(): string {
    return `${this.#prefix}:invalidated`;
  }

  #keyOf({ key, uri, group }: FullId): string {
    return `${this.#prefix}:e:${encode(group)}:${encode(uri)}:${hashOf(key)}`;
  }

  #matcherOf(selector: Selector): (redisKey: string) => boolean {
    if ('any' in selector) {
      const some = selector.any.map((one) => this.#matcherOf(one));
      return (redisKey) => some.some((matches) => matches(redisKey));
    }
    if ('key' in selector) {
      const end = `:${hashOf(selector.key)}`;
      return (redisKey) => redisKey.endsWith(end);
    }
    const matches = matcherOf(selector);
    return (redisKey) => matches(this.#idOf(redisKey));
  }

  /** Its key is not known any more. */
  #idOf(redisKey: string): FullId {
    const [group = '', uri = ''] = redisKey.slice(this.#prefix.length + 3).split(':');
    return { key: '', group: decodeURIComponent(group), uri: decodeURIComponent(uri) };
  }

  /** As narrow as names allow; URIs have more than one spelling. */
  #searchFor(selector: Selector): string {
    const group = 'group' in selector && selector.group !== undefined ? quoteGlob(encode(selector.group)) : '*';
    const hash = 'key' in selector ? hashOf(selector.key) : '*';
    return `${quoteGlob(this.#prefix)}:e:${group}:*:${hash}`;
  }

  async #publish(client: RedisLink['client'], selector: Selector): Promise<void> {
    await client.publish(this.#channel, JSON.stringify({ from: this.#self, selector }));
  }

  async #connected(signal: AbortSignal): Promise<RedisLink> {
    if (this.#closed) throw new GovernorError('illegal_state', 'the cache is closed');
    this.#link ??= this.#connect();
    const link = await this.#link;
    // One that does not answer may be one that is gone without a word.
    signal.addEventListener('abort', () => link.close(), { once: true });
    signal.throwIfAborted();
    return link;
  }

  async #connect(): Promise<RedisLink> {
    try {
      const link = await connectRedis(
        this.#url,
        this.#channel,
        (message) => this.#hear(message),
        () => this.#lost(),
      );
      if (this.#closed) link.close();
      if (this.#missed) this.#listener?.({ all: true });
      this.#missed = false;
      return link;
    } catch (error) {
      this.#link = null;
      // What is in memory by the time that it is there was stored while nothing was heard.
      this.#missed = true;
      throw error;
    }
  }

  /** Until the next one is there nothing is heard, and what is in memory may be stale. */
  #lost(): void {
    this.#link = null;
    this.#missed = true;
    if (!this.#closed) this.#listener?.({ all: true });
  }

  #hear(message: string): void {
    let selector: Selector = { all: true };
    try {
      const heard = JSON.parse(message) as { readonly from?: unknown; readonly selector: Selector };
      if (heard.from === this.#self) return;
      matcherOf(heard.selector);
      ({ selector } = heard);
    } catch {
      // Another release of Governor says it in another way: better too much than too little.
    }
    this.#listener?.(selector);
  }
}

function encode(text: string): string {
  // Half of a surrogate pair has no UTF-8.
  return encodeURIComponent(text.replaceAll(/\p{Cs}/gu, '\uFFFD')).replaceAll('*', '%2A');
}

function quoteGlob(text: string): string {
  return text.replaceAll(/[*?[\]\\^]/g, '\\$&');
}

function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('base64url');
}
