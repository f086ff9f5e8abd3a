/**
 * A client of the legacy era, whatever it came by: its handshake, its open requests, and what it is asked. The transport gives each
 * request the channel that the request's own messages go to.
 */

import type { Answer, Fields, NotificationBody, RequestBody, RequestId } from '../wire/message.ts';
import { LEGACY_VERSIONS, RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Client, Gateway, ServerDescription, Session, View } from '../wire/session.ts';
import { initializeResult, negotiate } from './handshake.ts';
import { HeldTexts } from './held-texts.ts';
import { LegacyCall } from './legacy-call.ts';
import type { Answered, Question } from './legacy-call.ts';
import type { Outlet } from './outlet.ts';
import type { FrontLogger, FrontSettings } from './settings.ts';
import { isFields, isRequestId } from '../wire/shape.ts';
import { failure, notificationText, requestText, thrownAnswer } from '../wire/text.ts';

/** The channel of messages that belong to no request. */
export interface Standalone extends Outlet {
  /** False while the client cannot be reached there; `ready()` of the client is called when that changes. */
  readonly open: boolean;
}

export interface LegacyClientOptions {
  readonly gateway: Gateway;
  readonly view: View;
  readonly context: string;
  /** Parameters of `initialize`. */
  readonly params: Fields;
  readonly standalone: Standalone;
  readonly logger: FrontLogger;
  readonly settings: Pick<FrontSettings, 'maxOpenRequests' | 'maxOpenAsks' | 'askWaitMs' | 'maxWaitingBytes'>;
}

export class LegacyClient implements Client {
  readonly era = 'legacy';
  readonly context: string;
  readonly info: Fields;
  readonly capabilities: Fields;
  readonly #options: LegacyClientOptions;
  readonly #calls = new Map<RequestId, LegacyCall>();
  readonly #asks = new Map<number, (answer: Answer) => void>();
  /** What waits for the standalone channel. */
  readonly #held: HeldTexts;
  #session: Session | null = null;
  #protocolVersion: string;
  #lastNumber = 0;
  #closed: string | null = null;

  constructor(options: LegacyClientOptions) {
    const { clientInfo, capabilities, protocolVersion } = options.params;
    this.#options = options;
    this.#held = new HeldTexts(options.settings.maxWaitingBytes);
    this.context = options.context;
    this.info = isFields(clientInfo) ? clientInfo : {};
    this.capabilities = isFields(capabilities) ? capabilities : {};
    this.#protocolVersion = typeof protocolVersion === 'string' ? protocolVersion : LEGACY_VERSIONS[0];
  }

  get protocolVersion(): string {
    return this.#protocolVersion;
  }

  get openRequests(): number {
    return this.#calls.size;
  }

  /** Nothing is open in either direction. */
  get quiet(): boolean {
    return this.#calls.size === 0 && this.#asks.size === 0;
  }

