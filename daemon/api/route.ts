/** A route as data: the router, the guard, the OpenAPI document, the landing page and the 405 answers all read this. */

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { ErrorCode } from '../../lib/core/errors.ts';
import type { Access } from './guard.ts';

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

export interface RouteInput<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Who asked, for the audit: `unix socket`, `token default`. */
  readonly by: string;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

export interface Route {
  readonly method: Method;
  /** OpenAPI form: `/v1/tools/{name}`. */
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly params?: z.ZodType;
  /** Absent: any query is ignored (pages and probes). Under /v1 unknown parameters are refused. */
  readonly query?: z.ZodType;
  /** `checked: false`: the schema is for the document only, and the handler checks the body as it came. */
  readonly body?: { readonly schema: z.ZodType; readonly required: boolean; readonly checked: boolean };
  /** Status of success; more statuses may share the document. */
  readonly statuses: readonly [number, ...number[]];
  readonly mediaType: string;
  /** null: no content. */
  readonly answer: z.ZodType | null;
  /** The codes that this route is known to answer with, beside those that every route may. */
  readonly errors: readonly ErrorCode[];
  /** `mcp`: answered before the router, which knows nothing of it; it is here for the document. */
  readonly protocol: 'rest' | 'mcp';
  readonly handle: (input: RouteInput<unknown, unknown, unknown>) => unknown;
}

type Output<Schema> = Schema extends z.ZodType ? z.output<Schema> : Schema extends null ? void : unknown;

interface RouteSpec<Params, Query, Body, Answer> {
  readonly method: Method;
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** An absent body is taken as `{}`. */
  readonly bodyOptional?: boolean;
  /** For the document only: the handler gets, and checks, the body as it came. */
  readonly documentedBody?: z.ZodType;
  readonly statuses?: readonly [number, ...number[]];
  readonly mediaType?: string;
  readonly answer: Answer;
  readonly errors?: readonly ErrorCode[];
  /** Returns the document, or `reply` when it has answered by itself. */
  readonly handle: (
    input: RouteInput<Output<Params>, Output<Query>, Output<Body>>,
  ) => Output<Answer> | FastifyReply | Promise<Output<Answer> | FastifyReply>;
}

/** Keeps the types of one route together; behind it they are erased, since the validator has checked them by then. */
export function route<
  Params extends z.ZodType | undefined = undefined,
  Query extends z.ZodType | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
  Answer extends z.ZodType | null = null,
>(spec: RouteSpec<Params, Query, Body, Answer>): Route {
  const { params, query, body, documentedBody, handle } = spec;
  return {
    method: spec.method,
    path: spec.path,
    access: spec.access,
    summary: spec.summary,
    ...(params === undefined ? {} : { params }),
    ...(query === undefined ? {} : { query }),
    ...(body === undefined ? {} : { body: { schema: body, required: spec.bodyOptional !== true, checked: true } }),
    ...(documentedBody === undefined ? {} : { body: { schema: documentedBody, required: true, checked: false } }),
    statuses: spec.statuses ?? [spec.answer === null ? 204 : 200],
    mediaType: spec.mediaType ?? 'application/json',
    answer: spec.answer,
    errors: spec.errors ?? [],
    protocol: 'rest',
    handle: (input) => handle(input as RouteInput<Output<Params>, Output<Query>, Output<Body>>),
  };
}

/** `/v1/tools/{name}` → `/v1/tools/:name`. */
export function routerPath(path: string): string {
  return path.replaceAll(/\{([a-zA-Z]+)\}/g, ':$1');
}

/** The methods that a path is served with, HEAD included; empty for an unknown path. */
export function methodsAt(routes: readonly Route[], path: string): readonly string[] {
  const methods = routes
    .filter((candidate) => pattern(candidate.path).test(path))
    .map(({ method }) => method as string);
  const unique = [...new Set(methods)];
  return unique.includes('GET') ? ['GET', 'HEAD', ...unique.filter((method) => method !== 'GET')] : unique;
}

function pattern(path: string): RegExp {
  const source = path.replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`).replaceAll(/\{[a-zA-Z]+\}/g, '[^/]+');
  return new RegExp(`^${source}$`);
}
