/** Streamable HTTP of 2026-07-28, in raw HTTP. */

import t from 'tap';
import type { Exchange } from '../../../../lib/mcp/wire/session.ts';
import { FAKE_SERVER } from '../../../helpers/fake-gateway.ts';
import { ask, beginSession, call, MODERN_META, modern, open, serveFront } from '../../../helpers/front-server.ts';
import { refusalFields } from '../../../helpers/refusal-fields.ts';
import { waitFor } from '../../../helpers/wait-for.ts';

const VERSION = 'io.modelcontextprotocol/protocolVersion';
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';
const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId';

t.test('server/discover', async (t) => {
  const server = await serveFront(t);
  const reply = await ask(server, modern('d', 'server/discover'));
  t.equal(reply.status, 200);
  t.equal(reply.headers['mcp-session-id'], undefined);
  t.strictSame(reply.json, {
    jsonrpc: '2.0',
    id: 'd',
    result: {
      resultType: 'complete',
      supportedVersions: ['2026-07-28'],
      capabilities: FAKE_SERVER.capabilities,
      instructions: 'Be kind.',
      ttlMs: 0,
      cacheScope: 'private',
      _meta: { 'io.modelcontextprotocol/serverInfo': FAKE_SERVER.info },
    },
  });
  server.gateway.describeAs({
    ...FAKE_SERVER,
    era: 'modern',
    protocolVersion: '2026-07-28',
    raw: { ttlMs: 5, cacheScope: 'public', supportedVersions: ['2031-01-01'], extra: 1, _meta: { own: true } },
  });
  t.match((await ask(server, modern(1, 'server/discover'))).json.result, {
    ttlMs: 5,
    cacheScope: 'public',
    supportedVersions: ['2026-07-28'],
    extra: 1,
    _meta: { own: true, 'io.modelcontextprotocol/serverInfo': FAKE_SERVER.info },
  });
});

t.test('what a request lacks is said, with its id', async (t) => {
  const server = await serveFront(t);
  const without = (key: string) => Object.fromEntries(Object.entries(MODERN_META).filter(([name]) => name !== key));
  const header = { headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' } };
  const bodies: readonly (readonly [object, readonly string[]])[] = [
    [{ jsonrpc: '2.0', id: 1, method: 'tools/list' }, ['_meta']],
    [{ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }, ['_meta']],
    [{ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: without(VERSION) } }, [VERSION]],
    [{ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: without(CAPABILITIES) } }, [CAPABILITIES]],
    [{ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: {} } }, [VERSION, CAPABILITIES]],
    [{ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: { ...MODERN_META, [VERSION]: 7 } } }, [VERSION]],
  ];
  for (const [body, missing] of bodies) {
    const reply = await ask(server, { ...header, body });
    t.equal(reply.status, 400);
    t.match(reply.json, { id: 1, error: { code: -32_602, data: { missing } } }, missing.join());
  }
  const anonymous = modern(1, 'tools/list', { _meta: without('io.modelcontextprotocol/clientInfo') });
  t.equal((await ask(server, anonymous)).status, 200, 'who it is need not be said');
  t.match(server.gateway.sessions.at(-1)?.client.context, 'anonymous (token default)');
});

t.test('versions', async (t) => {
  const server = await serveFront(t);
  const meta = (version: string) => ({ _meta: { ...MODERN_META, [VERSION]: version } });
  const unknown = await ask(server, modern(1, 'tools/list', meta('v999'), { 'mcp-protocol-version': 'v999' }));
  t.equal(unknown.status, 400);
  t.match(unknown.json, { id: 1, error: { code: -32_022, data: { supported: ['2026-07-28'], requested: 'v999' } } });
  const legacy = await ask(
    server,
    modern(1, 'tools/list', meta('2025-11-25'), { 'mcp-protocol-version': '2025-11-25' }),
  );
  t.match(legacy.json, { error: { code: -32_022 } });
  const mismatch = await ask(server, modern(1, 'tools/list', meta('v999')));
  t.equal(mismatch.status, 400);
  t.match(mismatch.json, { id: 1, error: { code: -32_020 } });
  t.match((await ask(server, modern(1, 'tools/list', {}, { 'mcp-protocol-version': undefined }))).json, {
    error: { code: -32_020, message: /MCP-Protocol-Version is missing/ },
  });
  t.equal(server.gateway.sessions.length, 0);
});

