/**
 * MCP over a byte stream, one message a line: the era is a matter of each request. `initialize` begins the legacy conversation of this
 * stream; a request that carries its version in `_meta` is served by itself.
 */

import type { Duplex } from 'node:stream';
import { Gathered } from '../wire/gathered.ts';
import { LineReader } from '../wire/line-reader.ts';
import type { Answer, RequestId } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Gateway } from '../wire/session.ts';
import { Batch } from './batch.ts';
import type { Caller } from './caller.ts';
import { newContext } from './clients.ts';
import { LegacyClient } from './legacy-client.ts';
import type { Standalone } from './legacy-client.ts';
import { checkVersion, readMeta } from './modern-check.ts';
import { ModernClient } from './modern-client.ts';
import type { ModernCall } from './modern-client.ts';
import { writeBounded } from './outlet.ts';
import type { FrontLogger, FrontSettings } from './settings.ts';
import { claimsModern, isRequestId, readMessage } from '../wire/shape.ts';
import type { Incoming } from '../wire/shape.ts';
import { answerText, errorText, failure, thrownAnswer } from '../wire/text.ts';

export interface ByteStreamOptions {
  readonly gateway: Gateway;
  readonly logger: FrontLogger;
  readonly settings: FrontSettings;
  readonly now: () => number;
  readonly caller: Caller;
  /** The first request is answered with this, and the stream ended; null: served. */
  readonly refusal: string | null;
}

type Request = Extract<Incoming, { kind: 'request' }>;
/** Sends the answer to a request, or gathers it with others. */
type Respond = (id: RequestId, answer: Answer | null) => void;

export class ByteStream implements Standalone {
  readonly ended: Promise<void>;
  readonly #stream: Duplex;
  readonly #gathered: Gathered;
  readonly #options: ByteStreamOptions;
  readonly context: string;
  readonly #lines: LineReader;
  readonly #modernCalls = new Map<RequestId, ModernCall>();
  #resolveEnded: () => void = () => undefined;
  #legacy: LegacyClient | null = null;
  #modern: ModernClient | null = null;
  #initialized = false;
  #closed = false;

