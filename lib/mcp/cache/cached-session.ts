/** A client's session with one tool, with what is kept of its answers before it: what is found there wakes no server. */

import { randomUUID } from 'node:crypto';
import { hasRoots } from '../pool/roots.ts';
import type { Answer, NotificationBody, RequestBody } from '../wire/message.ts';
import type { Client, Exchange, ServerDescription, Session } from '../wire/session.ts';
import type { AnswerCache } from './answer-cache.ts';

/** A session of the pool. */
export interface ServedSession extends Session {
  /** Null: its server sleeps, as far as this session is concerned. */
  readonly process: object | null;
}

/** Of one client with one tool; of more it is not remembered that they are there, and what they read is not kept for it. */
const SUBSCRIPTIONS_MAX = 1_000;

export class CachedSession implements Session {
  readonly tool: string;
  readonly client: Client;
  readonly inner: ServedSession;
  readonly #cache: AnswerCache;
  readonly #onClosed: () => void;
  /** Resources that its process has agreed to tell of. */
  readonly #subscribed = new Set<string>();
  /** Keys of what is kept because of that, by URI. */
  readonly #held = new Map<string, Set<string>>();
  /** Counts its processes. */
  #life = 0;
  #isClosed = false;
  /** Stands for the roots that its client has now. */
  #roots = randomUUID();

  constructor(options: {
    readonly tool: string;
    readonly client: Client;
    readonly inner: ServedSession;
    readonly cache: AnswerCache;
    readonly onClosed: () => void;
  }) {
    this.tool = options.tool;
    this.client = options.client;
    this.inner = options.inner;
    this.#cache = options.cache;
    this.#onClosed = options.onClosed;
  }

  describe(signal: AbortSignal): Promise<ServerDescription> {
    return this.inner.describe(signal);
  }

  request(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { method, params } = request;
    const uri = params?.['uri'];
    if (method === 'resources/subscribe' && typeof uri === 'string') return this.#subscribe(uri, request, exchange);
    if (method === 'resources/unsubscribe' && typeof uri === 'string') this.#release(uri);
    return this.#cache.answer(this, request, exchange);
  }

  notify(notification: NotificationBody): void {
    if (notification.method === 'notifications/roots/list_changed') {
      this.#roots = randomUUID();
      this.releaseAll();
    }
    this.inner.notify(notification);
  }

  /** Nobody is there any more for whom anything would be kept. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(reason: string): Promise<void> {
    this.#isClosed = true;
    this.releaseAll();
    this.#onClosed();
    return this.inner.close(reason);
  }

  /** What a legacy server reads for a client may depend on roots, and those are asked for as they are needed. */
  get distinction(): string {
    return hasRoots(this.client) ? this.#roots : '';
  }

  isSubscribed(uri: string): boolean {
    return this.#subscribed.has(uri);
  }

  get hasSubscriptions(): boolean {
    return this.#subscribed.size > 0;
  }

  /** From now on this key ends with the subscription. */
  hold(uri: string, key: string): void {
    const keys = this.#held.get(uri) ?? new Set<string>();
    this.#held.set(uri, keys.add(key));
  }

  /** Nobody tells of any change any more: its process ends, or is left. */
  releaseAll(): void {
    this.#life++;
    for (const uri of [...this.#subscribed]) this.#release(uri);
  }

  async #subscribe(uri: string, request: RequestBody, exchange: Exchange): Promise<Answer> {
    const life = this.#life;
    const answer = await this.inner.request(request, exchange);
    if (answer.kind === 'result' && life === this.#life && this.#subscribed.size < SUBSCRIPTIONS_MAX)
      this.#subscribed.add(uri);
    return answer;
  }

  #release(uri: string): void {
    this.#subscribed.delete(uri);
    const keys = this.#held.get(uri);
    this.#held.delete(uri);
    for (const key of keys ?? []) this.#cache.dropOwn(key);
  }
}
