/**
 * The front doors: Streamable HTTP of both eras on one endpoint, and byte streams of both eras. They know clients, and nothing of what
 * lies behind but the Gateway.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Gateway } from '../wire/session.ts';
import { ByteStream } from './byte-stream.ts';
import type { Caller } from './caller.ts';
import { Clients } from './clients.ts';
import { HttpDoor } from './http-door.ts';
import { FRONT_DEFAULTS } from './settings.ts';
import type { FrontLogger, FrontSettings } from './settings.ts';

export interface McpFrontOptions {
  readonly gateway: Gateway;
  readonly logger: FrontLogger;
  readonly settings?: Partial<FrontSettings>;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

export interface McpFront {
  /** Answers one request that the guard has let through: any method, body not read yet. Never throws. */
  serve(request: IncomingMessage, response: ServerResponse, caller: Caller): void;
  /**
   * Speaks MCP, one message a line, on a stream until either side ends it. Never throws.
   * @param head what was read of it already
   */
  connect(stream: Duplex, head: Uint8Array, caller: Caller): void;
  readonly counts: FrontCounts;
  /**
   * What lies behind the clients of a context is given up: their open requests get an error that says why, the next ones begin anew.
   * @returns false: no client is of it
   */
  endContext(context: string, reason: string): Promise<boolean>;
  /** Sessions end, open requests are answered with the reason, streams end. Nothing new is served. Idempotent. */
  close(reason: string): Promise<void>;
}

export interface FrontCounts {
  readonly sessions: number;
  readonly modernClients: number;
  readonly byteStreams: number;
  /** Kept for clients that lost their connection. */
  readonly replayBytes: number;
  /** Bodies that are being received. */
  readonly bodyBytes: number;
}

export function createMcpFront(options: McpFrontOptions): McpFront {
  const settings: FrontSettings = { ...FRONT_DEFAULTS, ...options.settings };
  const { gateway, logger, now = () => performance.now() } = options;
  const clients = new Clients({ gateway, logger, settings, now });
  const door = new HttpDoor({ clients, logger, settings, now });
  let closing: Promise<void> | null = null;
  return {
    serve: (request, response, caller) => door.serve(request, response, caller),
    connect(stream, head, caller) {
      const refusal = closing === null ? clients.full() : 'The daemon is shutting down';
      const byteStream = new ByteStream(stream, { gateway, logger, settings, now, caller, refusal });
      clients.addByteStream(byteStream);
      byteStream.start(head);
    },
    get counts() {
      return { ...clients.counts, bodyBytes: door.bodyBytes };
    },
    endContext: (context, reason) => clients.endContext(context, reason),
    close(reason) {
      closing ??= clients.close(reason);
      return closing;
    },
  };
}
