/** A session as the client sees it, and the way back. */

import type { Answer, NotificationBody, RequestBody } from '../wire/message.ts';
import type { ServerDescription, Session } from '../wire/session.ts';

export interface Shown extends Session {
  /** What the server tells this client beside any request. */
  fromServer(notification: NotificationBody): void;
  /** What the server asks this client beside any request. */
  askedByServer(request: RequestBody, signal: AbortSignal): Promise<Answer>;
  /** The server, still of the same era, may have changed what it says of itself. */
  update(server: ServerDescription): void;
  /** Ends what this client has open here; the session goes on. Idempotent. */
  release(reason: string): void;
}
