/**
 * Calls that a modern server has answered with a question (`input_required`): the client comes back with the same
 * `requestState`, and only the process that asked may know what that stands for. Nothing is open with it meanwhile.
 */

import { BoundedMap } from '../../core/bounded-map.ts';
import type { Answer, RequestBody } from '../wire/message.ts';

/** A person thinks no longer than this; clients of Governor's own bridges give up by then, too. */
const OWED_MS = 5 * 60_000;
const OWED_MOST = 1_000;

export class OwedInputs {
  readonly #now: () => number;
  /** By state, until when; those that can be forgotten first come first. */
  readonly #owed = new BoundedMap<unknown, number>(OWED_MOST);

  /** @param now monotonic, milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  get isEmpty(): boolean {
    for (const [state, untilMs] of this.#owed) {
      if (untilMs > this.#now()) return false;
      this.#owed.delete(state);
    }
    return true;
  }

  /** The client has come back. */
  asked({ params }: RequestBody): void {
    this.#owed.delete(params?.['requestState']);
  }

  answered(answer: Answer): void {
    const result = answer.kind === 'result' ? answer.result : {};
    if (result['resultType'] !== 'input_required') return;
    // Without a state nobody can tell which question it was that is answered.
    const state = result['requestState'] ?? Symbol('no state');
    this.#owed.set(state, this.#now() + OWED_MS);
  }
}
