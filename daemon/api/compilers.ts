/** How Fastify checks what comes in and writes what goes out: by the zod schemas of the routes. */

import type { FastifyServerOptions } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { GovernorError } from '../../lib/core/errors.ts';
import { validate } from './requests.ts';

type Compilers = NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>;

/** Given as factories and not by the two setters, so that Fastify's own compilers are not even loaded. */
export const COMPILERS = {
  buildValidator:
    () =>
    ({ schema, httpPart }: { readonly schema: z.ZodType; readonly httpPart?: string }) =>
    (data: unknown) =>
      check(schema, data, httpPart),
  buildSerializer: () => serializerCompiler,
} as unknown as Compilers;

/** For routes whose body is checked by the handler, as the configuration checks it. */
export function checkFormOnly({ schema, httpPart }: { readonly schema: unknown; readonly httpPart?: string }) {
  return (data: unknown) =>
    httpPart === 'body' && data !== null ? { value: data } : check(schema as z.ZodType, data, httpPart);
}

function check(schema: z.ZodType, data: unknown, httpPart: string | undefined): { value: unknown } | { error: Error } {
  const part = httpPart === 'body' ? 'body' : httpPart === 'params' ? 'path' : 'query';
  if (part === 'body' && data === null) {
    return {
      error: new GovernorError(
        'invalid_request',
        'A JSON body is needed: send an object as "Content-Type: application/json"',
      ),
    };
  }
  try {
    return { value: validate(schema, data, part) };
  } catch (error) {
    if (error instanceof GovernorError) return { error };
    throw error;
  }
}
