/** What the modern era asks of each request before it is served: its `_meta`, and over HTTP the headers that mirror it. Pure. */

import { isBase64Text } from './base64.ts';
import type { Fields, RpcError } from '../wire/message.ts';
import { META, MODERN_VERSIONS, RPC_CODE } from '../wire/protocol.ts';
import { isFields, metaOf } from '../wire/shape.ts';

/** Methods of the legacy era that this one has removed: a legacy server behind would know them. */
const REMOVED: ReadonlySet<string> = new Set([
  'initialize',
  'ping',
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
]);

export function isRemoved(method: string): boolean {
  return REMOVED.has(method);
}

export interface ModernMeta {
  readonly protocolVersion: string;
  readonly info: Fields;
  readonly capabilities: Fields;
}

export type MetaVerdict =
  | { readonly ok: true; readonly meta: ModernMeta }
  | { readonly ok: false; readonly error: RpcError };

/** @returns -32602 for what is missing. Whether the version is served is `checkVersion`. */
export function readMeta(params: Fields | undefined): MetaVerdict {
  const meta = metaOf(params);
  if (meta === undefined) return missing(['_meta']);
  const { [META.protocolVersion]: version, [META.clientCapabilities]: capabilities, [META.clientInfo]: info } = meta;
  const absent = [
    ...(typeof version === 'string' ? [] : [META.protocolVersion]),
    ...(isFields(capabilities) ? [] : [META.clientCapabilities]),
  ];
  if (typeof version !== 'string' || !isFields(capabilities)) return missing(absent);
  return { ok: true, meta: { protocolVersion: version, info: isFields(info) ? info : {}, capabilities } };
}

function missing(keys: readonly string[]): MetaVerdict {
  const message = `The request needs ${keys.join(' and ')}${keys[0] === '_meta' ? '' : ' in its _meta'}`;
  return { ok: false, error: { code: RPC_CODE.invalidParams, message, data: { missing: keys } } };
}

/** @returns null when the version is served */
export function checkVersion(version: string): RpcError | null {
  if ((MODERN_VERSIONS as readonly string[]).includes(version)) return null;
  return {
    code: RPC_CODE.unsupportedVersion,
    message: `Unsupported protocol version: ${JSON.stringify(version.slice(0, 100))}`,
    data: { supported: MODERN_VERSIONS, requested: version },
  };
}

/** Where `Mcp-Name` comes from. Tasks are an extension, which asks for it too. */
const NAME_SOURCE: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId',
};

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** @returns -32020 for a header that is missing, malformed, or not what the body says; null when all fit */
export function checkHeaders(headers: Headers, method: string, params: Fields | undefined): RpcError | null {
  const named = headers['mcp-method'];
  if (named === undefined) return mismatch('the header Mcp-Method is missing');
  if (named !== method) return mismatch(`Mcp-Method ${quote(named)} is not the method ${quote(method)} of the body`);
  if (!Object.hasOwn(NAME_SOURCE, method)) return null;
  const field = NAME_SOURCE[method] ?? '';
  const value = params?.[field];
  const header = headers['mcp-name'];
  // A body without it is the server's to refuse.
  if (typeof value !== 'string') return null;
  if (header === undefined) return mismatch(`the header Mcp-Name is missing; the body has ${field} ${quote(value)}`);
  const decoded = decodeHeader(String(header));
  if (decoded === null) return mismatch(`Mcp-Name ${quote(header)} is not a valid header value`);
  if (decoded !== value) return mismatch(`Mcp-Name ${quote(decoded)} is not ${field} ${quote(value)} of the body`);
  return null;
}

export function checkVersionHeader(header: string | string[] | undefined, version: string): RpcError | null {
  if (header === undefined) return mismatch('the header MCP-Protocol-Version is missing');
  if (header === version) return null;
  return mismatch(`MCP-Protocol-Version ${quote(header)} is not the version ${quote(version)} of the body`);
}

export function mismatch(why: string): RpcError {
  return { code: RPC_CODE.headerMismatch, message: `Header mismatch: ${why}` };
}

/** Visible ASCII, spaces and tabs as they are, or `=?base64?…?=` of UTF-8. @returns null for anything else */
export function decodeHeader(value: string): string | null {
  if (/[^\x20-\x7e\t]/.test(value)) return null;
  if (!value.startsWith('=?base64?') || !value.endsWith('?=')) return value;
  const coded = value.slice('=?base64?'.length, -'?='.length);
  return isBase64Text(coded) ? Buffer.from(coded, 'base64').toString('utf8') : null;
}

export function quote(text: unknown): string {
  return JSON.stringify(String(text).slice(0, 200));
}
