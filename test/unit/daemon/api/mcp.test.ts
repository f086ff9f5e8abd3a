/** MCP through the API: who may, over which listener, and the upgrade of `governor connect`. */

import { connect } from 'node:net';
import t from 'tap';
import { createFakeGateway } from '../../../helpers/fake-gateway.ts';
import { INITIALIZE, MODERN_META } from '../../../helpers/front-server.ts';
import { waitFor } from '../../../helpers/wait-for.ts';
import { fakeFront, overTcp, overUnix, serve, TOKEN } from './serve.ts';
import type { Ask, Overrides, Served } from './serve.ts';

type Scope = Parameters<typeof serve>[0];

const HEADERS = { accept: 'application/json, text/event-stream', 'mcp-method': 'tools/list' };
const LIST = {
  method: 'POST',
  headers: { ...HEADERS, 'mcp-protocol-version': '2026-07-28' },
  json: { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: MODERN_META } },
} satisfies Ask;

async function serveMcp(t: Scope, overrides: Overrides = {}) {
  const gateway = createFakeGateway(['echo', 'naïve tool']);
  return { gateway, served: await serve(t, { mcp: fakeFront(gateway), ...overrides }) };
}

const withHeaders = (more: Readonly<Record<string, string>>): Ask => ({
  ...LIST,
  headers: { ...LIST.headers, ...more },
});

t.test('both endpoints, over both listeners', async (t) => {
  const { served, gateway } = await serveMcp(t);
  for (const path of ['/mcp', '/mcp/echo', '/mcp/na%C3%AFve%20tool', '/mcp?x=1']) {
    for (const over of [overTcp, overUnix]) {
      const answer = await over(served, path, LIST);
      t.equal(answer.status, 200, path);
      t.match(answer.json, { id: 1, result: { tools: [{ name: 'echo' }] } });
    }
  }
  t.strictSame(
    gateway.sessions.map(({ view, client }) => [view, client.context]),
    [
      [{ kind: 'all' }, 'raw@1 (token default)'],
      [{ kind: 'all' }, 'raw@1 (unix socket)'],
      [{ kind: 'tool', tool: 'echo' }, 'raw@1 (token default)'],
      [{ kind: 'tool', tool: 'echo' }, 'raw@1 (unix socket)'],
      [{ kind: 'tool', tool: 'naïve tool' }, 'raw@1 (token default)'],
      [{ kind: 'tool', tool: 'naïve tool' }, 'raw@1 (unix socket)'],
    ],
  );
  const begun = await overUnix(served, '/mcp/echo', { ...LIST, json: INITIALIZE, headers: HEADERS });
  const session = { 'mcp-session-id': String(begun.headers['mcp-session-id']) };
  const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
  t.equal(
    (await overUnix(served, '/mcp/echo', { ...LIST, json: list, headers: { ...HEADERS, ...session } })).status,
    200,
  );
  const stolen = await overTcp(served, '/mcp/echo', { ...LIST, json: list, headers: { ...HEADERS, ...session } });
  t.equal(stolen.status, 404, 'a session of the unix socket is not the token’s');
});

t.test('what is not there', async (t) => {
  const { served } = await serveMcp(t);
  for (const path of ['/mcp/', '/mcp/echo/more', '/mcp/%E0%A4%A']) {
    const answer = await overTcp(served, path, LIST);
    t.equal(answer.status, 404, path);
    t.match(answer.json, { jsonrpc: '2.0', error: { code: -32_600, data: { code: 'not_found' } } });
  }
  const unknown = await overTcp(served, '/mcp/nobody', LIST);
  t.equal(unknown.status, 404);
  t.match(unknown.json, { id: 1, error: { message: 'There is no tool "nobody"' } });
  t.match((await overTcp(served, '/mcpx', LIST)).json, { code: 'not_found' }, 'the router’s own');
  const without = await serve(t);
  for (const path of ['/mcp', '/mcp/echo', '/v1/tools/echo/connect']) {
    t.match((await overTcp(without, path, LIST)).json, { code: 'not_found' }, `${path} without a gateway`);
  }
});

