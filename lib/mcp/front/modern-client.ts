/**
 * A client of the modern era. The protocol has no sessions: what is kept for a client is Governor's own, so that its requests meet the
 * same context and the same process, and may be given up and made anew between any two of them.
 */

import type { Answer, Fields, NotificationBody, RequestBody, RequestId } from '../wire/message.ts';
import { META, RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Client, Exchange, Gateway, Session, View } from '../wire/session.ts';
import { discoverResult } from './handshake.ts';
import { isRemoved } from './modern-check.ts';
import type { ModernMeta } from './modern-check.ts';
import type { Outlet } from './outlet.ts';
import { ParamHeaders } from './param-headers.ts';
import type { FrontLogger, FrontSettings } from './settings.ts';
import { metaOf } from '../wire/shape.ts';
import { failure, notificationText, thrownAnswer } from '../wire/text.ts';

export interface ModernClientOptions {
  readonly gateway: Gateway;
  readonly view: View;
  readonly context: string;
  readonly logger: FrontLogger;
  readonly settings: Pick<FrontSettings, 'maxOpenRequests' | 'declarationsMs'>;
  readonly now: () => number;
}

const LISTEN = 'subscriptions/listen';
const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged';
/** Characters that may wait for the acknowledgement, which has to come first; more is of no server that works. */
const MAX_EARLY_LENGTH = 64 * 1024;

export class ModernClient implements Client {
  readonly era = 'modern';
  readonly context: string;
  readonly paramHeaders: ParamHeaders;
  info: Fields = {};
  capabilities: Fields = {};
  protocolVersion = '';
  readonly #options: ModernClientOptions;
  readonly #calls = new Set<ModernCall>();
  #session: Session | null = null;
  #usedMs: number;
  #closed: string | null = null;

  constructor(options: ModernClientOptions) {
    this.#options = options;
    this.context = options.context;
    this.#usedMs = options.now();
    this.paramHeaders = new ParamHeaders(options.settings.declarationsMs, options.now);
  }

  /** Milliseconds without an open request; 0 while there is one. */
  idleMs(nowMs: number): number {
    return this.#calls.size === 0 ? nowMs - this.#usedMs : 0;
  }

  /** @throws GovernorError as Gateway.open */
  session(): Session {
    this.#session ??= this.#options.gateway.open(this.#options.view, this);
    return this.#session;
  }

