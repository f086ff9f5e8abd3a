/**
 * One request to a legacy server that may outlive the request of its modern client. What the server asks meanwhile becomes the result
 * `input_required`; the server's side stays open until the client comes back with the answers.
 */

import type { Answer, Fields, NotificationBody, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Exchange } from '../wire/session.ts';
import { missingFor } from '../wire/client-needs.ts';
import { isFields, without } from '../wire/shape.ts';
import { failure, success } from '../wire/text.ts';
import { cancelled } from './answers.ts';
import type { Parking, Waiting } from './parking.ts';
import type { Turn } from './turn.ts';

interface Ask {
  readonly request: RequestBody;
  /** Told once. */
  readonly answer: (answer: Answer) => void;
}

/** Of one call. A server that asks more than this at once asks no person. */
const ASKS_MAX = 32;

export class Call implements Exchange, Waiting {
  readonly request: RequestBody;
  readonly #parking: Parking;
  readonly #onLog: (line: NotificationBody, turn: Turn | null) => void;
  /** The server answered before its own question could be put to the client. */
  readonly #onUnasked: (method: string) => void;
  readonly #controller = new AbortController();
  readonly #asks = new Map<string, Ask>();
  readonly #first: Turn;
  /** Null: the client is away. */
  #turn: Turn | null = null;
  #onAbort: (() => void) | null = null;
  #asked = 0;
  #onFirstAsk: ((answered: Promise<Answer>) => void) | null = null;
  #isFlushing = false;
  #answer: Answer | null = null;
  #isOver = false;

  constructor(
    turn: Turn,
    parking: Parking,
    onLog: (line: NotificationBody, turn: Turn | null) => void,
    onUnasked: (method: string) => void,
  ) {
    this.request = turn.request;
    this.#parking = parking;
    this.#onLog = onLog;
    this.#onUnasked = onUnasked;
    this.#first = turn;
    this.#begin(turn);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  notify(notification: NotificationBody): void {
    if (notification.method === 'notifications/message') return this.#onLog(notification, this.#turn);
    const turn = this.#turn;
    if (turn === null) return;
    if (notification.method === 'notifications/progress') turn.progress(notification, turn === this.#first);
    // Of the legacy era alone; the client learns of it when it tries again.
    else if (notification.method !== 'notifications/elicitation/complete') turn.exchange.notify(notification);
  }

  ask(request: RequestBody, signal: AbortSignal): Promise<Answer> {
    if (request.method === 'ping') return Promise.resolve(success());
    const refusal = this.#refusalOf(request, signal);
    if (refusal !== null) return Promise.resolve(refusal);
    const key = `${request.method.replace('/', '-')}-${++this.#asked}`;
    const answered = new Promise<Answer>((resolve) => {
      const answer = (given: Answer): void => {
        this.#asks.delete(key);
        signal.removeEventListener('abort', onAbort);
        resolve(given);
      };
      const onAbort = (): void => answer(cancelled(signal));
      signal.addEventListener('abort', onAbort);
      this.#asks.set(key, { request, answer });
      this.#flushSoon();
    });
    this.#onFirstAsk?.(answered);
    this.#onFirstAsk = null;
    return answered;
  }

  /** Resolves when the first question of the server is answered; when there was none in time; when nobody waits any more. */
  askedOnce(patienceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, patienceMs);
      this.signal.addEventListener('abort', () => resolve(), { once: true });
      this.#onFirstAsk = (answered) => {
        clearTimeout(timer);
        void answered.then(() => resolve());
      };
    });
  }

  /** The server has answered. */
  finish(answer: Answer): void {
    if (this.#isOver || this.#answer !== null) return;
    this.#answer = answer;
    this.#dropAsks((ask) => !needsNobody(ask));
    // A server that asks for roots in the same breath would else never hear of them. Where it fits nowhere, it is owed.
    if (this.#asks.size > 0 && !this.#parking.isFull) this.#flush();
    else this.#deliver();
  }

  /** The client is back. What it has not answered is asked again. */
  resume(turn: Turn, responses: Fields): void {
    this.#begin(turn);
    for (const [key, ask] of this.#asks) {
      const response = responses[key];
      if (isFields(response)) ask.answer(success(response));
    }
    if (this.#answer !== null) this.#deliver();
    else if (this.#asks.size > 0) this.#flushSoon();
  }

  giveUp(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#controller.abort(new Error(reason));
    for (const ask of this.#asks.values()) ask.answer(failure(RPC_CODE.internalError, `Nobody answers: ${reason}`));
    this.#end()?.settle(cancelled(this.#controller.signal));
  }

  #refusalOf(request: RequestBody, signal: AbortSignal): Answer | null {
    if (this.#isOver || this.#answer !== null) {
      this.#onUnasked(request.method);
      return failure(RPC_CODE.internalError, 'The request is over');
    }
    if (signal.aborted) return cancelled(signal);
    const capabilities = (this.#turn ?? this.#first).capabilities;
    const missing = missingFor(request, capabilities);
    if (missing === undefined)
      return failure(RPC_CODE.methodNotFound, `${request.method} cannot be asked of a client of 2026-07-28`);
    if (missing !== null)
      return failure(RPC_CODE.methodNotFound, `The client has not declared what ${request.method} needs`, {
        requiredCapabilities: missing,
      });
    if (this.#asks.size < ASKS_MAX && !this.#parking.isFull) return null;
    return refused('Too much waits for an answer of this client already', { retryAfterMs: 10_000 });
  }

  #begin(turn: Turn): void {
    const { signal } = turn.exchange;
    this.#turn = turn;
    this.#onAbort = () => this.giveUp(signal.reason instanceof Error ? signal.reason.message : String(signal.reason));
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener('abort', this.#onAbort);
  }

  /** @returns the request of the client that was open */
  #end(): Turn | null {
    const turn = this.#turn;
    if (turn !== null && this.#onAbort !== null) turn.exchange.signal.removeEventListener('abort', this.#onAbort);
    this.#turn = null;
    this.#onAbort = null;
    return turn;
  }

  /** What a server asks at once goes out in one result. */
  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#turn === null || this.#asks.size === 0 || this.#isOver) return;
    const inputRequests: Record<string, RequestBody> = {};
    for (const [key, ask] of this.#asks) inputRequests[key] = inputRequest(ask.request);
    const turn = this.#end();
    const requestState = this.#parking.park(this);
    turn?.settle(success({ resultType: 'input_required', inputRequests, requestState }));
  }

  #dropAsks(isMeant: (ask: Ask) => boolean): void {
    for (const ask of [...this.#asks.values()]) {
      if (!isMeant(ask)) continue;
      this.#onUnasked(ask.request.method);
      ask.answer(failure(RPC_CODE.internalError, 'The request is answered'));
    }
  }

  #deliver(): void {
    if (this.#turn === null || this.#answer === null) return;
    this.#isOver = true;
    this.#dropAsks(() => true);
    this.#end()?.settle(this.#answer);
  }
}

/** Its client answers by itself: nobody is kept from the answer of a call for it. */
function needsNobody({ request }: Ask): boolean {
  return request.method === 'roots/list';
}

/** Within a result there is no progress and no task, and a page is no longer told by a number when it is done with. */
export function inputRequest({ method, params }: RequestBody): RequestBody {
  if (params === undefined) return { method };
  const rest = without(params, ['task', 'elicitationId']);
  const meta = rest['_meta'];
  return { method, params: isFields(meta) ? { ...rest, _meta: without(meta, ['progressToken']) } : rest };
}
