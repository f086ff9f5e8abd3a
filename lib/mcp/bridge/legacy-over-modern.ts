/** A modern server shown to a legacy client. */

import type { Answer, Fields, NotificationBody, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange, ServerDescription, Session } from '../wire/session.ts';
import { fieldsOf } from '../wire/shape.ts';
import { failure, success } from '../wire/text.ts';
import { cancelled } from './answers.ts';
import { asLegacy } from './describe.ts';
import { MAY_NEED_INPUT } from './era-names.ts';
import { askRound } from './input-round.ts';
import { isLogLevel } from './levels.ts';
import { modernMeta, modernParams } from './request-meta.ts';
import { ResourceStream } from './resource-stream.ts';
import { legacyError, legacyResult } from './results.ts';
import type { Shown } from './shown.ts';

export interface LegacyOverModernOptions {
  readonly subscribeTimeoutMs: number;
  /** Of one call: a server that still asks after this many has lost its way. */
  readonly maxRounds: number;
  /** Before a call is tried again for which the server asked nothing, but time. */
  readonly paceMs: number;
  readonly reopenMs: number;
}

const ROOTS_CHANGED = 'notifications/roots/list_changed';

export class LegacyOverModern implements Shown {
  readonly #session: Session;
  readonly #client: Client;
  readonly #options: LegacyOverModernOptions;
  #server: ServerDescription;
  readonly #resources: ResourceStream;
  /** Of each request: what a legacy client has said once and for all. */
  readonly #meta: Fields;
  #level: string | null = null;

  constructor(session: Session, client: Client, server: ServerDescription, options: LegacyOverModernOptions) {
    this.#session = session;
    this.#client = client;
    this.#options = options;
    this.#server = asLegacy(server);
    this.#meta = modernMeta(client);
    this.#resources = new ResourceStream({
      session,
      tell: (notification) => client.notify(notification),
      meta: () => this.#meta,
      ackTimeoutMs: options.subscribeTimeoutMs,
      reopenMs: options.reopenMs,
    });
  }

  describe(): Promise<ServerDescription> {
    return Promise.resolve(this.#server);
  }

  request(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { method, params } = request;
    switch (method) {
      case 'ping':
        return Promise.resolve(success());
      case 'logging/setLevel':
        return Promise.resolve(this.#setLevel(params?.['level']));
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        return this.#subscription(method, params?.['uri'], exchange);
    }
    if (method.startsWith('tasks/')) {
      const message = `${method}: this server has no tasks of 2025-11-25; calls answer when they are done`;
      return Promise.resolve(failure(RPC_CODE.methodNotFound, message));
    }
    if (method === 'subscriptions/listen')
      return Promise.resolve(failure(RPC_CODE.methodNotFound, `${method} is not part of this revision`));
    if (MAY_NEED_INPUT.has(method)) return this.#rounds(request, exchange);
    return this.#send(request, exchange).then((answer) => shown(request, answer));
  }

  notify(notification: NotificationBody): void {
    // A modern server asks for the roots when it needs them, and keeps none.
    if (notification.method !== ROOTS_CHANGED) this.#session.notify(notification);
  }

  fromServer(notification: NotificationBody): void {
    this.#client.notify(notification);
  }

  askedByServer(request: RequestBody, signal: AbortSignal): Promise<Answer> {
    return this.#client.ask(request, signal);
  }

  update(server: ServerDescription): void {
    this.#server = asLegacy(server);
  }

  release(): void {
    this.#resources.close();
  }

  close(reason: string): Promise<void> {
    this.release();
    return this.#session.close(reason);
  }

  #send({ method, params }: RequestBody, exchange: Exchange): Promise<Answer> {
    return this.#session.request({ method, params: modernParams(params, this.#meta, this.#level) }, exchange);
  }

  #setLevel(level: unknown): Answer {
    if (this.#server.capabilities['logging'] === undefined)
      return failure(RPC_CODE.methodNotFound, 'The server sends no log lines');
    if (!isLogLevel(level)) return failure(RPC_CODE.invalidParams, 'There is no such log level');
    this.#level = level;
    return success();
  }

  #subscription(method: string, uri: unknown, { signal }: Exchange): Promise<Answer> {
    if (fieldsOf(this.#server.capabilities['resources'])['subscribe'] !== true)
      return Promise.resolve(failure(RPC_CODE.methodNotFound, 'The server takes no subscriptions to resources'));
    if (typeof uri !== 'string') return Promise.resolve(failure(RPC_CODE.invalidParams, '"uri" must be a string'));
    return method === 'resources/subscribe' ? this.#resources.subscribe(uri, signal) : this.#resources.unsubscribe(uri);
  }

  async #rounds(request: RequestBody, exchange: Exchange): Promise<Answer> {
    let next = request;
    for (let round = 0; ; round++) {
      const answer = await this.#send(next, exchange);
      if (answer.kind === 'error' || !isInputRequired(answer.result)) return shown(request, answer);
      if (exchange.signal.aborted) return cancelled(exchange.signal);
      const { requestState } = answer.result;
      const questions = fieldsOf(answer.result['inputRequests']);
      if (round >= this.#options.maxRounds) return unfinished(request, `it still asks after ${round} rounds`);
      if (Object.keys(questions).length === 0) {
        if (requestState === undefined) return unfinished(request, 'it needs input, and does not say which');
        await pause(this.#options.paceMs, exchange.signal);
        if (exchange.signal.aborted) return cancelled(exchange.signal);
      }
      const asked = await askRound(questions, this.#client, exchange);
      if (exchange.signal.aborted) return cancelled(exchange.signal);
      if (!asked.ok) return unfinished(request, asked.why);
      next = {
        method: request.method,
        params: {
          ...request.params,
          inputResponses: asked.responses,
          ...(requestState === undefined ? {} : { requestState }),
        },
      };
    }
  }
}

function isInputRequired(result: Fields): result is Fields & { readonly requestState?: unknown } {
  return result['resultType'] === 'input_required';
}

function shown({ method, params }: RequestBody, answer: Answer): Answer {
  if (answer.kind === 'error') return { kind: 'error', error: legacyError(method, params, answer.error) };
  const type = answer.result['resultType'];
  if (type !== undefined && type !== 'complete')
    return failure(
      RPC_CODE.internalError,
      `The server answered ${method} with a "${String(type)}", which was not agreed`,
    );
  return { kind: 'result', result: legacyResult(method, answer.result) };
}

/** A tool says so in its result, where the model sees it. */
function unfinished({ method }: RequestBody, why: string): Answer {
  const message = `The call could not be finished: ${why}`;
  return method === 'tools/call'
    ? success({ content: [{ type: 'text', text: message }], isError: true })
    : failure(RPC_CODE.internalError, message);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}