  /** @param answered told once, unless the call is aborted before */
  request(
    id: RequestId,
    { method, params }: RequestBody,
    meta: ModernMeta,
    outlet: Outlet,
    answered: (answer: Answer) => void,
  ): ModernCall {
    const call = new ModernCall(id, method === LISTEN, outlet, (answer) => {
      this.#calls.delete(call);
      this.#usedMs = this.#options.now();
      if (answer !== null) answered(answer);
    });
    this.info = meta.info;
    this.capabilities = meta.capabilities;
    this.protocolVersion = meta.protocolVersion;
    if (this.#closed !== null) return call.end(failure(RPC_CODE.stopped, this.#closed));
    if (isRemoved(method)) return call.end(failure(RPC_CODE.methodNotFound, `${method} is not part of this revision`));
    if (this.#calls.size >= this.#options.settings.maxOpenRequests) {
      const message = `${this.#calls.size} requests of this client are open; wait for an answer first`;
      return call.end(refused(message, { retryAfterMs: 1000 }));
    }
    this.#calls.add(call);
    let work: Promise<Answer>;
    try {
      work = this.#work(method, params, call);
    } catch (error) {
      return call.end(thrownAnswer(error, this.#options.logger));
    }
    work.then(
      (answer) => call.end(answer),
      (error: unknown) => call.end(thrownAnswer(error, this.#options.logger)),
    );
    return call;
  }

  notification(method: string, params: Fields | undefined): void {
    try {
      this.session().notify(params === undefined ? { method } : { method, params });
    } catch {
      // A notification has no answer that could say so; the next request's will.
    }
  }

  /** Nothing of this goes to the client: what it wants to hear comes on the streams that it listens to. */
  notify({ method }: NotificationBody): void {
    if (method === 'notifications/tools/list_changed') this.paramHeaders.forget();
  }

  ask(): Promise<Answer> {
    return Promise.resolve(failure(RPC_CODE.methodNotFound, 'Clients of this revision take no requests'));
  }

  /** Open requests get an error that says why, streams that listen their proper end; the next request opens what lies behind anew. */
  async endContext(reason: string): Promise<void> {
    for (const call of this.#calls) call.endFor(reason);
    const session = this.#session;
    this.#session = null;
    await session?.close(reason);
  }

  /** And nothing is opened anew. Idempotent. */
  async close(reason: string): Promise<void> {
    if (this.#closed !== null) return;
    this.#closed = reason;
    await this.endContext(reason);
  }

  #work(method: string, params: Fields | undefined, call: ModernCall): Promise<Answer> {
    const session = this.session();
    if (method === 'server/discover') {
      return session.describe(call.signal).then((found) => ({ kind: 'result', result: discoverResult(found) }));
    }
    const answer = session.request(params === undefined ? { method } : { method, params }, call);
    if (method !== 'tools/list' || params?.['cursor'] !== undefined) return answer;
    return answer.then((listed) => {
      if (listed.kind === 'result') this.paramHeaders.learn(listed.result);
      return listed;
    });
  }
}

export class ModernCall implements Exchange {
  readonly #id: RequestId;
  readonly #listens: boolean;
  readonly #outlet: Outlet;
  readonly #ended: (answer: Answer | null) => void;
  readonly #controller = new AbortController();
  #acknowledged = false;
  readonly #early: string[] = [];
  #earlyLength = 0;
  #over = false;

  constructor(id: RequestId, listens: boolean, outlet: Outlet, ended: (answer: Answer | null) => void) {
    this.#id = id;
    this.#listens = listens;
    this.#outlet = outlet;
    this.#ended = ended;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  notify(notification: NotificationBody): void {
    if (this.#over) return;
    const params = this.#listens ? this.#tagged(notification.params) : notification.params;
    const text = notificationText(params === undefined ? notification : { ...notification, params });
    if (text === null) return;
    if (!this.#listens) return void this.#outlet.send(text);
    if (!this.#acknowledged && notification.method !== ACKNOWLEDGED) {
      this.#earlyLength += text.length;
      if (this.#earlyLength <= MAX_EARLY_LENGTH) this.#early.push(text);
      return;
    }
    this.#acknowledged = true;
    this.#outlet.send(text);
    for (const waiting of this.#early.splice(0)) this.#outlet.send(waiting);
  }

  ask(): Promise<Answer> {
    return Promise.resolve(failure(RPC_CODE.methodNotFound, 'Clients of this revision take no requests'));
  }

  /** The client has no interest any more: no answer is sent. */
  abort(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#controller.abort(new Error(reason));
    this.#ended(null);
  }

  end(answer: Answer): this {
    if (this.#over) return this;
    this.#over = true;
    this.#ended(answer.kind === 'error' ? answer : { kind: 'result', result: this.#completed(answer.result) });
    return this;
  }

  /** Governor ends it. */
  endFor(reason: string): void {
    if (this.#over) return;
    this.end(this.#listens && this.#acknowledged ? { kind: 'result', result: {} } : failure(RPC_CODE.stopped, reason));
    this.#controller.abort(new Error(reason));
  }

  /** This revision wants the type of each result said; whatever is behind may be older. */
  #completed(result: Fields): Fields {
    const typed = result['resultType'] === undefined ? { resultType: 'complete', ...result } : result;
    return this.#listens ? this.#tagged(typed) : typed;
  }

  /** The subscription has the number of the client's request, whatever it has behind. */
  #tagged(params: Fields | undefined): Fields {
    return { ...params, _meta: { ...metaOf(params), [META.subscriptionId]: this.#id } };
  }
}
