/** What is kept of a sign-in: tokens, and whom they may be shown to. Pure. */

import type { SignInSettings, ToolDefinition } from '../../supervisor/governor.ts';
import { isFields } from '../wire/shape.ts';

/** As the authorization server knows Governor. */
export interface SignInClient {
  readonly client_id: string;
  /** Only of a client that registered itself: one of limits.yaml stays there. */
  readonly client_secret?: string;
  readonly token_endpoint_auth_method?: string;
}

export interface SignInTokens {
  readonly access_token: string;
  readonly token_type: string;
  readonly refresh_token?: string;
  readonly scope?: string;
}

/** Where tokens can be taken back (RFC 7009). */
export interface RevocationEndpoint {
  readonly url: string;
  /** Ways in which a client may say who it is; empty: not told. */
  readonly methods: readonly string[];
}

export interface SignInRecord {
  readonly tool: string;
  /** The only server that the access token is sent to. */
  readonly url: string;
  /** The only authorization server that the refresh token is sent to. */
  readonly issuer: string;
  readonly client: SignInClient;
  readonly tokens: SignInTokens;
  readonly revocation: RevocationEndpoint | null;
  /** ISO 8601. */
  readonly signedInAt: string;
}

export const FORMAT = 1;

/** Is it of this tool as it is defined now? A changed address never gets the tokens of another. */
export function belongs(record: SignInRecord, { name, remote }: ToolDefinition): boolean {
  const { url, signIn } = remote ?? {};
  if (signIn?.kind !== 'browser' || record.tool !== name || record.url !== url) return false;
  return (
    (signIn.issuer === null || sameIssuer(signIn.issuer, record.issuer)) &&
    (signIn.clientId === null || signIn.clientId === record.client.client_id)
  );
}

/** Two definitions with the same one share a sign-in. What a person has agreed to outlives other scopes and another secret. */
export function binding({ name, remote }: ToolDefinition): string {
  const { url, signIn } = remote ?? {};
  const of = signIn?.kind === 'browser' ? [signIn.kind, signIn.issuer, signIn.clientId] : signIn;
  return JSON.stringify([name, url, of]);
}

/** RFC 8414, 3.3; a slash at the end is no difference. */
export function sameIssuer(one: string, other: string): boolean {
  const bare = (issuer: string): string => (issuer.endsWith('/') ? issuer.slice(0, -1) : issuer);
  return bare(one) === bare(other);
}

/** @throws Error when it is not what `serialize` writes */
export function parseRecord(text: string): SignInRecord {
  const value: unknown = JSON.parse(text);
  if (!isFields(value)) throw new Error('it is no object');
  if (value['format'] !== FORMAT) throw new Error(`its format ${String(value['format']).slice(0, 20)} is not known`);
  for (const key of ['tool', 'url', 'issuer', 'signedInAt'])
    if (typeof value[key] !== 'string') throw new Error(`${key} is missing`);
  const { client, tokens, revocation } = value;
  if (!isFields(client) || typeof client['client_id'] !== 'string') throw new Error('client is missing');
  if (!isFields(tokens) || typeof tokens['access_token'] !== 'string') throw new Error('tokens are missing');
  for (const key of ['refresh_token', 'scope'])
    if (tokens[key] !== undefined && typeof tokens[key] !== 'string') throw new Error(`${key} is no text`);
  const isEndpoint =
    isFields(revocation) && typeof revocation['url'] === 'string' && Array.isArray(revocation['methods']);
  if (revocation !== null && !isEndpoint) throw new Error('revocation is missing');
  return value as unknown as SignInRecord;
}

export function serialize(record: SignInRecord): string {
  return `${JSON.stringify({ format: FORMAT, ...record })}\n`;
}

/** What must not be seen in any message. */
export function secretsOf(record: SignInRecord | null, settings: SignInSettings): readonly string[] {
  const own =
    settings.kind === 'browser' ? settings.clientSecret : 'secret' in settings.key ? settings.key.secret : null;
  return [record?.tokens.access_token, record?.tokens.refresh_token, record?.client.client_secret, own].filter(
    (secret): secret is string => typeof secret === 'string' && secret !== '',
  );
}