t.test('headers that mirror the body', async (t) => {
  const server = await serveFront(t);
  const echo = { name: 'echo', arguments: {} };
  const refused: readonly (readonly [string, Parameters<typeof modern>])[] = [
    ['another method', [1, 'tools/list', {}, { 'mcp-method': 'prompts/list' }]],
    ['method in capitals', [1, 'tools/list', {}, { 'mcp-method': 'TOOLS/LIST' }]],
    ['no method', [1, 'tools/list', {}, { 'mcp-method': undefined }]],
    ['another name', [1, 'tools/call', echo, { 'mcp-name': 'wait' }]],
    ['no name', [1, 'tools/call', echo, { 'mcp-name': undefined }]],
    ['no name of a prompt', [1, 'prompts/get', { name: 'p' }, { 'mcp-name': undefined }]],
    ['another resource', [1, 'resources/read', { uri: 'a:b' }, { 'mcp-name': 'a:c' }]],
    ['another task', [1, 'tasks/get', { taskId: 't1' }, { 'mcp-name': 't2' }]],
    ['padding', [1, 'tools/call', echo, { 'mcp-name': '=?base64?ZWNobw?=' }]],
    ['alphabet', [1, 'tools/call', echo, { 'mcp-name': '=?base64?ZW!!bw==?=' }]],
    ['no UTF-8', [1, 'tools/call', echo, { 'mcp-name': '=?base64?/w==?=' }]],
    ['beyond ASCII', [1, 'tools/call', { name: 'écho' }, { 'mcp-name': 'écho' }]],
  ];
  for (const [what, words] of refused) {
    const reply = await ask(server, modern(...words));
    t.equal(reply.status, 400, what);
    t.match(reply.json, { id: 1, error: { code: -32_020, message: /^Header mismatch: / } }, what);
  }
  t.equal(server.gateway.sessions.length, 0, 'nothing of it came through');
  t.equal(
    (await ask(server, modern(1, 'tools/call', echo, { 'mcp-name': '  echo  ' }))).status,
    200,
    'blanks around it',
  );
  t.equal((await ask(server, modern(1, 'tools/call', echo, { 'mcp-name': '=?base64?ZWNobw==?=' }))).status, 200);
  const noName = await ask(server, modern(1, 'tools/call', {}, {}));
  t.match(noName.json, { error: { code: -32_602 } }, 'a body without a name is the server’s to refuse');
});

t.test('arguments that are mirrored: what the server declares is compared', async (t) => {
  const server = await serveFront(t);
  const args = (value: object) => ({ name: 'routed', arguments: value });
  const region = { region: 'Grüße' };
  const coded = `=?base64?${Buffer.from('Grüße').toString('base64')}?=`;
  const good: readonly (readonly [object, Record<string, string>])[] = [
    [region, { 'mcp-param-region': coded }],
    [{ region: 'us' }, { 'mcp-param-region': 'us' }],
    [{ deep: { count: 42 } }, { 'mcp-param-count': '42.0' }],
    [{}, {}],
    [{ region: null }, {}],
    [{ other: 1 }, { 'mcp-param-other': 'free' }],
    [{ deep: { count: 2 ** 53 } }, {}],
    [{ region: ['us'] }, {}],
  ];
  for (const [value, headers] of good) {
    const reply = await ask(server, modern(1, 'tools/call', args(value), headers));
    t.equal(reply.status, 200, JSON.stringify([value, headers]));
  }
  const bad: readonly (readonly [object, Record<string, string>])[] = [
    [region, {}],
    [region, { 'mcp-param-region': 'Gruesse' }],
    [{ region: 'Hello' }, { 'mcp-param-region': '=?base64?SGVsbG8?=' }],
    [{ region: 'Hello' }, { 'mcp-param-region': 'SGVsbG8=' }],
    [{ deep: { count: 42 } }, { 'mcp-param-count': '41' }],
    [{ deep: { count: 2 ** 53 - 1 } }, {}],
    [{ deep: { count: 2 ** 53 } }, { 'mcp-param-count': '41' }],
    [{}, { 'mcp-param-region': 'us' }],
  ];
  for (const [value, headers] of bad) {
    const reply = await ask(server, modern(1, 'tools/call', args(value), headers));
    t.equal(reply.status, 400, JSON.stringify([value, headers]));
    t.match(reply.json, { error: { code: -32_020 } });
  }
  const [session] = server.gateway.sessions;
  const lists = session?.requests.filter(({ method }) => method === 'tools/list') ?? [];
  t.equal(lists.length, 1 + bad.length, 'asked once, and again before somebody is refused');
  t.strictSame(lists[0]?.params, { _meta: MODERN_META });
  t.equal(session?.requests.filter(({ method }) => method === 'tools/call').length, good.length);
});

