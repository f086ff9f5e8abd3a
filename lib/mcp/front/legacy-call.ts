/** One open request of a legacy client, as what lies behind sees it. */

import type { Answer, NotificationBody, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Exchange } from '../wire/session.ts';
import type { Outlet } from './outlet.ts';
import { failure, notificationText } from '../wire/text.ts';

/** Told once with the answer, or with null when the request was cancelled and gets none. */
export type Answered = (answer: Answer | null) => void;

/** Asks the client on a channel of its. */
export type Question = (request: RequestBody, signal: AbortSignal, outlet: Outlet) => Promise<Answer>;

export class LegacyCall implements Exchange {
  readonly #question: Question;
  readonly #outlet: Outlet;
  readonly #answered: Answered;
  readonly #controller = new AbortController();
  #over = false;

  constructor(outlet: Outlet, answered: Answered, question: Question) {
    this.#question = question;
    this.#outlet = outlet;
    this.#answered = answered;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  notify(notification: NotificationBody): void {
    const text = this.#over ? null : notificationText(notification);
    if (text !== null) this.#outlet.send(text);
  }

  ask(request: RequestBody, signal: AbortSignal): Promise<Answer> {
    if (this.#over) return Promise.resolve(failure(RPC_CODE.internalError, 'The request is answered already'));
    return this.#question(request, signal, this.#outlet);
  }

  abort(reason: string): void {
    this.#over = true;
    this.#controller.abort(new Error(reason));
  }

  end(answer: Answer | null): void {
    this.#over = true;
    this.#answered(answer);
  }
}
