/** Answers that Governor gives itself. */

import { GovernorError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Answer } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { failure } from '../wire/text.ts';

type Failure = Extract<Answer, { kind: 'error' }>;

/** Refused for now rather than for good. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'breaker_open',
  'illegal_state',
  'tool_unproven',
  'shutting_down',
  'sign_in_needed',
]);

/** What was thrown before a request could be sent. */
export function thrown(error: unknown): Failure {
  if (!(error instanceof GovernorError)) return failure(RPC_CODE.internalError, reasonOf(error));
  const code = REFUSALS.has(error.code) ? RPC_CODE.refused : RPC_CODE.stopped;
  return failure(code, error.message, { reason: error.code, ...error.data });
}

export function cancelled(signal: AbortSignal): Failure {
  return failure(RPC_CODE.internalError, `The request was cancelled: ${reasonOf(signal.reason)}`);
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
