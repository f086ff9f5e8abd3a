/** The answers to a batch (JSON-RPC 2.0 section 6, MCP 2025-03-26), sent as one when all are there. */

import type { Answer, RequestId } from '../wire/message.ts';
import { answerText } from '../wire/text.ts';

export class Batch {
  readonly #send: (text: string) => void;
  readonly #texts: string[] = [];
  #remaining: number;

  constructor(expected: number, send: (text: string) => void) {
    this.#remaining = expected;
    this.#send = send;
  }

  /** @param answer null: cancelled, none is sent */
  answered(id: RequestId, answer: Answer | null): void {
    this.#remaining -= 1;
    if (answer !== null) this.#texts.push(answerText(id, answer));
    if (this.#remaining === 0 && this.#texts.length > 0) this.#send(`[${this.#texts.join(',')}]`);
  }
}
