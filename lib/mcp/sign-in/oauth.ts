/** The glue between a sign-in and the SDK, whose OAuth it is. Loaded with the first tool that needs it: the SDK is 4 MB. */

import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  assertSecureTokenEndpoint,
  checkResourceAllowed,
  ClientCredentialsProvider,
  discoverOAuthServerInfo,
  extractWWWAuthenticateParams,
  fetchToken,
  PrivateKeyJwtProvider,
  refreshAuthorization,
  resourceUrlFromServerUrl,
  selectClientAuthMethod,
} from '@modelcontextprotocol/client';
import type {
  AuthorizationServerMetadata,
  FetchLike,
  OAuthClientProvider,
  OAuthServerInfo,
  OAuthTokens,
} from '@modelcontextprotocol/client';
import { GovernorError } from '../../core/errors.ts';
import type { SignInSettings, ToolDefinition } from '../../supervisor/governor.ts';
import { reasonOf, refusalOf } from './failure.ts';
import { sameIssuer, secretsOf } from './record.ts';
import type { RevocationEndpoint, SignInClient, SignInRecord, SignInTokens } from './record.ts';

/** Of one request; a sign-in has a few of them. */
const REQUEST_TIMEOUT_MS = 15_000;

/** What a server said with its 401. */
export interface Challenge {
  readonly resourceMetadataUrl?: URL | undefined;
  readonly scope?: string | undefined;
}

/** A server with `auth`. */
export interface Protected {
  readonly definition: ToolDefinition;
  readonly url: string;
  readonly settings: SignInSettings;
}

export interface AuthorizationServer {
  readonly info: OAuthServerInfo;
  readonly metadata: AuthorizationServerMetadata;
  /** As the server spells it (RFC 8707); undefined: it does not say. */
  readonly resource: string | undefined;
  /** What to ask for; undefined: nothing in particular. */
  readonly scope: string | undefined;
}

/** The tokens are no good any more, and no other ones can be had with them. */
export class Refused extends Error {}

export function challengeOf(response: Response): Challenge {
  return extractWWWAuthenticateParams(response);
}

/** What a token lacks for one request (RFC 6750, 3.1); null: it was refused for something else. */
export function missingScope(response: Response): string | null {
  const { error, scope } = extractWWWAuthenticateParams(response);
  return error === 'insufficient_scope' ? (scope ?? '').slice(0, 200) : null;
}

export const timedFetch: FetchLike = (url, init) => {
  const deadline = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const signal = init?.signal == null ? deadline : AbortSignal.any([init.signal, deadline]);
  return fetch(url, { ...init, signal });
};

/** The authorization server of a server. @throws GovernorError sign_in_failed */
export async function discover({ url, settings }: Protected, challenge: Challenge): Promise<AuthorizationServer> {
  const info = await attempt(`the authorization server of ${url} could not be found out`, [], () =>
    discoverOAuthServerInfo(url, {
      fetchFn: timedFetch,
      ...(challenge.resourceMetadataUrl === undefined ? {} : { resourceMetadataUrl: challenge.resourceMetadataUrl }),
    }),
  );
  const { authorizationServerMetadata: metadata, authorizationServerUrl, resourceMetadata } = info;
  if (metadata === undefined)
    throw failed(
      resourceMetadata === undefined
        ? `${url} does not say where to sign in: it has no protected resource metadata (RFC 9728), and ${authorizationServerUrl} has no authorization server metadata (RFC 8414)`
        : `${url} names the authorization server ${authorizationServerUrl}, which has no metadata (RFC 8414)`,
    );
  if (settings.issuer !== null && !sameIssuer(settings.issuer, metadata.issuer))
    throw failed(`${url} names the authorization server ${metadata.issuer}, and limits.yaml ${settings.issuer}`);
  const resource = resourceMetadata?.resource;
  const requestedResource = resourceUrlFromServerUrl(url);
  if (resource !== undefined && !checkResourceAllowed({ requestedResource, configuredResource: resource }))
    throw failed(`${url} says that its tokens are for ${resource}, which is another server`);
  const asked = settings.scopes.length > 0 ? settings.scopes.join(' ') : challenge.scope;
  return { info, metadata, resource, scope: asked ?? resourceMetadata?.scopes_supported?.join(' ') };
}

/** A sign-in without a person. @throws GovernorError sign_in_failed */
export async function signInByItself(server: Protected, challenge: Challenge, nowIso: string): Promise<SignInRecord> {
  const { settings, definition, url } = server;
  if (settings.kind !== 'client_credentials') throw new GovernorError('internal', 'a person signs in there');
  const found = await discover(server, challenge);
  const { metadata, resource, scope, info } = found;
  const tokens = await attempt(`the sign-in at ${metadata.issuer} failed`, secretsOf(null, settings), () =>
    fetchToken(machineProvider(settings), info.authorizationServerUrl, {
      metadata,
      fetchFn: timedFetch,
      ...(resource === undefined ? {} : { resource }),
      ...(scope === undefined ? {} : { scope }),
    }),
  );
  return {
    tool: definition.name,
    url,
    issuer: metadata.issuer,
    client: { client_id: settings.clientId },
    tokens: kept(tokens),
    revocation: revocationOf(metadata),
    signedInAt: nowIso,
  };
}

