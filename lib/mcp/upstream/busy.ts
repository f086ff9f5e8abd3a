/**
 * Which clients a server may be working for right now: those with a call open, or cancelled a moment ago; where there is none, those with
 * any request open.
 */

import { MAKES_ASK } from './open-requests.ts';
import type { OpenRequest, OpenRequests } from './open-requests.ts';

/** @param cancelled whose calls the server may not know to be cancelled; they may have gone */
export function busyClients<Owner>(
  clients: Iterable<Owner>,
  requests: OpenRequests<Owner>,
  cancelled: ReadonlySet<Owner>,
): readonly Owner[] {
  const all = [...clients];
  const open = all.filter((client) => requests.newestOf(client, MAKES_ASK) !== undefined);
  const calling = cancelled.size === 0 ? open : [...new Set([...open, ...cancelled])];
  return calling.length > 0 ? calling : all.filter((client) => requests.newestOf(client) !== undefined);
}

/** The request of a client that a question or a log line of the server most likely belongs to. */
export function busiestOf<Owner>(client: Owner, requests: OpenRequests<Owner>): OpenRequest<Owner> | undefined {
  return requests.newestOf(client, MAKES_ASK) ?? requests.newestOf(client);
}
