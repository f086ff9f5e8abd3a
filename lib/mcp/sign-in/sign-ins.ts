/**
 * Who is signed in where. A token belongs to one tool at one address, is shown to that server only, and is renewed only at the
 * authorization server that gave it. Nothing of it is ever part of a message.
 */

import { GovernorError } from '../../core/errors.ts';
import type { ToolDefinition } from '../../supervisor/governor.ts';
import type { SignInPort } from '../../supervisor/ports.ts';
import type { SignInView } from '../../supervisor/views.ts';
import { Held } from './held.ts';
import type { Login } from './login.ts';
import type { Protected, Revocation } from './oauth.ts';
import { belongs, binding } from './record.ts';
import type { SignInRecord } from './record.ts';
import { protectedBy, Renewals } from './renewal.ts';
import type { Access, RenewalOptions } from './renewal.ts';

/** From the address to the answer. */
export const LOGIN_DEADLINE_MS = 300_000;

export interface SignInsOptions extends Omit<RenewalOptions, 'revoke'> {
  monotonicMs(): number;
}

interface Pending {
  readonly login: Login;
  readonly binding: string;
  readonly untilMs: number;
}

export interface Begun {
  readonly authorizationUrl: string;
  readonly expiresAt: string;
}

export class SignIns implements SignInPort {
  readonly #options: SignInsOptions;
  readonly #held = new Map<string, Held>();
  /** By tool: a later one takes the place of an earlier one. */
  readonly #pending = new Map<string, Pending>();
  readonly #revocations = new Set<Promise<unknown>>();
  readonly #renewals: Renewals;

  constructor(options: SignInsOptions) {
    this.#options = options;
    this.#renewals = new Renewals({ ...options, revoke: (record, settings) => this.#revoke(record, settings) });
  }

  problem(definition: ToolDefinition): string | null {
    return this.#of(definition)?.problem ?? null;
  }

  view(definition: ToolDefinition): SignInView | null {
    return this.#of(definition)?.view ?? null;
  }

  /** For one conversation with its server; empty for a tool without `auth`. */
  accessOf(definition: ToolDefinition): Access {
    const held = this.#of(definition);
    return held === null ? {} : this.#renewals.accessOf(held);
  }

