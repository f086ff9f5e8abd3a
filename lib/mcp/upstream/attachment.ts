/** One client at a server that may have others: what it asks is passed on, but for what is shared by count or bound to its client. */

import type { Answer, NotificationBody, RequestBody } from '../wire/message.ts';
import { META, RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange, ServerDescription, Session } from '../wire/session.ts';
import { metaOf } from '../wire/shape.ts';
import { failure } from '../wire/text.ts';
import type { Conversation } from './conversation.ts';
import { requestMeta } from './handshake.ts';
import { isLogLevel, uriOf } from './interests.ts';
import type { Interests } from './interests.ts';
import type { TaskOwners } from './task-owners.ts';
import type { Turns } from './turns.ts';

/** What can make a server ask its client something. Lists and the like need no turn. */
const TAKE_TURNS: ReadonlySet<string> = new Set(['tools/call', 'prompts/get', 'resources/read', 'completion/complete']);
const DONE: Answer = { kind: 'result', result: {} };

/** What the clients of one server share. */
export interface Shared {
  readonly conversation: Conversation<Attachment>;
  readonly interests: Interests<Attachment>;
  readonly tasks: TaskOwners<Attachment>;
  readonly turns: Turns<Attachment>;
  readonly takesTurns: boolean;
  readonly clients: ReadonlySet<Attachment>;
  ready(): Promise<ServerDescription>;
  readonly description: ServerDescription | null;
  onLeft(attachment: Attachment): void;
}

/** Without a client: no question of the server's waits for an answer. */
const QUIET: Exchange = {
  signal: new AbortController().signal,
  notify: () => undefined,
  ask: () => Promise.resolve(failure(RPC_CODE.methodNotFound, 'nobody is there to answer')),
};

export class Attachment implements Session {
  readonly client: Client;
  readonly #shared: Shared;
  readonly #closed = new AbortController();

  constructor(client: Client, shared: Shared) {
    this.client = client;
    this.#shared = shared;
  }

  describe(): Promise<ServerDescription> {
    return this.#shared.ready();
  }

  async request(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { description } = this.#shared;
    if (this.#closed.signal.aborted) return failure(RPC_CODE.invalidRequest, 'the session is closed');
    if (description?.era === 'modern') return this.#send(this.#stamped(request, description), exchange);
    switch (request.method) {
      case 'resources/subscribe':
        return this.#subscribe(request, exchange);
      case 'resources/unsubscribe':
        return this.#unsubscribe(request, exchange);
      case 'logging/setLevel':
        return this.#setLevel(request, exchange);
      default:
        return request.method.startsWith('tasks/') ? this.#task(request, exchange) : this.#inTurn(request, exchange);
    }
  }

  notify(notification: NotificationBody): void {
    if (!this.#closed.signal.aborted) this.#shared.conversation.notify(notification);
  }

  close(reason: string): Promise<void> {
    if (this.#closed.signal.aborted) return Promise.resolve();
    this.#closed.abort(new Error(reason));
    const { conversation, interests, tasks } = this.#shared;
    conversation.cancelAllOf(this, reason);
    for (const uri of interests.leave(this))
      void conversation.request(this, { method: 'resources/unsubscribe', params: { uri } }, QUIET);
    tasks.leave(this);
    this.#shared.onLeft(this);
    return Promise.resolve();
  }

  #send(request: RequestBody, exchange: Exchange): Promise<Answer> {
    return this.#shared.conversation.request(this, request, exchange);
  }

  /** What goes to a modern server says what it is of; a client of that era has said it already. */
  #stamped(request: RequestBody, { protocolVersion }: ServerDescription): RequestBody {
    const meta = metaOf(request.params);
    if (meta?.[META.protocolVersion] !== undefined && meta[META.clientCapabilities] !== undefined) return request;
    const stamp = requestMeta(protocolVersion, this.client);
    return { method: request.method, params: { ...request.params, _meta: { ...stamp, ...meta } } };
  }

  async #inTurn(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { takesTurns, turns, tasks } = this.#shared;
    const waits = takesTurns && TAKE_TURNS.has(request.method);
    if (waits && !(await this.#turn(exchange.signal)))
      return failure(RPC_CODE.internalError, 'cancelled before its turn');
    try {
      const answer = await this.#send(request, exchange);
      if (answer.kind === 'result' && answer.result['task'] !== undefined) tasks.seen(this, answer.result);
      return answer;
    } finally {
      if (waits) turns.leave();
    }
  }

  /** @returns false where the client did not wait for it */
  #turn(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const onAbort = (): void => {
        giveUp();
        resolve(false);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const giveUp = this.#shared.turns.enter(this, () => {
        signal.removeEventListener('abort', onAbort);
        resolve(true);
      });
    });
  }

  async #subscribe(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const uri = uriOf(request.params);
    const { interests } = this.#shared;
    if (uri === null) return this.#send(request, exchange);
    if (interests.isFull) return failure(RPC_CODE.refused, 'too many subscriptions are open with this server');
    const isFirst = interests.subscribe(this, uri);
    if (!isFirst) return DONE;
    const answer = await this.#send(request, exchange);
    if (answer.kind === 'error') interests.unsubscribe(this, uri);
    return answer;
  }

  async #unsubscribe(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const uri = uriOf(request.params);
    const { interests } = this.#shared;
    if (uri === null || !interests.has(this, uri)) return this.#send(request, exchange);
    return interests.unsubscribe(this, uri) ? this.#send(request, exchange) : DONE;
  }

  #setLevel(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const level = request.params?.['level'];
    if (!isLogLevel(level)) return this.#send(request, exchange);
    const finest = this.#shared.interests.setLevel(this, level);
    return this.#send({ ...request, params: { ...request.params, level: finest } }, exchange);
  }

  async #task(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { tasks, clients } = this.#shared;
    const isAlone = clients.size === 1;
    if (request.method !== 'tasks/list') {
      const owner = tasks.ownerOf(request.params?.['taskId']);
      // A task from before its client joined again may be known to the server alone.
      if (owner !== this && !(owner === undefined && isAlone))
        return failure(RPC_CODE.invalidParams, 'this client has no such task');
    }
    const answer = await this.#send(request, exchange);
    if (answer.kind === 'error') return answer;
    if (request.method === 'tasks/list')
      return isAlone ? answer : { kind: 'result', result: tasks.filtered(this, answer.result) };
    tasks.seen(this, answer.result);
    return answer;
  }
}
