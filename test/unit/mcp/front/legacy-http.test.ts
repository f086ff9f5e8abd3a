/** Streamable HTTP of 2025-03-26 to 2025-11-25, in raw HTTP. */

import t from 'tap';
import { ask, beginSession, call, INITIALIZE, open, serveFront } from '../../../helpers/front-server.ts';
import { GovernorError } from '../../../../lib/core/errors.ts';
import { FAKE_SERVER } from '../../../helpers/fake-gateway.ts';
import { refusalFields } from '../../../helpers/refusal-fields.ts';
import { waitFor } from '../../../helpers/wait-for.ts';

const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list' };

t.test('the handshake: the whole result, a session id, the version that was asked for', async (t) => {
  const server = await serveFront(t);
  const { status, headers, json } = await ask(server, { body: INITIALIZE });
  t.equal(status, 200);
  t.equal(headers['content-type'], 'application/json');
  t.match(headers['mcp-session-id'], /^[A-Za-z0-9_-]{32}$/);
  t.strictSame(json, {
    jsonrpc: '2.0',
    id: 0,
    result: {
      protocolVersion: '2025-11-25',
      capabilities: FAKE_SERVER.capabilities,
      serverInfo: FAKE_SERVER.info,
      instructions: 'Be kind.',
      unknownField: { kept: true },
    },
  });
  const [session] = server.gateway.sessions;
  t.strictSame(session?.view, { kind: 'all' });
  t.equal(session?.client.era, 'legacy');
  t.equal(session?.client.protocolVersion, '2025-11-25');
  t.strictSame(session?.client.info, { name: 'raw', version: '1' });
  t.strictSame(session?.client.capabilities, INITIALIZE.params.capabilities);
  t.match(session?.client.context, /^session-[0-9a-f]{10}$/);
  t.not(
    session?.client.context.includes(String(headers['mcp-session-id'])),
    true,
    'the context does not give the id away',
  );
  t.equal((await ask(server, { body: INITIALIZE, headers: { 'governor-context': 'chat' } })).status, 200);
  t.equal(server.gateway.sessions[1]?.client.context, 'chat');
});

t.test('versions: what is not known is answered with the newest, what the server lacks with its own', async (t) => {
  const server = await serveFront(t);
  const negotiated = async (protocolVersion: unknown): Promise<unknown> => {
    const body = { ...INITIALIZE, params: { ...INITIALIZE.params, protocolVersion } };
    return (await ask(server, { body })).json;
  };
  t.match(await negotiated('2025-06-18'), { result: { protocolVersion: '2025-06-18' } });
  t.match(await negotiated('2024-11-05'), { result: { protocolVersion: '2024-11-05' } });
  t.match(await negotiated('1999-01-01'), { result: { protocolVersion: '2025-11-25' } });
  t.match(await negotiated(undefined), { error: { code: -32_602 } });
  server.gateway.describeAs({ ...FAKE_SERVER, protocolVersion: '2025-03-26' });
  t.match(await negotiated('2025-11-25'), { result: { protocolVersion: '2025-03-26' } });
  t.equal(server.gateway.sessions.at(-1)?.client.protocolVersion, '2025-03-26');
});

t.test('a tool that is not there, is not managed, or cannot be started', async (t) => {
  const server = await serveFront(t);
  const missing = await ask(server, { path: '/nobody', body: INITIALIZE });
  t.equal(missing.status, 404);
  t.strictSame(missing.json, {
    jsonrpc: '2.0',
    id: 0,
    error: { code: -32_602, message: 'There is no tool "nobody"', data: { code: 'unknown_tool' } },
  });
  t.equal((await ask(server, { path: '/direct', body: INITIALIZE })).status, 409);
  server.gateway.describeAs(new GovernorError('launch_failed', 'it ended at once', { data: { tool: 'fake' } }));
  const failed = await ask(server, { path: '/fake', body: INITIALIZE });
  t.equal(failed.status, 500);
  t.match(failed.json, { error: { message: 'it ended at once', data: { code: 'launch_failed', tool: 'fake' } } });
  t.equal(server.gateway.sessions.at(-1)?.closed, 'The handshake failed');
  server.gateway.describeAs(new GovernorError('internal', 'secret'));
  t.notMatch((await ask(server, { path: '/fake', body: INITIALIZE })).text, 'secret');
  t.equal(server.front.counts.sessions, 0);
});

