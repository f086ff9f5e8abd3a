/** What Fastify wants to know of a route, and the document generator with it. */

import type { FastifySchema } from 'fastify';
import { z } from 'zod';
import type { ErrorCode } from '../../lib/core/errors.ts';
import { scopeOf } from './guard.ts';
import type { Access } from './guard.ts';
import { PROBLEM_TYPE } from './problems.ts';
import type { Route } from './route.ts';
import { problem } from './schemas/daemon.ts';

/** Refusals of MCP are in its own words. */
const MCP_ERROR = {
  'application/json': {
    schema: z.object({
      jsonrpc: z.literal('2.0'),
      id: z.union([z.string(), z.number()]).optional(),
      error: z.looseObject({ code: z.number().int(), message: z.string() }),
    }),
  },
};

export function routeSchema(route: Route): FastifySchema {
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
        content: route.protocol === 'mcp' ? MCP_ERROR : { [PROBLEM_TYPE]: { schema: problem } },
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
  return access === 'metrics' ? [{}, { bearer: ['read'] }] : [{ bearer: [scopeOf(access)] }];
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
