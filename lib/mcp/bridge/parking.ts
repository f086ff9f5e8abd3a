/**
 * Calls that wait for their client to come back (2026-07-28, basic/patterns/mrtr). One Parking a client: a state that was given to one is
 * unknown to every other. States are random, used once, and expire.
 */

import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { without } from '../wire/shape.ts';
import { failure } from '../wire/text.ts';
import type { Turn } from './turn.ts';

/** What waits: goes on with the next request of its client, or is given up. */
export interface Waiting {
  /** What the client has to repeat. */
  readonly request: RequestBody;
  resume(turn: Turn, responses: Fields): void;
  giveUp(reason: string): void;
}

interface Place {
  readonly waiting: Waiting;
  readonly timer: NodeJS.Timeout;
}

export interface ParkingOptions {
  /** How long a client may take: a person may have to be found first. */
  readonly parkTimeoutMs: number;
  /** Of one client. */
  readonly maxParked: number;
}

export class Parking {
  readonly #options: ParkingOptions;
  readonly #places = new Map<string, Place>();

  constructor(options: ParkingOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#places.size;
  }

  get isFull(): boolean {
    return this.#places.size >= this.#options.maxParked;
  }

  /** @returns the state that the client has to bring back */
  park(waiting: Waiting): string {
    const state = randomBytes(24).toString('base64url');
    const timer = setTimeout(() => {
      this.#places.delete(state);
      waiting.giveUp(`the client did not come back within ${this.#options.parkTimeoutMs / 1000} s`);
    }, this.#options.parkTimeoutMs);
    timer.unref();
    this.#places.set(state, { waiting, timer });
    return state;
  }

  /** @returns why not, where the state is not one for this request */
  take(state: unknown, request: RequestBody): Waiting | Extract<Answer, { kind: 'error' }> {
    const place = typeof state === 'string' ? this.#places.get(state) : undefined;
    if (place === undefined || !isSameRequest(place.waiting.request, request)) {
      const what = place === undefined ? 'is unknown, was used before, or is too old' : 'belongs to another request';
      return failure(RPC_CODE.invalidParams, `requestState ${what}; send the request without it to begin anew`);
    }
    clearTimeout(place.timer);
    this.#places.delete(String(state));
    return place.waiting;
  }

  close(reason: string): void {
    for (const { waiting, timer } of this.#places.values()) {
      clearTimeout(timer);
      waiting.giveUp(reason);
    }
    this.#places.clear();
  }
}

/** `_meta` is of each request; the rest has to be what the server is working on. */
const OF_EACH_TRY = ['_meta', 'inputResponses', 'requestState'];

function isSameRequest(first: RequestBody, retry: RequestBody): boolean {
  return (
    first.method === retry.method &&
    isDeepStrictEqual(without(first.params ?? {}, OF_EACH_TRY), without(retry.params ?? {}, OF_EACH_TRY))
  );
}
