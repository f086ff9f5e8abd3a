/** `subscriptions/listen` of a modern client before a legacy server: `resources/subscribe` by count, and `list_changed`. */

import type { Answer, Fields, NotificationBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Exchange, Session } from '../wire/session.ts';
import { failure, success } from '../wire/text.ts';
import { ACKNOWLEDGED, admittedBy, honoured, isEmptyFilter, readFilter } from './listen-filter.ts';
import type { ListenFilter } from './listen-filter.ts';
import { quietly } from './quiet.ts';

/** Of one client: each agent opens one or two. */
const LISTENS_MAX = 64;
/** Of one stream. */
const URIS_MAX = 1_000;
/** What comes before the acknowledgement waits for it. */
const EARLY_MAX = 100;

interface Listen {
  filter: ListenFilter;
  readonly exchange: Exchange;
  /** Null: acknowledged. */
  early: NotificationBody[] | null;
  readonly end: (answer: Answer) => void;
}

interface Subscription {
  count: number;
  readonly isDone: Promise<boolean>;
}

export class Listens {
  readonly #session: Pick<Session, 'request'>;
  /** A server that does not answer takes no subscription. */
  readonly #subscribeTimeoutMs: number;
  readonly #listens = new Set<Listen>();
  readonly #subscriptions = new Map<string, Subscription>();

  constructor(session: Pick<Session, 'request'>, subscribeTimeoutMs: number) {
    this.#session = session;
    this.#subscribeTimeoutMs = subscribeTimeoutMs;
  }

  /**
   * Answers when the stream has ended.
   * @param capabilities of the server
   */
  open(params: Fields | undefined, capabilities: Fields, exchange: Exchange): Promise<Answer> {
    const asked = readFilter(params);
    if (asked === null)
      return Promise.resolve(failure(RPC_CODE.invalidParams, '"notifications" is required and must be a filter'));
    if (this.#listens.size >= LISTENS_MAX) return Promise.resolve(refused(`${LISTENS_MAX} streams are open already`));
    if ((asked.resourceSubscriptions?.length ?? 0) > URIS_MAX)
      return Promise.resolve(failure(RPC_CODE.invalidParams, `more than ${URIS_MAX} resources in one stream`));
    const filter = honoured(asked, capabilities);
    return new Promise((resolve) => {
      const { signal } = exchange;
      const listen: Listen = {
        filter,
        exchange,
        early: [],
        end: (answer) => {
          signal.removeEventListener('abort', onAbort);
          if (this.#listens.delete(listen)) this.#release(listen.filter.resourceSubscriptions ?? []);
          resolve(answer);
        },
      };
      const onAbort = (): void => listen.end(success(ENDED));
      this.#listens.add(listen);
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) return onAbort();
      void this.#begin(listen);
    });
  }

  /** What the server has told this client. */
  notify(notification: NotificationBody): void {
    for (const listen of this.#listens) {
      if (admittedBy(listen.filter, notification) === null) continue;
      if (listen.early === null) listen.exchange.notify(notification);
      else if (listen.early.length < EARLY_MAX) listen.early.push(notification);
    }
  }

  /** Streams end properly. */
  close(): void {
    for (const listen of this.#listens) listen.end(success(ENDED));
  }

  async #begin(listen: Listen): Promise<void> {
    const uris = listen.filter.resourceSubscriptions ?? [];
    const taken = await Promise.all(uris.map((uri) => this.#subscribe(uri)));
    if (!this.#listens.has(listen)) return;
    const [kept, refused] = [uris.filter((_, index) => taken[index]), uris.filter((_, index) => !taken[index])];
    this.#release(refused);
    const { resourceSubscriptions: _all, ...lists } = listen.filter;
    listen.filter = kept.length === 0 ? lists : { ...lists, resourceSubscriptions: kept };
    const early = (listen.early ?? []).filter((one) => admittedBy(listen.filter, one) !== null);
    listen.early = null;
    listen.exchange.notify({ method: ACKNOWLEDGED, params: { notifications: listen.filter } });
    for (const notification of early) listen.exchange.notify(notification);
    // Nothing would ever come.
    if (isEmptyFilter(listen.filter)) listen.end(success(ENDED));
  }

  #subscribe(uri: string): Promise<boolean> {
    const known = this.#subscriptions.get(uri);
    if (known !== undefined) {
      known.count++;
      return known.isDone;
    }
    const isDone = quietly(this.#session, 'resources/subscribe', { uri }, this.#subscribeTimeoutMs);
    this.#subscriptions.set(uri, { count: 1, isDone });
    return isDone;
  }

  #release(uris: readonly string[]): void {
    for (const uri of uris) {
      const subscription = this.#subscriptions.get(uri);
      if (subscription === undefined || --subscription.count > 0) continue;
      this.#subscriptions.delete(uri);
      // Also where the server did not say that it took it: it may have.
      void quietly(this.#session, 'resources/unsubscribe', { uri }, this.#subscribeTimeoutMs);
    }
  }
}

const ENDED: Fields = { resultType: 'complete' };
