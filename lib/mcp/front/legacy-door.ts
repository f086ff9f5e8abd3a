/** Streamable HTTP of 2025-03-26 to 2025-11-25: sessions, their POSTs, their GET streams, their end. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { LEGACY_VERSIONS, MODERN_VERSIONS, RPC_CODE } from '../wire/protocol.ts';
import { refusalData } from '../wire/refused.ts';
import type { Caller } from './caller.ts';
import type { DoorOptions } from './http-door.ts';
import type { LegacySession } from './legacy-session.ts';
import { quote } from './modern-check.ts';
import { oneHeader, refuse, sendEmpty, sendJson, statusOf } from './reply.ts';
import { readMessage } from '../wire/shape.ts';
import type { Incoming } from '../wire/shape.ts';
import { answerText, thrownAnswer } from '../wire/text.ts';
import { isLegacyVersion } from './versions.ts';

type Message = Exclude<Incoming, { kind: 'invalid' }>;
type Request = Extract<Incoming, { kind: 'request' }>;

/** The one revision that has batches. */
const BATCH_VERSION = '2025-03-26';

export class LegacyDoor {
  readonly #options: DoorOptions;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  post(message: Message, request: IncomingMessage, response: ServerResponse, caller: Caller): void {
    if (message.kind === 'request' && message.method === 'initialize') {
      return void this.#initialize(message, request, response, caller);
    }
    const session = this.#session(request, response, caller);
    if (session === null) return;
    if (message.kind === 'request') return this.#requests(session, [message], false, response);
    this.#take(session, message);
    sendEmpty(response, 202);
  }

  batch(values: readonly unknown[], request: IncomingMessage, response: ServerResponse, caller: Caller): void {
    const session = this.#session(request, response, caller);
    if (session === null) return;
    const messages = values.map(readMessage);
    const problem = this.#batchProblem(session, messages);
    if (problem !== null) return refuse(response, { status: 400, code: RPC_CODE.invalidRequest, message: problem });
    const requests: Request[] = [];
    for (const message of messages) {
      if (message.kind === 'request') requests.push(message);
      else if (message.kind !== 'invalid') this.#take(session, message);
    }
    if (requests.length === 0) return sendEmpty(response, 202);
    this.#requests(session, requests, true, response);
  }

  get(request: IncomingMessage, response: ServerResponse, caller: Caller): void {
    const { accept } = request.headers;
    if (accept !== undefined && !accept.includes('text/event-stream') && !accept.includes('*/*')) {
      const message = 'GET opens an event stream: send "Accept: text/event-stream"';
      return refuse(response, { status: 406, code: RPC_CODE.invalidRequest, message });
    }
    const session = this.#session(request, response, caller);
    if (session === null) return;
    const lastEventId = oneHeader(request.headers['last-event-id']);
    if (lastEventId === undefined) {
      if (session.listen(response)) return;
      const message = 'This session has enough streams open; close one first';
      return refuse(response, {
        status: 429,
        code: RPC_CODE.refused,
        message,
        data: refusalData({ retryAfterMs: 10_000 }),
      });
    }
    const resumed = session.resume(response, lastEventId);
    // 204 tells whoever reads event streams that there is no need to come back.
    if (resumed === 'nothing_left') return sendEmpty(response, 204);
    if (resumed === 'attached') return;
    const message = `Last-Event-ID ${quote(lastEventId)} is of no stream of this session, or of one that is kept no more`;
    refuse(response, { status: 400, code: RPC_CODE.invalidRequest, message });
  }

  delete(request: IncomingMessage, response: ServerResponse, caller: Caller): void {
    const session = this.#session(request, response, caller);
    if (session === null) return;
    this.#options.clients.endSession(session, 'The client ended its session');
    sendEmpty(response, 204);
  }

  async #initialize(
    message: Request,
    request: IncomingMessage,
    response: ServerResponse,
    caller: Caller,
  ): Promise<void> {
    const { id, params = {} } = message;
    const { clients } = this.#options;
    if (request.headers['mcp-session-id'] !== undefined) {
      if (this.#session(request, response, caller) === null) return;
      const error = 'This session is initialized already; begin another without Mcp-Session-Id';
      return refuse(response, { status: 400, code: RPC_CODE.invalidRequest, message: error, id });
    }
    if (typeof params['protocolVersion'] !== 'string') {
      const error = 'initialize needs protocolVersion';
      return refuse(response, { status: 400, code: RPC_CODE.invalidParams, message: error, id });
    }
    const full = clients.full();
    if (full !== null) {
      const data = refusalData({ retryAfterMs: 10_000 });
      const headers = { 'retry-after': '10' };
      return refuse(response, { status: 503, code: RPC_CODE.refused, message: full, id, data, headers });
    }
    const session = clients.newSession(caller, params);
    const gone = new AbortController();
    response.once('close', () => gone.abort(new Error('The client has gone')));
    try {
      const result = await session.client.initialize(gone.signal);
      // Nobody would ever use it.
      if (response.destroyed || clients.closed) return await session.close('The client has gone');
      clients.add(session);
      session.touch(request.socket);
      response.setHeader('mcp-session-id', session.id);
      sendJson(response, 200, answerText(id, { kind: 'result', result }));
    } catch (error) {
      refuse(response, { status: statusOf(error), ...thrownAnswer(error, this.#options.logger).error, id });
      await session.close('The handshake failed');
    }
  }

  #requests(session: LegacySession, requests: readonly Request[], batch: boolean, response: ServerResponse): void {
    const reply = session.reply(response, requests.length, batch);
    for (const { id, method, params } of requests) {
      session.client.request(id, params === undefined ? { method } : { method, params }, reply, (answer) =>
        reply.answered(id, answer),
      );
    }
  }

  #take(session: LegacySession, message: Exclude<Message, Request>): void {
    if (message.kind === 'answer') {
      if (!session.client.answer(message.id, message.answer)) {
        this.#options.logger.debug({ context: session.client.context }, 'a client answered what was not asked');
      }
      return;
    }
    if (message.method === 'notifications/initialized') session.initialized();
    else session.client.notification(message.method, message.params);
  }

  #batchProblem(session: LegacySession, messages: readonly Incoming[]): string | null {
    const { protocolVersion } = session.client;
    const { maxBatch } = this.#options.settings;
    if (protocolVersion !== BATCH_VERSION)
      return `Only ${BATCH_VERSION} has batches; this session speaks ${protocolVersion}`;
    if (messages.length === 0) return 'The batch is empty';
    if (messages.length > maxBatch) return `A batch has at most ${maxBatch} messages`;
    const ids = new Set<unknown>();
    for (const message of messages) {
      if (message.kind === 'invalid') return `A message of the batch is not valid: ${message.problem}`;
      if (message.kind !== 'request') continue;
      if (message.method === 'initialize') return 'initialize must not be part of a batch';
      if (ids.has(message.id)) return `Two requests of the batch have the id ${quote(message.id)}`;
      ids.add(message.id);
    }
    return null;
  }

  /** Answers by itself where there is none that this caller may use. */
  #session(request: IncomingMessage, response: ServerResponse, caller: Caller): LegacySession | null {
    const { 'mcp-session-id': id, 'mcp-protocol-version': version } = request.headers;
    if (id === undefined) {
      refuse(response, NO_SESSION);
      return null;
    }
    const session = this.#options.clients.session(String(id), caller);
    if (session === null) {
      refuse(response, UNKNOWN_SESSION);
      return null;
    }
    if (version !== undefined && version !== session.client.protocolVersion && !isLegacyVersion(version)) {
      refuse(response, {
        status: 400,
        code: RPC_CODE.unsupportedVersion,
        message: `MCP-Protocol-Version ${quote(version)} is not supported`,
        data: { supported: [...LEGACY_VERSIONS, ...MODERN_VERSIONS], requested: String(version) },
      });
      return null;
    }
    session.touch(request.socket);
    return session;
  }
}

const NO_SESSION = {
  status: 400,
  code: RPC_CODE.invalidRequest,
  message: 'Mcp-Session-Id is missing: begin with initialize, or send requests of revision 2026-07-28',
} as const;

const UNKNOWN_SESSION = {
  status: 404,
  code: RPC_CODE.invalidRequest,
  message: 'There is no such session (any more): begin another with initialize',
} as const;
