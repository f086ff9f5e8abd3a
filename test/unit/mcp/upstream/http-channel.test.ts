import t from 'tap';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { HttpChannel } from '../../../../lib/mcp/upstream/http-channel.ts';
import { openUpstream } from '../../../../lib/mcp/upstream/multiplexer.ts';
import type { Upstream } from '../../../../lib/mcp/upstream/upstream.ts';
import type { Answer, Fields } from '../../../../lib/mcp/wire/message.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import type { Era } from '../../../../lib/mcp/wire/protocol.ts';
import type { Session } from '../../../../lib/mcp/wire/session.ts';
import type { TestScope } from '../../../helpers/fixture.ts';
import { DISCOVERED, INITIALIZED } from '../../../helpers/fake-channel.ts';
import { fakeClient, fakeExchange } from '../../../helpers/fake-mcp-session.ts';
import type { FakeExchange } from '../../../helpers/fake-mcp-session.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';
import { waitFor } from '../../../helpers/wait-for.ts';

interface Seen {
  readonly verb: string;
  readonly method: string;
  readonly params: Fields;
  readonly headers: IncomingMessage['headers'];
}

interface Elsewhere {
  readonly url: string;
  readonly seen: Seen[];
  /** Methods of the requests whose streams the other side has closed. */
  readonly dropped: string[];
  /** Every request gets this. */
  status: number | null;
  /** Connections, whether anything is under way on them or not. */
  connections(): Promise<number>;
  of(verb: string, method?: string): readonly Seen[];
}

