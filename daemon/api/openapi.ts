/**
 * The OpenAPI 3.1 document, made from the same schemas that check requests and answers. Loaded when somebody asks for
 * it: the generator and what it builds would be 5 MB of a daemon that may never be asked.
 */

import swagger from '@fastify/swagger';
import Fastify from 'fastify';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { COMPILERS } from './compilers.ts';
import { routerPath } from './route.ts';
import type { Route } from './route.ts';
import { routeSchema } from './route-schema.ts';

const DESCRIPTION = `Governor launches MCP tools under supervision and holds each one to its own limits.

Errors are RFC 9457 problem documents with a stable \`code\`. Over the unix socket no token is needed; over TCP a bearer token
with the scope that \`security\` names: \`read\`, \`control\` (start, stop, limit what is defined) or \`launch\` (define new commands).`;

export async function openApiDocument(version: string, routes: readonly Route[]): Promise<object> {
  // A router of its own that never answers: the generator reads the routes as they are added.
  const app = Fastify({ logger: false, exposeHeadRoutes: false, schemaController: { compilersFactory: COMPILERS } });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Governor', version, description: DESCRIPTION, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/' }],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
    },
    transform: createJsonSchemaTransform(TO_JSON_SCHEMA),
    transformObject: (document) => withoutUnused(withOptionalBodies(toComponents(document), routes)),
  });
  for (const route of routes) {
    app.route({ method: route.method, url: routerPath(route.path), schema: routeSchema(route), handler: unanswered });
  }
  await app.ready();
  const document = app.swagger();
  await app.close();
  return document;
}

function unanswered(): never {
  throw new Error('this router is only read');
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