/** @throws Refused where a person has to sign in again; GovernorError sign_in_failed where it may succeed later */
export async function renew(server: Protected, record: SignInRecord, challenge: Challenge): Promise<SignInTokens> {
  const { refresh_token: refreshToken } = record.tokens;
  if (refreshToken === undefined) throw new Refused('it has expired, and cannot be renewed');
  const { metadata, resource, info } = await discover(server, challenge);
  if (!sameIssuer(metadata.issuer, record.issuer))
    throw new Refused(`it is of ${record.issuer}, and the server names ${metadata.issuer} now`);
  try {
    const tokens = await refreshAuthorization(info.authorizationServerUrl, {
      metadata,
      clientInformation: clientOf(record.client, server.settings),
      refreshToken,
      fetchFn: timedFetch,
      ...(resource === undefined ? {} : { resource }),
    });
    return kept({ ...tokens, scope: tokens.scope ?? record.tokens.scope });
  } catch (error) {
    const reason = reasonOf(error, secretsOf(record, server.settings));
    if (refusalOf(error) !== null) throw new Refused(`${record.issuer} does not renew it: ${reason}`);
    throw failed(`the sign-in could not be renewed at ${record.issuer}: ${reason}`);
  }
}

export type Revocation = 'revoked' | 'not_offered' | 'failed';

/** Takes the tokens back (RFC 7009). Never throws. @param told of why it failed */
export async function revoke(
  record: SignInRecord,
  settings: SignInSettings,
  told: (reason: string) => void,
): Promise<Revocation> {
  const { revocation, tokens, client } = record;
  if (revocation === null) return 'not_offered';
  const secrets = secretsOf(record, settings);
  try {
    const url = assertSecureTokenEndpoint(revocation.url);
    // The one that others could be had with goes first.
    for (const token of [tokens.refresh_token, tokens.access_token]) {
      if (token === undefined) continue;
      const headers = new Headers({ 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' });
      const params = new URLSearchParams({
        token,
        token_type_hint: token === tokens.refresh_token ? 'refresh_token' : 'access_token',
      });
      await authenticate(clientOf(client, settings), settings, revocation, headers, params, record.issuer);
      const response = await timedFetch(url, { method: 'POST', headers, body: params, redirect: 'manual' });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
    }
    return 'revoked';
  } catch (error) {
    told(reasonOf(error, secrets));
    return 'failed';
  }
}

export function revocationOf(metadata: AuthorizationServerMetadata): RevocationEndpoint | null {
  const { revocation_endpoint: url, ...rest } = metadata as Partial<Record<string, unknown>>;
  if (typeof url !== 'string') return null;
  const methods = rest['revocation_endpoint_auth_methods_supported'] ?? rest['token_endpoint_auth_methods_supported'];
  return { url, methods: Array.isArray(methods) ? methods.map(String) : [] };
}

/** What of an answer is kept: an id token, for one, is nobody's business here. */
export function kept({ access_token, token_type, refresh_token, scope }: OAuthTokens): SignInTokens {
  return {
    access_token,
    token_type,
    ...(refresh_token === undefined ? {} : { refresh_token }),
    ...(scope === undefined ? {} : { scope }),
  };
}

export function clientOf(client: SignInClient, settings: SignInSettings): SignInClient {
  return settings.kind === 'browser' && settings.clientSecret !== null
    ? { ...client, client_secret: settings.clientSecret }
    : client;
}

/** @throws GovernorError sign_in_failed */
export async function attempt<T>(what: string, secrets: readonly string[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof GovernorError) throw error;
    throw failed(`${what}: ${reasonOf(error, secrets)}`);
  }
}

export function failed(message: string): GovernorError {
  return new GovernorError('sign_in_failed', message);
}

type Machine = Extract<SignInSettings, { kind: 'client_credentials' }>;

function machineProvider({ clientId, key, issuer, scopes }: Machine): OAuthClientProvider {
  const common = {
    clientId,
    clientName: 'Governor',
    expectedIssuer: issuer,
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
  };
  if ('secret' in key) return new ClientCredentialsProvider({ ...common, clientSecret: key.secret });
  return new PrivateKeyJwtProvider({ ...common, ...readKey(key.file) });
}

/** Read anew each time, so that a new key holds at once. */
function readKey(file: string): { readonly privateKey: Record<string, unknown>; readonly algorithm: string } {
  try {
    const key = createPrivateKey(readFileSync(file));
    const jwk = key.export({ format: 'jwk' });
    return { privateKey: { ...jwk }, algorithm: algorithmOf(jwk.kty, jwk.crv) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' || code === 'EACCES' ? (error as Error).message : 'it is no private key in PEM';
    throw failed(`the private key ${file} cannot be used: ${why}`);
  }
}

function algorithmOf(type: string | undefined, curve: string | undefined): string {
  if (type === 'RSA') return 'RS256';
  if (type === 'OKP') return 'EdDSA';
  return curve === 'P-384' ? 'ES384' : curve === 'P-521' ? 'ES512' : 'ES256';
}

/** The same ways as at the token endpoint; the SDK has them for that one only. */
async function authenticate(
  client: SignInClient,
  settings: SignInSettings,
  { methods, url }: RevocationEndpoint,
  headers: Headers,
  params: URLSearchParams,
  issuer: string,
): Promise<void> {
  if (settings.kind === 'client_credentials') {
    const provider = machineProvider(settings);
    if (provider.addClientAuthentication !== undefined) {
      // An assertion names the server that it is for.
      const metadata = { issuer } as AuthorizationServerMetadata;
      return void (await provider.addClientAuthentication(headers, params, url, metadata));
    }
  }
  const secret =
    settings.kind === 'client_credentials' && 'secret' in settings.key ? settings.key.secret : client.client_secret;
  const known = secret === undefined ? client : { ...client, client_secret: secret };
  if (selectClientAuthMethod(known, [...methods]) === 'client_secret_basic') {
    headers.set('authorization', `Basic ${Buffer.from(`${known.client_id}:${secret ?? ''}`).toString('base64')}`);
    return;
  }
  params.set('client_id', known.client_id);
  if (secret !== undefined) params.set('client_secret', secret);
}
