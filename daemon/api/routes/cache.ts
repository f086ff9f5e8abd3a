/** /v1/cache: what is kept of the answers of servers. */

import type { ApiDependencies } from '../dependencies.ts';
import { cacheQuery } from '../requests.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';
import * as schemas from '../schemas/cache.ts';

export function cacheRoutes({ cache }: ApiDependencies): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/cache',
      access: 'read',
      summary: 'Statistics of the cache, and its entries in memory, latest used first, without contents',
      query: cacheQuery,
      answer: schemas.cacheReport,
      errors: ['invalid_request'],
      handle: ({ query }) => cache.report(query),
    }),
    route({
      method: 'DELETE',
      path: '/v1/cache',
      access: 'control',
      summary: 'Invalidate entries, in Redis and in the memory of other daemons too; all of them without a filter',
      query: cacheQuery,
      answer: schemas.cacheCleared,
      errors: ['invalid_request'],
      handle: ({ query, by }) => cache.clear(query, by),
    }),
  ];
}
