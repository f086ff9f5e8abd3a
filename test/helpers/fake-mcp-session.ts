/** Servers, clients and exchanges in memory, for what is a Session over Sessions. */

import type { Answer, Fields, NotificationBody, RequestBody } from '../../lib/mcp/wire/message.ts';
import { LEGACY_VERSIONS, MODERN_VERSIONS } from '../../lib/mcp/wire/protocol.ts';
import type { Era } from '../../lib/mcp/wire/protocol.ts';
import type { Client, Exchange, ServerDescription, Session } from '../../lib/mcp/wire/session.ts';
import { settled } from './manual-time.ts';

export type Handler = (params: Fields, exchange: Exchange) => Fields | Answer | Promise<Fields | Answer>;

export interface FakeServer {
  readonly session: Session;
  /** As `Servers.open` gets it. */
  readonly open: (client: Client) => Session;
  readonly handlers: Record<string, Handler>;
  readonly requests: RequestBody[];
  readonly exchanges: Exchange[];
  readonly notifications: NotificationBody[];
  /** As the server sees it; undefined before it is opened. */
  client: Client;
  description: ServerDescription;
  /** Thrown by `describe`. */
  problem: Error | null;
  /** Waited for by `describe`. */
  gate: Promise<void> | null;
  closed: string | null;
  /** Requests of one method, in order. */
  of(method: string): RequestBody[];
}

export function description(
  era: Era,
  capabilities: Fields = {},
  more: Partial<ServerDescription> = {},
): ServerDescription {
  const info = more.info ?? { name: 'fake', version: '1.2.3' };
  const { instructions } = more;
  const said = { capabilities, ...(instructions === undefined ? {} : { instructions }) };
  const raw: Fields =
    era === 'legacy'
      ? { ...said, protocolVersion: LEGACY_VERSIONS[0], serverInfo: info }
      : {
          ...said,
          resultType: 'complete',
          supportedVersions: [...MODERN_VERSIONS],
          ttlMs: 60_000,
          cacheScope: 'public',
          _meta: { 'io.modelcontextprotocol/serverInfo': info },
        };
  return {
    era,
    protocolVersion: era === 'legacy' ? LEGACY_VERSIONS[0] : MODERN_VERSIONS[0],
    info,
    capabilities,
    raw,
    ...more,
  };
}

/** Answers `{}` to what it has no handler for; what a handler throws fails the test that waits for it. */
export function fakeServer(
  era: Era,
  handlers: Record<string, Handler> = {},
  capabilities: Fields = {},
  more: Partial<ServerDescription> = {},
): FakeServer {
  const session: Session = {
    async describe() {
      await server.gate;
      if (server.problem !== null) throw server.problem;
      return server.description;
    },
    async request(request, exchange) {
      if (server.closed !== null) return refusal(-32600, `closed: ${server.closed}`);
      server.requests.push(request);
      server.exchanges.push(exchange);
      const handler = server.handlers[request.method] ?? (() => ({}));
      const given = await new Promise<Fields | Answer>((resolve) => resolve(handler(request.params ?? {}, exchange)));
      return isAnswer(given) ? given : { kind: 'result', result: given };
    },
    notify: (notification) => void server.notifications.push(notification),
    close(reason) {
      server.closed ??= reason;
      return Promise.resolve();
    },
  };
  const server: FakeServer = {
    session,
    handlers,
    requests: [],
    exchanges: [],
    notifications: [],
    client: undefined as unknown as Client,
    description: description(era, capabilities, more),
    problem: null,
    gate: null,
    closed: null,
    open(client) {
      server.client = client;
      return session;
    },
    of: (method) => server.requests.filter((request) => request.method === method),
  };
  return server;
}

function isAnswer(given: Fields | Answer): given is Answer {
  return given['kind'] === 'result' || given['kind'] === 'error';
}

export function refusal(code: number, message: string, data?: unknown): Answer {
  return { kind: 'error', error: { code, message, ...(data === undefined ? {} : { data }) } };
}

export interface FakeClient extends Client {
  readonly heard: NotificationBody[];
  readonly asked: RequestBody[];
  answer: (request: RequestBody, signal: AbortSignal) => Answer | Promise<Answer>;
}

export function fakeClient(era: Era, capabilities: Fields = {}): FakeClient {
  const heard: NotificationBody[] = [];
  const asked: RequestBody[] = [];
  const client: FakeClient = {
    era,
    context: 'session-one',
    protocolVersion: era === 'legacy' ? LEGACY_VERSIONS[0] : MODERN_VERSIONS[0],
    info: { name: 'tester', version: '9' },
    capabilities,
    heard,
    asked,
    answer: () => refusal(-32601, 'nobody is here'),
    notify: (notification) => void heard.push(notification),
    ask(request, signal) {
      asked.push(request);
      return Promise.resolve(client.answer(request, signal));
    },
  };
  return client;
}

export interface FakeExchange extends Exchange {
  readonly heard: NotificationBody[];
  readonly asked: RequestBody[];
  answer: (request: RequestBody, signal: AbortSignal) => Answer | Promise<Answer>;
  cancel(reason?: string): void;
}

export function fakeExchange(): FakeExchange {
  const controller = new AbortController();
  const heard: NotificationBody[] = [];
  const asked: RequestBody[] = [];
  const exchange: FakeExchange = {
    signal: controller.signal,
    heard,
    asked,
    answer: () => refusal(-32601, 'nobody is here'),
    notify: (notification) => void heard.push(notification),
    ask(request, signal) {
      asked.push(request);
      return Promise.resolve(exchange.answer(request, signal));
    },
    cancel: (reason = 'no longer wanted') => controller.abort(new Error(reason)),
  };
  return exchange;
}

/** The answer as it stands when everything that needs no time is done; null while there is none. */
export async function soon<T>(promise: Promise<T>): Promise<T | null> {
  let found: T | null = null;
  void promise.then((value) => (found = value));
  await settled();
  return found;
}

/** @throws when it is an error, or not there yet */
export async function resultOf(promise: Promise<Answer>): Promise<Fields> {
  const answer = await soon(promise);
  if (answer?.kind !== 'result') throw new Error(`no result, but ${JSON.stringify(answer)}`);
  return answer.result;
}

/** @throws when it is a result, or not there yet */
export async function errorOf(promise: Promise<Answer>): Promise<{ code: number; message: string; data?: unknown }> {
  const answer = await soon(promise);
  if (answer?.kind !== 'error') throw new Error(`no error, but ${JSON.stringify(answer)}`);
  return answer.error;
}
