/** What a client says of its roots, which decide with whom it shares: asked for when that has to be known, and kept until they change. */

import type { ToolDefinition } from '../../supervisor/governor.ts';
import type { Client, Exchange } from '../wire/session.ts';
import { canonical } from './identity.ts';
import { unlessAborted, within } from './waiting.ts';

/** A client that does not answer this soon gets a process of its own. */
const TIMEOUT_MS = 2_000;
/** What it asks for after this time, and before it answers, may be what it needs for its answer. */
const SOON_MS = 200;

/** In a form that can be compared. Null: they do not matter, or there are none. Undefined: there are some, and they cannot be told now. */
export type RootsKey = string | null | undefined;

/** Null: not by this request; another one may ask. Undefined: not in time. */
type Told = string | null | undefined;

interface Question {
  readonly answered: Promise<Told>;
  /** Resolves when it is answered, or was not soon: undefined. */
  readonly soon: Promise<string | undefined>;
}

export class ClientRoots {
  readonly #client: Client;
  #told: string | undefined;
  /** How often they have changed. */
  changes = 0;
  #question: Question | null = null;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Right now. */
  get isAsked(): boolean {
    return this.#question !== null;
  }

  /** They have changed. */
  forget(): void {
    this.changes += 1;
    this.#told = undefined;
  }

  /** It is asked, and takes its time. However many wait to know that, they know it at the same moment. */
  async isAskedLong(): Promise<boolean> {
    await this.#question?.soon;
    return this.isAsked;
  }

  /** Those who share a process of a legacy server have equal roots. Asked for beside this request, unless they are asked for already. */
  async key(sharing: ToolDefinition['sharing'], exchange: Exchange): Promise<RootsKey> {
    if (sharing !== 'shared' || !hasRoots(this.#client)) return null;
    while (this.#told === undefined && this.#question !== null) {
      const told = await this.#question.answered;
      if (told !== null) return told;
    }
    return this.#told ?? this.#ask(exchange);
  }

  /** For a list, which is the same for all of them: nobody is asked in vain for it, and it is not waited for long. */
  async keyForList(sharing: ToolDefinition['sharing'], exchange: Exchange): Promise<RootsKey> {
    if (sharing !== 'shared' || !hasRoots(this.#client) || this.#told !== undefined) return this.key(sharing, exchange);
    if (this.#question !== null) return this.#question.soon;
    // A client of 2026-07-28 is asked by the results of calls alone.
    return this.#client.frontEra === 'modern' ? undefined : this.#ask(exchange);
  }

  async #ask(exchange: Exchange): Promise<string | undefined> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`not answered within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
    const inTime = AbortSignal.any([exchange.signal, late.signal]);
    const answered = this.#answer(exchange, inTime).catch((): Told => (exchange.signal.aborted ? null : undefined));
    const question = { answered, soon: within(answered, SOON_MS).then((told) => told ?? undefined) };
    this.#question = question;
    try {
      return (await answered) ?? undefined;
    } finally {
      clearTimeout(timer);
      if (this.#question === question) this.#question = null;
    }
  }

  /** @throws when the time is over */
  async #answer(exchange: Exchange, inTime: AbortSignal): Promise<Told> {
    for (;;) {
      const { changes } = this;
      const answer = await unlessAborted(exchange.ask({ method: 'roots/list' }, inTime), inTime);
      // What it said before they changed may be what they were.
      if (changes !== this.changes) continue;
      return answer.kind === 'result' ? (this.#told = canonical(answer.result['roots'] ?? [])) : null;
    }
  }
}

/** It has roots that a server may ask for. */
export function hasRoots({ era, capabilities }: Client): boolean {
  return era === 'legacy' && capabilities['roots'] !== undefined;
}
