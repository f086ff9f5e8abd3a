/** Answers that Governor gives itself. */

import { GovernorError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Answer } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { FIGURES, refused } from '../wire/refused.ts';
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
  const data = { reason: error.code, ...error.data };
  return REFUSALS.has(error.code)
    ? refused(error.message, data)
    : failure(RPC_CODE.stopped, error.message, { ...FIGURES, ...data });
}

export function cancelled(signal: AbortSignal): Failure {
  return failure(RPC_CODE.internalError, `The request was cancelled: ${reasonOf(signal.reason)}`);
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