t.test('declarations: learnt from a list that goes by, forgotten when it changes', async (t) => {
  const server = await serveFront(t);
  let pages = 0;
  const tool = (header: string) => ({
    name: 'echo',
    inputSchema: { properties: { a: { type: 'string', 'x-mcp-header': header } } },
  });
  server.gateway.handle('tools/list', ({ params }) => {
    pages += 1;
    if (params?.['cursor'] === undefined) return { kind: 'result', result: { tools: [], nextCursor: 'two' } };
    return { kind: 'result', result: { tools: [tool('Late')] } };
  });
  const echo = modern(1, 'tools/call', { name: 'echo', arguments: { a: 'x' } }, { 'mcp-param-late': 'x' });
  t.equal((await ask(server, echo)).status, 200);
  t.equal(pages, 2, 'every page is read');
  server.gateway.handle('tools/list', () => ({ kind: 'result', result: { tools: [tool('New')] } }));
  t.equal((await ask(server, modern(1, 'tools/list'))).status, 200);
  const old = await ask(server, echo);
  t.match(old.json, { error: { message: /mcp-param-new is missing/ } });
  server.gateway.handle('tools/list', () => ({ kind: 'error', error: { code: -32_601, message: 'no tools' } }));
  server.gateway.sessions[0]?.client.notify({ method: 'notifications/tools/list_changed' });
  t.equal((await ask(server, echo)).status, 200, 'a server that lists nothing declares nothing');
});

t.test('methods that are not there, or not any more: 404', async (t) => {
  const server = await serveFront(t);
  server.gateway.handle('ping', () => ({ kind: 'result', result: {} }));
  for (const method of [
    'initialize',
    'ping',
    'logging/setLevel',
    'resources/subscribe',
    'resources/unsubscribe',
    'no/such',
  ]) {
    const reply = await ask(server, modern(1, method));
    t.equal(reply.status, 404, method);
    t.match(reply.json, { id: 1, error: { code: -32_601 } }, method);
  }
  for (const method of ['GET', 'DELETE']) {
    const reply = await ask(server, { method, headers: { 'mcp-protocol-version': '2026-07-28' } });
    t.equal(reply.status, 405, method);
    t.equal(reply.headers.allow, 'POST');
  }
  server.gateway.handle('tools/call picky', () => ({
    kind: 'error',
    error: { code: -32_021, message: 'sampling', data: {} },
  }));
  t.equal((await ask(server, modern(1, 'tools/call', { name: 'picky' }))).status, 400, 'a capability is missing');
  t.equal(
    (await ask(server, modern(1, 'tools/call', { name: 'none' }))).status,
    200,
    'an error of the server is an answer',
  );
  const batch = await ask(server, { headers: { 'mcp-protocol-version': '2026-07-28' }, body: [] });
  t.equal(batch.status, 400);
  const unknown = await ask(server, { ...modern(1, 'tools/list'), path: '/nobody' });
  t.equal(unknown.status, 404);
  t.match(unknown.json, { id: 1, error: { code: -32_602, data: { code: 'unknown_tool' } } });
});

