/** /v1/post-mortems, /v1/tools/{name}/post-mortems: what is kept of failures, also of tools that are gone. */

import { z } from 'zod';
import { GovernorError } from '../../../lib/core/errors.ts';
import type { PostMortem } from '../../../lib/supervisor/post-mortem-view.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { nameParams, postMortemParams, postMortemsQuery, noQuery } from '../requests.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';
import * as schemas from '../schemas/post-mortem.ts';
import type { PostMortemSummary } from '../schemas/post-mortem.ts';
import { known } from './tools.ts';

export function postMortemRoutes({ governor, postMortems }: ApiDependencies): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/post-mortems',
      access: 'read',
      summary: 'Failures of all tools of which a post-mortem is kept, newest first',
      query: postMortemsQuery,
      answer: z.object({ postMortems: z.array(schemas.postMortemSummary) }),
      handle: async ({ query }) => ({ postMortems: (await postMortems.list(null, query.limit)).map(summaryOf) }),
    }),
    route({
      method: 'GET',
      path: '/v1/tools/{name}/post-mortems',
      access: 'read',
      summary: 'Failures of a tool of which a post-mortem is kept, newest first',
      params: nameParams,
      query: postMortemsQuery,
      answer: z.object({ tool: z.string(), postMortems: z.array(schemas.postMortemSummary) }),
      errors: ['invalid_name', 'unknown_tool'],
      handle: ({ params, query }) =>
        known(governor, params.name, async (name) => {
          const found = await postMortems.list(name, query.limit);
          // One that is gone has them still; of one that never was there is nothing to say.
          if (found.length === 0) governor.tool(name);
          return { tool: name, postMortems: found.map(summaryOf) };
        }),
    }),
    route({
      method: 'GET',
      path: '/v1/tools/{name}/post-mortems/{id}',
      access: 'read',
      summary: 'One post-mortem, by the id of its run',
      params: postMortemParams,
      query: noQuery,
      answer: schemas.postMortem,
      errors: ['invalid_name', 'unknown_run'],
      handle: ({ params }) =>
        known(governor, params.name, async (name) => {
          const found = await postMortems.read(name, params.id);
          if (found !== null) return found;
          throw new GovernorError('unknown_run', `no post-mortem is kept of a run ${params.id} of ${name}`);
        }),
    }),
  ];
}

function summaryOf({ id, tool, at, livedMs, end, recovery }: PostMortem): PostMortemSummary {
  return { id, tool, at, livedMs, reason: end.reason, message: end.message, recovery: recovery.strategy };
}
