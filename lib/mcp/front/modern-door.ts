/** Streamable HTTP of 2026-07-28: each POST is whole in itself, and closing its response cancels it. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fields, RequestId, RpcError } from '../wire/message.ts';
import { META, RPC_CODE } from '../wire/protocol.ts';
import { refusalData } from '../wire/refused.ts';
import type { Caller } from './caller.ts';
import type { DoorOptions } from './http-door.ts';
import { checkHeaders, checkVersion, checkVersionHeader, isRemoved, readMeta } from './modern-check.ts';
import type { ModernMeta } from './modern-check.ts';
import type { ModernClient } from './modern-client.ts';
import { ModernReply } from './modern-reply.ts';
import { refuse, sendEmpty, statusOf } from './reply.ts';
import type { FrontLogger } from './settings.ts';
import type { Incoming } from '../wire/shape.ts';
import { claimsModern, metaOf } from '../wire/shape.ts';
import { thrownAnswer } from '../wire/text.ts';

type Request = Extract<Incoming, { kind: 'request' }>;
type Notification = Extract<Incoming, { kind: 'notification' }>;

export class ModernDoor {
  readonly #options: DoorOptions;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  post(message: Request | Notification, request: IncomingMessage, response: ServerResponse, caller: Caller): void {
    if (message.kind === 'notification') return this.#notification(message, request, response, caller);
    const { id, method, params } = message;
    const { headers } = request;
    const verdict = readMeta(params);
    if (!verdict.ok) return refuseWith(response, id, verdict.error);
    const { meta } = verdict;
    const problem =
      checkVersionHeader(headers['mcp-protocol-version'], meta.protocolVersion) ??
      checkVersion(meta.protocolVersion) ??
      checkHeaders(headers, method, params);
    if (problem !== null) return refuseWith(response, id, problem);
    const client = this.#client(caller, meta, response, id);
    if (client === null) return;
    if (method !== 'tools/call' || params === undefined) return this.#serve(client, message, meta, response);
    this.#serveCall(client, message, meta, request, response);
  }

  /** The arguments that are mirrored in headers have to be compared first. */
  #serveCall(
    client: ModernClient,
    message: Request,
    meta: ModernMeta,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    const { id, params = {} } = message;
    let checked: RpcError | null | Promise<RpcError | null>;
    try {
      checked = client.paramHeaders.check(client.session(), request.headers, params, metaOf(params) ?? {});
    } catch (error) {
      return refuseThrown(response, id, error, this.#options.logger);
    }
    const go = (problem: RpcError | null): void => {
      if (problem !== null) refuseWith(response, id, problem);
      else this.#serve(client, message, meta, response);
    };
    if (checked === null || !('then' in checked)) return go(checked);
    checked.then(go, (error: unknown) => refuseThrown(response, id, error, this.#options.logger));
  }

  #serve(client: ModernClient, { id, method, params }: Request, meta: ModernMeta, response: ServerResponse): void {
    // Gone while its headers were looked at.
    if (response.destroyed) return;
    const { clients, settings, logger, now } = this.#options;
    if (!isRemoved(method)) {
      try {
        client.session();
      } catch (error) {
        return refuseThrown(response, id, error, this.#options.logger);
      }
    }
    const reply = new ModernReply(
      {
        response,
        maxWaitingBytes: settings.maxWaitingBytes,
        onOverflow: () => logger.warn({ context: client.context }, 'a stream was cut off: its client does not read'),
      },
      now(),
    );
    clients.modernReplies.add(reply);
    const body = params === undefined ? { method } : { method, params };
    const call = client.request(id, body, meta, reply, (answer) => {
      clients.modernReplies.delete(reply);
      reply.answered(id, answer);
    });
    response.on('close', () => {
      clients.modernReplies.delete(reply);
      call.abort('The client closed the stream of its request');
    });
  }

  #client(caller: Caller, meta: ModernMeta, response: ServerResponse, id: RequestId): ModernClient | null {
    const client = this.#options.clients.modern(caller, meta);
    if (typeof client !== 'string') return client;
    refuse(response, {
      status: 503,
      code: RPC_CODE.refused,
      message: client,
      id,
      data: refusalData({ retryAfterMs: 10_000 }),
      headers: { 'retry-after': '10' },
    });
    return null;
  }

  /** This revision has none of its own over HTTP; those of extensions go on. */
  #notification(
    { method, params }: Notification,
    { headers }: IncomingMessage,
    response: ServerResponse,
    caller: Caller,
  ): void {
    const claimed = metaOf(params)?.[META.protocolVersion];
    const version = claimsModern(params) ? String(claimed) : String(headers['mcp-protocol-version']);
    const named = headers['mcp-method'];
    const problem =
      (headers['mcp-protocol-version'] === undefined
        ? null
        : checkVersionHeader(headers['mcp-protocol-version'], version)) ??
      checkVersion(version) ??
      (named === undefined ? null : checkHeaders(headers, method, params));
    if (problem !== null) return refuseWith(response, undefined, problem);
    if (method.startsWith('notifications/cancelled') || method === 'notifications/initialized') {
      return sendEmpty(response, 202);
    }
    const meta: Fields = metaOf(params) ?? {};
    const info = meta[META.clientInfo];
    const client = this.#options.clients.modern(caller, {
      protocolVersion: version,
      info: typeof info === 'object' && info !== null ? (info as Fields) : {},
      capabilities: {},
    });
    if (typeof client !== 'string') client.notification(method, params);
    sendEmpty(response, 202);
  }
}

function refuseWith(response: ServerResponse, id: RequestId | undefined, error: RpcError): void {
  refuse(response, { status: 400, ...error, id });
}

function refuseThrown(response: ServerResponse, id: RequestId, error: unknown, logger: FrontLogger): void {
  const answer = thrownAnswer(error, logger);
  refuse(response, { status: statusOf(error), ...answer.error, id });
}
