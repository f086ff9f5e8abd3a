/** JSON that others wrote: one JSON-RPC message, or what is wrong with it; and its fields. */

import type { Answer, Fields, RequestId, RpcError } from './message.ts';
import { META } from './protocol.ts';

export type Incoming =
  | { readonly kind: 'request'; readonly id: RequestId; readonly method: string; readonly params: Fields | undefined }
  | { readonly kind: 'notification'; readonly method: string; readonly params: Fields | undefined }
  | { readonly kind: 'answer'; readonly id: RequestId; readonly answer: Answer }
  /** `id`: of what was meant as a request, where it could be read. */
  | { readonly kind: 'invalid'; readonly id: RequestId | undefined; readonly problem: string };

export function readMessage(value: unknown): Incoming {
  if (!isFields(value)) return invalid(undefined, 'a message is a JSON object');
  const { jsonrpc, id, method, params } = value;
  const readable = isRequestId(id) ? id : undefined;
  if (jsonrpc !== '2.0') return invalid(readable, '"jsonrpc" must be "2.0"');
  if (method === undefined) return readAnswer(value, readable);
  if (typeof method !== 'string') return invalid(readable, '"method" must be a string');
  if (params !== undefined && !isFields(params)) return invalid(readable, '"params" must be an object');
  if (id === undefined) return { kind: 'notification', method, params };
  if (readable === undefined) return invalid(undefined, '"id" must be a string or a number');
  return { kind: 'request', id: readable, method, params };
}

function readAnswer({ result, error }: Fields, id: RequestId | undefined): Incoming {
  if (id === undefined) return invalid(undefined, 'the message has no "method", and no "id" of a request');
  if (isFields(result)) return { kind: 'answer', id, answer: { kind: 'result', result } };
  if (isRpcError(error)) return { kind: 'answer', id, answer: { kind: 'error', error } };
  return invalid(id, 'the message has neither "method" nor "result" nor "error"');
}

function invalid(id: RequestId | undefined, problem: string): Incoming {
  return { kind: 'invalid', id, problem };
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `{}` where it is no object. */
export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {};
}

/** A copy without these fields; the same object where it has none of them. */
export function without(fields: Fields, names: readonly string[]): Fields {
  if (!names.some((name) => Object.hasOwn(fields, name))) return fields;
  const rest: Record<string, unknown> = { ...fields };
  for (const name of names) delete rest[name];
  return rest;
}

export function isRequestId(value: unknown): value is RequestId {
  return typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value));
}

function isRpcError(value: unknown): value is RpcError {
  return isFields(value) && Number.isInteger(value['code']) && typeof value['message'] === 'string';
}

/** `_meta` of the parameters, where it is an object. */
export function metaOf(params: Fields | undefined): Fields | undefined {
  const meta = params?.['_meta'];
  return isFields(meta) ? meta : undefined;
}

/** The modern era is claimed by the version that a request carries in its `_meta`, whatever it names. */
export function claimsModern(params: Fields | undefined): boolean {
  const meta = metaOf(params);
  return meta !== undefined && Object.hasOwn(meta, META.protocolVersion);
}