t.test('results go through whole, and what is told before them first', async (t) => {
  const server = await serveFront(t);
  const result = {
    resultType: 'input_required',
    inputRequests: { a: { method: 'elicitation/create' } },
    requestState: 'S',
    x: 1,
  };
  server.gateway.handle('tools/call more', () => ({ kind: 'result', result }));
  const reply = await ask(server, modern('r', 'tools/call', { name: 'more' }));
  t.equal(reply.headers['content-type'], 'application/json');
  t.strictSame(reply.json, { jsonrpc: '2.0', id: 'r', result });
  const retry = { name: 'more', inputResponses: { a: { action: 'accept' } }, requestState: 'S' };
  await ask(server, modern(2, 'tools/call', retry));
  t.strictSame(server.gateway.sessions[0]?.requests.at(-1)?.params, { _meta: MODERN_META, ...retry });
  const meta = { ...MODERN_META, progressToken: 7 };
  const streamed = await ask(server, modern(3, 'tools/call', { name: 'progress', _meta: meta }));
  t.equal(streamed.headers['content-type'], 'text/event-stream');
  t.equal(streamed.headers['x-accel-buffering'], 'no');
  t.strictSame(
    streamed.events.map(({ id, message }) => [id, message.params?.progressToken, message.params?.progress, message.id]),
    [
      [null, 7, 1, undefined],
      [null, 7, 2, undefined],
      [null, 7, 3, undefined],
      [null, undefined, undefined, 3],
    ],
    'without ids: nothing can be resumed',
  );
  server.gateway.handle('tools/call asks', async (_request, exchange) => {
    const answer = await exchange.ask({ method: 'roots/list' }, exchange.signal);
    return { kind: 'result', result: { answer } };
  });
  const asked = await ask(server, modern(4, 'tools/call', { name: 'asks' }));
  t.match(asked.json.result.answer, { kind: 'error', error: { code: -32_601 } }, 'no request is ever sent');
});

t.test('closing the stream cancels; before anything was said, and after', async (t) => {
  const server = await serveFront(t, { streamAfterMs: 20 });
  const quiet = open(server, modern(1, 'tools/call', { name: 'wait' }));
  quiet.catch(() => undefined);
  const live = await quiet;
  t.equal(live.headers['content-type'], 'text/event-stream', 'one that takes long gets its stream');
  live.response.destroy();
  await waitFor('the cancellation', () => server.gateway.sessions[0]?.cancelled.length === 1);
  t.equal(server.gateway.sessions[0]?.open, 0);
  let exchange: Exchange | null = null;
  server.gateway.handle('tools/call told', (_request, own) => {
    exchange = own;
    own.notify({ method: 'notifications/message', params: { level: 'info', data: 'x' } });
    return new Promise(() => undefined);
  });
  const told = await open(server, modern(2, 'tools/call', { name: 'told' }));
  await waitFor('the message', () => told.events().length === 1);
  told.outgoing.destroy();
  await waitFor('the cancellation', () => server.gateway.sessions[0]?.cancelled.length === 2);
  t.doesNotThrow(() => exchange?.notify({ method: 'notifications/message' }), 'what comes late is dropped');
  t.match((await ask(server, modern(3, 'tools/call', { name: 'echo', arguments: {} }))).json, { id: 3, result: {} });
});

t.test('subscriptions/listen: acknowledged first, tagged with the request’s id, ended with a result', async (t) => {
  const server = await serveFront(t);
  let exchange: Exchange | null = null;
  server.gateway.handle('subscriptions/listen', ({ params }, own) => {
    exchange = own;
    own.notify({ method: 'notifications/tools/list_changed' });
    own.notify({
      method: 'notifications/subscriptions/acknowledged',
      params: { _meta: { [SUBSCRIPTION]: 99 }, notifications: params?.['notifications'] },
    });
    return new Promise(() => undefined);
  });
  const filter = { toolsListChanged: true };
  const live = await open(server, modern('sub', 'subscriptions/listen', { notifications: filter }));
  await waitFor('both', () => live.events().length === 2);
  t.strictSame(live.events()[0]?.message, {
    jsonrpc: '2.0',
    method: 'notifications/subscriptions/acknowledged',
    params: { _meta: { [SUBSCRIPTION]: 'sub' }, notifications: filter },
  });
  t.strictSame(live.events()[1]?.message.params, { _meta: { [SUBSCRIPTION]: 'sub' } });
  exchange!.notify({ method: 'notifications/resources/updated', params: { uri: 'a:b', _meta: { kept: 1 } } });
  await waitFor('the update', () => live.events().length === 3);
  t.strictSame(live.events()[2]?.message.params, { uri: 'a:b', _meta: { kept: 1, [SUBSCRIPTION]: 'sub' } });
  await server.front.close('The daemon is shutting down');
  await live.ended;
  t.strictSame(live.events().at(-1)?.message, {
    jsonrpc: '2.0',
    id: 'sub',
    result: { resultType: 'complete', _meta: { [SUBSCRIPTION]: 'sub' } },
  });
});