t.test('refused, in the words of the protocol', async (t) => {
  const { served, gateway } = await serveMcp(t, {
    moreTokens: [{ token: 'reader-token', label: 'reader', scopes: ['read'] }],
  });
  const refusals: readonly (readonly [string, Ask, number, string, string | undefined])[] = [
    ['no token', { ...LIST, token: null }, 401, 'unauthorized', 'Bearer realm="governor"'],
    [
      'a wrong token',
      { ...LIST, token: 'guess' },
      401,
      'unauthorized',
      'Bearer realm="governor", error="invalid_token"',
    ],
    [
      'a token that may only read',
      { ...LIST, token: 'reader-token' },
      403,
      'forbidden',
      'Bearer realm="governor", error="insufficient_scope", scope="control"',
    ],
    ['a foreign Host', withHeaders({ host: 'evil.example.com' }), 403, 'forbidden_origin', undefined],
    ['a foreign Origin', withHeaders({ origin: 'http://evil.example.com' }), 403, 'forbidden_origin', undefined],
    ['Origin null', withHeaders({ origin: 'null' }), 403, 'forbidden_origin', undefined],
  ];
  for (const [what, asked, status, code, challenge] of refusals) {
    for (const method of ['POST', 'GET', 'DELETE']) {
      const answer = await overTcp(served, '/mcp', { ...asked, method });
      t.equal(answer.status, status, `${what}: ${method}`);
      t.equal(answer.headers['www-authenticate'], challenge, what);
      t.match(answer.json, { jsonrpc: '2.0', error: { code: -32_600, data: { code } } }, what);
      t.notOk('id' in answer.json);
    }
  }
  t.equal(gateway.sessions.length, 0);
  const host = `localhost:${served.port}`;
  t.equal((await overTcp(served, '/mcp', withHeaders({ host, origin: `http://${host}` }))).status, 200, 'its own page');
});

t.test('auth.mcp: by itself, for loopback only, and Host and Origin are checked all the same', async (t) => {
  let mcp: 'token' | 'none' = 'none';
  const { served } = await serveMcp(t, { settings: () => ({ auth: { api: 'token', mcp, metrics: 'none' } }) });
  t.equal((await overTcp(served, '/mcp', { ...LIST, token: null })).status, 200);
  t.equal((await overTcp(served, '/v1/tools', { token: null })).status, 401, 'REST has its own setting');
  const foreign = withHeaders({ origin: 'http://evil.example.com' });
  t.equal((await overTcp(served, '/mcp', { ...foreign, token: null })).status, 403);
  mcp = 'token';
  t.equal((await overTcp(served, '/mcp', { ...LIST, token: null })).status, 401, 'with the next request');
  const open = await serveMcp(t, { auth: { api: 'none', mcp: 'token', metrics: 'none' } });
  t.equal((await overTcp(open.served, '/v1/tools', { token: null })).status, 200);
  t.equal((await overTcp(open.served, '/mcp', { ...LIST, token: null })).status, 401);
});

t.test('the upgrade: guarded like everything else', async (t) => {
  const { served, gateway } = await serveMcp(t);
  const line = await upgrade(t, served, '/v1/tools/na%C3%AFve%20tool/connect?context=my%20desk');
  t.match(line.text(), /^HTTP\/1\.1 101 Switching Protocols\r\nUpgrade: mcp-stdio\r\n/);
  line.socket.write(`${JSON.stringify(INITIALIZE)}\n`);
  await waitFor('the handshake', () => line.text().includes('"serverInfo"'));
  t.strictSame(gateway.sessions[0]?.view, { kind: 'tool', tool: 'naïve tool' });
  t.equal(gateway.sessions[0]?.client.context, 'my desk');

  const refusals: readonly (readonly [string, string, Parameters<typeof upgrade>[3], number, string])[] = [
    ['no such tool', '/v1/tools/nobody/connect', {}, 404, 'unknown_tool'],
    ['another place', '/v1/tools', {}, 400, 'invalid_request'],
    ['another parameter', '/v1/tools/echo/connect?contex=x', {}, 400, 'invalid_request'],
    ['a bad label', '/v1/tools/echo/connect?context=%00', {}, 400, 'invalid_request'],
    ['bad encoding', '/v1/tools/%E0%A4%A/connect', {}, 400, 'invalid_request'],
    ['no token', '/v1/tools/echo/connect', { tcp: true, token: null }, 401, 'unauthorized'],
    ['a foreign Origin', '/v1/tools/echo/connect', { tcp: true, origin: 'http://evil' }, 403, 'forbidden_origin'],
  ];
  for (const [what, path, options, status, code] of refusals) {
    const refused = await upgrade(t, served, path, options);
    await refused.ended;
    t.match(refused.text(), new RegExp(`^HTTP/1.1 ${status} `), what);
    t.match(refused.text(), `"code":"${code}"`, what);
    t.equal(refused.text().includes('WWW-Authenticate: Bearer realm="governor"'), status === 401, what);
  }
  const overToken = await upgrade(t, served, '/v1/tools/echo/connect', { tcp: true });
  t.match(overToken.text(), /^HTTP\/1\.1 101/);
  const plain = await overUnix(served, '/v1/tools/echo/connect');
  t.equal(plain.status, 426);
  t.equal(plain.headers.upgrade, 'mcp-stdio');
  t.equal(plain.json['code'], 'upgrade_required');
  await served.front.close();
  await overToken.ended;
  await line.ended;
  t.equal(gateway.sessions[0]?.closed, 'The daemon is shutting down');
});

