/** Streamable HTTP: reads a message, finds out which era it belongs to, and hands it to that era's half. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { RPC_CODE } from '../wire/protocol.ts';
import { refusalData } from '../wire/refused.ts';
import { BodyReader } from './body.ts';
import type { Body } from './body.ts';
import { readLabel } from './caller.ts';
import type { Caller } from './caller.ts';
import type { Clients } from './clients.ts';
import { LegacyDoor } from './legacy-door.ts';
import { ModernDoor } from './modern-door.ts';
import { oneHeader, refuse } from './reply.ts';
import type { FrontLogger, FrontSettings } from './settings.ts';
import { claimsModern, readMessage } from '../wire/shape.ts';
import { isModernVersion } from './versions.ts';

export interface DoorOptions {
  readonly clients: Clients;
  readonly logger: FrontLogger;
  readonly settings: FrontSettings;
  readonly now: () => number;
}

export class HttpDoor {
  readonly #options: DoorOptions;
  readonly #bodies: BodyReader;
  readonly #legacy: LegacyDoor;
  readonly #modern: ModernDoor;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#bodies = new BodyReader(options.settings);
    this.#legacy = new LegacyDoor(options);
    this.#modern = new ModernDoor(options);
  }

  get bodyBytes(): number {
    return this.#bodies.heldBytes;
  }

  serve(request: IncomingMessage, response: ServerResponse, caller: Caller): void {
    response.on('error', (error) => this.#options.logger.debug({ err: error }, 'an MCP response broke'));
    if (this.#options.clients.closed) return refuse(response, SHUTTING_DOWN);
    switch (request.method) {
      case 'POST':
        return this.#post(request, response, caller);
      case 'GET':
        if (isModernVersion(request.headers['mcp-protocol-version'])) return refuse(response, onlyPost('GET'));
        return this.#legacy.get(request, response, caller);
      case 'DELETE':
        if (isModernVersion(request.headers['mcp-protocol-version'])) return refuse(response, onlyPost('DELETE'));
        return this.#legacy.delete(request, response, caller);
      default:
        return refuse(response, notAllowed(String(request.method), 'GET, POST, DELETE'));
    }
  }

  #post(request: IncomingMessage, response: ServerResponse, caller: Caller): void {
    const { 'content-type': type = '', accept } = request.headers;
    if (!/^application\/json *(?:;|$)/i.test(type)) {
      const message = 'Send the message as "Content-Type: application/json"';
      return refuse(response, { status: 415, code: RPC_CODE.invalidRequest, message });
    }
    if (accept !== undefined && !acceptsBoth(accept)) {
      const message = 'Send "Accept: application/json, text/event-stream": the answer may be either';
      return refuse(response, { status: 406, code: RPC_CODE.invalidRequest, message });
    }
    const label = readLabel(oneHeader(request.headers['governor-context']));
    if ('problem' in label) {
      const message = `Governor-Context: ${label.problem}`;
      return refuse(response, { status: 400, code: RPC_CODE.invalidRequest, message });
    }
    const named = label.label === null ? caller : { ...caller, label: label.label };
    this.#bodies.read(request, (body) => {
      if (this.#options.clients.closed) return refuse(response, SHUTTING_DOWN);
      if (body.kind !== 'text') return refuse(response, this.#refusedBody(body));
      try {
        this.#message(body.text, request, response, named);
      } catch (error) {
        this.#options.logger.warn({ err: error }, 'an MCP request failed');
        refuse(response, FAILED);
      }
    });
  }

  #refusedBody({ kind }: Exclude<Body, { kind: 'text' }>) {
    const { maxBodyBytes } = this.#options.settings;
    switch (kind) {
      case 'too_large':
        return { status: 413, code: RPC_CODE.invalidRequest, message: `A message has at most ${maxBodyBytes} bytes` };
      case 'busy':
        return {
          status: 503,
          code: RPC_CODE.refused,
          message: 'Too many large messages are being received; try again',
          data: refusalData({ retryAfterMs: 1000 }),
          headers: { 'retry-after': '1' },
        };
      case 'not_utf8':
        return { status: 400, code: RPC_CODE.parseError, message: 'The message is not UTF-8' };
    }
  }

  #message(text: string, request: IncomingMessage, response: ServerResponse, caller: Caller): void {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return refuse(response, { status: 400, code: RPC_CODE.parseError, message: 'The body is not JSON' });
    }
    const modernHeader = isModernVersion(request.headers['mcp-protocol-version']);
    if (Array.isArray(value)) return this.#legacy.batch(value, request, response, caller);
    const message = readMessage(value);
    if (message.kind === 'invalid') {
      return refuse(response, {
        status: 400,
        code: RPC_CODE.invalidRequest,
        message: `Not a JSON-RPC message: ${message.problem}`,
        id: message.id,
      });
    }
    // A request says by its own `_meta` which era it belongs to; a notification has nothing but the header.
    const modern = message.kind !== 'answer' && (modernHeader || claimsModern(message.params));
    if (modern) return this.#modern.post(message, request, response, caller);
    this.#legacy.post(message, request, response, caller);
  }
}

const FAILED = {
  status: 500,
  code: RPC_CODE.internalError,
  message: 'Governor failed at this request; its log says more',
} as const;

const SHUTTING_DOWN = {
  status: 503,
  code: RPC_CODE.refused,
  message: 'The daemon is shutting down',
  data: refusalData(),
} as const;

function onlyPost(method: string) {
  return { ...notAllowed(method, 'POST'), message: `This revision has no ${method}: messages are POSTs` };
}

function notAllowed(method: string, allow: string) {
  const message = `${method} is not possible here; possible: ${allow}`;
  return { status: 405, code: RPC_CODE.invalidRequest, message, headers: { allow } };
}

function acceptsBoth(accept: string): boolean {
  return accept.includes('*/*') || (accept.includes('application/json') && accept.includes('text/event-stream'));
}
