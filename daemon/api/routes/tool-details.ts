/** /v1/tools/{name}/…: what a tool uses and holds right now. Reads only. */

import { z } from 'zod';
import type { Governor } from '../../../lib/supervisor/governor.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { logsQuery, nameParams, noQuery } from '../requests.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';
import * as details from '../schemas/detail.ts';
import { recommendation } from '../schemas/recommendation.ts';
import * as schemas from '../schemas/tool.ts';
import { known } from './tools.ts';

export function toolDetailRoutes({ governor, recommend }: ApiDependencies): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/tools/{name}/usage',
      access: 'read',
      summary: 'Usage of a tool and of each of its runs',
      params: nameParams,
      query: noQuery,
      answer: schemas.usage,
      errors: ['invalid_name', 'unknown_tool'],
      handle: ({ params }) => known(governor, params.name, (name) => governor.usageOf(name)),
    }),
    listOf(governor, 'runs', 'Live runs, then the newest 20 of the ended ones', schemas.run, (name) =>
      governor.runs(name),
    ),
    listOf(governor, 'processes', 'Every process with its own usage', details.processOfRun, (name) =>
      governor.processes(name),
    ),
    listOf(governor, 'sockets', 'Every open socket', details.socketOfRun, (name) => governor.sockets(name)),
    listOf(governor, 'files', 'Every open file descriptor', details.fileOfRun, (name) => governor.files(name)),
    route({
      method: 'GET',
      path: '/v1/tools/{name}/recommendation',
      access: 'read',
      summary: 'Limits that would fit what the tool has used, with the reasons and as YAML',
      params: nameParams,
      query: noQuery,
      answer: recommendation,
      errors: ['invalid_name', 'unknown_tool'],
      handle: ({ params }) => known(governor, params.name, (name) => recommend(name)),
    }),
    route({
      method: 'GET',
      path: '/v1/tools/{name}/logs',
      access: 'read',
      summary: 'The newest lines of stderr of a tool that the daemon runs',
      params: nameParams,
      query: logsQuery,
      answer: z.object({ tool: z.string(), lines: z.array(z.string()) }),
      errors: ['invalid_name', 'unknown_tool', 'not_managed'],
      handle: ({ params, query }) =>
        known(governor, params.name, (name) => ({ tool: name, lines: [...governor.logs(name, query.lines)] })),
    }),
  ];
}

/** Answers `{tool, <what>: […]}`. */
function listOf<View>(
  governor: Governor,
  what: 'runs' | 'processes' | 'sockets' | 'files',
  summary: string,
  item: z.ZodType<View>,
  read: (name: string) => readonly View[],
): Route {
  return route({
    method: 'GET',
    path: `/v1/tools/{name}/${what}`,
    access: 'read',
    summary,
    params: nameParams,
    query: noQuery,
    answer: z.object({ tool: z.string(), [what]: z.array(item) }) as z.ZodType<Readonly<Record<string, unknown>>>,
    errors: ['invalid_name', 'unknown_tool'],
    handle: ({ params }) => known(governor, params.name, (name) => ({ tool: name, [what]: read(name) })),
  });
}