t.test('a request that is answered first is answered in JSON, with unknown fields', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server, { path: '/fake' });
  server.gateway.handle('x/unknown', ({ params }) => ({ kind: 'result', result: { got: params, _meta: { a: 1 } } }));
  const reply = await session.ask({
    jsonrpc: '2.0',
    id: 'seven',
    method: 'x/unknown',
    params: { _meta: { b: 2 }, c: [3] },
  });
  t.equal(reply.status, 200);
  t.equal(reply.headers['content-type'], 'application/json');
  t.strictSame(reply.json, {
    jsonrpc: '2.0',
    id: 'seven',
    result: { got: { _meta: { b: 2 }, c: [3] }, _meta: { a: 1 } },
  });
  t.strictSame((await session.ask({ jsonrpc: '2.0', id: 2, method: 'ping' })).json, {
    jsonrpc: '2.0',
    id: 2,
    result: {},
  });
  t.equal(server.gateway.sessions[0]?.requests.length, 1, 'a ping is answered here');
  t.match((await session.ask({ jsonrpc: '2.0', id: 3, method: 'no/such' })).json, { id: 3, error: { code: -32_601 } });
  t.strictSame(server.gateway.sessions[0]?.notifications, [], 'the handshake goes no further');
  t.equal((await session.ask({ jsonrpc: '2.0', method: 'notifications/roots/list_changed' })).status, 202);
  t.strictSame(server.gateway.sessions[0]?.notifications, [{ method: 'notifications/roots/list_changed' }]);
});

t.test('what is told beside a request goes on the stream of its POST, before the answer', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server);
  const reply = await session.ask(call(5, 'progress', { count: 3 }, { progressToken: 'mine' }));
  t.equal(reply.headers['content-type'], 'text/event-stream');
  const [primer, ...events] = reply.events;
  t.equal(primer?.data, '', 'an event without data comes first');
  t.match(reply.text, /^retry: 500\nid: 1-0\ndata: \n\n/);
  t.strictSame(
    events.map(({ message }) => [message.method ?? 'answer', message.params?.progressToken, message.params?.progress]),
    [
      ['notifications/progress', 'mine', 1],
      ['notifications/progress', 'mine', 2],
      ['notifications/progress', 'mine', 3],
      ['answer', undefined, undefined],
    ],
  );
  t.match(events.at(-1)?.message, { id: 5, result: { content: [{ text: 'done' }] } });
  t.equal(new Set(reply.events.map(({ id }) => id)).size, 5, 'each event has its id');
  const older = await beginSession(server, { version: '2025-06-18' });
  t.notMatch((await older.ask(call(5, 'progress'))).text, /data: \n/, 'older clients cannot read it');
});

t.test(
  'the server asks on the stream of the request that it belongs to, and is answered by another POST',
  async (t) => {
    const server = await serveFront(t);
    const session = await beginSession(server);
    const other = await beginSession(server);
    const live = await session.open(call(1, 'ask'));
    const asked = await waitFor('the question', () => live.events().find(({ message }) => message?.method));
    t.match(asked.message, { method: 'elicitation/create', params: { message: 'Who?' } });
    const { id } = asked.message;
    t.equal((await other.ask({ jsonrpc: '2.0', id, result: { action: 'decline' } })).status, 202);
    t.equal(live.events().length, 2, 'another session cannot answer it');
    const answered = await session.ask({ jsonrpc: '2.0', id, result: { action: 'accept', content: { name: 'Ann' } } });
    t.equal(answered.status, 202);
    t.equal(answered.text, '');
    await live.ended;
    t.match(live.events().at(-1)?.message, {
      id: 1,
      result: { content: [{ text: '{"action":"accept","content":{"name":"Ann"}}' }] },
    });
    t.equal((await session.ask({ jsonrpc: '2.0', id, result: {} })).status, 202, 'a late answer is dropped');
  },
);

t.test('a question that is taken back is cancelled on the same stream', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server);
  const back = new AbortController();
  server.gateway.handle('tools/call back', async (_request, exchange) => {
    const answer = await exchange.ask({ method: 'roots/list' }, back.signal);
    return { kind: 'result', result: { answer } };
  });
  const live = await session.open(call(1, 'back'));
  const asked = await waitFor('the question', () => live.events().find(({ message }) => message?.method));
  back.abort(new Error('not needed'));
  await live.ended;
  t.match(live.events().at(-2)?.message, {
    method: 'notifications/cancelled',
    params: { requestId: asked.message.id, reason: 'not needed' },
  });
  t.match(live.events().at(-1)?.message, { id: 1, result: { answer: { kind: 'error' } } });
});