  /**
   * Opens what lies behind, and describes it.
   * @returns the result of `initialize`
   * @throws GovernorError as Gateway.open and Session.describe
   */
  async initialize(signal: AbortSignal): Promise<Fields> {
    const description: ServerDescription = await this.#live().describe(signal);
    this.#protocolVersion = negotiate(this.#options.params['protocolVersion'], description);
    return initializeResult(description, this.#protocolVersion);
  }

  request(id: RequestId, { method, params }: RequestBody, outlet: Outlet, answered: Answered): void {
    if (method === 'ping') return answered({ kind: 'result', result: {} });
    if (method === 'initialize')
      return answered(failure(RPC_CODE.invalidRequest, 'This session is initialized already'));
    if (this.#closed !== null) return answered(failure(RPC_CODE.stopped, this.#closed));
    if (this.#calls.has(id)) {
      return answered(failure(RPC_CODE.invalidRequest, `A request with the id ${JSON.stringify(id)} is open already`));
    }
    if (this.#calls.size >= this.#options.settings.maxOpenRequests) {
      return answered(
        refused(`${this.#calls.size} requests of this client are open; wait for an answer first`, {
          retryAfterMs: 1000,
        }),
      );
    }
    const call = new LegacyCall(outlet, answered, this.#ask);
    this.#calls.set(id, call);
    const failed = (error: unknown): void => this.#finish(id, call, thrownAnswer(error, this.#options.logger));
    try {
      const body = params === undefined ? { method } : { method, params };
      this.#live()
        .request(body, call)
        .then((answer) => this.#finish(id, call, answer), failed);
    } catch (error) {
      failed(error);
    }
  }

  /** The client's notification; those of the handshake and of cancellation end here. */
  notification(method: string, params: Fields | undefined): void {
    if (method === 'notifications/initialized' || this.#closed !== null) return;
    if (method === 'notifications/cancelled') {
      const id = params?.['requestId'];
      const reason = params?.['reason'];
      if (isRequestId(id)) this.#cancel(id, typeof reason === 'string' ? reason : 'cancelled by the client');
      return;
    }
    try {
      this.#live().notify(params === undefined ? { method } : { method, params });
    } catch {
      // A notification has no answer that could say so; the next request's will.
    }
  }

  /** The client answered a question. @returns false for one that is not open (any more) */
  answer(id: RequestId, answer: Answer): boolean {
    const resolve = typeof id === 'number' ? this.#asks.get(id) : undefined;
    resolve?.(answer);
    return resolve !== undefined;
  }

  /** The standalone channel is open: what waited for it goes. */
  ready(): void {
    for (const text of this.#held.takeAll()) this.#options.standalone.send(text);
  }

  notify(notification: NotificationBody): void {
    const text = this.#closed === null ? notificationText(notification) : null;
    if (text === null) return;
    if (this.#options.standalone.open) this.#options.standalone.send(text);
    else this.#held.hold(++this.#lastNumber, text, true);
  }

  ask(request: RequestBody, signal: AbortSignal): Promise<Answer> {
    return this.#question(request, signal, null);
  }

  readonly #ask: Question = (request, signal, outlet) => this.#question(request, signal, outlet);

  /** @param outlet of the request that it belongs to; null: of none */
  #question(request: RequestBody, signal: AbortSignal, outlet: Outlet | null): Promise<Answer> {
    const { standalone, settings } = this.#options;
    if (this.#closed !== null) return Promise.resolve(failure(RPC_CODE.stopped, this.#closed));
    if (signal.aborted) return Promise.resolve(failure(RPC_CODE.internalError, 'The question was taken back'));
    if (this.#asks.size >= settings.maxOpenAsks) {
      return Promise.resolve(refused(`The client has not answered ${this.#asks.size} questions yet`));
    }
    const number = ++this.#lastNumber;
    const text = requestText(number, request);
    if (text === null) return Promise.resolve(failure(RPC_CODE.internalError, 'The question is nested too deeply'));
    return new Promise((resolve) => {
      let patience: NodeJS.Timeout | undefined;
      const end = (answer: Answer): void => {
        this.#asks.delete(number);
        signal.removeEventListener('abort', onAbort);
        clearTimeout(patience);
        resolve(answer);
      };
      const onAbort = (): void => {
        if (!this.#held.release(number)) {
          const reason = signal.reason instanceof Error ? signal.reason.message : String(signal.reason);
          const params = { requestId: number, reason };
          const cancelled = notificationText({ method: 'notifications/cancelled', params });
          if (cancelled !== null) (outlet ?? standalone).send(cancelled);
        }
        end(failure(RPC_CODE.internalError, 'The question was taken back'));
      };
      signal.addEventListener('abort', onAbort);
      this.#asks.set(number, end);
      const lost = (): void => end(failure(RPC_CODE.methodNotFound, 'The client has no stream open to be asked on'));
      if (outlet !== null || standalone.open) {
        if (!(outlet ?? standalone).send(text)) lost();
      } else if (this.#held.hold(number, text, false)) {
        patience = setTimeout(() => this.#held.release(number) && lost(), settings.askWaitMs);
      } else lost();
    });
  }

  /** Gives up what lies behind; the next request opens it anew. What is open is cancelled without an answer. */
  async release(reason: string): Promise<void> {
    const session = this.#session;
    this.#session = null;
    for (const id of this.#calls.keys()) this.#cancel(id, reason);
    for (const end of this.#asks.values()) end(failure(RPC_CODE.stopped, reason));
    this.#held.takeAll();
    await session?.close(reason);
  }

  /** The same for a client that is there: its open requests get an error that says why. */
  async endContext(reason: string): Promise<void> {
    for (const [id, call] of this.#calls) {
      call.abort(reason);
      this.#finish(id, call, failure(RPC_CODE.stopped, reason));
    }
    await this.release(reason);
  }

  /** And nothing is opened anew. Idempotent. */
  async close(reason: string): Promise<void> {
    if (this.#closed !== null) return;
    this.#closed = reason;
    await this.endContext(reason);
  }

  #live(): Session {
    this.#session ??= this.#options.gateway.open(this.#options.view, this);
    return this.#session;
  }

  #finish(id: RequestId, call: LegacyCall, answer: Answer): void {
    // Cancelled meanwhile, and the id perhaps in use again.
    if (this.#calls.get(id) !== call) return;
    this.#calls.delete(id);
    call.end(answer);
  }

  #cancel(id: RequestId, reason: string): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    call.abort(reason);
    call.end(null);
  }
}