  /** @param redirectUri on the loopback of whoever asks @throws GovernorError illegal_state, invalid_request, sign_in_failed */
  async begin(definition: ToolDefinition, redirectUri: string): Promise<Begun> {
    const held = this.#person(definition);
    if (!isLoopback(redirectUri))
      throw new GovernorError('invalid_request', 'redirectUri has to be http on a loopback address, with a port');
    const { beginLogin } = await import('./login.ts');
    const login = await beginLogin(protectedBy(held), redirectUri);
    const untilMs = this.#options.monotonicMs() + LOGIN_DEADLINE_MS;
    this.#pending.set(definition.name, { login, binding: binding(definition), untilMs });
    const expiresAt = new Date(this.#options.wallMs() + LOGIN_DEADLINE_MS).toISOString();
    return { authorizationUrl: login.authorizationUrl, expiresAt };
  }

  /**
   * @param answer the query that the browser came back with; each login takes one
   * @throws GovernorError illegal_state, invalid_request, sign_in_failed, state_dir
   */
  async finish(definition: ToolDefinition, answer: URLSearchParams, by: string): Promise<void> {
    const { name } = definition;
    this.#person(definition);
    const pending = this.#pending.get(name);
    const isOpen = pending?.binding === binding(definition) && pending.untilMs > this.#options.monotonicMs();
    if (pending === undefined || !isOpen)
      throw new GovernorError('illegal_state', `no sign-in of ${name} is under way; write: governor login ${name}`);
    if (!pending.login.isAnsweredBy(answer))
      throw new GovernorError('invalid_request', 'the answer belongs to another sign-in: its state is not the one');
    this.#pending.delete(name);
    const record = await pending.login.finish(answer, new Date(this.#options.wallMs()).toISOString());
    await this.#enter(definition, record);
    const { issuer, tokens } = record;
    this.#options.onEvent({ tool: name, event: 'login', detail: { issuer, scope: tokens.scope ?? null, by } });
  }

  /** @throws GovernorError illegal_state */
  async logout(definition: ToolDefinition, by: string): Promise<Revocation | 'not_signed_in'> {
    const held = this.#person(definition);
    const { name } = definition;
    this.#pending.delete(name);
    // A damaged one goes, too.
    this.#options.store.remove(name, held.url);
    const { record } = held;
    if (record === null) {
      held.why = null;
      return 'not_signed_in';
    }
    const revocation = await this.#end(held, `somebody signed out; sign in: governor login ${name}`);
    this.#options.onEvent({ tool: name, event: 'logout', detail: { issuer: record.issuer, revocation, by } });
    return revocation;
  }

  /** The tool is gone. */
  forget(tool: string): void {
    this.#pending.delete(tool);
    for (const held of this.#held.values()) if (held.definition.name === tool) this.#drop(held);
  }

  /** Drops what belongs to none of these: a tool that is gone, or has another address by now. */
  settle(all: readonly ToolDefinition[]): void {
    const definitions = all.filter(({ remote }) => remote?.signIn !== undefined);
    for (const definition of definitions) this.#of(definition);
    const bindings = new Set(definitions.map(binding));
    const isWanted = (record: SignInRecord): boolean => definitions.some((definition) => belongs(record, definition));
    for (const [key, held] of this.#held) {
      if (!bindings.has(key)) this.#drop(held);
    }
    this.#dropFiles((record) => !isWanted(record));
  }

  /** Resolves when what was dropped is taken back at its servers, or that has failed. */
  async settled(): Promise<void> {
    await Promise.all(this.#revocations);
  }

  #of(definition: ToolDefinition): Held | null {
    const { remote } = definition;
    if (remote?.signIn === undefined) return null;
    const key = binding(definition);
    const known = this.#held.get(key);
    if (known !== undefined) {
      known.definition = definition;
      return known;
    }
    // Another way to say who it is, of the same sign-in.
    for (const [formerKey, held] of this.#held) {
      if (held.record === null || !belongs(held.record, definition)) continue;
      this.#held.delete(formerKey);
      this.#held.set(key, held);
      held.definition = definition;
      return held;
    }
    const found = remote.signIn.kind === 'browser' ? this.#options.store.read(definition.name, remote.url) : NONE;
    // It may be of another authorization server, or of another client.
    const isOurs = found.kind !== 'record' || belongs(found.record, definition);
    const held = new Held(definition, isOurs ? found : NONE);
    this.#held.set(key, held);
    return held;
  }

  #person(definition: ToolDefinition): Held {
    const held = this.#of(definition);
    const { name } = definition;
    if (held === null)
      throw new GovernorError('illegal_state', `${name} has no auth: browser in limits.yaml: nobody can sign in there`);
    if (held.settings.kind !== 'browser')
      throw new GovernorError('illegal_state', `${name} signs in by itself (auth: client_credentials)`);
    return held;
  }

  /** @throws GovernorError state_dir */
  async #enter(definition: ToolDefinition, record: SignInRecord): Promise<void> {
    const former = this.#of(definition);
    try {
      this.#options.store.write(record);
    } catch (error) {
      if (former !== null) void this.#revoke(record, former.settings);
      const problem = (error as Error).message;
      throw new GovernorError('state_dir', `the sign-in could not be kept: ${problem}`, { cause: error });
    }
    const isAnew = former !== null && former.record !== null;
    if (former !== null) former.isOver = true;
    this.#held.set(binding(definition), new Held(definition, { kind: 'record', record }));
    // Whoever signs in anew may be somebody else.
    if (isAnew) await this.#end(former, 'stopped: somebody signed in anew');
  }

  /** Nothing new begins with it; when what runs with it has ended, its tokens are taken back. */
  async #end(held: Held, message: string): Promise<Revocation> {
    const { record } = held;
    held.isOver = true;
    for (const [key, known] of this.#held) if (known === held) this.#held.delete(key);
    if (record === null) return 'revoked';
    const ended = this.#options.endRuns(held.definition.name, message);
    return this.#follow(
      ended.then(() => {
        held.record = null;
        return this.#takeBack(record, held.settings);
      }),
    );
  }

  #drop(held: Held): void {
    const { record } = held;
    if (held.settings.kind === 'browser') this.#options.store.remove(held.definition.name, held.url);
    void this.#end(held, 'stopped: its sign-in belongs to an address or a client that is not defined any more').then(
      (revocation) => record !== null && this.#dropped(record, revocation),
    );
  }

  /** Those that nothing in memory stands for. */
  #dropFiles(isUnwanted: (record: SignInRecord) => boolean): void {
    const { store, log } = this.#options;
    try {
      for (const { file, found } of store.all()) {
        if (found.kind !== 'record' || !isUnwanted(found.record)) continue;
        const { record } = found;
        store.removeFile(file);
        void this.#revoke(record, FORMER).then((revocation) => this.#dropped(record, revocation));
      }
    } catch (error) {
      log.warn({ problem: (error as Error).message }, 'the kept sign-ins could not be looked at');
    }
  }

  #dropped({ tool, issuer }: SignInRecord, revocation: Revocation): void {
    this.#options.onEvent({ tool, event: 'dropped', detail: { issuer, revocation } });
  }

  #revoke(record: SignInRecord, settings: Protected['settings']): Promise<Revocation> {
    return this.#follow(this.#takeBack(record, settings));
  }

  #follow<T>(work: Promise<T>): Promise<T> {
    const over: Promise<unknown> = work.finally(() => this.#revocations.delete(over));
    this.#revocations.add(over);
    return work;
  }

  async #takeBack(record: SignInRecord, settings: Protected['settings']): Promise<Revocation> {
    const { revoke } = await import('./oauth.ts');
    return revoke(record, settings, (problem) =>
      this.#options.log.warn({ tool: record.tool, issuer: record.issuer, problem }, 'tokens could not be taken back'),
    );
  }
}

const NONE = { kind: 'none' } as const;
/** Of a definition that is gone: what it had to say who it is went with it. */
const FORMER: Protected['settings'] = { kind: 'browser', clientId: null, clientSecret: null, issuer: null, scopes: [] };

/** RFC 8252, 7.3: nobody but this machine can listen there. */
function isLoopback(redirectUri: string): boolean {
  if (!URL.canParse(redirectUri)) return false;
  const { protocol, hostname, port, username, password, hash, search } = new URL(redirectUri);
  const isHere = hostname === '127.0.0.1' || hostname === '[::1]' || hostname === 'localhost';
  return protocol === 'http:' && isHere && port !== '' && `${username}${password}${hash}${search}` === '';
}
