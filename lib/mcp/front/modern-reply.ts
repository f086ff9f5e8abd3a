/** The answer to one POST of the modern era: JSON when the result comes first, else an event stream that ends with it. */

import type { ServerResponse } from 'node:http';
import type { Answer, RequestId } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { COMMENT, EVENT_STREAM_HEADERS } from './event-stream.ts';
import { writeBounded } from './outlet.ts';
import type { Outlet } from './outlet.ts';
import { sendJson } from './reply.ts';
import { answerText } from '../wire/text.ts';

/** Of the specification: not implemented here, and a capability that the client has not declared. */
const STATUS: Readonly<Record<number, number>> = { [RPC_CODE.methodNotFound]: 404, [-32_021]: 400 };

export interface ModernReplyOptions {
  readonly response: ServerResponse;
  readonly maxWaitingBytes: number;
  readonly onOverflow: () => void;
}

export class ModernReply implements Outlet {
  readonly sinceMs: number;
  readonly #options: ModernReplyOptions;
  #streaming = false;

  constructor(options: ModernReplyOptions, nowMs: number) {
    this.#options = options;
    this.sinceMs = nowMs;
  }

  send(text: string): boolean {
    return this.startStream() && this.#write(`data: ${text}\n\n`);
  }

  startStream(): boolean {
    const { response } = this.#options;
    if (response.destroyed) return false;
    if (!this.#streaming) {
      this.#streaming = true;
      response.writeHead(200, EVENT_STREAM_HEADERS);
      response.flushHeaders();
    }
    return true;
  }

  comment(): void {
    const { response } = this.#options;
    if (this.#streaming && response.writableLength === 0) response.write(COMMENT);
  }

  answered(id: RequestId, answer: Answer): void {
    const { response } = this.#options;
    const text = answerText(id, answer);
    if (this.#streaming) {
      this.#write(`data: ${text}\n\n`);
      response.end();
    } else sendJson(response, answer.kind === 'error' ? (STATUS[answer.error.code] ?? 200) : 200, text);
  }

  #write(chunk: string): boolean {
    const { response, maxWaitingBytes, onOverflow } = this.#options;
    const outcome = writeBounded(response, chunk, maxWaitingBytes);
    if (outcome === 'overflow') onOverflow();
    return outcome === 'written';
  }
}
