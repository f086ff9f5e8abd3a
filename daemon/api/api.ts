/**
 * The REST API: one router, one table of routes, a unix socket and TCP before it.
 *
 * MCP (`/mcp`) is taken before the router. A request passes: listener → guard (Host, Origin, token, scope) → body parser → schema → handler → schema of the answer.
 */

import { setTimeout as delay } from 'node:timers/promises';
import Fastify from 'fastify';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GovernorError } from '../../lib/core/errors.ts';
import { checkFormOnly, COMPILERS } from './compilers.ts';
import type { ApiDependencies, ApiLogger } from './dependencies.ts';
import { createEventStreams } from './event-stream.ts';
import type { EventStreams } from './event-stream.ts';
import { judge } from './guard.ts';
import type { Access } from './guard.ts';
import { parseJsonBody } from './json-body.ts';
import { createListeners } from './listeners.ts';
import { createMcpDoor } from './mcp-door.ts';
import type { Listeners } from './listeners.ts';
import { describeError, PROBLEM_TYPE } from './problems.ts';
import { methodsAt, routerPath } from './route.ts';
import type { Route } from './route.ts';
import { routeSchema } from './route-schema.ts';
import { daemonRoutes } from './routes/daemon.ts';
import { mcpRoutes, UPGRADE_PROTOCOL } from './routes/mcp.ts';
import { pageRoutes } from './routes/pages.ts';
import { toolDetailRoutes } from './routes/tool-details.ts';
import { toolRoutes } from './routes/tools.ts';

export const BODY_LIMIT_BYTES = 1024 * 1024;
/** Longest name in a path, decoded; what is longer is no tool's name. */
const MAX_PARAMETER_CHARACTERS = 2048;
const CLOSE_DEADLINE_MS = 2000;

export interface Api extends Pick<Listeners, 'listenUnix' | 'listenTcp'> {
  /** `GET /v1/tools`, …: what the router serves, HEAD left out. */
  readonly served: readonly string[];
  openapi(): Promise<object>;
  /** Ends event streams, lets other requests end for at most 2 s, then breaks them off. */
  close(): Promise<void>;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    emptyBodyAllowed?: boolean;
  }
  interface FastifyRequest {
    /** Who asked, for the audit. */
    by: string;
  }
}

export async function createApi(dependencies: ApiDependencies): Promise<Api> {
  const { logger } = dependencies;
  const streams = createEventStreams(dependencies);
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    routerOptions: { maxParamLength: MAX_PARAMETER_CHARACTERS },
    schemaController: { compilersFactory: COMPILERS },
    frameworkErrors: (error, _request, reply) => void sendProblem(reply as FastifyReply, error, logger),
  });
  let closing = false;
  const { mcp } = dependencies;
  const door =
    mcp === undefined
      ? null
      : createMcpDoor({ ...dependencies, mcp, listeners: (): Listeners => listeners, closing: () => closing });
  const listeners: Listeners = createListeners(
    (request, response) => {
      if (door?.take(request, response) !== true) app.routing(request, response);
    },
    door === null ? undefined : { protocol: UPGRADE_PROTOCOL, handle: door.upgrade },
  );
  let document: Promise<object> | null = null;
  const openapi = (): Promise<object> =>
    (document ??= import('./openapi.ts').then((generator) => generator.openApiDocument(dependencies.version, routes)));
  const routes = allRoutes(dependencies, streams, openapi);
  const served: string[] = [];

  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) if (one !== 'HEAD') served.push(`${one} ${url}`);
  });
  app.decorateRequest('by', '');
  app.addHook('onRequest', async (request, reply) => {
    addSafetyHeaders(reply);
    guard(request, reply, listeners, dependencies);
    if (closing) throw new GovernorError('shutting_down', 'The daemon is shutting down');
  });
  app.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.routeOptions.config.emptyBodyAllowed === true) request.body = {};
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: FastifyRequest, body: Buffer) =>
    parseJsonBody(body),
  );
  app.setErrorHandler((error: FastifyError, _request, reply) => sendProblem(reply, error, logger));
  app.setNotFoundHandler((request, reply) => sendProblem(reply, notFound(request, reply, routes), logger));
  for (const route of routes) {
    if (route.protocol === 'rest') register(app, route);
    else served.push(`${route.method} ${routerPath(route.path)}`);
  }
  await app.ready();

  return {
    served,
    listenUnix: listeners.listenUnix,
    listenTcp: listeners.listenTcp,
    openapi,
    async close() {
      closing = true;
      streams.close();
      // Servers behind may take long to end; whoever waits for them is not the API.
      await Promise.race([
        mcp?.close('The daemon is shutting down'),
        delay(CLOSE_DEADLINE_MS, undefined, { ref: false }),
      ]);
      await listeners.close(CLOSE_DEADLINE_MS);
      await app.close();
    },
  };
}

