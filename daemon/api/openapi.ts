/** The OpenAPI 3.1 document, made from the same schemas that check requests and answers. */

import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { ErrorCode } from '../../lib/core/errors.ts';
import type { Access } from './guard.ts';
import { PROBLEM_TYPE } from './problems.ts';
import type { Route } from './route.ts';
import { problem } from './schemas/daemon.ts';

const DESCRIPTION = `Governor launches MCP tools under supervision and holds each one to its own limits.

Errors are RFC 9457 problem documents with a stable \`code\`. Over the unix socket no token is needed; over TCP a bearer token
with the scope that \`security\` names: \`read\`, \`control\` (start, stop, limit what is defined) or \`launch\` (define new commands).`;

export function registerOpenApi(app: FastifyInstance, version: string, routes: readonly Route[]): void {
  void app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Governor', version, description: DESCRIPTION, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/' }],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
    },
    exposeHeadRoutes: false,
    transform: createJsonSchemaTransform(TO_JSON_SCHEMA),
    transformObject: (document) => withoutUnused(withOptionalBodies(toComponents(document), routes)),
  });
}

/** What Fastify and the document generator want to know of a route. */
export function documentedSchema(route: Route): FastifySchema {
  const success = Object.fromEntries(route.statuses.map((status) => [status, answerSchema(route)]));
  return {
    summary: route.summary,
    operationId: operationId(route),
    tags: [tag(route.path)],
    security: security(route.access),
    ...(route.params === undefined ? {} : { params: route.params }),
    ...(route.query === undefined ? {} : { querystring: route.query }),
    ...(route.body === undefined ? {} : { body: route.body.schema }),
    response: {
      ...success,
      default: {
        description: errorDescription(route.errors),
        content: { [PROBLEM_TYPE]: { schema: problem } },
      },
    },
  };
}

function answerSchema({ answer, mediaType, summary }: Route): unknown {
  if (answer === null) return z.undefined().describe('Done');
  const bare = mediaType.split(';')[0] ?? mediaType;
  return { description: summary, content: { [bare]: { schema: answer } } };
}

/** Roles beside a scheme are OpenAPI 3.1's own way to name needed rights. */
function security(access: Access): readonly Readonly<Record<string, readonly string[]>>[] {
  if (access === 'open') return [];
  return access === 'metrics' ? [{}, { bearer: ['read'] }] : [{ bearer: [access] }];
}

function errorDescription(codes: readonly ErrorCode[]): string {
  return codes.length === 0 ? 'Refused or failed' : `Refused or failed; codes of this route: ${codes.join(', ')}`;
}

function operationId({ method, path }: Route): string {
  const words = path.split(/[/{}.]/).filter((word) => word !== '' && word !== 'v1');
  return [method.toLowerCase(), ...words].join('_');
}

function tag(path: string): string {
  const [first = '', second = ''] = path.split('/').filter((part) => part !== '');
  return first === 'v1' ? second : 'service';
}

/** Own rules in place of the library's, which drop those branches of a union that are described by metadata alone. */
const TO_JSON_SCHEMA: NonNullable<Parameters<typeof createJsonSchemaTransform>[0]> = {
  zodToJsonConfig: {
    override({ zodSchema, jsonSchema }) {
      if (zodSchema._zod.def.type === 'undefined') jsonSchema.type = 'null';
      // How config spells "no other keys".
      if (JSON.stringify(jsonSchema.additionalProperties) === '{"not":{}}') jsonSchema.additionalProperties = false;
    },
  },
};

const toComponents = createJsonSchemaTransformObject(TO_JSON_SCHEMA);

type OpenApiDocument = ReturnType<typeof toComponents>;

/** The generator calls every body required. */
function withOptionalBodies(document: OpenApiDocument, routes: readonly Route[]): OpenApiDocument {
  for (const { method, path, body } of routes) {
    const operation = (
      document.paths as Readonly<Record<string, Readonly<Record<string, { requestBody?: { required?: boolean } }>>>>
    )[path]?.[method.toLowerCase()];
    if (body !== undefined && operation?.requestBody !== undefined) operation.requestBody.required = body.required;
  }
  return document;
}

/** Every registered schema is emitted in two variants, for input and output; what nothing refers to is left out. */
function withoutUnused(document: OpenApiDocument): OpenApiDocument {
  if (!('components' in document) || document.components?.schemas === undefined) return document;
  const { schemas } = document.components;
  const used = new Set<string>();
  const visit = (text: string): void => {
    for (const [, name = ''] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      visit(JSON.stringify(schemas[name] ?? null));
    }
  };
  visit(JSON.stringify('paths' in document ? document.paths : {}));
  const kept = Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)));
  return { ...document, components: { ...document.components, schemas: kept } } as OpenApiDocument;
}
