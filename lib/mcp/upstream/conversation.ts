/** One channel and the requests that are open on it: numbers, cancellation, bounds, and one answer for each, whatever happens. */

import type { Answer, Fields, NotificationBody, RequestBody, RequestId } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Exchange } from '../wire/session.ts';
import { failure } from '../wire/text.ts';
import { numbered, OpenRequests, progressTokenOf } from './open-requests.ts';
import type { OpenRequest } from './open-requests.ts';
import type { Channel } from './upstream.ts';

/** More than any client asks at once; a storm must not fill the daemon. */
const OPEN_MAX = 10_000;
/** What a server that never reads may leave lying. One message may be larger. */
const PENDING_MAX_BYTES = 16 * 1024 * 1024;
/** "The initialize request MUST NOT be cancelled"; and a legacy server takes no notification before it. */
const NEVER_CANCELLED: ReadonlySet<string> = new Set(['initialize', 'server/discover']);

export interface CancelListener<Owner> {
  /** An open request was cancelled by its client. `told`: the server was sent that; never rejects. */
  onCancelled(request: OpenRequest<Owner>, told: Promise<void>): void;
  /** Its client has gone. */
  onLeftBehind(request: OpenRequest<Owner>, told: Promise<void>): void;
}

export class Conversation<Owner> {
  readonly requests = new OpenRequests<Owner>();
  readonly #channel: Channel;
  readonly #on: CancelListener<Owner>;
  /** Set when it is over: what is asked from then on. */
  #over: Answer | null = null;

  constructor(channel: Channel, on: CancelListener<Owner>) {
    this.#channel = channel;
    this.#on = on;
  }

  get isOver(): boolean {
    return this.#over !== null;
  }

  /**
   * Never rejects.
   * @param onAnswer before anything that the server has sent behind its answer is read
   */
  request(
    owner: Owner,
    request: RequestBody,
    exchange: Exchange,
    onAnswer?: (answer: Answer, request: OpenRequest<Owner>) => void,
  ): Promise<Answer> {
    const { signal } = exchange;
    if (this.#over !== null) return Promise.resolve(this.#over);
    if (signal.aborted) return Promise.resolve(cancelled(signal));
    const full = this.#fullness();
    if (full !== null) return Promise.resolve(refused(full, { retryAfterMs: 1_000 }));
    return new Promise((resolve) => {
      const id = this.requests.nextId();
      const token = progressTokenOf(request.params);
      const onAbort = (): void => {
        if (this.requests.take(id) === undefined) return;
        const told = this.#cancel(id, request.method, reasonOf(signal));
        resolve(cancelled(signal));
        this.#on.onCancelled(open, told);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const open: OpenRequest<Owner> = {
        id,
        owner,
        method: request.method,
        exchange,
        token,
        settle: (answer) => {
          signal.removeEventListener('abort', onAbort);
          onAnswer?.(answer, open);
          resolve(answer);
        },
      };
      this.requests.add(open);
      this.#send({ jsonrpc: '2.0', id, ...numbered(request, id, token) }, (error) =>
        this.requests
          .take(id)
          ?.settle(failure(RPC_CODE.stopped, `the request could not be handed over: ${error.message}`)),
      );
    });
  }

  /** @returns false where no such request is open: answered twice, cancelled, or never asked */
  answered(id: RequestId, answer: Answer): boolean {
    const request = this.requests.take(id);
    request?.settle(answer);
    return request !== undefined;
  }

  notify({ method, params }: NotificationBody): void {
    if (this.#over !== null || this.#channel.pendingBytes > PENDING_MAX_BYTES) return;
    this.#send({ jsonrpc: '2.0', method, ...(params === undefined ? {} : { params }) });
  }

  /** To a request of the server's. */
  respond(id: RequestId, answer: Answer): void {
    // One that asks and never reads.
    if (this.#over !== null || this.#channel.pendingBytes > PENDING_MAX_BYTES) return;
    this.#send(
      answer.kind === 'result'
        ? { jsonrpc: '2.0', id, result: answer.result }
        : { jsonrpc: '2.0', id, error: answer.error },
    );
  }

  /** Every open request is answered with this, once, and so is whatever is asked later. */
  end(reason: string, data?: Fields): void {
    if (this.#over !== null) return;
    this.#over = failure(RPC_CODE.stopped, reason, data);
    for (const request of this.requests.takeAll()) request.settle(this.#over);
  }

  /** Its client has gone: nobody waits for the answers. */
  cancelAllOf(owner: Owner, reason: string): void {
    for (const request of this.requests.of(owner)) {
      const { id, method } = request;
      this.answered(id, failure(RPC_CODE.internalError, `cancelled: ${reason}`));
      this.#on.onLeftBehind(request, this.#cancel(id, method, reason));
    }
  }

  #fullness(): string | null {
    if (this.requests.size >= OPEN_MAX) return `${OPEN_MAX} requests are open with the server; try again later`;
    if (this.#channel.pendingBytes > PENDING_MAX_BYTES)
      return 'the server does not read what is sent to it; try again later';
    return null;
  }

  /** @returns the server was sent it; never rejects */
  #cancel(id: number, method: string, reason: string): Promise<void> {
    if (NEVER_CANCELLED.has(method)) return Promise.resolve();
    const body = { method: 'notifications/cancelled', params: { requestId: id, reason } };
    if (this.#channel.abort !== undefined) return this.#channel.abort(id, { jsonrpc: '2.0', ...body });
    this.notify(body);
    return Promise.resolve();
  }

  #send(message: Parameters<Channel['send']>[0], onFailed: (error: Error) => void = () => undefined): void {
    try {
      this.#channel.send(message)?.catch(onFailed);
    } catch (error) {
      onFailed(error as Error);
    }
  }
}

function cancelled(signal: AbortSignal): Answer {
  return failure(RPC_CODE.internalError, `cancelled: ${reasonOf(signal)}`);
}

function reasonOf({ reason }: AbortSignal): string {
  return reason instanceof Error ? reason.message : String(reason);
}
