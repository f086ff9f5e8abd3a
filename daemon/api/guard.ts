/**
 * Who may do what. The unix socket is trusted by its file mode. On TCP: Host and Origin against DNS rebinding and foreign
 * pages, then a bearer token (RFC 6750) with the scope of the route.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { isLoopback } from '../../config/listen.ts';
import { GovernorError } from '../../lib/core/errors.ts';
import type { AccessToken, ApiSettings, Scope } from './dependencies.ts';

/** Where a TCP listener is bound: `host` as it was asked for, `address` as the kernel has it. */
export interface Bound {
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

export type Listener = { readonly kind: 'unix' } | ({ readonly kind: 'tcp' } & Bound);

/** `open`: no token ever. `metrics`, `mcp`: by their settings; `mcp` needs the scope `control`. A scope: a token that has it. */
export type Access = Scope | 'open' | 'metrics' | 'mcp';

/** Who comes in by what the state directory holds. */
export const UNIX_SOCKET = 'unix socket';

export interface GuardedRequest {
  /** Undefined for a connection that no listener of ours accepted: refused. */
  readonly listener: Listener | undefined;
  readonly access: Access;
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly authorization: string | undefined;
}

export type Verdict =
  | { readonly kind: 'allowed'; readonly by: string }
  | { readonly kind: 'refused'; readonly error: GovernorError; readonly challenge: string | null };

export function judge(request: GuardedRequest, settings: ApiSettings, tokens: readonly AccessToken[]): Verdict {
  const { listener } = request;
  if (listener === undefined) return foreign('The connection came in on no listener of this daemon');
  if (listener.kind === 'unix') return { kind: 'allowed', by: UNIX_SOCKET };
  const allowedHosts = settings.allowedHosts ?? [];
  if (!hostAllowed(request.host, listener, allowedHosts)) {
    return foreign(`Host ${quote(request.host)} is not an address of this daemon`);
  }
  if (request.origin !== undefined && !originAllowed(request.origin, request.host ?? '', allowedHosts)) {
    return foreign(`Origin ${quote(request.origin)} is not this daemon`);
  }
  return judgeToken(request, listener.address, settings, tokens);
}

function judgeToken(
  request: GuardedRequest,
  boundAddress: string,
  settings: ApiSettings,
  tokens: readonly AccessToken[],
): Verdict {
  const { access } = request;
  if (access === 'open' || (access === 'metrics' && settings.auth.metrics === 'none'))
    return { kind: 'allowed', by: 'anyone' };
  const setting = access === 'mcp' ? settings.auth.mcp : settings.auth.api;
  if (access !== 'metrics' && setting === 'none' && isLoopback(boundAddress))
    return { kind: 'allowed', by: 'loopback without token' };
  const scope = scopeOf(access);
  const presented = /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i.exec(request.authorization ?? '')?.[1];
  if (presented === undefined) {
    const message =
      request.authorization === undefined
        ? 'Send "Authorization: Bearer <token>"'
        : 'The Authorization header is not "Bearer <token>"';
    return refused('unauthorized', message, 'Bearer realm="governor"');
  }
  const token = findToken(presented, tokens);
  if (token === null) {
    return refused(
      'unauthorized',
      'The token is not known to this daemon',
      'Bearer realm="governor", error="invalid_token"',
    );
  }
  if (token.scopes.includes(scope)) return { kind: 'allowed', by: `token ${token.label}` };
  return refused(
    'forbidden',
    `The token "${token.label}" does not have the scope "${scope}"`,
    `Bearer realm="governor", error="insufficient_scope", scope="${scope}"`,
  );
}

/** A call starts what is defined; it defines nothing. */
export function scopeOf(access: Exclude<Access, 'open'>): Scope {
  if (access === 'metrics') return 'read';
  return access === 'mcp' ? 'control' : access;
}

/** Digests have one length, so neither length nor content of a token shows in the time; every token is compared. */
function findToken(presented: string, tokens: readonly AccessToken[]): AccessToken | null {
  const digest = sha256(presented);
  let found: AccessToken | null = null;
  for (const candidate of tokens) {
    if (timingSafeEqual(digest, sha256(candidate.token)) && candidate.token !== '') found = candidate;
  }
  return found;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * A page that rebinds its DNS name to this machine still sends its own name as Host. Bound to every address, any address
 * literal is taken: a literal cannot be rebound.
 */
export function hostAllowed(header: string | undefined, bound: Bound, allowedHosts: readonly string[]): boolean {
  const value = (header ?? '').toLowerCase();
  const parts = /^(\[[0-9a-f:.]+\]|[^\s:[\]/@]+)(?::([0-9]{1,5}))?$/.exec(value);
  const name = parts?.[1]?.replace(/^\[|\]$/g, '');
  if (parts === null || name === undefined) return false;
  const port = Number(parts[2] ?? 80);
  if (listed(value, allowedHosts)) return true;
  if (port !== bound.port) return false;
  if (name === bound.host.toLowerCase() || name === bound.address) return true;
  if (bound.address === '0.0.0.0' || bound.address === '::') return name === 'localhost' || isIP(name) !== 0;
  return isLoopback(bound.address) && isLoopback(name);
}

/** Same origin only. A name from `allowedHosts` may also be reached over https, by a proxy in front. */
export function originAllowed(origin: string, host: string, allowedHosts: readonly string[]): boolean {
  const parts = /^(https?):\/\/(.+)$/.exec(origin.toLowerCase());
  if (parts === null || parts[2] !== host.toLowerCase()) return false;
  return parts[1] === 'http' || listed(host.toLowerCase(), allowedHosts);
}

function listed(hostHeader: string, allowedHosts: readonly string[]): boolean {
  const name = hostHeader.replace(/:[0-9]+$/, '');
  return allowedHosts.some((allowed) => allowed.toLowerCase() === hostHeader || allowed.toLowerCase() === name);
}

function foreign(message: string): Verdict {
  return refused('forbidden_origin', message, null);
}

function refused(
  code: 'unauthorized' | 'forbidden' | 'forbidden_origin',
  message: string,
  challenge: string | null,
): Verdict {
  return { kind: 'refused', error: new GovernorError(code, message), challenge };
}

function quote(text: string | undefined): string {
  return text === undefined ? '(none)' : JSON.stringify(text.slice(0, 100));
}
