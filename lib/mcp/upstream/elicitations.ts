/** Pages that a server wants opened (elicitations of mode `url`), by the id that it gave them: who was asked is told when it is done. */

import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { isFields } from '../wire/shape.ts';

/** A server that never says that one is done must not fill the daemon; the oldest are forgotten first. */
const ELICITATIONS_MAX = 1_000;
const ID_MAX_LENGTH = 1_000;

export class Elicitations<Owner> {
  readonly #owners = new Map<string, Owner>();

  /** A question of the server's goes to this client. */
  asked(owner: Owner, { method, params }: RequestBody): void {
    if (method === 'elicitation/create') this.#add(owner, params);
  }

  /** An answer may name pages that have to be opened before the request is sent again. */
  answered(owner: Owner, answer: Answer): void {
    if (answer.kind === 'result' || answer.error.code !== RPC_CODE.urlElicitationRequired) return;
    const { data } = answer.error;
    const pages = isFields(data) ? data['elicitations'] : undefined;
    if (!Array.isArray(pages)) return;
    for (const page of pages.slice(0, ELICITATIONS_MAX)) if (isFields(page)) this.#add(owner, page);
  }

  /** `notifications/elicitation/complete`. @returns whose it is */
  completed(params: Fields | undefined): Owner | undefined {
    const id = String(params?.['elicitationId']);
    const owner = this.#owners.get(id);
    this.#owners.delete(id);
    return owner;
  }

  leave(owner: Owner): void {
    for (const [id, theirs] of this.#owners) if (theirs === owner) this.#owners.delete(id);
  }

  #add(owner: Owner, params: Fields | undefined): void {
    const id = params?.['elicitationId'];
    if (typeof id !== 'string' || id.length > ID_MAX_LENGTH) return;
    this.#owners.delete(id);
    this.#owners.set(id, owner);
    const oldest = this.#owners.keys().next();
    if (this.#owners.size > ELICITATIONS_MAX && oldest.done !== true) this.#owners.delete(oldest.value);
  }
}