/** Tools: json and stream answer, slow does not, cut ends its stream without an answer. */
async function elsewhere(t: TestScope): Promise<Elsewhere> {
  const server = createServer((request, response) => void receive(request, response));
  // As servers may: longer than a test, by their own will.
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const self: Elsewhere = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    seen: [],
    dropped: [],
    status: null,
    connections: promisify(server.getConnections.bind(server)),
    of: (verb, method) => self.seen.filter((each) => each.verb === verb && (method ?? each.method) === each.method),
  };
  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = chunks.length === 0 ? {} : (JSON.parse(String(Buffer.concat(chunks))) as Fields);
    const { method = '', params = {}, id } = body as { method?: string; params?: Fields; id?: number };
    self.seen.push({ verb: request.method ?? '', method, params, headers: request.headers });
    if (self.status !== null) return void response.writeHead(self.status).end();
    if (request.method === 'GET') return void response.writeHead(405).end();
    if (request.method === 'DELETE') return void response.writeHead(200).end();
    if (id === undefined || method === '') return void response.writeHead(202).end();
    const json = (result: Fields, headers = {}): void =>
      void response
        .writeHead(200, { 'content-type': 'application/json', ...headers })
        .end(JSON.stringify({ jsonrpc: '2.0', id, result }));
    if (method === 'initialize') return json(INITIALIZED, { 'mcp-session-id': 'secret-1' });
    if (method === 'server/discover') return json(DISCOVERED);
    if (params['name'] === 'json') return json({ by: 'json' });
    response.on('close', () => {
      if (!response.writableFinished) self.dropped.push(method);
    });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const event = (message: Fields): void =>
      void response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`);
    event({ method: 'notifications/progress', params: { progressToken: id, progress: 1 } });
    if (params['name'] === 'slow') return;
    if (params['name'] === 'stream') event({ id, result: { by: 'stream' } });
    response.end();
  }
  return self;
}

interface Opened {
  readonly upstream: Upstream;
  readonly session: Session;
  readonly channel: HttpChannel;
  readonly problems: string[];
  call(name: string): { readonly answer: Promise<Answer>; readonly exchange: FakeExchange };
}

async function open(url: string, era: Era = 'legacy', headers: Readonly<Record<string, string>> = {}): Promise<Opened> {
  const problems: string[] = [];
  const channel = new HttpChannel({ url, headers });
  const upstream = openUpstream(channel, {
    era,
    info: { name: 'governor', version: '1' },
    capabilities: {},
    timeoutMs: 20_000,
    takesTurns: false,
    monotonicMs: () => performance.now(),
    onProblem: (problem) => void problems.push(problem),
    onLeftOut: (what) => void problems.push(what),
  });
  await upstream.ready();
  const session = upstream.attach(fakeClient(era));
  return {
    upstream,
    session,
    channel,
    problems,
    call(name) {
      const exchange = fakeExchange();
      const params = { name, _meta: { progressToken: 'mine' } };
      return { answer: session.request({ method: 'tools/call', params }, exchange), exchange };
    },
  };
}

t.test('a legacy server: session, version and headers on each request; DELETE at the end', async (t) => {
  const server = await elsewhere(t);
  const { upstream, call, channel } = await open(server.url, 'legacy', { authorization: 'Bearer token' });
  const streamed = call('stream');
  t.same(await streamed.answer, { kind: 'result', result: { by: 'stream' } });
  t.match(streamed.exchange.heard, [{ params: { progressToken: 'mine', progress: 1 } }]);
  t.same(await call('json').answer, { kind: 'result', result: { by: 'json' } });
  t.match(server.of('POST', 'tools/call')[0]?.headers, {
    'mcp-session-id': 'secret-1',
    'mcp-protocol-version': '2025-11-25',
    authorization: 'Bearer token',
  });
  await waitFor('all to be taken', () => channel.pendingBytes === 0);
  await upstream.close('over');
  t.match(server.of('DELETE'), [{ headers: { 'mcp-session-id': 'secret-1' } }]);
  await upstream.close('again');
  t.equal(server.of('DELETE').length, 1);
});

t.test('cancelled: said to a legacy server, and its stream is closed', async (t) => {
  const server = await elsewhere(t);
  const { call, upstream } = await open(server.url);
  const slow = call('slow');
  await waitFor('its progress', () => slow.exchange.heard.length > 0);
  slow.exchange.cancel('enough');
  t.match(await slow.answer, { kind: 'error', error: { message: 'cancelled: enough' } });
  await waitFor('the cancellation', () => server.of('POST', 'notifications/cancelled').length > 0);
  t.match(server.of('POST', 'notifications/cancelled'), [{ params: { reason: 'enough' } }]);
  await waitFor('the stream to be closed', () => server.dropped.length > 0);
  await upstream.close('over');
});

t.test('cancelled: of the modern era the end of the stream says it', async (t) => {
  const server = await elsewhere(t);
  const { call, upstream } = await open(server.url, 'modern');
  const slow = call('slow');
  await waitFor('its progress', () => slow.exchange.heard.length > 0);
  t.match(server.of('POST', 'tools/call')[0]?.headers, {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': 'slow',
  });
  slow.exchange.cancel('enough');
  await waitFor('the stream to be closed', () => server.dropped.length > 0);
  t.same(server.of('POST', 'notifications/cancelled'), []);
  await upstream.close('over');
  t.same(server.of('DELETE'), [], 'it has no session');
});

t.test('no connection outlives the conversation', async (t) => {
  const server = await elsewhere(t);
  const { upstream, call } = await open(server.url);
  await Promise.all(['json', 'json', 'stream'].map((name) => call(name).answer));
  t.ok((await server.connections()) > 0, 'they are kept for the next request');
  await upstream.close('over');
  await waitFor('them to go', async () => (await server.connections()) === 0);
  t.equal(server.of('DELETE').length, 1, 'after the goodbye');
});

t.test('open requests end with the channel, and their streams are closed', async (t) => {
  const server = await elsewhere(t);
  const { call, upstream } = await open(server.url);
  const slow = call('slow');
  await waitFor('its progress', () => slow.exchange.heard.length > 0);
  await upstream.close('stopped by hand');
  t.match(await slow.answer, { kind: 'error', error: { code: RPC_CODE.stopped, message: 'stopped by hand' } });
  await waitFor('the stream to be closed', () => server.dropped.length > 0);
});

t.test('a stream that ends without its answer is not waited for', async (t) => {
  const server = await elsewhere(t);
  const { call, upstream } = await open(server.url);
  t.match(await call('cut').answer, { kind: 'error', error: { code: RPC_CODE.stopped, message: /ended without one/ } });
  t.equal(upstream.state.kind, 'ready');
  await upstream.close('over');
});

t.test('a server that does not let us in, or fails', async (t) => {
  const server = await elsewhere(t);
  const { call, upstream, session } = await open(server.url);
  for (const status of [401, 403, 500]) {
    server.status = status;
    t.match(await call('json').answer, { kind: 'error', error: { code: RPC_CODE.stopped } }, `${status}`);
  }
  session.notify({ method: 'notifications/x' });
  server.status = null;
  t.match(await call('json').answer, { kind: 'result' }, 'the next request may get through');
  server.status = 401;
  await t.rejects(open(server.url), isGovernorError('launch_failed'));
  await upstream.close('over');
});

t.test('a session that the server has forgotten is over: the next needs a new one', async (t) => {
  const server = await elsewhere(t);
  const { call, upstream } = await open(server.url);
  const reasons: string[] = [];
  upstream.onEnd((reason) => void reasons.push(reason));
  server.status = 404;
  t.match(await call('json').answer, {
    kind: 'error',
    error: { code: RPC_CODE.stopped, message: /ended the session/ },
  });
  t.match(reasons, [/ended the session/]);
  await upstream.close('over');
});

t.test('nobody there', async (t) => {
  const server = await elsewhere(t);
  await t.rejects(open(server.url.replace(/:\d+/, ':9')), isGovernorError('launch_failed'));
});

t.test('addresses of other transports are refused by name', async (t) => {
  const cases: readonly (readonly [url: string, message: RegExp])[] = [
    ['ws://host/mcp', /WebSocket is no transport of MCP/],
    ['wss://host/mcp', /WebSocket is no transport of MCP/],
    ['ftp://host/mcp', /ftp: is not spoken here/],
    ['host', /is no address/],
  ];
  for (const [url, message] of cases)
    t.throws(() => new HttpChannel({ url, headers: {} }), { ...isGovernorError('invalid_config'), message }, url);
});
