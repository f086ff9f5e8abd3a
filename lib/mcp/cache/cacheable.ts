/** Which requests may be answered from what is kept, and by which keys. Pure. */

import { digest } from '../pool/identity.ts';
import { isFields } from '../wire/shape.ts';
import type { Fields, RequestBody } from '../wire/message.ts';
import { META } from '../wire/protocol.ts';
import type { Client } from '../wire/session.ts';

/** Those whose results carry `ttlMs` and `cacheScope` (2026-07-28, server/utilities/caching); what a server says of itself is kept elsewhere. */
const READ = 'resources/read';
const LISTS: ReadonlySet<string> = new Set([
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
]);

/** Of `_meta`: what says how to answer, or who asks, and not what. */
const META_KEYS: ReadonlySet<string> = new Set([
  'progressToken',
  'traceparent',
  'tracestate',
  'baggage',
  META.protocolVersion,
  META.clientInfo,
  META.clientCapabilities,
  META.logLevel,
]);

/** Of a URI or cursor: what is kept is counted by its contents, and must not be all name. */
const NAME_MAX_CHARACTERS = 8_192;

export interface Cacheable {
  readonly method: string;
  /** Of what is read; of a list its method. */
  readonly uri: string;
  readonly isRead: boolean;
  readonly params: Fields;
}

/** Null for what has more to it than a URI or a cursor: input that was asked for, a task, a field that nobody here knows. */
export function cacheable({ method, params = {} }: RequestBody): Cacheable | null {
  const isRead = method === READ;
  if (!isRead && !LISTS.has(method)) return null;
  const { _meta: meta, ...rest } = params;
  if (meta !== undefined && !(isFields(meta) && Object.keys(meta).every((key) => META_KEYS.has(key)))) return null;
  const wanted = isRead ? 'uri' : 'cursor';
  const names = Object.keys(rest);
  if (names.some((name) => name !== wanted) || names.some((name) => !isShortText(rest[name]))) return null;
  const uri = rest['uri'];
  if (!isRead) return { method, uri: method, isRead, params: rest };
  return typeof uri === 'string' ? { method, uri, isRead, params: rest } : null;
}

function isShortText(value: unknown): boolean {
  return typeof value === 'string' && value.length <= NAME_MAX_CHARACTERS;
}

/** What two callers must have in common beside the request. */
export interface Asked {
  /** The same for the same server and the same rules. */
  readonly server: string;
  readonly client: Pick<Client, 'era' | 'protocolVersion' | 'context' | 'info' | 'capabilities'>;
  /** Between clients of one context; empty where they are alike. */
  readonly distinction: string;
}

/** Any caller of the same server. The same in every replica. */
export function sharedKey({ method, params }: Cacheable, { server, client }: Asked): string {
  return keyText(method, null, [server, versionOf(client), method, params]);
}

/** This caller only: its context, which is one of this daemon. */
export function ownKey({ method, params }: Cacheable, { server, client, distinction }: Asked): string {
  const { context, info, capabilities } = client;
  const caller = [context, info, capabilities, distinction];
  return keyText(method, context, [server, versionOf(client), method, params, caller]);
}

/** A legacy server has agreed on its version with Governor; a modern one is told with each request. */
function versionOf({ era, protocolVersion }: Asked['client']): string {
  return era === 'legacy' ? era : protocolVersion;
}

function keyText(method: string, context: string | null, parts: unknown): string {
  return JSON.stringify([method, context, digest(parts)]);
}

export function isOwnOf(context: string, key: string): boolean {
  return readKey(key).context === context;
}

/** What a key says to people. */
export function readKey(key: string): { readonly method: string; readonly context: string | null } {
  const [method, context] = JSON.parse(key) as [string, string | null, string];
  return { method, context };
}
