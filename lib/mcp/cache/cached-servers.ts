/** All tools that are served, each with what is kept of its answers before it. */

import type { Client, Servers, Session } from '../wire/session.ts';
import type { AnswerCache } from './answer-cache.ts';
import { CachedSession } from './cached-session.ts';
import type { ServedSession } from './cached-session.ts';

export interface ServedServers extends Servers {
  open(tool: string, client: Client): ServedSession;
}

export function cachedServers(servers: ServedServers, cache: AnswerCache): Servers {
  return {
    names: () => servers.names(),
    onChanged: (listener) => servers.onChanged(listener),
    open(tool, client): Session {
      const session: CachedSession = new CachedSession({
        tool,
        client,
        inner: servers.open(tool, client),
        cache,
        onClosed: () => cache.leave(session),
      });
      cache.enter(session);
      return session;
    },
  };
}