function allRoutes(
  dependencies: ApiDependencies,
  streams: EventStreams,
  openapi: () => Promise<object>,
): readonly Route[] {
  const routes: Route[] = [];
  routes.push(
    ...toolRoutes(dependencies),
    ...toolDetailRoutes(dependencies),
    ...daemonRoutes(dependencies, streams),
    ...(dependencies.mcp === undefined ? [] : mcpRoutes()),
    ...pageRoutes(dependencies, { routes: () => routes, openapi }),
  );
  return routes;
}

function register(app: FastifyInstance, route: Route): void {
  app.route({
    method: route.method,
    url: routerPath(route.path),
    schema: routeSchema(route),
    ...(route.body?.checked === false ? { validatorCompiler: checkFormOnly } : {}),
    config: { access: route.access, emptyBodyAllowed: route.body?.required === false },
    async handler(request, reply) {
      void reply.code(route.statuses[0]);
      const { params, query, body, by } = request;
      const answer = await route.handle({ params, query, body, by, request, reply });
      if (answer === reply) return reply;
      if (route.answer !== null) void reply.type(route.mediaType);
      return reply.send(answer);
    },
  });
}

function guard(
  request: FastifyRequest,
  reply: FastifyReply,
  listeners: Listeners,
  { settings, tokens }: ApiDependencies,
): void {
  const { host, origin, authorization } = request.headers;
  const verdict = judge(
    {
      listener: listeners.of(request.raw.socket),
      access: request.routeOptions.config.access ?? 'read',
      host,
      origin,
      authorization,
    },
    settings(),
    tokens(),
  );
  if (verdict.kind === 'allowed') {
    request.by = verdict.by;
    return;
  }
  if (verdict.challenge !== null) void reply.header('www-authenticate', verdict.challenge);
  throw verdict.error;
}

function notFound(request: FastifyRequest, reply: FastifyReply, routes: readonly Route[]): GovernorError {
  const path = request.url.split('?', 1)[0] ?? '';
  const methods = methodsAt(routes, path);
  if (methods.length === 0 || methods.includes(request.method)) {
    return new GovernorError(
      'not_found',
      `There is nothing at ${JSON.stringify(path.slice(0, 200))}; / lists what is served`,
    );
  }
  void reply.header('allow', methods.join(', '));
  return new GovernorError(
    'method_not_allowed',
    `${request.method} is not possible here; possible: ${methods.join(', ')}`,
  );
}

function sendProblem(reply: FastifyReply, error: unknown, logger: ApiLogger): FastifyReply {
  const { document, unexpected } = describeError(error);
  const { method } = reply.request;
  const route = reply.request.routeOptions.url;
  if (unexpected) logger.error({ err: error, method, route, code: document.code }, 'a request failed');
  else logger.debug({ method, route, code: document.code, status: document.status }, 'a request was refused');
  addSafetyHeaders(reply);
  return reply.code(document.status).type(PROBLEM_TYPE).send(document);
}

function addSafetyHeaders(reply: FastifyReply): void {
  void reply.headers({
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'content-security-policy':
      "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    'cross-origin-resource-policy': 'same-origin',
  });
}
