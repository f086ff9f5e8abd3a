/** A legacy server shown to a modern client. */

import type { Answer, Fields, NotificationBody, RequestBody } from '../wire/message.ts';
import { META, RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange, ServerDescription, Session } from '../wire/session.ts';
import { Call } from './call.ts';
import { missingFor } from '../wire/client-needs.ts';
import { fieldsOf, isFields, metaOf } from '../wire/shape.ts';
import { failure, success } from '../wire/text.ts';
import { asModern } from './describe.ts';
import { MAY_NEED_INPUT } from './era-names.ts';
import { isLogLevel } from './levels.ts';
import type { LogLevel } from './levels.ts';
import { Listens } from './listens.ts';
import { Parking } from './parking.ts';
import type { ParkingOptions } from './parking.ts';
import { legacyParams } from './request-meta.ts';
import { modernAnswer } from './results.ts';
import type { Shown } from './shown.ts';
import { SharedLevel } from './shared-level.ts';
import { TaskTools, hasTaskCalls } from './task-tools.ts';
import { Turn } from './turn.ts';
import { UrlVisit } from './url-visit.ts';

export interface ModernOverLegacyOptions extends ParkingOptions {
  readonly subscribeTimeoutMs: number;
}

const ROOTS: RequestBody = { method: 'roots/list' };
/** Servers ask at once, or not at all. */
const ROOTS_PATIENCE_MS = 500;

/** Of 2025-11-25 and before; a legacy server would answer them. */
const REMOVED: ReadonlySet<string> = new Set([
  'initialize',
  'ping',
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
]);

export class ModernOverLegacy implements Shown {
  readonly #session: Session;
  readonly #client: Client;
  #server: ServerDescription;
  #hasTasks: boolean;
  readonly #parking: Parking;
  readonly #listens: Listens;
  readonly #level: SharedLevel;
  readonly #taskTools: TaskTools;
  /** Of requests that want log lines, oldest first. */
  readonly #leveled = new Set<Turn>();
  /** The server wanted them while no request was open that could carry the question. */
  #rootsOwed = false;
  /** It waits until the server has asked again. */
  #rootsCall: Call | null = null;

  constructor(session: Session, client: Client, server: ServerDescription, options: ModernOverLegacyOptions) {
    this.#session = session;
    this.#client = client;
    this.#server = asModern(server);
    this.#parking = new Parking(options);
    this.#listens = new Listens(session, options.subscribeTimeoutMs);
    this.#level = new SharedLevel(session);
    this.#taskTools = new TaskTools(session);
    this.#hasTasks = hasTaskCalls(server.capabilities);
  }