t.test(
  'one client has one session behind, whatever it asks; another identity, label or name has its own',
  async (t) => {
    const server = await serveFront(t, { clientIdleMs: 60 });
    const list = (more: Record<string, string> = {}, name = 'raw') =>
      ask(
        server,
        modern(
          1,
          'tools/list',
          { _meta: { ...MODERN_META, 'io.modelcontextprotocol/clientInfo': { name, version: '1' } } },
          more,
        ),
      );
    await list();
    await list();
    t.equal(server.gateway.sessions.length, 1);
    await list({ 'x-identity': 'token other' });
    await list({ 'governor-context': 'chat' });
    await list({}, 'other');
    t.strictSame(
      server.gateway.sessions.map(({ client }) => [client.era, client.context]),
      [
        ['modern', 'raw@1 (token default)'],
        ['modern', 'raw@1 (token other)'],
        ['modern', 'chat'],
        ['modern', 'other@1 (token default)'],
      ],
    );
    t.equal(server.front.counts.modernClients, 4);
    await waitFor('all to be idle', () => server.front.counts.modernClients === 0);
    t.strictSame([...new Set(server.gateway.sessions.map(({ closed }) => closed))], ['The client was idle']);
    t.equal((await list()).status, 200, 'it is served as before');
  },
);

t.test('a modern client that waits for nothing makes room; else nobody is taken', async (t) => {
  const server = await serveFront(t, { maxClients: 1 });
  t.equal((await ask(server, modern(1, 'tools/list'))).status, 200);
  const other = { 'x-identity': 'token other' };
  const live = open(server, modern(1, 'tools/call', { name: 'wait' }, other));
  await waitFor('the request', () => server.gateway.sessions[1]?.open === 1);
  t.equal(server.gateway.sessions[0]?.closed, 'Its place was needed');
  const refused = await ask(server, modern(2, 'tools/list'));
  t.equal(refused.status, 503);
  t.match(refused.json, { id: 2, error: { code: -31_050 } });
  t.same(refused.json.error.data, refusalFields(10_000));
  server.gateway.release();
  await (
    await live
  ).ended;
});

t.test('notifications, and answers that nobody asked for', async (t) => {
  const server = await serveFront(t);
  const header = { 'mcp-protocol-version': '2026-07-28' };
  const post = (body: object, headers: Record<string, string> = header) => ask(server, { body, headers });
  t.equal((await post({ jsonrpc: '2.0', method: 'notifications/initialized' })).status, 202);
  t.equal((await post({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } })).status, 202);
  t.equal(server.gateway.sessions.length, 0);
  t.equal((await post({ jsonrpc: '2.0', method: 'notifications/x', params: { a: 1 } })).status, 202);
  t.strictSame(server.gateway.sessions[0]?.notifications, [{ method: 'notifications/x', params: { a: 1 } }]);
  const mismatch = await post({ jsonrpc: '2.0', method: 'notifications/x' }, { ...header, 'mcp-method': 'y' });
  t.equal(mismatch.status, 400);
  t.match(mismatch.json, { error: { code: -32_020 } });
  t.equal((await post({ jsonrpc: '2.0', id: 1, result: {} })).status, 400);
});

t.test('both eras on one endpoint, at the same time', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server);
  const [old, now] = await Promise.all([
    session.ask(call(1, 'echo', { era: 'legacy' })),
    ask(
      server,
      modern(1, 'tools/call', { name: 'echo', arguments: { era: 'modern' } }, { 'mcp-session-id': session.id }),
    ),
  ]);
  t.match(old.json.result.content[0].text, 'legacy');
  t.match(now.json.result.content[0].text, 'modern');
  t.strictSame(
    server.gateway.sessions.map(({ client }) => client.era),
    ['legacy', 'modern'],
  );
  const mixed = await ask(server, {
    headers: { 'mcp-protocol-version': '2026-07-28' },
    body: { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25' } },
  });
  t.equal(mixed.status, 400);
});