  constructor(stream: Duplex, options: ByteStreamOptions) {
    this.#stream = stream;
    this.#gathered = new Gathered(stream);
    this.#options = options;
    this.context = options.caller.label ?? newContext();
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    const { maxBodyBytes } = options.settings;
    this.#lines = new LineReader({
      maxLineBytes: maxBodyBytes,
      onLine: (line) => this.#line(line),
      onTooLong: () => this.#problem(RPC_CODE.invalidRequest, `A message has at most ${maxBodyBytes} bytes`),
    });
  }

  start(head: Uint8Array): void {
    const stream = this.#stream;
    stream.on('error', (error) => this.#options.logger.debug({ err: error }, 'an MCP byte stream broke'));
    stream.on('close', () => void this.close('The client has gone'));
    stream.on('end', () => this.#drain());
    if (head.length > 0) this.#lines.push(Buffer.from(head));
    stream.on('data', (chunk: Buffer) => this.#lines.push(chunk));
  }

  get refused(): boolean {
    return this.#options.refusal !== null;
  }

  /** Of the standalone channel. */
  get open(): boolean {
    return this.#initialized;
  }

  send(text: string): boolean {
    this.#gathered.begin();
    const outcome = writeBounded(this.#stream, `${text}\n`, this.#options.settings.maxWaitingBytes);
    if (outcome === 'overflow') {
      this.#options.logger.warn({ context: this.context }, 'a byte stream was cut off: its client does not read');
    }
    return outcome === 'written';
  }

  /** Open requests get an error that says why; the stream stays. */
  async endContext(reason: string): Promise<void> {
    await Promise.all([this.#legacy?.endContext(reason), this.#modern?.endContext(reason)]);
  }

  async close(reason: string): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#lines.clear();
    const closing = [this.#legacy, this.#modern].map((client) => client?.close(reason) ?? Promise.resolve());
    // What was open is answered by now; nobody waits at the stream for servers to end.
    this.#stream.end();
    // One that does not read would keep it.
    const force = setTimeout(() => this.#stream.destroy(), this.#options.settings.drainMs);
    if (this.#stream.destroyed) clearTimeout(force);
    else this.#stream.once('close', () => clearTimeout(force));
    this.#resolveEnded();
    await Promise.all(closing);
  }

  /** The client has ended its side. What it has asked for may still be answered, for a moment. */
  #drain(): void {
    const startedMs = this.#options.now();
    const look = (): void => {
      const quiet = (this.#legacy?.quiet ?? true) && this.#modernCalls.size === 0;
      const over = this.#options.now() - startedMs >= this.#options.settings.drainMs;
      if (this.#closed) return;
      if (quiet || over) void this.close('The client ended its side');
      else setTimeout(look, 10);
    };
    look();
  }

  #line(line: string): void {
    if (this.#closed || line.trim() === '') return;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return this.#problem(RPC_CODE.parseError, 'The line is not JSON');
    }
    try {
      if (Array.isArray(value)) return this.#batch(value);
      this.#message(readMessage(value), (id, answer) => {
        if (answer !== null) this.send(answerText(id, answer));
      });
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'an MCP message failed');
      this.#problem(RPC_CODE.internalError, 'Governor failed at this message; its log says more');
    }
  }

  #message(message: Incoming, respond: Respond): void {
    if (message.kind === 'invalid') {
      return this.#problem(RPC_CODE.invalidRequest, `Not a JSON-RPC message: ${message.problem}`, message.id);
    }
    if (message.kind === 'answer') return void this.#legacy?.answer(message.id, message.answer);
    if (message.kind === 'notification') return this.#notification(message.method, message.params);
    const { refusal } = this.#options;
    if (refusal !== null) {
      respond(message.id, refused(refusal, { retryAfterMs: 10_000 }));
      return void this.close(refusal);
    }
    if (claimsModern(message.params)) return this.#modernRequest(message, respond);
    if (message.method === 'initialize') return void this.#initialize(message, respond);
    if (this.#legacy !== null) {
      const { id, method, params } = message;
      const body = params === undefined ? { method } : { method, params };
      return this.#legacy.request(id, body, this, (answer) => respond(id, answer));
    }
    if (message.method === 'ping') return respond(message.id, { kind: 'result', result: {} });
    const verdict = readMeta(message.params);
    // Nothing says which era it is of, so it may be told what both need.
    const missing = verdict.ok
      ? ''
      : `, or ${verdict.error.message.replace('The request needs ', '')} with each request`;
    respond(message.id, failure(RPC_CODE.invalidParams, `Begin with initialize${missing}`));
  }

  #notification(method: string, params: Request['params']): void {
    if (method === 'notifications/initialized') {
      this.#initialized = true;
      return this.#legacy?.ready();
    }
    if (method === 'notifications/cancelled') {
      const id = params?.['requestId'];
      const reason = params?.['reason'];
      if (isRequestId(id) && this.#modernCalls.has(id)) {
        return this.#modernCalls.get(id)?.abort(typeof reason === 'string' ? reason : 'cancelled by the client');
      }
    }
    if (claimsModern(params) || this.#legacy === null) this.#modern?.notification(method, params);
    else this.#legacy.notification(method, params);
  }

  async #initialize({ id, params = {} }: Request, respond: Respond): Promise<void> {
    if (this.#legacy !== null)
      return respond(id, failure(RPC_CODE.invalidRequest, 'This stream is initialized already'));
    if (typeof params['protocolVersion'] !== 'string') {
      return respond(id, failure(RPC_CODE.invalidParams, 'initialize needs protocolVersion'));
    }
    const { gateway, settings, logger, caller } = this.#options;
    const client = new LegacyClient({
      gateway,
      view: caller.view,
      context: this.context,
      params,
      settings,
      logger,
      standalone: this,
    });
    this.#legacy = client;
    const gone = new AbortController();
    void this.ended.then(() => gone.abort(new Error('The client has gone')));
    try {
      const result = await client.initialize(gone.signal);
      respond(id, { kind: 'result', result });
    } catch (error) {
      this.#legacy = null;
      await client.close('The handshake failed');
      respond(id, thrownAnswer(error, this.#options.logger));
    }
  }

  #modernRequest({ id, method, params }: Request, respond: Respond): void {
    const verdict = readMeta(params);
    if (!verdict.ok) return respond(id, { kind: 'error', error: verdict.error });
    const unsupported = checkVersion(verdict.meta.protocolVersion);
    if (unsupported !== null) return respond(id, { kind: 'error', error: unsupported });
    if (this.#modernCalls.has(id)) {
      return respond(
        id,
        failure(RPC_CODE.invalidRequest, `A request with the id ${JSON.stringify(id)} is open already`),
      );
    }
    const { gateway, settings, logger, caller, now } = this.#options;
    this.#modern ??= new ModernClient({ gateway, view: caller.view, context: this.context, settings, logger, now });
    let over = false;
    const body = params === undefined ? { method } : { method, params };
    const call = this.#modern.request(id, body, verdict.meta, this, (answer) => {
      over = true;
      this.#modernCalls.delete(id);
      respond(id, answer);
    });
    if (over) return;
    this.#modernCalls.set(id, call);
    call.signal.addEventListener('abort', () => {
      if (this.#modernCalls.get(id) === call) this.#modernCalls.delete(id);
      respond(id, null);
    });
  }

  #batch(values: readonly unknown[]): void {
    const { maxBatch } = this.#options.settings;
    if (this.#legacy === null || this.#legacy.protocolVersion !== '2025-03-26') {
      return this.#problem(RPC_CODE.invalidRequest, 'Only a conversation of 2025-03-26 has batches');
    }
    const messages = values.map(readMessage);
    if (messages.length === 0 || messages.length > maxBatch) {
      return this.#problem(RPC_CODE.invalidRequest, `A batch has 1 to ${maxBatch} messages`);
    }
    const requests = messages.filter((message) => message.kind === 'request');
    const batch = new Batch(requests.length, (text) => this.send(text));
    for (const message of messages) this.#message(message, (id, answer) => batch.answered(id, answer));
  }

  #problem(code: number, message: string, id?: RequestId): void {
    this.send(errorText(id, { code, message }));
  }
}
