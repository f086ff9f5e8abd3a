/** An authorization server and an MCP server that is protected by it: real HTTP on the loopback, at a test's command. */

import { createHash, createPublicKey, randomUUID, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type TestScope = { teardown(handler: () => void): void };
type Json = Readonly<Record<string, unknown>>;

export interface OAuthClient {
  readonly id: string;
  /** Null: a public one. */
  readonly secret: string | null;
  readonly redirectUris: readonly string[];
  readonly publicKey?: KeyObject;
}

/** What was asked of the authorization server. */
export interface Asked {
  readonly path: string;
  readonly params: URLSearchParams;
  /** HTTP Basic, decoded. */
  readonly basic: string | null;
}

/** What was asked of the MCP server. */
export interface Called {
  readonly verb: string;
  readonly method: string;
  readonly authorization: string | null;
  readonly status: number;
}

export interface OAuthStand {
  readonly issuer: string;
  readonly url: string;
  readonly asked: Asked[];
  readonly called: Called[];
  /** Of these, the ones that came in, answered or not. */
  arrived: number;
  readonly clients: Map<string, OAuthClient>;
  /** Access tokens that are good. */
  readonly good: Set<string>;
  /** All that were ever given out, of every kind. */
  readonly given: Set<string>;
  readonly revoked: string[];
  /** Every access token has expired. */
  expire(): void;
  /** Answers a refresh, or (null) does as it should. */
  refusal: { readonly status: number; readonly body: string } | null;
  /** What every token lacks for a call. */
  lacks: string | null;
  /** The person at the page says no. */
  denies: boolean;
  /** Where to sign in is told. */
  hasMetadata: boolean;
  /** Tokens can be taken back. */
  revokes: boolean;
  /** With the answer comes whose it is (RFC 9207); else what is said there. */
  iss: string | null;
  /** Answers of the authorization server are held back until this resolves. */
  gate: Promise<void> | null;
  /** Refusals of the MCP server, of requests that come while it is set. */
  refusalGate: Promise<void> | null;
  /** Each call of a tool waits for it. */
  callGate: Promise<void> | null;
  of(path: string): readonly Asked[];
}

export async function oauthStand(t: TestScope): Promise<OAuthStand> {
  const codes = new Map<string, URLSearchParams>();
  const refreshTokens = new Map<string, string>();
  const mcp = await listen(t, (request, response) => void serveMcp(request, response));
  const login = await listen(t, (request, response) => void serveLogin(request, response));
  const url = `${mcp}/mcp`;
  const self: OAuthStand = {
    issuer: login,
    url,
    asked: [],
    called: [],
    arrived: 0,
    clients: new Map(),
    good: new Set(),
    given: new Set(),
    revoked: [],
    expire: () => self.good.clear(),
    refusal: null,
    lacks: null,
    denies: false,
    hasMetadata: true,
    revokes: true,
    iss: login,
    gate: null,
    refusalGate: null,
    callGate: null,
    of: (path) => self.asked.filter((asked) => asked.path === path),
  };
  return self;

  async function serveMcp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await textOf(request);
    const path = request.url ?? '';
    if (path.startsWith('/.well-known/')) {
      const isThere = self.hasMetadata && path === '/.well-known/oauth-protected-resource/mcp';
      const metadata = { resource: url, authorization_servers: [login], scopes_supported: ['read'] };
      return isThere ? json(response, 200, metadata) : json(response, 404, {});
    }
    self.arrived++;
    const { authorization = null } = request.headers;
    const message = (body === '' ? {} : JSON.parse(body)) as { id?: number; method?: string; params?: Json };
    const { id, method = '', params = {} } = message;
    const isIn = authorization !== null && self.good.has(authorization.replace('Bearer ', ''));
    const answer = (status: number, document: Json | null, headers: Record<string, string> = {}): void => {
      self.called.push({ verb: request.method ?? '', method, authorization, status });
      json(response, status, document, headers);
    };
    const hint = self.hasMetadata ? `, resource_metadata="${mcp}/.well-known/oauth-protected-resource/mcp"` : '';
    if (!isIn) await self.refusalGate;
    if (!isIn)
      return answer(401, {}, { 'www-authenticate': `Bearer error="invalid_token", scope="read write"${hint}` });
    if (request.method === 'GET') return answer(405, {});
    if (request.method === 'DELETE') return answer(200, {});
    if (id === undefined) return answer(202, null);
    const result = (value: Json, headers = {}): void => answer(200, { jsonrpc: '2.0', id, result: value }, headers);
    if (method === 'initialize')
      return result(
        {
          protocolVersion: '2025-11-25',
          capabilities: { tools: {}, resources: {} },
          serverInfo: { name: 'protected', version: '1' },
        },
        { 'mcp-session-id': randomUUID() },
      );
    if (method === 'tools/list') return result({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] });
    if (method === 'tools/call' && self.lacks !== null)
      return answer(403, {}, { 'www-authenticate': `Bearer error="insufficient_scope", scope="${self.lacks}"` });
    if (method === 'tools/call') {
      if (self.callGate !== null) await self.callGate;
      const { message: said } = (params['arguments'] ?? {}) as { message?: string };
      return result({ content: [{ type: 'text', text: said ?? '' }] });
    }
    // Says who asks, as far as it knows: by the token.
    if (method === 'resources/read') return result({ contents: [{ uri: params['uri'], text: authorization }] });
    if (method === 'ping') return result({});
    answer(200, { jsonrpc: '2.0', id, error: { code: -32_601, message: 'unknown' } });
  }

  async function serveLogin(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await textOf(request);
    const { pathname, searchParams } = new URL(request.url ?? '/', login);
    if (pathname.startsWith('/.well-known/')) {
      const isThere = self.hasMetadata && pathname === '/.well-known/oauth-authorization-server';
      return isThere ? json(response, 200, metadataOf()) : json(response, 404, {});
    }
    const isForm = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true;
    const params = isForm ? new URLSearchParams(body) : searchParams;
    const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const asked = { path: pathname, params, basic: basic === undefined ? null : atob(basic) };
    self.asked.push(asked);
    await self.gate;
    if (pathname === '/register') return register(JSON.parse(body) as Json, response);
    if (pathname === '/authorize') return authorize(params, response);
    if (pathname === '/token') return token(asked, response);
    if (pathname === '/revoke') return revoke(asked, response);
    json(response, 404, {});
  }

  function metadataOf(): Json {
    return {
      issuer: login,
      authorization_endpoint: `${login}/authorize`,
      token_endpoint: `${login}/token`,
      registration_endpoint: `${login}/register`,
      response_types_supported: ['code'],
      grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
      token_endpoint_auth_methods_supported: ['none', 'client_secret_basic', 'private_key_jwt'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      ...(self.revokes ? { revocation_endpoint: `${login}/revoke` } : {}),
    };
  }

  function register({ redirect_uris: redirectUris }: Json, response: ServerResponse): void {
    const id = randomUUID();
    self.clients.set(id, { id, secret: null, redirectUris: redirectUris as readonly string[] });
    json(response, 201, { client_id: id, redirect_uris: redirectUris, token_endpoint_auth_method: 'none' });
  }

  function authorize(params: URLSearchParams, response: ServerResponse): void {
    const client = self.clients.get(params.get('client_id') ?? '');
    const redirectUri = params.get('redirect_uri') ?? '';
    if (client?.redirectUris.includes(redirectUri) !== true) return json(response, 400, { error: 'invalid_request' });
    const back = new URL(redirectUri);
    back.searchParams.set('state', params.get('state') ?? '');
    if (self.iss !== null) back.searchParams.set('iss', self.iss);
    if (self.denies) back.searchParams.set('error', 'access_denied');
    else {
      const code = randomUUID();
      self.given.add(code);
      codes.set(code, params);
      back.searchParams.set('code', code);
    }
    response.writeHead(302, { location: back.href }).end();
  }

  function token(asked: Asked, response: ServerResponse): void {
    const { params } = asked;
    const client = authenticated(asked);
    if (client === null) return json(response, 401, { error: 'invalid_client' });
    const grant = params.get('grant_type');
    if (grant === 'client_credentials') return give(client, null, params.get('scope'), response);
    if (grant === 'refresh_token') {
      if (self.refusal !== null) return void response.writeHead(self.refusal.status).end(self.refusal.body);
      const held = params.get('refresh_token') ?? '';
      const isGood = refreshTokens.get(held) === client.id;
      // Good for one use only.
      refreshTokens.delete(held);
      return isGood ? give(client, 'refresh', null, response) : json(response, 400, { error: 'invalid_grant' });
    }
    const granted = codes.get(params.get('code') ?? '');
    codes.delete(params.get('code') ?? '');
    const challenge = createHash('sha256')
      .update(params.get('code_verifier') ?? '')
      .digest('base64url');
    const isGood =
      granted?.get('client_id') === client.id &&
      granted.get('code_challenge') === challenge &&
      granted.get('redirect_uri') === params.get('redirect_uri') &&
      params.get('resource') === url;
    if (!isGood) return json(response, 400, { error: 'invalid_grant' });
    give(client, 'refresh', granted.get('scope'), response);
  }

  function give(client: OAuthClient, refresh: 'refresh' | null, scope: string | null, response: ServerResponse): void {
    const access = `access-${randomUUID()}`;
    self.good.add(access);
    self.given.add(access);
    const refreshToken = `refresh-${randomUUID()}`;
    if (refresh !== null) {
      refreshTokens.set(refreshToken, client.id);
      self.given.add(refreshToken);
    }
    json(response, 200, {
      access_token: access,
      token_type: 'Bearer',
      expires_in: 3600,
      ...(refresh === null ? {} : { refresh_token: refreshToken }),
      ...(scope === null ? {} : { scope }),
    });
  }

  function revoke(asked: Asked, response: ServerResponse): void {
    if (authenticated(asked) === null) return json(response, 401, { error: 'invalid_client' });
    const gone = asked.params.get('token') ?? '';
    self.revoked.push(gone);
    self.good.delete(gone);
    refreshTokens.delete(gone);
    json(response, 200, {});
  }

  function authenticated({ params, basic }: Asked): OAuthClient | null {
    const assertion = params.get('client_assertion');
    if (assertion !== null) return asserted(assertion);
    const [id = '', secret = null] = basic === null ? [params.get('client_id') ?? ''] : basic.split(':');
    const client = self.clients.get(id);
    return client?.secret === secret ? client : null;
  }

  /** RFC 7523, as far as it decides here. */
  function asserted(assertion: string): OAuthClient | null {
    const [head = '', payload = '', signature = ''] = assertion.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { iss: string; aud: string };
    const client = self.clients.get(claims.iss);
    if (client?.publicKey === undefined || claims.aud !== login) return null;
    const key = { key: client.publicKey, dsaEncoding: 'ieee-p1363' } as const;
    const isSigned = verify('sha256', Buffer.from(`${head}.${payload}`), key, Buffer.from(signature, 'base64url'));
    return isSigned ? client : null;
  }
}

/** A browser whose person agrees to everything: follows redirects to where they end. */
export async function browse(authorizationUrl: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(authorizationUrl);
  return { status: response.status, text: await response.text() };
}

/** The same up to where it would be sent back to: the query that it would bring. */
export async function answerOf(authorizationUrl: string): Promise<string> {
  const response = await fetch(authorizationUrl, { redirect: 'manual' });
  await response.body?.cancel();
  return new URL(response.headers.get('location') ?? '').search.slice(1);
}

export function publicKeyOf(privatePem: string): KeyObject {
  return createPublicKey(privatePem);
}

async function listen(t: TestScope, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function json(
  response: ServerResponse,
  status: number,
  document: Json | null,
  headers: Record<string, string> = {},
): void {
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(document === null ? '' : JSON.stringify(document));
}
