/** Answers over HTTP that are no event stream. */

import type { ServerResponse } from 'node:http';
import { GovernorError } from '../../core/errors.ts';
import type { RequestId } from '../wire/message.ts';
import { errorText } from '../wire/text.ts';

export function sendJson(response: ServerResponse, status: number, text: string): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'x-content-type-options': 'nosniff',
  });
  response.end(text);
}

/** 202, 204: nothing to say. */
export function sendEmpty(response: ServerResponse, status: 202 | 204): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(status, status === 202 ? { 'content-length': 0 } : {});
  response.end();
}

export interface Refusal {
  readonly status: number;
  readonly code: number;
  readonly message: string;
  readonly id?: RequestId | undefined;
  readonly data?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A refusal as the protocol wants it: an HTTP status, and a JSON-RPC error (without id where there is none). */
export function refuse(response: ServerResponse, refusal: Refusal): void {
  if (response.destroyed || response.headersSent) return;
  const { code, message, data, id } = refusal;
  for (const [name, value] of Object.entries(refusal.headers ?? {})) response.setHeader(name, value);
  sendJson(response, refusal.status, errorText(id, data === undefined ? { code, message } : { code, message, data }));
}

export function oneHeader(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}

/** Of an error that was thrown: a GovernorError knows its own. */
export function statusOf(error: unknown): number {
  return error instanceof GovernorError ? error.status : 500;
}
