/**
 * A server elsewhere, over Streamable HTTP of either era: the SDK's transport at the level of messages (sessions, resumption, redirects,
 * OAuth are its). Each request has a transport of its own, so that what the server says on the stream of its answer is known to belong to
 * it. Loaded when the first such server is spoken with.
 */

import { SdkHttpError } from '@modelcontextprotocol/client';
import { GovernorError } from '../../core/errors.ts';
import type { Fields, Message, RequestMessage } from '../wire/message.ts';
import { MODERN_VERSIONS, RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import { claimsModern, readMessage } from '../wire/shape.ts';
import { refusalOf } from './http-refusal.ts';
import { HttpTransports } from './http-transports.ts';
import type { HttpTarget, Transport } from './http-transports.ts';
import { ParamHeaders } from './param-headers.ts';
import { StandingStream } from './standing-stream.ts';
import type { Channel, ChannelListener, Received } from './upstream.ts';

type SendOptions = NonNullable<Parameters<Transport['send']>[1]>;

/** A request that is not answered yet. */
interface Posted {
  readonly message: RequestMessage;
  readonly abort: AbortController;
  readonly fail: (error: unknown) => void;
  transport: Transport;
  /** Of its own, as JSON. */
  headers: string;
  /** Sent once more, since the server wanted other headers. */
  isAgain: boolean;
}

const SESSION_ENDED = 'it has ended the session';
/** The session's end is told to a server that may not answer any more. */
const GOODBYE_MS = 2_000;
const LIST_TIMEOUT_MS = 10_000;

export class HttpChannel implements Channel {
  readonly kind = 'http';
  readonly #transports: HttpTransports;
  readonly #main: Transport;
  readonly #standing = new StandingStream({
    open: () => this.#main.resumeStream(''),
    onGone: () => this.#end(SESSION_ENDED),
    monotonicMs: () => performance.now(),
  });
  readonly #requests = new Map<number, Posted>();
  readonly #params = new ParamHeaders((fault) => this.#listener?.onLeftOut(fault));
  #learning: Promise<void> | null = null;
  #listener: ChannelListener | null = null;
  #closed = false;
  /** Its end was told to the server. */
  #left = false;
  #pendingBytes = 0;

  /** @throws GovernorError invalid_config for an address that is none of Streamable HTTP */
  constructor(target: HttpTarget) {
    this.#transports = new HttpTransports(target, this.#standing.schedule);
    this.#main = this.#transports.main;
  }

  /** Of messages whose reception was not confirmed. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  async start(listener: ChannelListener): Promise<void> {
    this.#listener = listener;
    this.#main.onmessage = (message) => {
      this.#standing.heard();
      this.#read(message);
    };
    this.#main.onerror = (error) => {
      if (this.#standing.failed(error)) this.#problem(error);
    };
    this.#main.onclose = () => this.#end('the connection was closed');
    await this.#main.start();
  }

  send(message: Message): Promise<void> {
    if (this.#closed) return Promise.reject(new GovernorError('launch_failed', 'the conversation is over'));
    if (!('method' in message && 'id' in message) || typeof message.id !== 'number')
      return this.#post(this.#main, message);
    const { id } = message;
    // A stream may end without the answer long after the request was taken.
    return new Promise((_, reject) => {
      const fail = (error: unknown): void => {
        this.#requests.delete(id);
        // A refusal is an answer: of a server of the other era to the first question, for one.
        const refusal = this.#closed ? null : refusalOf(error);
        if (refusal === null) reject(error);
        else this.#listener?.onMessage({ kind: 'answer', id, answer: { kind: 'error', error: refusal } });
      };
      this.#ask({ message, abort: new AbortController(), fail, transport: this.#main, headers: '', isAgain: false });
    });
  }

  async abort(id: number, cancelled: Message): Promise<void> {
    // Of the legacy era the stream's end is no cancellation, so it is said; of the modern era it is the only one.
    const isSaid = this.#main.protocolVersion === undefined || this.#main.protocolVersion < MODERN_VERSIONS[0];
    const told = isSaid ? this.#post(this.#main, cancelled).catch(() => undefined) : undefined;
    const posted = this.#requests.get(id);
    this.#requests.delete(id);
    posted?.abort.abort();
    if (posted !== undefined) this.#transports.drop(posted.transport);
    await told;
  }

  negotiated(protocolVersion: string): void {
    this.#main.setProtocolVersion(protocolVersion);
  }

  async close(): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    this.#end('closed');
    for (const { abort } of this.#requests.values()) abort.abort();
    this.#requests.clear();
    this.#transports.dropAll();
    this.#standing.close();
    const goodbye = this.#main.terminateSession().catch(() => undefined);
    await Promise.race([goodbye, new Promise((resolve) => setTimeout(resolve, GOODBYE_MS).unref())]);
    await this.#main.close().catch(() => undefined);
    await this.#transports.closeConnections();
  }

  #ask(posted: Posted): void {
    const { message, abort } = posted;
    const id = message.id as number;
    const refusal = claimsModern(message.params) ? this.#params.refusalOf(message) : null;
    if (refusal !== null) {
      this.#requests.delete(id);
      return this.#listener?.onMessage({ kind: 'answer', id, answer: refused(refusal) });
    }
    const transport = message.method === 'initialize' ? this.#main : this.#open((value) => this.#read(value, id));
    posted.transport = transport;
    this.#requests.set(id, posted);
    const fail = (error: unknown): void => {
      this.#transports.ended(transport);
      // It may have been sent again by then, on another one.
      if (posted.transport === transport) posted.fail(error);
    };
    const onRequestStreamEnd = (): void => fail(new Error('the stream of its answer ended without one'));
    const headers = this.#headersOf(message);
    posted.headers = JSON.stringify(headers);
    this.#post(transport, message, { requestSignal: abort.signal, onRequestStreamEnd, headers }).then(() => {
      if (this.#requests.get(id) !== posted) this.#transports.ended(transport);
    }, fail);
  }

  async #post(transport: Transport, message: Message, options?: SendOptions): Promise<void> {
    const bytes = JSON.stringify(message).length;
    this.#pendingBytes += bytes;
    try {
      await transport.send(message, options);
    } catch (error) {
      // "When a client receives HTTP 404 in response to a request containing an Mcp-Session-Id, it MUST start a new session".
      if (this.#main.sessionId !== undefined && error instanceof SdkHttpError && error.status === 404)
        this.#end(SESSION_ENDED);
      throw error;
    } finally {
      this.#pendingBytes -= bytes;
    }
  }

  /** @param stream of which request it came on; undefined: of none */
  #read(value: unknown, stream?: number): void {
    if (this.#closed) return;
    const message = readMessage(value);
    if (message.kind === 'invalid') return this.#listener?.onProblem(`it sent what is no message: ${message.problem}`);
    if (message.kind === 'answer' && typeof message.id === 'number') {
      const posted = this.#requests.get(message.id);
      if (posted !== undefined && this.#isMismatch(posted, message)) return this.#askAgain(posted, message);
      this.#requests.delete(message.id);
      const { answer } = message;
      if (posted?.message.method === 'tools/list' && answer.kind === 'result' && claimsModern(posted.message.params)) {
        const result = this.#params.learn(answer.result);
        return this.#listener?.onMessage({ ...message, answer: { kind: 'result', result } }, stream);
      }
    }
    this.#listener?.onMessage(message, stream);
  }

  #isMismatch({ isAgain, message }: Posted, { answer }: Extract<Received, { kind: 'answer' }>): boolean {
    const isMismatch = answer.kind === 'error' && answer.error.code === RPC_CODE.headerMismatch;
    return isMismatch && !isAgain && message.method === 'tools/call' && claimsModern(message.params);
  }

  /** The tool may have changed since it was listed: that is looked up before its client hears of it (2026-07-28). */
  #askAgain(posted: Posted, refusal: Received): void {
    const { message } = posted;
    posted.isAgain = true;
    this.#transports.drop(posted.transport);
    // By another call that was refused, perhaps, since this one was sent.
    if (JSON.stringify(this.#headersOf(message)) !== posted.headers) return this.#ask(posted);
    this.#learning ??= this.#params
      .learnAll(message, (request) => this.#quietly(request))
      .finally(() => (this.#learning = null));
    void this.#learning.then(() => {
      if (this.#closed || this.#requests.get(message.id as number) !== posted) return;
      const isOther = JSON.stringify(this.#headersOf(message)) !== posted.headers;
      if (isOther || this.#params.refusalOf(message) !== null) return this.#ask(posted);
      this.#requests.delete(message.id as number);
      this.#listener?.onMessage(refusal);
    });
  }

  #headersOf(message: RequestMessage): Readonly<Record<string, string>> {
    return claimsModern(message.params) ? this.#params.of(message) : {};
  }

  /** Asked by the channel itself. Never rejects. */
  async #quietly(request: Pick<RequestMessage, 'method' | 'params'>): Promise<Fields | null> {
    const signal = AbortSignal.timeout(LIST_TIMEOUT_MS);
    return new Promise((resolve) => {
      const transport = this.#open((value) => {
        const read = readMessage(value);
        if (read.kind === 'answer') over(read.answer.kind === 'result' ? read.answer.result : null);
      });
      const over = (result: Fields | null): void => {
        this.#transports.drop(transport);
        resolve(result);
      };
      signal.addEventListener('abort', () => over(null), { once: true });
      const onRequestStreamEnd = (): void => over(null);
      const message = { jsonrpc: '2.0', id: 'governor-tools', ...request } as const;
      this.#post(transport, message, { requestSignal: signal, onRequestStreamEnd }).catch(() => over(null));
    });
  }

  #open(onMessage: (value: unknown) => void): Transport {
    return this.#transports.open(onMessage, (error) => this.#problem(error));
  }

  #problem(error: Error): void {
    if (!this.#closed) this.#listener?.onProblem(error.message);
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#standing.close();
    this.#listener?.onClose(reason);
  }
}
