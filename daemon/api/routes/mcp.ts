/** MCP as the document has it. Its endpoints are answered before the router (mcp-door.ts): there is nothing here to handle. */

import { z } from 'zod';
import { GovernorError } from '../../../lib/core/errors.ts';
import { nameParams } from '../requests.ts';
import { route } from '../route.ts';
import type { Method, Route } from '../route.ts';
import { UPGRADE_PROTOCOL } from '../upgrade-protocol.ts';

const MESSAGE = z
  .looseObject({ jsonrpc: z.literal('2.0') })
  .describe('One JSON-RPC message of MCP, 2025-03-26 to 2026-07-28');

export function mcpRoutes(): readonly Route[] {
  const endpoints: readonly (readonly [string, string])[] = [
    ['/mcp', 'every tool, as server__tool'],
    ['/mcp/{tool}', 'one tool'],
  ];
  return [
    ...endpoints.flatMap(([path, what]) => [
      endpoint('POST', path, `Model Context Protocol, Streamable HTTP: ${what}`),
      endpoint('GET', path, 'Event stream of a session, new or resumed (2025-03-26 to 2025-11-25)'),
      endpoint('DELETE', path, 'End a session (2025-03-26 to 2025-11-25)'),
    ]),
    route({
      method: 'GET',
      path: '/v1/tools/{name}/connect',
      access: 'mcp',
      summary: `MCP over the connection itself, one message a line: send "Upgrade: ${UPGRADE_PROTOCOL}"`,
      params: nameParams,
      query: z.strictObject({
        context: z.string().max(256).describe('Names the context that usage is counted to').optional(),
      }),
      statuses: [101],
      answer: null,
      errors: ['upgrade_required', 'unknown_tool', 'not_managed', 'shutting_down'],
      handle({ reply }) {
        void reply.headers({ upgrade: UPGRADE_PROTOCOL, connection: 'Upgrade' });
        throw new GovernorError('upgrade_required', `Send "Connection: Upgrade" and "Upgrade: ${UPGRADE_PROTOCOL}"`);
      },
    }),
  ];
}

function endpoint(method: Method, path: string, summary: string): Route {
  const isPost = method === 'POST';
  return {
    method,
    path,
    access: 'mcp',
    summary,
    ...(path.includes('{tool}') ? { params: z.object({ tool: z.string() }) } : {}),
    ...(isPost ? { body: { schema: MESSAGE, required: true, checked: false } } : {}),
    statuses: isPost ? [200, 202] : method === 'GET' ? [200] : [204],
    mediaType: isPost ? 'application/json' : 'text/event-stream',
    answer: isPost ? MESSAGE : method === 'GET' ? z.string() : null,
    errors: [],
    protocol: 'mcp',
    handle: () => {
      throw new Error('MCP is answered before the router');
    },
  };
}
