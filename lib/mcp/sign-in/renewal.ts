/** The token of a sign-in as its server is shown it, and its renewal: once for all who wait, when it was refused. */

import type { AuthProvider, FetchLike } from '@modelcontextprotocol/client';
import { GovernorError } from '../../core/errors.ts';
import type { SignInSettings } from '../../supervisor/governor.ts';
import type { Log } from '../../supervisor/ports.ts';
import type { Held } from './held.ts';
import type { Challenge, Protected } from './oauth.ts';
import type { SignInRecord } from './record.ts';
import type { SignInStore } from './store.ts';

export interface SignInEvent {
  readonly tool: string;
  readonly event: 'login' | 'logout' | 'renewal_failed' | 'dropped';
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface RenewalOptions {
  readonly store: SignInStore;
  readonly log: Log;
  wallMs(): number;
  onEvent(event: SignInEvent): void;
  /** What runs of the tool has to end; resolves when it has, and has said goodbye. Never rejects. */
  endRuns(tool: string, message: string): Promise<void>;
  /** Takes tokens back that nobody is to use. Never rejects. */
  revoke(record: SignInRecord, settings: SignInSettings): Promise<unknown>;
}

/** What a channel is given. */
export interface Access {
  readonly authProvider?: AuthProvider;
  readonly fetch?: (url: string | URL, init: RequestInit | undefined, by: FetchLike) => Promise<Response>;
}

export class Renewals {
  readonly #options: RenewalOptions;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** For one conversation. */
  accessOf(held: Held): Access {
    /** What was refused may have been asked before the token was renewed. */
    const shown = new WeakMap<Response, string | null>();
    return {
      async fetch(url, init, by) {
        const response = await by(url, init);
        shown.set(response, new Headers(init?.headers).get('authorization'));
        const missing = response.status === 403 ? (await import('./oauth.ts')).missingScope(response) : null;
        if (missing === null) return response;
        await response.body?.cancel();
        throw new GovernorError('sign_in_needed', held.wantsMore(missing));
      },
      authProvider: {
        async token() {
          // Also of one that is over, so that what still runs can say goodbye.
          if (held.record === null && held.problem !== null) throw new GovernorError('sign_in_needed', held.problem);
          return held.token;
        },
        onUnauthorized: async ({ response }) => {
          const { challengeOf } = await import('./oauth.ts');
          const refused = shown.get(response) ?? null;
          await this.#renew(held, refused?.replace(/^Bearer /, '') ?? null, challengeOf(response));
        },
      },
    };
  }

  async #renew(held: Held, refused: string | null, challenge: Challenge): Promise<void> {
    this.#refuseOver(held);
    if (held.token !== undefined && held.token !== refused) return;
    held.renewing ??= this.#renewNow(held, challenge).finally(() => (held.renewing = null));
    await held.renewing;
    this.#refuseOver(held);
  }

  #refuseOver(held: Held): void {
    const { problem } = held;
    if (problem !== null) throw new GovernorError('sign_in_needed', problem);
    if (held.isOver) throw new GovernorError('sign_in_failed', 'the sign-in was dropped: the tool is defined anew');
  }

  async #renewNow(held: Held, challenge: Challenge): Promise<void> {
    const { record } = held;
    const { renew, signInByItself, Refused } = await import('./oauth.ts');
    try {
      const next =
        held.settings.kind === 'client_credentials' || record === null
          ? await signInByItself(protectedBy(held), challenge, new Date(this.#options.wallMs()).toISOString())
          : { ...record, tokens: await renew(protectedBy(held), record, challenge) };
      if (held.isOver) return void this.#options.revoke(next, held.settings);
      held.record = next;
      held.isFailing = false;
      if (held.settings.kind === 'browser') this.#keep(next);
    } catch (error) {
      if (held.isOver) return;
      if (error instanceof Refused) return this.#lose(held, error.message);
      this.#failing(held, (error as Error).message);
      throw error;
    }
  }

  #keep(record: SignInRecord): void {
    try {
      this.#options.store.write(record);
    } catch (error) {
      const problem = (error as Error).message;
      this.#options.log.warn(
        { tool: record.tool, problem },
        'a renewed sign-in could not be kept: it ends with the daemon',
      );
    }
  }

  /** A person has to sign in again. */
  #lose(held: Held, why: string): void {
    const { name } = held.definition;
    this.#options.store.remove(name, held.url);
    held.record = null;
    held.why = why;
    this.#failing(held, why);
    // Not waited for: a start that is under way, and waits for this, is among what ends.
    void this.#options.endRuns(name, held.problem ?? why);
  }

  /** On record once, however many requests come to the same. */
  #failing(held: Held, reason: string): void {
    if (held.isFailing) return;
    held.isFailing = true;
    this.#options.onEvent({ tool: held.definition.name, event: 'renewal_failed', detail: { reason } });
  }
}

export function protectedBy(held: Held): Protected {
  return { definition: held.definition, url: held.url, settings: held.settings };
}
