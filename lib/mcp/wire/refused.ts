/** Errors of Governor's own, with the data that all of them have: programs need not ask which it was. */

import type { Answer, Fields } from './message.ts';
import { RPC_CODE } from './protocol.ts';

/** What the data of every refusal and every stop has, whatever it was; null where it does not apply. */
export const FIGURES = {
  resource: null,
  usage: null,
  limit: null,
  ratio: null,
  stage: null,
  action: null,
  /** From when on another request may succeed; null: not by itself. */
  retryAfterMs: null,
} as const;

/** Of what was not let through, though whoever it was for may be well. */
export function refusalData(data: Fields = {}): Fields {
  return { ...FIGURES, action: 'refuse_calls', ...data };
}

export function refused(message: string, data?: Fields): Extract<Answer, { kind: 'error' }> {
  return { kind: 'error', error: { code: RPC_CODE.refused, message, data: refusalData(data) } };
}
