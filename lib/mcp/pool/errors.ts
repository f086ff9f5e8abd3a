/** Why a request was not answered by its server: a sentence for people, and the same as data for programs. */

import { GovernorError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { ServedRun } from '../../supervisor/served.ts';
import type { EndRequest } from '../../supervisor/run.ts';
import type { Answer, Fields } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { FIGURES, refused } from '../wire/refused.ts';

export function errorAnswer(code: number, message: string, data?: Fields): Answer {
  return { kind: 'error', error: { code, message, ...(data === undefined ? {} : { data }) } };
}

/** Of a request that was not let through, though its server may be well. */
export function refusedAnswer(message: string, data: Fields): Answer {
  return refused(message, data);
}

/** Of a request that was lost on its way to a server that goes on. */
export function lostAnswer(code: number, message: string, data: Fields): Answer {
  return errorAnswer(code, message, { ...FIGURES, ...data });
}

/**
 * The server ended, or was ended, while the request was open.
 * @param retryAfterMs from when on another request may succeed; null: not by itself
 */
export function stopped(run: ServedRun, end: EndRequest, retryAfterMs: number | null): Answer {
  const { exit } = run;
  const how =
    end.reason === 'exited' && exit !== 'unknown'
      ? ` (${'code' in exit ? `exit code ${exit.code}` : exit.signal})`
      : '';
  return errorAnswer(RPC_CODE.stopped, `${run.tool}: ${end.message}${how}`, {
    ...FIGURES,
    tool: run.tool,
    run: run.id,
    reason: end.reason,
    resource: end.resource ?? null,
    ...end.breach,
    ...(exit === 'unknown' ? {} : { exit }),
    retryAfterMs,
  });
}

/** Refused for now rather than for good. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'breaker_open',
  'illegal_state',
  'tool_unproven',
  'shutting_down',
  'sign_in_needed',
]);

/** A server that could not be started. */
export function notStarted(tool: string, error: unknown): Answer {
  const message = error instanceof Error ? error.message : String(error);
  const said = message.startsWith(tool) ? message : `${tool}: ${message}`;
  if (!(error instanceof GovernorError)) return errorAnswer(RPC_CODE.internalError, said, { tool });
  const data = { tool, reason: error.code, ...error.data };
  return REFUSALS.has(error.code)
    ? refusedAnswer(said, data)
    : errorAnswer(RPC_CODE.stopped, said, { ...FIGURES, ...data });
}
