/** One client at a server that may have others: what it asks is passed on, but for what is shared by count or bound to its client. */

import type { Answer, NotificationBody, RequestBody } from '../wire/message.ts';
import { META, RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Client, Exchange, ServerDescription, Session } from '../wire/session.ts';
import { metaOf } from '../wire/shape.ts';
import { failure, thrownAnswer } from '../wire/text.ts';
import type { Warner } from '../wire/text.ts';
import type { Conversation } from './conversation.ts';
import type { Elicitations } from './elicitations.ts';
import { requestMeta } from './handshake.ts';
import { MAKES_ASK } from './open-requests.ts';
import { isLogLevel, uriOf } from './interests.ts';
import type { Interests } from './interests.ts';
import type { JustCancelled } from './just-cancelled.ts';
import type { OneByOne } from './one-by-one.ts';
import type { TaskOwners } from './task-owners.ts';
import type { Turns } from './turns.ts';

const DONE: Answer = { kind: 'result', result: {} };
const CLOSED: Answer = failure(RPC_CODE.invalidRequest, 'the session is closed');

/** What the clients of one server share. */
export interface Shared extends Warner {
  readonly conversation: Conversation<Attachment>;
  readonly interests: Interests<Attachment>;
  readonly tasks: TaskOwners<Attachment>;
  readonly elicitations: Elicitations<Attachment>;
  readonly turns: Turns<Attachment>;
  readonly cancelled: JustCancelled<Attachment>;
  /** Requests about one resource's subscription, by URI. */
  readonly subscribing: OneByOne;
  readonly clients: ReadonlySet<Attachment>;
  ready(): Promise<ServerDescription>;
  /** Null: not ready yet, or over. */
  readonly description: ServerDescription | null;
  readonly isOver: boolean;
  /** Governor itself asks, in the name of nobody who would wait. */
  settle(request: RequestBody): void;
  onLeft(attachment: Attachment, reason: string): void;
}

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
    const { description, isOver } = this.#shared;
    if (this.#closed.signal.aborted) return CLOSED;
    if (description === null && !isOver) return this.#whenReady(request, exchange);
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
    for (const uri of interests.leave(this)) this.#unsubscribed(uri);
    const level = interests.leaveLevel(this);
    if (level !== null) this.#shared.settle({ method: 'logging/setLevel', params: { level } });
    tasks.leave(this);
    this.#shared.onLeft(this, reason);
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

  async #whenReady(request: RequestBody, exchange: Exchange): Promise<Answer> {
    try {
      await this.#shared.ready();
    } catch (error) {
      return thrownAnswer(error, this.#shared);
    }
    return this.request(request, exchange);
  }

  async #inTurn(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { turns, tasks, conversation, elicitations, cancelled } = this.#shared;
    const takesTurn = MAKES_ASK.has(request.method);
    if (takesTurn && !turns.tryEnter(this) && !(await this.#turn(exchange.signal)))
      return failure(RPC_CODE.internalError, 'cancelled before its turn');
    try {
      // Behind the answer there may be news of the task that it begins.
      return await conversation.request(this, request, exchange, (answer, { id, token }) => {
        if (answer.kind === 'result') tasks.began(this, answer.result, id, token);
        else elicitations.answered(this, answer);
      });
    } finally {
      if (takesTurn && turns.isOn && cancelled.owners.has(this)) void cancelled.over().then(() => turns.leave(this));
      else if (takesTurn) turns.leave(this);
    }
  }

  /** @returns false where the client did not wait for it */
  #turn(signal: AbortSignal): Promise<boolean> {
    const closed = this.#closed.signal;
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const over = (isTurn: boolean): void => {
        signal.removeEventListener('abort', onAbort);
        closed.removeEventListener('abort', onAbort);
        resolve(isTurn);
      };
      const onAbort = (): void => {
        giveUp();
        over(false);
      };
      signal.addEventListener('abort', onAbort);
      closed.addEventListener('abort', onAbort);
      const giveUp = this.#shared.turns.wait(this, () => over(true));
    });
  }

  /** Whoever comes while the first is still asking hears what the server says to that, not before. */
  #subscribe(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const uri = uriOf(request.params);
    if (uri === null) return this.#send(request, exchange);
    return this.#shared.subscribing.run(uri, () => this.#subscribeTo(uri, request, exchange));
  }

  async #subscribeTo(uri: string, request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { interests } = this.#shared;
    if (this.#closed.signal.aborted) return CLOSED;
    if (exchange.signal.aborted) return failure(RPC_CODE.internalError, 'cancelled before it was asked');
    const full = interests.has(this, uri) ? null : interests.fullness(this, uri);
    if (full !== null) return refused(full);
    const isFirst = !interests.isKnown(uri);
    interests.subscribe(this, uri);
    if (!isFirst) return DONE;
    const answer = await this.#send(request, exchange);
    if (answer.kind === 'error') {
      interests.unsubscribe(this, uri);
      // The server may have done it before it heard of the cancellation.
      if (exchange.signal.aborted) this.#unsubscribed(uri);
    }
    return answer;
  }

  #unsubscribe(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const uri = uriOf(request.params);
    const { interests, subscribing } = this.#shared;
    if (uri === null) return this.#send(request, exchange);
    return subscribing.run(uri, async () => {
      interests.unsubscribe(this, uri);
      return interests.isKnown(uri) ? DONE : this.#send(request, exchange);
    });
  }

  /** The server is told, unless somebody wants it again by then. */
  #unsubscribed(uri: string): void {
    const { interests, subscribing } = this.#shared;
    void subscribing.run(uri, async () => {
      if (!interests.isKnown(uri)) this.#shared.settle({ method: 'resources/unsubscribe', params: { uri } });
    });
  }

  async #setLevel(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const level = request.params?.['level'];
    if (!isLogLevel(level)) return this.#send(request, exchange);
    const { interests } = this.#shared;
    const before = interests.levelOf(this);
    const finest = interests.setLevel(this, level);
    const answer = await this.#send({ ...request, params: { ...request.params, level: finest } }, exchange);
    if (answer.kind === 'error' && interests.levelOf(this) === level) interests.restoreLevel(this, before);
    return answer;
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
    if (request.method === 'tasks/result' && !exchange.signal.aborted && isOfServer(answer))
      tasks.fetched(request.params?.['taskId']);
    if (answer.kind === 'error') return answer;
    if (request.method === 'tasks/list')
      return isAlone ? answer : { kind: 'result', result: tasks.filtered(this, answer.result) };
    tasks.seen(this, answer.result);
    return answer;
  }
}

/** Not one that Governor has given in its place. */
function isOfServer(answer: Answer): boolean {
  return answer.kind === 'result' || (answer.error.code !== RPC_CODE.stopped && answer.error.code !== RPC_CODE.refused);
}
