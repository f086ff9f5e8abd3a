/** The OpenAPI document against what is really served, and against its own rules. */

import t from 'tap';
import { ERRORS } from '../../../../lib/core/errors.ts';
import { overTcp, overUnix, serve } from './serve.ts';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required: boolean }[];
  readonly requestBody?: { readonly required: boolean };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: unknown }>> }>
  >;
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>>; readonly securitySchemes: unknown };
}

t.test('every route that is served is in the document, and none beside', async (t) => {
  const served = await serve(t);
  const document = (await served.api.openapi()) as Document;
  const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const routed = served.api.served.map((route) => route.replaceAll(/:([a-z]+)/g, '{$1}'));
  t.strictSame(documented.sort(), [...routed].sort());
});

t.test('the document holds together', async (t) => {
  const served = await serve(t);
  const answer = await overTcp(served, '/openapi.json', { token: null });
  const document = answer.json as unknown as Document;
  t.equal(document.openapi, '3.1.0');
  t.strictSame(document.components.securitySchemes, { bearer: { type: 'http', scheme: 'bearer' } });

  const referred = new Set(
    [...answer.text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name = '']) => name),
  );
  t.strictSame(
    [...referred].sort(),
    Object.keys(document.components.schemas).sort(),
    'every reference resolves, and no component is left over',
  );
  t.notMatch(answer.text, /PLACEHOLDER|"\$id"/);

  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const ids = operations.map(({ operation }) => operation.operationId);
  t.equal(new Set(ids).size, ids.length, 'operation ids are unique');
  for (const { path, method, operation } of operations) {
    const label = `${method} ${path}`;
    t.ok(operation.summary, `${label}: summary`);
    const named = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
    const declared = (operation.parameters ?? [])
      .filter((parameter) => parameter.in === 'path')
      .map(({ name }) => name);
    t.strictSame(declared, named, `${label}: path parameters`);
    t.ok(operation.responses['default']?.content?.['application/problem+json'], `${label}: problem`);
    if (path.startsWith('/v1/'))
      t.match(operation.security, [{ bearer: [/^(read|control|launch)$/] }], `${label}: needs a scope`);
    if (method === 'get') t.notOk(operation.requestBody, `${label}: no body`);
  }
  const problem = document.components.schemas['Problem'] as { properties: { code: { enum: readonly string[] } } };
  t.strictSame(problem.properties.code.enum, Object.keys(ERRORS));
});

t.test('limits are documented in the notation of limits.yaml, short and long', async (t) => {
  const served = await serve(t);
  const schemas = ((await served.api.openapi()) as Document).components.schemas;
  const definition = schemas['ToolDefinitionInput'] as {
    properties: { limits: { properties: { memory: { anyOf: readonly { type: string }[] } } } };
  };
  t.strictSame(
    definition.properties.limits.properties.memory.anyOf.map(({ type }) => type),
    ['string', 'object'],
  );
});

t.test('bodies that may be left out are documented so, and it is true', async (t) => {
  const served = await serve(t);
  const document = (await served.api.openapi()) as Document;
  const required = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { requestBody }]) =>
      requestBody?.required === true ? [`${method} ${path}`] : [],
    ),
  );
  t.strictSame(required, [
    'post /v1/tools',
    'patch /v1/tools/{name}',
    'post /v1/tools/{name}/login',
    'post /v1/tools/{name}/login/answer',
    'post /v1/runs/{id}/context',
  ]);
  t.equal((await overUnix(served, '/v1/tools/echo/cleanup', { method: 'POST' })).status, 200);
});
