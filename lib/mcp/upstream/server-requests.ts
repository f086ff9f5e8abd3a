/**
 * Requests of a legacy server: sampling, elicitation, roots. Over HTTP they come on the stream of the request that they are for. On stdio
 * nothing says that, nor on HTTP's stream for what belongs to none, so: the task that they name; else the one client that has requests
 * open which can make a server ask; else the one that has any open; else the one client that is there. Where that leaves several, the
 * server gets an error, and from then on requests of different clients are not overlapped (`onAmbiguous`). A progress token in them says
 * nothing: it is the server's own, for what its client reports. What may be for a call that was cancelled nobody is asked.
 */

import type { Answer, Fields, RequestBody, RequestId } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Client } from '../wire/session.ts';
import { failure, thrownAnswer } from '../wire/text.ts';
import type { Warner } from '../wire/text.ts';
import { missingFor } from '../wire/client-needs.ts';
import { busiestOf, busyClients } from './busy.ts';
import type { JustCancelled } from './just-cancelled.ts';
import { MAKES_ASK } from './open-requests.ts';
import type { OpenRequest, OpenRequests } from './open-requests.ts';
import { Question } from './question.ts';
import { relatedTask } from './task-owners.ts';
import type { TaskOwners } from './task-owners.ts';

/** A server asks right after its handshake, and its client joins when that is over. */
const JOIN_PATIENCE_MS = 10_000;
const ASKS_MAX = 1_000;

export interface Asked {
  readonly client: Client;
}

export interface ServerRequestsOptions<Owner extends Asked> extends Warner {
  readonly requests: OpenRequests<Owner>;
  readonly tasks: TaskOwners<Owner>;
  readonly cancelled: Pick<JustCancelled<Owner>, 'owners'>;
  /** Clients that are there, the conversation's own side not among them. */
  clients(): readonly Owner[];
  respond(id: RequestId, answer: Answer): void;
  onAmbiguous(method: string): void;
  /** A question to this client is open, until `onAnswered`. */
  onAsked(owner: Owner, request: RequestBody): void;
  onAnswered(owner: Owner): void;
}

/** The request on the stream of whose answer something came; `over`: it is answered or cancelled. */
export type StreamOf<Owner> = OpenRequest<Owner> | 'over' | undefined;

export class ServerRequests<Owner extends Asked> {
  readonly #options: ServerRequestsOptions<Owner>;
  readonly #open = new Map<RequestId, Question<Owner>>();
  /** Asked while nobody was there. */
  readonly #waiting = new Set<() => void>();

  constructor(options: ServerRequestsOptions<Owner>) {
    this.#options = options;
  }

