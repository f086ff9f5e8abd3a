/**
 * The answer to one POST of the legacy era: plain JSON when the result comes first, an event stream as soon as something else has to be
 * said, or when it takes long. A batch has one reply for all its requests.
 */

import type { ServerResponse } from 'node:http';
import type { Answer, RequestId } from '../wire/message.ts';
import type { EventStream } from './event-stream.ts';
import { EVENT_STREAM_HEADERS } from './event-stream.ts';
import type { Outlet } from './outlet.ts';
import { sendJson } from './reply.ts';
import { answerText } from '../wire/text.ts';

export interface PostReplyOptions {
  readonly response: ServerResponse;
  /** Requests that are to be answered. */
  readonly expected: number;
  readonly batch: boolean;
  /** Makes the stream that belongs to this POST; it goes on when the connection breaks. */
  readonly openStream: () => EventStream;
  readonly onDone: (reply: PostReply) => void;
}

export class PostReply implements Outlet {
  readonly sinceMs: number;
  readonly #options: PostReplyOptions;
  readonly #texts: string[] = [];
  #remaining: number;
  #stream: EventStream | null = null;

  constructor(options: PostReplyOptions, nowMs: number) {
    this.#options = options;
    this.#remaining = options.expected;
    this.sinceMs = nowMs;
  }

  /** What belongs to the request and is no answer. */
  send(text: string): boolean {
    return this.startStream() && this.#stream?.send(text) === true;
  }

  /** @returns false when the client is gone and never learnt of the stream */
  startStream(): boolean {
    if (this.#stream !== null) return true;
    const { response } = this.#options;
    if (response.destroyed || response.headersSent) return false;
    this.#stream = this.#options.openStream();
    this.#stream.attach(response, null);
    for (const text of this.#texts.splice(0)) this.#stream.send(text);
    return true;
  }

  answered(id: RequestId, answer: Answer | null): void {
    this.#remaining -= 1;
    if (answer !== null) {
      const text = answerText(id, answer);
      if (this.#stream === null) this.#texts.push(text);
      else this.#stream.send(text);
    }
    if (this.#remaining > 0) return;
    this.#options.onDone(this);
    this.#finish();
  }

  #finish(): void {
    const { response, batch } = this.#options;
    const [first] = this.#texts;
    if (this.#stream !== null) this.#stream.finish();
    else if (first !== undefined) sendJson(response, 200, batch ? `[${this.#texts.join(',')}]` : first);
    else if (!response.destroyed && !response.headersSent) {
      // Cancelled: a request has no answer of HTTP but a stream, and nothing goes on it.
      response.writeHead(200, EVENT_STREAM_HEADERS);
      response.end();
    }
  }
}
