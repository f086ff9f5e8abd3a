/**
 * A person signs in: authorization code with PKCE. What is secret of it (verifier, client) stays in the daemon; only the address to open
 * and the answer that the browser was sent back with pass through whoever asked.
 */

import { randomBytes, timingSafeEqual } from 'node:crypto';
import {
  auth,
  extractWWWAuthenticateParams,
  fetchToken,
  validateAuthorizationResponseIssuer,
} from '@modelcontextprotocol/client';
import type { OAuthClientProvider, StoredOAuthClientInformation } from '@modelcontextprotocol/client';
import { GovernorError } from '../../core/errors.ts';
import { attempt, discover, failed, kept, revocationOf, timedFetch } from './oauth.ts';
import type { AuthorizationServer, Challenge, Protected } from './oauth.ts';
import { secretsOf } from './record.ts';
import type { SignInRecord } from './record.ts';

export interface Login {
  /** To be opened in a browser. */
  readonly authorizationUrl: string;
  /** @param answer the query that the browser came back with; false: it belongs to another login, or to none */
  isAnsweredBy(answer: URLSearchParams): boolean;
  /** Once. @throws GovernorError sign_in_failed */
  finish(answer: URLSearchParams, nowIso: string): Promise<SignInRecord>;
}

/** @throws GovernorError sign_in_failed */
export async function beginLogin(server: Protected, redirectUri: string): Promise<Login> {
  const { settings, url } = server;
  if (settings.kind !== 'browser') throw new GovernorError('internal', 'it signs in by itself');
  const found = await discover(server, await probe(server));
  const { metadata, scope } = found;
  const state = randomBytes(32).toString('base64url');
  let client: StoredOAuthClientInformation | undefined =
    settings.clientId === null
      ? undefined
      : {
          client_id: settings.clientId,
          issuer: metadata.issuer,
          ...(settings.clientSecret === null ? {} : { client_secret: settings.clientSecret }),
        };
  let verifier = '';
  let page: URL | null = null;
  const provider: OAuthClientProvider = {
    redirectUrl: redirectUri,
    clientMetadata: {
      client_name: 'Governor',
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: registeredMethod(found),
    },
    state: () => state,
    clientInformation: () => client,
    ...(settings.clientId === null ? { saveClientInformation: (saved) => void (client = saved) } : {}),
    // What there is of an earlier sign-in is no part of this one.
    tokens: () => undefined,
    saveTokens: () => undefined,
    redirectToAuthorization: (to) => void (page = to),
    saveCodeVerifier: (saved) => void (verifier = saved),
    codeVerifier: () => verifier,
    discoveryState: () => found.info,
    saveDiscoveryState: () => undefined,
  };
  await attempt(`the sign-in at ${metadata.issuer} could not begin`, secretsOf(null, settings), () =>
    auth(provider, { serverUrl: url, fetchFn: timedFetch, ...(scope === undefined ? {} : { scope }) }),
  );
  const authorizationUrl = pageOf(page, metadata.issuer);
  return {
    authorizationUrl,
    isAnsweredBy: (answer) => equal(answer.get('state') ?? '', state),
    finish: (answer, nowIso) => finish(server, found, provider, answer, nowIso),
  };
}

async function finish(
  server: Protected,
  { metadata, info, resource }: AuthorizationServer,
  provider: OAuthClientProvider,
  answer: URLSearchParams,
  nowIso: string,
): Promise<SignInRecord> {
  const { settings, definition, url } = server;
  const iss = answer.get('iss') ?? undefined;
  const code = answer.get('code');
  const secrets = [...secretsOf(null, settings), ...(code === null ? [] : [code])];
  const tokens = await attempt(`the sign-in at ${metadata.issuer} failed`, secrets, () => {
    // Before anything else of the answer is read: it may be another server's (RFC 9207).
    const { authorization_response_iss_parameter_supported: named } = metadata as Partial<Record<string, unknown>>;
    validateAuthorizationResponseIssuer({
      iss,
      expectedIssuer: metadata.issuer,
      issParameterSupported: named === true,
    });
    if (code === null)
      throw failed(`the sign-in was refused: ${answer.get('error')?.slice(0, 100) ?? 'there is no code'}`);
    return fetchToken(provider, info.authorizationServerUrl, {
      metadata,
      authorizationCode: code,
      fetchFn: timedFetch,
      ...(resource === undefined ? {} : { resource }),
      ...(iss === undefined ? {} : { iss }),
    });
  });
  const client = await provider.clientInformation({ issuer: metadata.issuer });
  if (client === undefined) throw new GovernorError('internal', 'nobody is known to sign in as');
  const { client_id, client_secret } = client;
  const method = 'token_endpoint_auth_method' in client ? client.token_endpoint_auth_method : undefined;
  return {
    tool: definition.name,
    url,
    issuer: metadata.issuer,
    client: {
      client_id,
      ...(settings.kind === 'browser' && settings.clientSecret === null && client_secret !== undefined
        ? { client_secret }
        : {}),
      ...(typeof method === 'string' ? { token_endpoint_auth_method: method } : {}),
    },
    tokens: kept(tokens),
    revocation: revocationOf(metadata),
    signedInAt: nowIso,
  };
}

/** Asks the server as nobody: its refusal says where to sign in, and for what. Opens no session. */
async function probe({ url, definition }: Protected): Promise<Challenge> {
  const headers = { ...definition.remote?.headers };
  const response = await attempt(`${url} cannot be reached`, Object.values(headers), () =>
    timedFetch(url, {
      method: 'POST',
      redirect: 'manual',
      headers: { ...headers, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'ping' }),
    }),
  );
  await response.body?.cancel();
  return response.status === 401 ? extractWWWAuthenticateParams(response) : {};
}

/** A program on somebody's machine keeps no secret, unless the server knows no such clients. */
function registeredMethod({ metadata }: AuthorizationServer): string {
  const { token_endpoint_auth_methods_supported: methods } = metadata;
  if (methods === undefined || methods.includes('none')) return 'none';
  return methods.includes('client_secret_basic') ? 'client_secret_basic' : 'client_secret_post';
}

function pageOf(page: URL | null, issuer: string): string {
  if (page === null) throw new GovernorError('internal', 'there is no page to sign in at');
  // It is opened in somebody's browser.
  if (page.protocol !== 'https:' && page.protocol !== 'http:')
    throw failed(`${issuer} names a page to sign in at that is none: ${page.protocol}`);
  return page.href;
}

function equal(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
