/** Messages as they are sent: each is stringified once. JSON has no raw line feeds, so a text is one line and one event. */

import { GovernorError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Answer, Fields, NotificationBody, RequestBody, RequestId, RpcError } from './message.ts';
import { RPC_CODE } from './protocol.ts';
import { refusalData } from './refused.ts';

/** A result that cannot be written (V8 reads deeper nesting than it writes) becomes an error that says so. */
export function answerText(id: RequestId, answer: Answer): string {
  try {
    return answer.kind === 'result'
      ? `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${JSON.stringify(answer.result)}}`
      : errorText(id, answer.error);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return errorText(id, { code: RPC_CODE.internalError, message: 'The answer is nested too deeply, or too long' });
  }
}

/** Without an id where the request could not be read. */
export function errorText(id: RequestId | undefined, error: RpcError): string {
  const head = id === undefined ? '{"jsonrpc":"2.0"' : `{"jsonrpc":"2.0","id":${JSON.stringify(id)}`;
  return `${head},"error":${JSON.stringify(error)}}`;
}

/** null: it cannot be written. */
export function requestText(id: RequestId, { method, params }: RequestBody): string | null {
  const body = bodyText(method, params);
  return body === null ? null : `{"jsonrpc":"2.0","id":${JSON.stringify(id)},${body}}`;
}

/** null: it cannot be written. */
export function notificationText({ method, params }: NotificationBody): string | null {
  const body = bodyText(method, params);
  return body === null ? null : `{"jsonrpc":"2.0",${body}}`;
}

function bodyText(method: string, params: unknown): string | null {
  const head = `"method":${JSON.stringify(method)}`;
  try {
    return params === undefined ? head : `${head},"params":${JSON.stringify(params)}`;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return null;
  }
}

export function failure(code: number, message: string, data?: unknown): Extract<Answer, { kind: 'error' }> {
  return { kind: 'error', error: data === undefined ? { code, message } : { code, message, data } };
}

export function success(result: Fields = {}): Extract<Answer, { kind: 'result' }> {
  return { kind: 'result', result };
}

/** For messages: as JSON, and not longer than a person reads. */
export function shortly(value: unknown): string {
  const text = JSON.stringify(value) ?? 'without a name';
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

/** Of a caller's mistake the code says so; everything else is a failure on the way. */
const CODES: Partial<Readonly<Record<ErrorCode, number>>> = {
  unknown_tool: RPC_CODE.invalidParams,
  not_managed: RPC_CODE.invalidParams,
  shutting_down: RPC_CODE.refused,
  breaker_open: RPC_CODE.refused,
};

/** What of a log this needs. */
export interface Warner {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** What was thrown, as an error that a client can show. A failure of ours shows nothing of itself, but in the log. */
export function thrownAnswer(error: unknown, logger: Warner): Extract<Answer, { kind: 'error' }> {
  if (!(error instanceof GovernorError) || error.code === 'internal') {
    logger.warn({ err: error }, 'an MCP request failed');
    return failure(RPC_CODE.internalError, 'Governor failed at this request; its log says more');
  }
  const code = CODES[error.code] ?? RPC_CODE.internalError;
  const data = { code: error.code, ...error.data };
  return failure(code, error.message, code === RPC_CODE.refused ? refusalData(data) : data);
}