  /** @param call on the stream of whose answer it came */
  async handle(id: RequestId, request: RequestBody, call?: StreamOf<Owner>): Promise<void> {
    if (request.method === 'ping') return this.#options.respond(id, { kind: 'result', result: {} });
    if (this.#open.size >= ASKS_MAX || this.#open.has(id))
      return this.#options.respond(
        id,
        failure(RPC_CODE.invalidRequest, 'too many requests of this server are open, or two with one id'),
      );
    const question = new Question<Owner>();
    this.#open.set(id, question);
    try {
      const answer = await this.#ask(request, question, call);
      if (!question.isCancelled) this.#options.respond(id, answer);
    } catch (error) {
      if (!question.isCancelled) this.#options.respond(id, thrownAnswer(error, this.#options));
    } finally {
      if (this.#open.get(id) === question) this.#open.delete(id);
    }
  }

  /** `notifications/cancelled` of the server. */
  cancelled(params: Fields | undefined): void {
    const id = params?.['requestId'] as RequestId;
    const reason = params?.['reason'];
    const question = this.#open.get(id);
    this.#open.delete(id);
    question?.cancel(typeof reason === 'string' ? reason : 'cancelled by the server');
  }

  /** Its client has cancelled it. What the server asked for that call alone, that client need not answer. */
  callCancelled(call: OpenRequest<Owner>): void {
    const { requests } = this.#options;
    for (const question of this.#open.values()) {
      const { calls } = question;
      if (calls.includes(call) && !calls.some((each) => requests.get(each.id) === each))
        question.takeBack('the call was cancelled');
    }
  }

  left(owner: Owner, reason: string): void {
    for (const question of this.#open.values()) if (question.owner === owner) question.takeBack(reason);
  }

  /** What it asked while nobody was there is asked of who has come, once that one's own request is on its way. */
  joined(): void {
    setImmediate(() => {
      for (const go of this.#waiting) go();
    });
  }

  close(reason: string): void {
    for (const question of this.#open.values()) question.cancel(reason);
    this.#open.clear();
    for (const go of this.#waiting) go();
  }

  async #ask(request: RequestBody, question: Question<Owner>, stream: StreamOf<Owner>): Promise<Answer> {
    const { requests, tasks } = this.#options;
    if (stream === 'over' && tasks.ownerOf(relatedTask(request.params)) === undefined)
      return failure(RPC_CODE.internalError, `the call on whose stream ${request.method} came is over`);
    const call = stream === 'over' ? undefined : stream;
    if (this.#options.clients().length === 0) await this.#someone();
    if (question.isCancelled) return failure(RPC_CODE.internalError, 'cancelled before it was asked');
    const owner = call?.owner ?? this.#ownerOf(request);
    if (owner === 'ambiguous') {
      this.#options.onAmbiguous(request.method);
      return failure(
        RPC_CODE.internalError,
        `${request.method} could be for any of several clients; from now on they take turns`,
      );
    }
    if (owner === 'cancelled')
      return failure(RPC_CODE.internalError, `${request.method} could be for a call that was cancelled just now`);
    if (owner === null) return failure(RPC_CODE.methodNotFound, `no client is there to answer ${request.method}`);
    const refusal = refusalOf(request, owner.client.capabilities);
    if (refusal !== null) return refusal;
    const open = call ?? busiestOf(owner, requests);
    this.#options.onAsked(owner, request);
    try {
      const asked = open === undefined ? owner.client : open.exchange;
      return await question.ask(owner, this.#callsOf(owner, request, call), (signal) => asked.ask(request, signal));
    } finally {
      this.#options.onAnswered(owner);
    }
  }

  /** A question of a task outlives the call that it is asked by. */
  #callsOf(owner: Owner, { params }: RequestBody, call: OpenRequest<Owner> | undefined): readonly OpenRequest<Owner>[] {
    const { requests, tasks } = this.#options;
    if (tasks.ownerOf(relatedTask(params)) !== undefined) return [];
    return call === undefined ? requests.of(owner).filter(({ method }) => MAKES_ASK.has(method)) : [call];
  }

  #ownerOf({ method, params }: RequestBody): Owner | 'ambiguous' | 'cancelled' | null {
    const { requests, tasks, cancelled } = this.#options;
    const clients = this.#options.clients();
    const task = tasks.ownerOf(relatedTask(params));
    if (task !== undefined) return task;
    const { owners } = cancelled;
    const busy = busyClients(clients, requests, owners);
    const candidates = busy.length > 0 ? busy : clients;
    const certain = candidates.filter((each) => !owners.has(each) || requests.newestOf(each, MAKES_ASK) !== undefined);
    if (candidates.length <= 1 && certain.length === candidates.length) return certain[0] ?? null;
    // Those who share a process have equal roots.
    if (method === 'roots/list')
      return (
        clients.find((each) => candidates.includes(each) && each.client.capabilities['roots'] !== undefined) ?? null
      );
    return certain.length > 1 ? 'ambiguous' : 'cancelled';
  }

  #someone(): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(go);
        resolve();
      };
      const timer = setTimeout(go, JOIN_PATIENCE_MS);
      timer.unref();
      this.#waiting.add(go);
    });
  }
}

/** What no revision knows is passed on: the client knows what it knows. */
function refusalOf(request: RequestBody, capabilities: Fields): Answer | null {
  const missing = missingFor(request, capabilities);
  if (missing === undefined || missing === null) return null;
  const [[capability, parts] = ['', {}]] = Object.entries(missing);
  const part = Object.keys(parts as Fields)[0];
  if (part === undefined || capabilities[capability] === undefined)
    return failure(RPC_CODE.methodNotFound, `the client has no capability ${capability}`);
  return failure(RPC_CODE.invalidParams, `the client has no capability ${capability}.${part}`);
}
