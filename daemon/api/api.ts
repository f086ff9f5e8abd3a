/**
 * The REST API: one router, one table of routes. front.ts, with a unix socket and TCP, stands before it.
 *
 * MCP (`/mcp`) is taken before the router. A request passes: listener → guard (Host, Origin, token, scope) → body parser → schema → handler → schema of the answer.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
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
import type { Listeners } from './listeners.ts';
import { describeError, PROBLEM_TYPE } from './problems.ts';
import { methodsAt, routerPath } from './route.ts';
import type { Route } from './route.ts';
import { routeSchema } from './route-schema.ts';
import { cacheRoutes } from './routes/cache.ts';
import { daemonRoutes } from './routes/daemon.ts';
import { historyRoutes } from './routes/history.ts';
import { mcpRoutes } from './routes/mcp.ts';
import { pageRoutes } from './routes/pages.ts';
import { postMortemRoutes } from './routes/post-mortems.ts';
import { toolDetailRoutes } from './routes/tool-details.ts';
import { signInRoutes } from './routes/sign-in.ts';
import { toolRoutes } from './routes/tools.ts';
import { SAFETY_HEADERS } from './safety-headers.ts';

export const BODY_LIMIT_BYTES = 1024 * 1024;
/** Longest name in a path, decoded; what is longer is no tool's name. */
const MAX_PARAMETER_CHARACTERS = 2048;

/** What answers requests; what takes them in is beside it (front.ts). */
export interface Router {
  /** `GET /v1/tools`, …: what the router serves, HEAD left out. */
  readonly served: readonly string[];
  openapi(): Promise<object>;
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Ends event streams; everything that is asked from now on is refused. */
  refuse(): void;
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

export async function createRouter(dependencies: ApiDependencies, listeners: Pick<Listeners, 'of'>): Promise<Router> {
  const { logger } = dependencies;
  const streams = createEventStreams(dependencies);
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    routerOptions: { maxParamLength: MAX_PARAMETER_CHARACTERS },
    schemaController: { compilersFactory: COMPILERS },
    frameworkErrors: (error, _request, reply) => void sendProblem(reply as FastifyReply, error, logger),
  });
  let document: Promise<object> | null = null;
  const openapi = (): Promise<object> =>
    (document ??= import('./openapi.ts').then((generator) => generator.openApiDocument(dependencies.version, routes)));
  const routes = allRoutes(dependencies, streams, openapi);
  const served: string[] = [];
  let refusing = false;

  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) if (one !== 'HEAD') served.push(`${one} ${url}`);
  });
  app.decorateRequest('by', '');
  app.addHook('onRequest', async (request, reply) => {
    addSafetyHeaders(reply);
    guard(request, reply, listeners, dependencies);
    if (refusing) throw new GovernorError('shutting_down', 'The daemon is shutting down');
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
    openapi,
    handle: (request, response) => app.routing(request, response),
    refuse() {
      refusing = true;
      streams.close();
    },
    close: () => app.close(),
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
    ...signInRoutes(dependencies),
    ...toolDetailRoutes(dependencies),
    ...historyRoutes(dependencies),
    ...postMortemRoutes(dependencies),
    ...daemonRoutes(dependencies, streams),
    ...cacheRoutes(dependencies),
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
  listeners: Pick<Listeners, 'of'>,
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
  void reply.headers(SAFETY_HEADERS);
}
