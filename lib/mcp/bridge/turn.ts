/** One request of a modern client: what it said of itself in `_meta`, and what it may be told until it has its answer. */

import type { Answer, Fields, NotificationBody, RequestBody } from '../wire/message.ts';
import { META } from '../wire/protocol.ts';
import type { Client, Exchange } from '../wire/session.ts';
import { isFields, metaOf } from '../wire/shape.ts';
import { admits } from './levels.ts';
import type { LogLevel } from './levels.ts';

export class Turn {
  readonly request: RequestBody;
  readonly exchange: Exchange;
  /** Null: the request wants no log lines. */
  readonly level: LogLevel | null;
  readonly #capabilities: Fields;
  readonly #settle: (answer: Answer) => void;

  constructor(
    request: RequestBody,
    exchange: Exchange,
    client: Client,
    level: LogLevel | null,
    settle: (answer: Answer) => void,
  ) {
    this.request = request;
    this.exchange = exchange;
    this.level = level;
    const declared = metaOf(request.params)?.[META.clientCapabilities];
    this.#capabilities = isFields(declared) ? declared : client.capabilities;
    this.#settle = settle;
  }

  /** Of this request alone: a modern server must not go by earlier ones. */
  get capabilities(): Fields {
    return this.#capabilities;
  }

  get progressToken(): unknown {
    return metaOf(this.request.params)?.['progressToken'];
  }

  settle(answer: Answer): void {
    this.#settle(answer);
  }

  /** @returns whether the line was for this request */
  log(line: NotificationBody): boolean {
    if (this.level === null || !admits(this.level, line.params?.['level'])) return false;
    this.exchange.notify(line);
    return true;
  }

  /** @param own whether the server was given the token of this very request */
  progress(notification: NotificationBody, own: boolean): void {
    if (own) return this.exchange.notify(notification);
    const progressToken = this.progressToken;
    if (progressToken === undefined) return;
    this.exchange.notify({ ...notification, params: { ...notification.params, progressToken } });
  }
}