t.test('other wishes to upgrade are overheard: some clients ask with every request', async (t) => {
  const { served, gateway } = await serveMcp(t);
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', onWarning);
  t.teardown(async () => void process.off('warning', onWarning));
  const socket = connect({ host: '127.0.0.1', port: served.port });
  t.teardown(async () => void socket.destroy());
  let text = '';
  socket.setEncoding('utf8').on('data', (part) => (text += String(part)));
  const body = JSON.stringify(LIST.json);
  const head = [
    'POST /mcp/echo HTTP/1.1',
    `Host: 127.0.0.1:${served.port}`,
    `Authorization: Bearer ${TOKEN}`,
    'Connection: Upgrade, HTTP2-Settings',
    'Upgrade: h2c',
    'HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(LIST.headers).map(([name, value]) => `${name}: ${value}`),
  ].join('\r\n');
  const answers = (): number => text.split('HTTP/1.1 200 OK').length - 1;
  for (let count = 1; count <= 20; count += 1) {
    socket.write(`${head}\r\n\r\n${body.slice(0, 10)}`);
    socket.write(body.slice(10));
    await waitFor('the answer', () => answers() === count && text.endsWith('}'));
  }
  t.equal(gateway.sessions[0]?.requests.length, 20);
  t.strictSame(warnings, [], 'nothing piles up on the connection');
  socket.write(
    `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${served.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  );
  await waitFor('REST', () => text.endsWith('{"status":"ok"}'));
  t.equal((await upgrade(t, served, '/v1/tools/echo/connect', { protocol: 'websocket' })).text().slice(9, 12), '426');
});

t.test('a tool of governor run cannot be spoken with', async (t) => {
  const { served } = await serveMcp(t, {});
  const real = served.governor.tool.bind(served.governor);
  served.governor.tool = (name) => ({ ...real(name), managed: false });
  const refused = await upgrade(t, served, '/v1/tools/echo/connect');
  await refused.ended;
  t.match(refused.text(), '"code":"not_managed"');
});

async function upgrade(
  t: Scope,
  served: Served,
  path: string,
  options: { protocol?: string; tcp?: boolean; token?: string | null; origin?: string } = {},
) {
  const { protocol = 'mcp-stdio', tcp = false, token = TOKEN, origin } = options;
  const socket = connect(tcp ? { host: '127.0.0.1', port: served.port } : { path: served.socketPath });
  let text = '';
  socket.setEncoding('utf8').on('data', (part) => (text += String(part)));
  socket.on('error', () => undefined);
  t.teardown(async () => void socket.destroy());
  const headers = [
    `Host: 127.0.0.1:${served.port}`,
    'Connection: Upgrade',
    `Upgrade: ${protocol}`,
    ...(tcp && token !== null ? [`Authorization: Bearer ${token}`] : []),
    ...(origin === undefined ? [] : [`Origin: ${origin}`]),
  ];
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.write(`GET ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
  await waitFor('an answer', () => text.includes('\r\n\r\n'));
  return { socket, text: () => text, ended };
}
