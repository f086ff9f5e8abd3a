/**
 * One question of a legacy server's while its client has it: taken back there when the server cancels it, when the call that it belongs to
 * is cancelled, or when its client goes.
 */

import type { Answer } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { failure } from '../wire/text.ts';
import type { OpenRequest } from './open-requests.ts';

export class Question<Owner> {
  readonly #controller = new AbortController();
  #owner: Owner | null = null;
  #calls: readonly OpenRequest<Owner>[] = [];
  #isCancelled = false;

  /** The server wants no answer any more. */
  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  /** Null: nobody is asked yet. */
  get owner(): Owner | null {
    return this.#owner;
  }

  /** That it may belong to. */
  get calls(): readonly OpenRequest<Owner>[] {
    return this.#calls;
  }

  /** By the server. */
  cancel(reason: string): void {
    this.#isCancelled = true;
    this.takeBack(reason);
  }

  /** The client is not to answer any more; the server is told so. */
  takeBack(reason: string): void {
    this.#controller.abort(new Error(reason));
  }

  /** Rejects where the client's side fails. */
  async ask(
    owner: Owner,
    calls: readonly OpenRequest<Owner>[],
    put: (signal: AbortSignal) => Promise<Answer>,
  ): Promise<Answer> {
    const { signal } = this.#controller;
    this.#owner = owner;
    this.#calls = calls;
    let onAbort = (): void => undefined;
    // Its client may take its time to give up.
    const takenBack = new Promise<Answer>((resolve) => {
      onAbort = () => resolve(failure(RPC_CODE.internalError, `taken back: ${(signal.reason as Error).message}`));
      signal.addEventListener('abort', onAbort);
    });
    try {
      return await Promise.race([put(signal), takenBack]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}