t.test('what belongs to no request goes on the GET stream, and waits for it', async (t) => {
  const server = await serveFront(t, { askWaitMs: 30 });
  const session = await beginSession(server, { initialized: false });
  const { client } = server.gateway.sessions[0]!;
  client.notify({ method: 'notifications/tools/list_changed' });
  t.match(
    await client.ask({ method: 'roots/list' }, new AbortController().signal),
    { kind: 'error' },
    'nobody hears it',
  );
  const live = await session.listen();
  t.equal(live.status, 200);
  t.equal(live.headers['content-type'], 'text/event-stream');
  await session.ask({ jsonrpc: '2.0', method: 'notifications/initialized' });
  await waitFor('what waited', () => live.events().length === 2);
  t.match(live.events()[1]?.message, { method: 'notifications/tools/list_changed' });
  const asking = client.ask({ method: 'roots/list' }, new AbortController().signal);
  const asked = await waitFor('the question', () => live.events()[2]);
  await session.ask({ jsonrpc: '2.0', id: asked.message.id, error: { code: -1, message: 'no' } });
  t.strictSame(await asking, { kind: 'error', error: { code: -1, message: 'no' } });
  const newer = await session.listen();
  client.notify({ method: 'notifications/message', params: { level: 'info', data: 'x' } });
  await waitFor('the newer stream', () => newer.events().length === 2);
  t.equal(live.events().length, 3, 'a message goes on one stream only');
  newer.response.destroy();
  await waitFor('the newer stream to be gone', async () => {
    client.notify({ method: 'notifications/resources/updated', params: { uri: 'a:b' } });
    return live.events().length > 3;
  });
});

t.test('a stream that lost its connection goes on where it was, and loses nothing', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server);
  let go: () => void = () => undefined;
  server.gateway.handle('tools/call steps', async (_request, exchange) => {
    exchange.notify({ method: 'notifications/message', params: { level: 'info', data: 1 } });
    await new Promise<void>((resolve) => (go = resolve));
    exchange.notify({ method: 'notifications/message', params: { level: 'info', data: 2 } });
    return { kind: 'result', result: { steps: 2 } };
  });
  const live = await session.open(call(9, 'steps'));
  const first = await waitFor('the first message', () => live.events()[1]);
  live.response.destroy();
  await waitFor('the connection to be gone', () => live.response.closed);
  t.equal(server.gateway.sessions[0]?.open, 1, 'a disconnect cancels nothing');
  t.strictSame(server.gateway.sessions[0]?.cancelled, []);
  go();
  const resumed = await session.listen(String(first.id));
  await resumed.ended;
  t.strictSame(
    resumed.events().map(({ message }) => message.params?.data ?? message.result),
    [2, { steps: 2 }],
  );
  t.equal((await session.listen(resumed.events().at(-1)?.id ?? '')).status, 204, 'nothing is left of it');
  t.equal((await session.listen('zz-1')).status, 400);
  t.equal((await session.listen('?')).status, 400);
  const other = await beginSession(server);
  t.equal((await other.listen(String(first.id))).status, 400, 'streams of another session are not to be had');
});

t.test('a request that takes long gets its stream, and can be resumed', async (t) => {
  const server = await serveFront(t, { streamAfterMs: 20, heartbeatMs: 10 });
  const session = await beginSession(server);
  const live = await session.open(call(1, 'wait'));
  t.equal(live.headers['content-type'], 'text/event-stream');
  await waitFor('a comment', () => live.text().includes(': still here'));
  server.gateway.release();
  await live.ended;
  t.match(live.events().at(-1)?.message, { id: 1, result: { content: [{ text: 'waited' }] } });
});

t.test('cancellation: by notification; no answer is sent, and the id is free again', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server);
  const pending = session.ask(call(4, 'wait'));
  await waitFor('the request', () => server.gateway.sessions[0]?.open === 1);
  t.match((await session.ask(call(4, 'echo'))).json, { id: 4, error: { code: -32_600 } }, 'the id is in use');
  const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 4, reason: 'enough' } };
  t.equal((await session.ask(cancelled)).status, 202);
  const reply = await pending;
  t.equal(reply.status, 200);
  t.equal(reply.text, '');
  t.strictSame(server.gateway.sessions[0]?.cancelled, ['enough']);
  t.strictSame(server.gateway.sessions[0]?.notifications, [], 'the notification goes no further');
  t.match((await session.ask(call(4, 'echo'))).json, { id: 4, result: {} });
  t.equal((await session.ask(cancelled)).status, 202, 'too late: nothing happens');
});

