/**
 * A legacy server refused a request until a person has opened a page (error -32042). To a modern client that is `input_required` with
 * elicitations of mode `url`; when it comes back the request is sent again, for the first time as far as the server is concerned.
 */

import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import { inputRequest } from './call.ts';
import { missingFor } from '../wire/client-needs.ts';
import { fieldsOf } from '../wire/shape.ts';
import { failure, success } from '../wire/text.ts';
import { ERA_CODE } from './era-names.ts';
import type { Parking, Waiting } from './parking.ts';
import type { Turn } from './turn.ts';

const PAGES_MAX = 16;

export class UrlVisit implements Waiting {
  readonly request: RequestBody;
  readonly #questions: Fields;
  readonly #again: (turn: Turn) => void;

  private constructor(request: RequestBody, questions: Fields, again: (turn: Turn) => void) {
    this.request = request;
    this.#questions = questions;
    this.#again = again;
  }

  static begin(turn: Turn, pages: readonly Fields[], parking: Parking, again: (turn: Turn) => void): Answer {
    const asked = pages.slice(0, PAGES_MAX).map((params) => inputRequest({ method: 'elicitation/create', params }));
    const [first] = asked;
    if (first === undefined) return failure(RPC_CODE.internalError, 'The server wants a page opened, and names none');
    const missing = missingFor({ method: first.method, params: { mode: 'url' } }, turn.capabilities);
    if (missing !== null)
      return failure(ERA_CODE.missingCapability, 'The server needs a page to be opened by the user', {
        requiredCapabilities: missing,
        elicitations: pages,
      });
    if (parking.isFull) return refused('Too much waits for an answer of this client already', { retryAfterMs: 10_000 });
    const inputRequests = Object.fromEntries(
      asked.map((question, index) => [`elicitation-create-${index + 1}`, question]),
    );
    const requestState = parking.park(new UrlVisit(turn.request, inputRequests, again));
    return success({ resultType: 'input_required', inputRequests, requestState });
  }

  resume(turn: Turn, responses: Fields): void {
    const refused = Object.keys(this.#questions).filter((key) => fieldsOf(responses[key])['action'] !== 'accept');
    if (refused.length === 0) return this.#again(turn);
    turn.settle(failure(RPC_CODE.invalidParams, 'The page that the server needs was not opened'));
  }

  giveUp(): void {
    // Nothing is open with the server.
  }
}
