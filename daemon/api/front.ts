/**
 * What listens for requests. The router behind it is loaded a while after the start, or with the first request: it and its
 * schemas take a tenth of a second and more, which whoever starts a daemon to run a tool need not wait for, and nor need
 * whoever wants one stopped. MCP (`/mcp`) is taken before it. Until then it only tells over the unix socket that it is up,
 * which is what those who start it ask.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Router } from './api.ts';
import type { ApiDependencies } from './dependencies.ts';
import { createListeners } from './listeners.ts';
import type { Listeners } from './listeners.ts';
import { createMcpDoor } from './mcp-door.ts';
import { describeError, PROBLEM_TYPE } from './problems.ts';
import { UPGRADE_PROTOCOL } from './upgrade-protocol.ts';
import { SAFETY_HEADERS } from './safety-headers.ts';

const CLOSE_DEADLINE_MS = 2000;

export interface Front extends Pick<Listeners, 'listenUnix' | 'listenTcp'> {
  /** Loads the router after this time, if nobody has asked by then; where that fails the first request says so. */
  loadAfter(delayMs: number): void;
  /** The router, loaded now if it was not. */
  router(): Promise<Router>;
  /** Ends event streams, lets other requests end for at most 2 s, then breaks them off. */
  close(): Promise<void>;
}

export function createFront(dependencies: ApiDependencies): Front {
  let loading: Promise<Router> | null = null;
  let loaded: Router | null = null;
  let closing = false;
  let timer: NodeJS.Timeout | undefined;

  const load = async (): Promise<Router> => {
    const { createRouter } = await import('./api.ts');
    const router = await createRouter(dependencies, listeners);
    if (closing) router.refuse();
    return (loaded = router);
  };
  const router = (): Promise<Router> => (loading ??= load());
  const { mcp } = dependencies;
  const door =
    mcp === undefined
      ? null
      : createMcpDoor({ ...dependencies, mcp, listeners: (): Listeners => listeners, closing: () => closing });
  const listeners: Listeners = createListeners(
    (request, response) => {
      if (door?.take(request, response) !== true) route(request, response);
    },
    door === null ? undefined : { protocol: UPGRADE_PROTOCOL, handle: door.upgrade },
  );
  const route = (request: IncomingMessage, response: ServerResponse): void => {
    if (loaded !== null) loaded.handle(request, response);
    else if (loading === null && isProbe(request, listeners)) answerProbe(request, response, dependencies);
    else
      router().then(
        ({ handle }) => handle(request, response),
        (error: unknown) => fail(response, error, dependencies),
      );
  };

  return {
    listenUnix: listeners.listenUnix,
    listenTcp: listeners.listenTcp,
    router,
    loadAfter(delayMs) {
      const ready = ({ served }: Router): void =>
        dependencies.logger.debug({ routes: served.length }, 'the API is loaded');
      timer = setTimeout(() => void router().then(ready, () => undefined), delayMs).unref();
    },
    async close() {
      closing = true;
      clearTimeout(timer);
      loaded?.refuse();
      // Servers behind may take long to end; whoever waits for them is not the API.
      await Promise.race([
        mcp?.close('The daemon is shutting down'),
        delay(CLOSE_DEADLINE_MS, undefined, { ref: false }),
      ]);
      await listeners.close(CLOSE_DEADLINE_MS);
      await (await loading)?.close();
    },
  };
}

function isProbe({ method, url, socket }: IncomingMessage, listeners: Listeners): boolean {
  return method === 'GET' && (url === '/healthz' || url === '/readyz') && listeners.of(socket)?.kind === 'unix';
}

/** As the routes of the same name answer (routes/pages.ts). */
function answerProbe({ url }: IncomingMessage, response: ServerResponse, { ready }: ApiDependencies): void {
  if (url === '/healthz') return answer(response, 200, 'application/json; charset=utf-8', { status: 'ok' });
  const { ready: isReady, detail } = ready();
  answer(response, isReady ? 200 : 503, 'application/json; charset=utf-8', { ready: isReady, detail });
}

function fail(response: ServerResponse, error: unknown, { logger }: ApiDependencies): void {
  logger.error({ err: error }, 'the API could not be loaded');
  const { document } = describeError(error);
  answer(response, document.status, PROBLEM_TYPE, document);
}

function answer(response: ServerResponse, status: number, type: string, document: object): void {
  const body = JSON.stringify(document);
  response.writeHead(status, { ...SAFETY_HEADERS, 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