t.test('sessions: ended by DELETE; of another identity, another path, or guessed: not there', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server, { path: '/fake' });
  const headers = session.headers();
  t.equal(
    (await ask(server, { path: '/fake', body: LIST, headers: { ...headers, 'x-identity': 'token other' } })).status,
    404,
  );
  t.equal((await ask(server, { path: '/', body: LIST, headers })).status, 404);
  t.equal(
    (await ask(server, { path: '/fake', body: LIST, headers: { ...headers, 'mcp-session-id': 'a'.repeat(32) } }))
      .status,
    404,
  );
  const other = { ...headers, 'x-identity': 'token other' };
  t.equal((await ask(server, { path: '/fake', method: 'DELETE', headers: other })).status, 404);
  t.equal((await ask(server, { path: '/fake', method: 'GET', headers: other })).status, 404);
  t.equal((await ask(server, { path: '/fake', body: INITIALIZE, headers: other })).status, 404);
  const missing = await ask(server, { path: '/fake', body: LIST });
  t.equal(missing.status, 400);
  t.match(missing.json, { error: { code: -32_600, message: /Mcp-Session-Id is missing/ } });
  t.notOk('id' in missing.json);
  t.equal((await ask(server, { path: '/fake', method: 'GET' })).status, 400);
  t.equal((await ask(server, { path: '/fake', method: 'DELETE' })).status, 400);
  t.equal((await session.ask(INITIALIZE)).status, 400, 'not twice');
  const waiting = session.ask(call(1, 'wait'));
  await waitFor('the request', () => server.gateway.sessions[0]?.open === 1);
  t.equal((await ask(server, { path: '/fake', method: 'DELETE', headers })).status, 204);
  t.match((await waiting).json, { id: 1, error: { code: -31_051, message: 'The client ended its session' } });
  t.equal(server.gateway.sessions[0]?.closed, 'The client ended its session');
  t.equal((await session.ask(LIST)).status, 404);
  t.equal((await ask(server, { path: '/fake', method: 'DELETE', headers })).status, 404);
});

t.test('refusals of HTTP', async (t) => {
  const server = await serveFront(t, { maxBodyBytes: 1000 });
  const session = await beginSession(server);
  const headers = session.headers();
  t.equal((await session.ask(LIST, { 'mcp-protocol-version': '2025-06-18' })).status, 200, 'another known one');
  const version = await session.ask(LIST, { 'mcp-protocol-version': '2099-01-01' });
  t.equal(version.status, 400);
  t.match(version.json, { error: { code: -32_022, data: { supported: ['2025-11-25'], requested: '2099-01-01' } } });
  const missing = { ...headers };
  delete missing['mcp-protocol-version'];
  t.equal((await ask(server, { body: LIST, headers: missing })).status, 200, 'the session knows it');
  t.equal((await session.ask(LIST, { 'content-type': 'text/plain' })).status, 415);
  t.equal((await session.ask(LIST, { 'content-type': 'application/json; charset=utf-8' })).status, 200);
  t.equal((await session.ask(LIST, { accept: 'application/json' })).status, 406);
  t.equal((await session.ask(LIST, { accept: '*/*' })).status, 200);
  t.equal((await ask(server, { method: 'GET', headers: { ...headers, accept: 'application/json' } })).status, 406);
  t.equal((await session.ask(LIST, { 'governor-context': 'x'.repeat(257) })).status, 400);
  const put = await ask(server, { method: 'PUT', headers, body: '{}' });
  t.equal(put.status, 405);
  t.equal(put.headers.allow, 'GET, POST, DELETE');
  const broken = await session.ask('{"jsonrpc":');
  t.equal(broken.status, 400);
  t.match(broken.json, { error: { code: -32_700 } });
  t.equal((await session.ask(Buffer.from([0x22, 0xff, 0x22]))).status, 400);
  for (const body of [
    3,
    null,
    {},
    { jsonrpc: '1.0', id: 1, method: 'x' },
    { ...LIST, params: [1] },
    { ...LIST, id: null },
  ]) {
    const invalid = await session.ask(JSON.stringify(body));
    t.equal(invalid.status, 400, JSON.stringify(body));
    t.match(invalid.json, { error: { code: -32_600 } });
  }
  const large = { ...LIST, params: { filler: 'x'.repeat(2000) } };
  t.equal((await session.ask(large)).status, 413);
  const unknownLength = await open(server, {
    headers: { ...headers, 'transfer-encoding': 'chunked' },
    body: JSON.stringify(large),
  });
  t.equal(unknownLength.status, 413);
  t.equal(server.front.counts.bodyBytes, 0);
  t.equal(server.gateway.sessions[0]?.requests.length, 4);
});

