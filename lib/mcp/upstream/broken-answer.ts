/** What was meant as the answer to a request of ours and is none: whoever waits for it is told, and not kept until the deadline. */

import { RPC_CODE } from '../wire/protocol.ts';
import { isFields } from '../wire/shape.ts';
import type { Incoming } from '../wire/shape.ts';
import { failure } from '../wire/text.ts';
import type { Received } from './upstream.ts';

/** @returns null where it says of no request of ours that it answers it */
export function brokenAnswer(value: unknown, read: Extract<Incoming, { kind: 'invalid' }>): Received | null {
  if (!isFields(value) || typeof read.id !== 'number' || value['method'] !== undefined) return null;
  // A result that is undefined is left out where the message is written.
  if (value['jsonrpc'] !== '2.0' && value['result'] === undefined && value['error'] === undefined) return null;
  const answer = failure(RPC_CODE.internalError, `the server's answer cannot be read: ${read.problem}`);
  return { kind: 'answer', id: read.id, answer };
}
