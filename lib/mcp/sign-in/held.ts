/** One sign-in in memory: its tokens, why there are none, and the one renewal that all who need it wait for. */

import type { SignInSettings, ToolDefinition } from '../../supervisor/governor.ts';
import type { SignInView } from '../../supervisor/views.ts';
import type { SignInRecord } from './record.ts';
import type { Found } from './store.ts';

export class Held {
  /** As it is defined now. */
  definition: ToolDefinition;
  record: SignInRecord | null;
  /** Why there is no record, beyond that nobody has signed in yet. */
  why: string | null;
  renewing: Promise<void> | null = null;
  /** The last renewal failed: that is on record already. */
  isFailing = false;
  /** Nobody may use it any more. */
  isOver = false;

  constructor(definition: ToolDefinition, found: Found) {
    this.definition = definition;
    this.record = found.kind === 'record' ? found.record : null;
    this.why = found.kind === 'damaged' ? `the sign-in in ${found.file} cannot be used: ${found.reason}` : null;
  }

  get settings(): SignInSettings {
    const settings = this.definition.remote?.signIn;
    if (settings === undefined) throw new Error(`${this.definition.name} has no auth`);
    return settings;
  }

  get url(): string {
    return this.definition.remote?.url ?? '';
  }

  get token(): string | undefined {
    return this.record?.tokens.access_token;
  }

  /** What a person has to do; null: nothing. */
  get problem(): string | null {
    if (this.settings.kind !== 'browser' || (this.record !== null && !this.isOver)) return null;
    const why = this.why === null ? '' : ` (${this.why})`;
    return `sign in: governor login ${this.definition.name}${why}`;
  }

  /** @param scope as the server says it */
  wantsMore(scope: string): string {
    const { kind } = this.settings;
    const again = kind === 'browser' ? `, then: governor login ${this.definition.name}` : '';
    return `the server wants the scope ${JSON.stringify(scope)} for that: add it to auth.${kind}.scopes in limits.yaml${again}`;
  }

  get view(): SignInView {
    const { problem, record, settings } = this;
    return {
      how: settings.kind,
      state: settings.kind === 'client_credentials' ? 'by_itself' : problem === null ? 'signed_in' : 'needed',
      message: problem,
      issuer: record?.issuer ?? null,
      signedInAt: record?.signedInAt ?? null,
    };
  }
}
