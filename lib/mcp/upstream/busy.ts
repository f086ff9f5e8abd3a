/** Which clients a server may be working for right now: those with a call open; where there is none, those with any request open. */

import type { OpenRequests } from './open-requests.ts';

/** What makes a server work, log, and ask its client something. Lists and the like only tell what it has. */
const CALLS: ReadonlySet<string> = new Set([
  'tools/call',
  'prompts/get',
  'resources/read',
  'completion/complete',
  'tasks/result',
]);

export function isCall(method: string): boolean {
  return CALLS.has(method);
}

export function busyClients<Owner>(clients: Iterable<Owner>, requests: OpenRequests<Owner>): readonly Owner[] {
  const busy = [...clients].filter((client) => requests.newestOf(client) !== undefined);
  if (busy.length < 2) return busy;
  const calling = busy.filter((client) => requests.of(client).some(({ method }) => isCall(method)));
  return calling.length > 0 ? calling : busy;
}
