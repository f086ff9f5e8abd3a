/** The routes are a contract: a change here is a change for everyone who calls them. */

import t from 'tap';
import { fakeFront, serve } from '../unit/daemon/api/serve.ts';

const ROUTES = `
DELETE /v1/cache
DELETE /v1/contexts/:id
DELETE /v1/tools/:name
GET /
GET /docs
GET /docs/:file
GET /docs/errors
GET /healthz
GET /metrics
GET /openapi.json
GET /readyz
GET /v1/audit
GET /v1/audit/verify
GET /v1/cache
GET /v1/contexts
GET /v1/events
GET /v1/host
GET /v1/post-mortems
GET /v1/runs
GET /v1/runs/:id
GET /v1/tools
GET /v1/tools/:name
GET /v1/tools/:name/files
GET /v1/tools/:name/history
GET /v1/tools/:name/logs
GET /v1/tools/:name/post-mortems
GET /v1/tools/:name/post-mortems/:id
GET /v1/tools/:name/processes
GET /v1/tools/:name/recommendation
GET /v1/tools/:name/runs
GET /v1/tools/:name/sockets
GET /v1/tools/:name/usage
GET /v1/usage
PATCH /v1/tools/:name
POST /v1/config/reload
POST /v1/daemon/stop
POST /v1/runs/:id/context
POST /v1/tools
POST /v1/tools/:name/activate
POST /v1/tools/:name/cleanup
POST /v1/tools/:name/deactivate
POST /v1/tools/:name/login
POST /v1/tools/:name/login/answer
POST /v1/tools/:name/logout
POST /v1/tools/:name/restart
`;

const MCP_ROUTES = `
DELETE /mcp
DELETE /mcp/:tool
GET /mcp
GET /mcp/:tool
GET /v1/tools/:name/connect
POST /mcp
POST /mcp/:tool
`;

t.test('what is served', async (t) => {
  const { api } = await serve(t);
  t.equal(`\n${[...api.served].sort().join('\n')}\n`, ROUTES);
});

t.test('what is served with a gateway of MCP', async (t) => {
  const { api } = await serve(t, { mcp: fakeFront() });
  const lines = (text: string): readonly string[] => text.trim().split('\n');
  t.strictSame([...api.served].sort(), [...lines(ROUTES), ...lines(MCP_ROUTES)].sort());
});