  describe(): Promise<ServerDescription> {
    return Promise.resolve(this.#server);
  }

  request(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { method, params } = request;
    if (method === 'subscriptions/listen') return this.#listens.open(params, this.#server.capabilities, exchange);
    if (REMOVED.has(method)) return refused(`${method} is not part of 2026-07-28`);
    if (method.startsWith('tasks/'))
      return refused(`${method}: this server has the tasks of 2025-11-25 only, which 2026-07-28 does not know`);
    const level = metaOf(params)?.[META.logLevel];
    if (level !== undefined && !isLogLevel(level))
      return Promise.resolve(failure(RPC_CODE.invalidParams, `${META.logLevel}: there is no such level`));
    return new Promise((settle) => {
      const wanted = level === undefined || this.#server.capabilities['logging'] === undefined ? null : level;
      if (wanted === null) this.#go(new Turn(request, exchange, this.#client, null, settle));
      else this.#goListening(request, exchange, wanted, settle);
    });
  }

  notify(notification: NotificationBody): void {
    this.#session.notify(notification);
  }

  fromServer(notification: NotificationBody): void {
    if (notification.method === 'notifications/tools/list_changed') this.#taskTools.forget();
    if (notification.method === 'notifications/message') this.#log(notification, null);
    else this.#listens.notify(notification);
    // The front door may keep something of a list.
    if (notification.method.endsWith('/list_changed')) this.#client.notify(notification);
  }

  askedByServer(request: RequestBody, signal: AbortSignal): Promise<Answer> {
    const { method } = request;
    if (method === 'ping') return Promise.resolve(success());
    if (method === 'roots/list' && this.#rootsCall !== null) return this.#rootsCall.ask(request, signal);
    this.#owe(method);
    return refused(`${method}: a client of 2026-07-28 can only be asked while one of its requests is open`);
  }

  update(server: ServerDescription): void {
    this.#server = asModern(server);
    this.#hasTasks = hasTaskCalls(server.capabilities);
  }

  release(reason: string): void {
    this.#listens.close();
    this.#parking.close(reason);
  }

  close(reason: string): Promise<void> {
    this.release(reason);
    return this.#session.close(reason);
  }

  #goListening(request: RequestBody, exchange: Exchange, level: LogLevel, settle: (answer: Answer) => void): void {
    const turn = new Turn(request, exchange, this.#client, level, (answer) => {
      this.#leveled.delete(turn);
      this.#level.release(level);
      settle(answer);
    });
    this.#leveled.add(turn);
    const isSet = this.#level.want(level);
    if (isSet === null) this.#go(turn);
    else void isSet.then(() => this.#go(turn));
  }

  #go(turn: Turn): void {
    const { method, params } = turn.request;
    if (!MAY_NEED_INPUT.has(method)) {
      void this.#session
        .request(legacyRequest(turn.request), this.#plainExchange(turn))
        .then((answer) => turn.settle(modernAnswer(method, answer, this.#server.info)));
      return;
    }
    const state = params?.['requestState'];
    if (state === undefined) return this.#call(turn);
    const waiting = this.#parking.take(state, turn.request);
    if ('kind' in waiting) turn.settle(waiting);
    else waiting.resume(turn, fieldsOf(params?.['inputResponses']));
  }

  #call(turn: Turn): void {
    const { method, params } = turn.request;
    const call = new Call(
      turn,
      this.#parking,
      (line, own) => this.#log(line, own),
      (asked) => this.#owe(asked),
    );
    const needsTask = this.#hasTasks && method === 'tools/call' && this.#taskTools.needsTask(params?.['name']);
    const request = legacyRequest(turn.request);
    const go = (): Promise<Answer> =>
      needsTask === false
        ? this.#session.request(request, call)
        : Promise.resolve(needsTask).then((isTask) =>
            isTask ? this.#taskTools.run(request, call) : this.#session.request(request, call),
          );
    const pays = this.#rootsOwed && missingFor(ROOTS, turn.capabilities) === null;
    void (pays ? this.#askRoots(call).then(go) : go()).then((answer) => {
      const visit = answer.kind === 'error' && answer.error.code === RPC_CODE.urlElicitationRequired;
      call.finish(visit ? this.#visit(turn, answer.error.data) : modernAnswer(method, answer, this.#server.info));
    });
  }

  #owe(method: string): void {
    if (method === ROOTS.method) this.#rootsOwed = true;
  }

  /** A server asks again when roots have changed: here the call carries its question. Resolves when it is answered, or not asked in time. */
  async #askRoots(call: Call): Promise<void> {
    this.#rootsOwed = false;
    this.#rootsCall = call;
    const asked = call.askedOnce(ROOTS_PATIENCE_MS);
    this.#session.notify({ method: 'notifications/roots/list_changed' });
    await asked;
    if (this.#rootsCall === call) this.#rootsCall = null;
  }

  /** The server wants a person to open a page before it is asked again. */
  #visit(turn: Turn, data: unknown): Answer {
    const asked = fieldsOf(data)['elicitations'];
    const elicitations = (Array.isArray(asked) ? (asked as unknown[]) : []).filter(isFields);
    return UrlVisit.begin(turn, elicitations, this.#parking, (next) => this.#call(next));
  }

  #plainExchange(turn: Turn): Exchange {
    const { exchange, request } = turn;
    return {
      signal: exchange.signal,
      notify: (notification) => {
        if (notification.method === 'notifications/message') this.#log(notification, turn);
        else exchange.notify(notification);
      },
      ask: ({ method }) => {
        if (method === 'ping') return Promise.resolve(success());
        this.#owe(method);
        return refused(`${method}: a client of 2026-07-28 cannot be asked while ${request.method} is open`);
      },
    };
  }

  /** A legacy server does not say which request a line is of: its own first, else the newest that wants it. */
  #log(line: NotificationBody, own: Turn | null): void {
    if (own?.log(line) === true) return;
    for (const turn of [...this.#leveled].reverse()) if (turn !== own && turn.log(line)) return;
  }
}

function legacyRequest({ method, params }: RequestBody): RequestBody {
  const rest: Fields | undefined = legacyParams(params);
  return rest === undefined ? { method } : { method, params: rest };
}

function refused(message: string): Promise<Answer> {
  return Promise.resolve(failure(RPC_CODE.methodNotFound, message));
}
