/**
 * `resources/subscribe` of a legacy client before a modern server: one `subscriptions/listen` for all of its URIs. A stream cannot be
 * changed, so another URI means another stream; the old one ends when the new one is acknowledged, and nothing is missed between.
 */

import type { Answer, Fields, NotificationBody } from '../wire/message.ts';
import { META, RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Exchange, Session } from '../wire/session.ts';
import { fieldsOf, metaOf, without } from '../wire/shape.ts';
import { failure, success } from '../wire/text.ts';
import { cancelled } from './answers.ts';
import { ACKNOWLEDGED, UPDATED, covers } from './listen-filter.ts';
import { quietExchange } from './quiet.ts';

const URIS_MAX = 1_000;

export interface ResourceStreamOptions {
  readonly session: Pick<Session, 'request'>;
  readonly tell: (notification: NotificationBody) => void;
  /** `_meta` of a request. */
  readonly meta: () => Fields;
  /** Until the stream is acknowledged. */
  readonly ackTimeoutMs: number;
  /** A stream that ended by itself is opened again after this; doubled each time, to a minute. */
  readonly reopenMs: number;
}

interface Stream {
  readonly asked: ReadonlySet<string>;
  /** Of these, what the server has acknowledged. */
  readonly uris: ReadonlySet<string>;
  readonly controller: AbortController;
}

const REOPEN_MAX_MS = 60_000;

export class ResourceStream {
  readonly #options: ResourceStreamOptions;
  readonly #uris = new Set<string>();
  #stream: Stream | null = null;
  /** Changes go one after the other. */
  #tail: Promise<unknown> = Promise.resolve();
  #reopenTimer: NodeJS.Timeout | undefined;
  #failures = 0;
  #isClosed = false;

  constructor(options: ResourceStreamOptions) {
    this.#options = options;
  }

  subscribe(uri: string, signal: AbortSignal): Promise<Answer> {
    if (this.#uris.has(uri)) return Promise.resolve(success());
    if (this.#uris.size >= URIS_MAX) return Promise.resolve(refused(`${URIS_MAX} resources are subscribed to already`));
    this.#uris.add(uri);
    return this.#inTurn(async () => {
      const taken = signal.aborted ? cancelled(signal) : await this.#replace(uri);
      if (taken.kind === 'error') this.#uris.delete(uri);
      return taken;
    });
  }

  unsubscribe(uri: string): Promise<Answer> {
    if (!this.#uris.delete(uri)) return Promise.resolve(success());
    // Nothing of it is passed on from now on; whether the server goes on to send it does not matter to the client.
    void this.#inTurn(() => this.#replace(null));
    return Promise.resolve(success());
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#reopenTimer);
    this.#end(this.#stream, 'the client has gone');
    this.#stream = null;
    this.#uris.clear();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  /** @param wanted what has to be acknowledged; null: nothing in particular */
  async #replace(wanted: string | null): Promise<Answer> {
    const before = this.#stream;
    if (this.#isClosed || this.#uris.size === 0) {
      this.#stream = null;
      this.#end(before, 'nothing is subscribed to any more');
      return this.#isClosed ? failure(RPC_CODE.stopped, 'The session is closed') : success();
    }
    // Another change, made at the same time, has brought it about already.
    const isCurrent =
      before !== null && before.asked.size === this.#uris.size && [...this.#uris].every((uri) => before.asked.has(uri));
    const opened = isCurrent ? before : await this.#open(new Set(this.#uris));
    if ('kind' in opened) return opened;
    if (wanted !== null && !opened.uris.has(wanted)) {
      if (!isCurrent) this.#end(opened, 'not what was asked for');
      return failure(RPC_CODE.invalidParams, 'The server takes no subscription to this resource', { uri: wanted });
    }
    this.#stream = opened;
    if (!isCurrent) this.#end(before, 'another stream took its place');
    return success();
  }

  #open(asked: ReadonlySet<string>): Promise<Stream | Extract<Answer, { kind: 'error' }>> {
    const { session, meta, ackTimeoutMs } = this.#options;
    const controller = new AbortController();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        controller.abort(new Error('it was not acknowledged'));
        resolve(
          failure(RPC_CODE.internalError, `The server did not acknowledge the subscription in ${ackTimeoutMs} ms`),
        );
      }, ackTimeoutMs);
      timer.unref();
      let stream: Stream | null = null;
      const exchange: Exchange = {
        ...quietExchange(controller.signal),
        notify: (notification) => {
          if (notification.method !== ACKNOWLEDGED) return stream !== null && this.#pass(stream, notification);
          clearTimeout(timer);
          const taken = fieldsOf(notification.params?.['notifications'])['resourceSubscriptions'];
          const all = Array.isArray(taken) ? taken.filter((uri) => typeof uri === 'string') : [];
          stream = { asked, uris: new Set(all), controller };
          resolve(stream);
        },
      };
      const params = { _meta: meta(), notifications: { resourceSubscriptions: [...asked] } };
      void session.request({ method: 'subscriptions/listen', params }, exchange).then((answer) => {
        clearTimeout(timer);
        if (stream === null)
          resolve(
            answer.kind === 'error' ? answer : failure(RPC_CODE.internalError, 'The server ended the stream at once'),
          );
        else this.#ended(stream);
      });
    });
  }

  #pass(stream: Stream, notification: NotificationBody): void {
    if (stream !== this.#stream || notification.method !== UPDATED) return;
    this.#failures = 0;
    const uri = notification.params?.['uri'];
    if (typeof uri !== 'string' || ![...this.#uris].some((known) => covers(known, uri))) return;
    const meta = without(metaOf(notification.params) ?? {}, [META.subscriptionId]);
    const params = without(notification.params ?? {}, ['_meta']);
    this.#options.tell({
      method: UPDATED,
      params: Object.keys(meta).length === 0 ? params : { ...params, _meta: meta },
    });
  }

  /** By the server, or with it. */
  #ended(stream: Stream): void {
    if (stream !== this.#stream) return;
    this.#stream = null;
    this.#reopenLater();
  }

  #reopenLater(): void {
    if (this.#isClosed || this.#uris.size === 0) return;
    const delayMs = Math.min(REOPEN_MAX_MS, this.#options.reopenMs * 2 ** this.#failures++);
    this.#reopenTimer = setTimeout(() => {
      void this.#inTurn(async () => {
        if (this.#stream !== null || this.#isClosed || this.#uris.size === 0) return;
        const answer = await this.#replace(null);
        if (answer.kind === 'error') return this.#reopenLater();
        // What has changed meanwhile is not known.
        for (const uri of this.#uris) this.#options.tell({ method: UPDATED, params: { uri } });
      });
    }, delayMs);
    this.#reopenTimer.unref();
  }

  #end(stream: Stream | null, reason: string): void {
    stream?.controller.abort(new Error(reason));
  }
}