t.test('batches: of 2025-03-26, and of no other revision', async (t) => {
  const server = await serveFront(t, { maxBatch: 4 });
  const session = await beginSession(server, { version: '2025-03-26' });
  const reply = await session.ask([
    call(1, 'echo', { a: 1 }),
    { jsonrpc: '2.0', method: 'notifications/x' },
    call(2, 'echo'),
  ]);
  t.equal(reply.headers['content-type'], 'application/json');
  t.match(reply.json, [{ id: 1, result: { content: [{ text: '{"a":1}' }] } }, { id: 2 }]);
  t.strictSame(server.gateway.sessions[0]?.notifications, [{ method: 'notifications/x' }]);
  const streamed = await session.ask([call(1, 'progress', { count: 1 }), call(2, 'echo')]);
  t.strictSame(streamed.events.map(({ message }) => message.method ?? message.id).sort(), [
    1,
    2,
    'notifications/progress',
  ]);
  t.equal((await session.ask([{ jsonrpc: '2.0', method: 'notifications/x' }])).status, 202);
  for (const [body, why] of [
    [[], 'is empty'],
    [[call(1, 'echo'), call(1, 'echo')], 'have the id'],
    [[INITIALIZE], 'must not be part'],
    [[call(1, 'echo'), 7], 'not valid'],
    [[1, 2, 3, 4, 5].map((id) => call(id, 'echo')), 'at most 4'],
  ] as const) {
    const refused = await session.ask(body);
    t.equal(refused.status, 400);
    t.match(refused.json.error.message, why);
  }
  const newer = await beginSession(server, { version: '2025-06-18' });
  const refused = await newer.ask([call(1, 'echo')]);
  t.equal(refused.status, 400);
  t.match(refused.json, { error: { code: -32_600, message: /Only 2025-03-26 has batches/ } });
});

t.test('a session that is idle ends; an open stream or request keeps it', async (t) => {
  const server = await serveFront(t, { sessionIdleMs: 40, maxClients: 3 });
  const idle = await beginSession(server);
  const listening = await beginSession(server);
  const busy = await beginSession(server);
  await listening.listen();
  const waiting = busy.ask(call(1, 'wait'));
  const full = await ask(server, { body: INITIALIZE });
  t.equal(full.status, 503);
  t.ok(full.headers['retry-after']);
  t.match(full.json, { id: 0, error: { code: -31_050 } });
  t.same(full.json.error.data, refusalFields(10_000));
  await waitFor('the idle one to end', () => server.gateway.sessions[0]?.closed);
  t.equal(server.gateway.sessions[0]?.closed, 'The session was idle');
  t.equal((await idle.ask(LIST)).status, 404);
  t.equal(server.front.counts.sessions, 2);
  server.gateway.release();
  t.match((await waiting).json, { id: 1, result: {} });
  t.equal((await ask(server, { body: INITIALIZE })).status, 200, 'there is room again');
});

t.test(
  'a local client that lost all its connections with its stream is gone; its session comes back when it does',
  async (t) => {
    const server = await serveFront(t, { goneMs: 30 });
    const session = await beginSession(server);
    t.match((await session.ask(call(1, 'echo'))).json, { result: {} });
    await new Promise((resolve) => setTimeout(resolve, 60));
    t.equal(server.gateway.sessions[0]?.closed, null, 'one without a stream may be anywhere');
    const live = await session.listen();
    const pending = session.open(call(2, 'wait')).catch(() => undefined);
    await waitFor('the request', () => server.gateway.sessions[0]?.open === 1);
    live.response.destroy();
    await new Promise((resolve) => setTimeout(resolve, 60));
    t.equal(server.gateway.sessions[0]?.closed, null, 'its other connection is there');
    server.gateway.release();
    await (
      await pending
    )?.ended;
    await waitFor('it to be taken for gone', () => server.gateway.sessions[0]?.closed);
    t.equal(server.gateway.sessions[0]?.closed, 'The client has gone');
    t.match((await session.ask(call(3, 'echo'))).json, { id: 3, result: {} });
    t.equal(server.gateway.sessions.length, 2, 'opened anew');
    t.equal(server.gateway.sessions[1]?.client.context, server.gateway.sessions[0]?.client.context);
  },
);

t.test('the front closes: requests get the reason, streams end, nothing new is served', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server);
  const live = await session.listen();
  const waiting = session.ask(call(1, 'wait'));
  await waitFor('the request', () => server.gateway.sessions[0]?.open === 1);
  await server.front.close('The daemon is shutting down');
  t.match((await waiting).json, { id: 1, error: { code: -31_051, message: 'The daemon is shutting down' } });
  await live.ended;
  t.equal((await session.ask(LIST)).status, 503);
  t.strictSame(server.front.counts, { sessions: 0, modernClients: 0, byteStreams: 0, replayBytes: 0, bodyBytes: 0 });
});
