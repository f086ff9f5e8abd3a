/** Messages as they are sent: each is stringified once. JSON has no raw line feeds, so a text is one line and one event. */

import { GovernorError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Answer, NotificationBody, RequestBody, RequestId, RpcError } from './message.ts';
import { RPC_CODE } from './protocol.ts';

export function answerText(id: RequestId, answer: Answer): string {
  return answer.kind === 'result'
    ? `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${JSON.stringify(answer.result)}}`
    : errorText(id, answer.error);
}

/** Without an id where the request could not be read. */
export function errorText(id: RequestId | undefined, error: RpcError): string {
  const head = id === undefined ? '{"jsonrpc":"2.0"' : `{"jsonrpc":"2.0","id":${JSON.stringify(id)}`;
  return `${head},"error":${JSON.stringify(error)}}`;
}

export function requestText(id: RequestId, { method, params }: RequestBody): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},${bodyText(method, params)}}`;
}

export function notificationText({ method, params }: NotificationBody): string {
  return `{"jsonrpc":"2.0",${bodyText(method, params)}}`;
}

function bodyText(method: string, params: unknown): string {
  const head = `"method":${JSON.stringify(method)}`;
  return params === undefined ? head : `${head},"params":${JSON.stringify(params)}`;
}

export function failure(code: number, message: string, data?: unknown): Extract<Answer, { kind: 'error' }> {
  return { kind: 'error', error: data === undefined ? { code, message } : { code, message, data } };
}

/** Of a caller's mistake the code says so; everything else is a failure on the way. */
const CODES: Partial<Readonly<Record<ErrorCode, number>>> = {
  unknown_tool: RPC_CODE.invalidParams,
  not_managed: RPC_CODE.invalidParams,
  shutting_down: RPC_CODE.refused,
  breaker_open: RPC_CODE.refused,
};

/** What was thrown, as an error that a client can show. A failure of ours shows nothing of itself. */
export function thrownAnswer(error: unknown): Extract<Answer, { kind: 'error' }> {
  if (!(error instanceof GovernorError) || error.code === 'internal') {
    return failure(RPC_CODE.internalError, 'Governor failed at this request; its log says more');
  }
  return failure(CODES[error.code] ?? RPC_CODE.internalError, error.message, { code: error.code, ...error.data });
}
