/** The SDK's transports of one session with a server elsewhere: one for the session itself, and one for each request. */

import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { FetchLike, StreamableHTTPClientTransportOptions } from '@modelcontextprotocol/client';
// Node's own fetch has connections that nobody can close, and no class for others.
import { Agent, fetch } from 'undici';
import type { RequestInit as UndiciInit } from 'undici';
import { addressOf } from './http-address.ts';
import { RECONNECTION } from './standing-stream.ts';
import type { StandingStream } from './standing-stream.ts';

export interface HttpTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sign-in; whose tokens they are, and how long they are kept, is for the provider. */
  readonly authProvider?: StreamableHTTPClientTransportOptions['authProvider'];
  /** Around each request; `by` sends it. */
  readonly fetch?: (url: string | URL, init: RequestInit | undefined, by: FetchLike) => Promise<Response>;
}

export type Transport = StreamableHTTPClientTransport;

export class HttpTransports {
  /** Its handshake, what is no request, and the stream of what belongs to none. */
  readonly main: Transport;
  readonly #target: HttpTarget;
  readonly #address: URL;
  /** How long an answer, or a stream on which nothing moves, is waited for is not its affair: requests have their own deadlines. */
  readonly #agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  /** Whose streams may still be open. */
  readonly #own = new Set<Transport>();

  /** @throws GovernorError invalid_config for an address that is none of Streamable HTTP */
  constructor(target: HttpTarget, schedule: StandingStream['schedule']) {
    this.#target = target;
    this.#address = addressOf(target.url);
    this.main = new StreamableHTTPClientTransport(this.#address, {
      ...this.#options(),
      reconnectionOptions: RECONNECTION,
      reconnectionScheduler: schedule,
    });
  }

  /** Of one request, in the same session. */
  open(onMessage: (value: unknown) => void, onError: (error: Error) => void): Transport {
    const { sessionId, protocolVersion } = this.main;
    const transport = new StreamableHTTPClientTransport(this.#address, {
      ...this.#options(),
      ...(sessionId === undefined ? {} : { sessionId }),
      ...(protocolVersion === undefined ? {} : { protocolVersion }),
    });
    transport.onmessage = onMessage;
    transport.onerror = onError;
    // Nothing is opened by it.
    void transport.start();
    this.#own.add(transport);
    return transport;
  }

  /** Its stream has ended. */
  ended(transport: Transport): void {
    this.#own.delete(transport);
  }

  /** Ends its stream. */
  drop(transport: Transport): void {
    this.#own.delete(transport);
    if (transport !== this.main) transport.close().catch(() => undefined);
  }

  dropAll(): void {
    for (const transport of this.#own) this.drop(transport);
  }

  /** Also of the connections on which nothing is under way: servers may keep those for minutes. */
  closeConnections(): Promise<void> {
    return this.#agent.destroy();
  }

  #options(): StreamableHTTPClientTransportOptions {
    const { headers, authProvider, fetch: around } = this.#target;
    const send: FetchLike = (url, init) => fetch(url, { ...(init as UndiciInit | undefined), dispatcher: this.#agent });
    return {
      requestInit: { headers: { ...headers } },
      ...(authProvider === undefined ? {} : { authProvider }),
      fetch: around === undefined ? send : (url, init) => around(url, init, send),
    };
  }
}
