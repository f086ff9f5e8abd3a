/** Governor's own stream of a modern server, which tells of changed lists only to those who listen. */

import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { ServerDescription } from '../wire/session.ts';
import type { ChangedList } from './notices.ts';

export const LISTEN = 'subscriptions/listen';
/** A stream that has ended is opened again after so long, and then ever less often. */
const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 60_000;

export interface OwnStreamOptions {
  /** Resolves when the stream is over. Never rejects. */
  request(request: RequestBody): Promise<Answer>;
  /** The conversation is. */
  isOver(): boolean;
  /** It may have changed while nobody listened. */
  onListChanged(list: ChangedList): void;
}

/** Until the conversation is over, or the server turns out to know no streams. */
export async function listenForLists({ capabilities }: ServerDescription, options: OwnStreamOptions): Promise<void> {
  const lists = (['tools', 'resources', 'prompts'] as const).filter(
    (list) => (capabilities[list] as Fields | undefined)?.['listChanged'] === true,
  );
  if (lists.length === 0) return;
  const notifications = Object.fromEntries(lists.map((list) => [`${list}ListChanged`, true]));
  for (let waitMs = AGAIN_MS; ; waitMs = Math.min(waitMs * 2, AGAIN_MAX_MS)) {
    const answer = await options.request({ method: LISTEN, params: { notifications } });
    if (answer.kind === 'error' && answer.error.code === RPC_CODE.methodNotFound) return;
    if (options.isOver()) return;
    await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
    if (options.isOver()) return;
    for (const list of lists) options.onListChanged(list);
  }
}
