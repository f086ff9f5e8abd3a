/**
 * A server elsewhere, over Streamable HTTP of either era: the SDK's transport at the level of messages (sessions, resumption, redirects,
 * OAuth are its). Loaded when the first such server is spoken with.
 */

import { SdkHttpError, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { StreamableHTTPClientTransportOptions } from '@modelcontextprotocol/client';
import { GovernorError } from '../../core/errors.ts';
import type { Message, RpcError } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { isFields, readMessage } from '../wire/shape.ts';
import type { Channel, ChannelListener } from './upstream.ts';

export interface HttpTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Interactive sign-in; its tokens are dropped when the channel closes. */
  readonly authProvider?: StreamableHTTPClientTransportOptions['authProvider'];
  readonly fetch?: StreamableHTTPClientTransportOptions['fetch'];
}

type SendOptions = NonNullable<Parameters<StreamableHTTPClientTransport['send']>[1]>;

/** The session's end is told to a server that may not answer any more. */
const GOODBYE_MS = 2_000;

export class HttpChannel implements Channel {
  readonly kind = 'http';
  readonly #transport: StreamableHTTPClientTransport;
  readonly #target: HttpTarget;
  readonly #requests = new Map<number, AbortController>();
  #listener: ChannelListener | null = null;
  #closed = false;
  /** Its end was told to the server. */
  #left = false;
  #pendingBytes = 0;

  /** @throws GovernorError invalid_config for an address that is none of Streamable HTTP */
  constructor(target: HttpTarget) {
    this.#target = target;
    this.#transport = new StreamableHTTPClientTransport(addressOf(target.url), {
      requestInit: { headers: { ...target.headers } },
      ...(target.authProvider === undefined ? {} : { authProvider: target.authProvider }),
      ...(target.fetch === undefined ? {} : { fetch: target.fetch }),
    });
  }

  /** Of messages whose reception was not confirmed. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  async start(listener: ChannelListener): Promise<void> {
    this.#listener = listener;
    this.#transport.onmessage = (message) => this.#read(message);
    this.#transport.onerror = (error) => {
      if (!this.#closed) listener.onProblem(error.message);
    };
    this.#transport.onclose = () => this.#end('the connection was closed');
    await this.#transport.start();
  }

  send(message: Message): Promise<void> {
    if (this.#closed) return Promise.reject(new GovernorError('launch_failed', 'the conversation is over'));
    const id = 'method' in message && 'id' in message && typeof message.id === 'number' ? message.id : null;
    if (id === null) return this.#post(message);
    const abort = new AbortController();
    this.#requests.set(id, abort);
    // A stream may end without the answer long after the request was taken.
    return new Promise((_, reject) => {
      const failed = (error: unknown): void => {
        this.#requests.delete(id);
        // A refusal is an answer: of a server of the other era to the first question, for one.
        const refusal = this.#closed ? null : refusalOf(error);
        if (refusal === null) reject(error);
        else this.#listener?.onMessage({ kind: 'answer', id, answer: { kind: 'error', error: refusal } });
      };
      const onRequestStreamEnd = (): void => failed(new Error('the stream of its answer ended without one'));
      this.#post(message, { requestSignal: abort.signal, onRequestStreamEnd }).catch(failed);
    });
  }

  async #post(message: Message, options?: SendOptions): Promise<void> {
    const bytes = JSON.stringify(message).length;
    this.#pendingBytes += bytes;
    try {
      await this.#transport.send(message, options);
    } catch (error) {
      // "When a client receives HTTP 404 in response to a request containing an Mcp-Session-Id, it MUST start a new session".
      if (this.#transport.sessionId !== undefined && error instanceof SdkHttpError && error.status === 404)
        this.#end('it has ended the session');
      throw error;
    } finally {
      this.#pendingBytes -= bytes;
    }
  }

  abort(id: number, cancelled: Message): void {
    // Of the legacy era the stream's end is no cancellation, so it is said; of the modern era it is the only one.
    if (this.#transport.protocolVersion === undefined || this.#transport.protocolVersion < MODERN) {
      this.#post(cancelled).catch(() => undefined);
    }
    this.#requests.get(id)?.abort();
    this.#requests.delete(id);
  }

  negotiated(protocolVersion: string): void {
    this.#transport.setProtocolVersion(protocolVersion);
  }

  async close(): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    this.#end('closed');
    for (const abort of this.#requests.values()) abort.abort();
    this.#requests.clear();
    const goodbye = this.#transport.terminateSession().catch(() => undefined);
    await Promise.race([goodbye, new Promise((resolve) => setTimeout(resolve, GOODBYE_MS).unref())]);
    await this.#transport.close().catch(() => undefined);
    const { authProvider } = this.#target;
    if (authProvider !== undefined && 'invalidateCredentials' in authProvider)
      await Promise.resolve(authProvider.invalidateCredentials?.('tokens')).catch(() => undefined);
  }

  #read(value: unknown): void {
    if (this.#closed) return;
    const message = readMessage(value);
    if (message.kind === 'invalid') return this.#listener?.onProblem(`it sent what is no message: ${message.problem}`);
    if (message.kind === 'answer' && typeof message.id === 'number') this.#requests.delete(message.id);
    this.#listener?.onMessage(message);
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener?.onClose(reason);
  }
}

const MODERN = '2026-07-28';

function addressOf(url: string): URL {
  let address: URL;
  try {
    address = new URL(url);
  } catch {
    throw new GovernorError('invalid_config', `${url} is no address; write https://HOST/PATH`);
  }
  if (address.protocol === 'ws:' || address.protocol === 'wss:')
    throw new GovernorError(
      'invalid_config',
      'WebSocket is no transport of MCP; write the https:// address of its Streamable HTTP endpoint',
    );
  if (address.protocol !== 'http:' && address.protocol !== 'https:')
    throw new GovernorError('invalid_config', `${address.protocol} is not spoken here; write https://HOST/PATH`);
  return address;
}

/** What a status of 400 to 499 says: the JSON-RPC error in its body, or only its number. Null: it is something else that failed. */
function refusalOf(error: unknown): RpcError | null {
  if (!(error instanceof SdkHttpError) || error.status < 400 || error.status > 499) return null;
  // Whoever is not let in has no answer.
  if (error.status === 401 || error.status === 403) return null;
  const told = { code: RPC_CODE.internalError, message: `the server answered with HTTP ${error.status}` };
  try {
    const body: unknown = JSON.parse(String(error.data['text']));
    const found = isFields(body) ? body['error'] : undefined;
    if (!isFields(found) || typeof found['code'] !== 'number' || typeof found['message'] !== 'string') return told;
    return { code: found['code'], message: found['message'], ...('data' in found ? { data: found['data'] } : {}) };
  } catch {
    return told;
  }
}
