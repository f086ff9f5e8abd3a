/** Many clients, greedy clients, deaf clients: bounded memory, a clear word, neighbours unharmed. */

import { request } from 'node:http';
import t from 'tap';
import type { Exchange } from '../../../../lib/mcp/wire/session.ts';
import { text } from '../../../helpers/fake-gateway.ts';
import { ask, beginSession, call, MODERN_META, modern, open, serveFront } from '../../../helpers/front-server.ts';
import { refusalFields } from '../../../helpers/refusal-fields.ts';
import { waitFor } from '../../../helpers/wait-for.ts';

const FILLER = { level: 'info', data: 'x'.repeat(100_000) };

t.test('1,000 calls at once, by clients with equal ids and tokens: each gets its own', async (t) => {
  const server = await serveFront(t);
  const waiting: (() => void)[] = [];
  server.gateway.handle('tools/call mine', async ({ params }, exchange, { client }) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    const { progressToken } = (params?.['_meta'] ?? {}) as { progressToken?: unknown };
    exchange.notify({
      method: 'notifications/progress',
      params: { progressToken, progress: 1, message: client.context },
    });
    return text(`${client.context} ${JSON.stringify(params?.['arguments'])}`);
  });
  const sessions = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      beginSession(server, { headers: { 'governor-context': `context ${index}` } }),
    ),
  );
  const calls = sessions.flatMap((session, index) =>
    Array.from({ length: 90 }, async (_, id) => {
      const { events } = await session.ask(call(id, 'mine', { id }, { progressToken: id }));
      const [progress, answer] = events.slice(1).map(({ message }) => message);
      return (
        progress.params.progressToken === id &&
        progress.params.message === `context ${index}` &&
        answer.id === id &&
        answer.result.content[0].text === `context ${index} {"id":${id}}`
      );
    }),
  );
  const modernCalls = Array.from({ length: 100 }, async (_, id) => {
    const params = { name: 'mine', arguments: { id }, _meta: { ...MODERN_META, progressToken: id } };
    const { events } = await ask(server, modern(id, 'tools/call', params));
    return events[0]?.message.params.progressToken === id && events[1]?.message.id === id;
  });
  await waitFor('all of them', () => waiting.length === 1000);
  for (const go of waiting.toReversed()) go();
  t.strictSame([...new Set(await Promise.all([...calls, ...modernCalls]))], [true]);
  t.equal(
    server.gateway.sessions.reduce((sum, one) => sum + one.requests.length, 0),
    1001,
    'one asked for declarations',
  );
});

t.test('clients that never read: cut off, said, and the others notice nothing', async (t) => {
  const server = await serveFront(t, {
    maxWaitingBytes: 200_000,
    maxReplayBytes: 300_000,
    maxReplayTotalBytes: 500_000,
  });
  const exchanges: Exchange[] = [];
  server.gateway.handle('tools/call flood', (_request, exchange) => {
    exchanges.push(exchange);
    exchange.notify({ method: 'notifications/message', params: FILLER });
    return new Promise(() => undefined);
  });
  const session = await beginSession(server);
  const get = await session.listen();
  const post = await session.open(call(1, 'flood'));
  const stateless = await open(server, modern(1, 'tools/call', { name: 'flood' }));
  for (const live of [get, post, stateless]) live.response.pause();
  const flood = async (what: string, one: () => void, over: () => boolean): Promise<void> => {
    for (let count = 0; count < 400 && !over(); count += 1) {
      one();
      if (count % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    t.ok(over(), what);
  };
  const cutOff = (): number => server.logged.filter((line) => line.startsWith('warn a stream was cut off')).length;
  const { client } = server.gateway.sessions[0]!;
  const message = { method: 'notifications/message', params: FILLER };
  await flood(
    'GET',
    () => client.notify(message),
    () => cutOff() === 1,
  );
  await flood(
    'POST',
    () => exchanges[0]?.notify(message),
    () => cutOff() === 2,
  );
  await flood(
    'of the modern era',
    () => exchanges[1]?.notify(message),
    () => cutOff() === 3,
  );
  await waitFor('the modern request to be cancelled', () => exchanges[1]?.signal.aborted);
  t.equal(exchanges[0]?.signal.aborted, false, 'a legacy one is not: its client may come back');
  t.ok(server.front.counts.replayBytes <= 500_000, `kept: ${server.front.counts.replayBytes}`);
  t.match((await session.ask(call(2, 'echo', {}))).json, { id: 2, result: {} });
  t.match((await ask(server, modern(2, 'tools/call', { name: 'echo' }))).json, { id: 2, result: {} });
  const large = await session.ask(call(3, 'big', { bytes: 3_000_000 }));
  t.equal(large.json.result.content[0].text.length, 3_000_000, 'one message may be larger than the bound');
});

t.test('what is kept for a client that comes back: the newest', async (t) => {
  const server = await serveFront(t, { maxReplayEvents: 5, maxReplayTotalBytes: 2000 });
  const session = await beginSession(server);
  const { client } = server.gateway.sessions[0]!;
  const live = await session.listen();
  const [primer] = await waitFor('the first event', () => live.events().length === 1 && live.events());
  live.response.destroy();
  await waitFor('the connection to be gone', () => live.response.closed);
  await session.ask({ jsonrpc: '2.0', id: 1, method: 'ping' });
  for (let data = 1; data <= 20; data += 1)
    client.notify({ method: 'notifications/message', params: { level: 'info', data } });
  const again = await session.listen(String(primer?.id));
  await waitFor('what is kept', () => again.events().length === 5);
  t.strictSame(
    again.events().map(({ message }) => message.params.data),
    [16, 17, 18, 19, 20],
  );
  const other = await beginSession(server);
  const second = await other.listen();
  for (let data = 1; data <= 5; data += 1) {
    server.gateway.sessions[1]?.client.notify({
      method: 'notifications/message',
      params: { level: 'info', data: 'x'.repeat(300) },
    });
  }
  await waitFor('them', () => second.events().length === 6);
  t.ok(server.front.counts.replayBytes <= 2000);
  const lost = await session.listen(String(again.events()[0]?.id));
  client.notify({ method: 'notifications/message', params: { level: 'info', data: 'next' } });
  await waitFor('what comes next', () => lost.events().length > 0);
  t.equal(lost.events().at(-1)?.message.params.data, 'next', 'the older stream lost what was kept of it');
});

t.test('bounds of one client', async (t) => {
  const server = await serveFront(t, { maxOpenRequests: 2, maxOpenAsks: 2, maxStreams: 2, askWaitMs: 60_000 });
  const session = await beginSession(server);
  const { client } = server.gateway.sessions[0]!;
  const waiting = [session.ask(call(1, 'wait')), session.ask(call(2, 'wait'))];
  await waitFor('the requests', () => server.gateway.sessions[0]?.open === 2);
  const refused = (await session.ask(call(3, 'echo'))).json;
  t.match(refused, { id: 3, error: { code: -31_050 } });
  t.same(refused.error.data, refusalFields(1_000));
  t.match((await session.ask({ jsonrpc: '2.0', id: 4, method: 'ping' })).json, { id: 4, result: {} });
  server.gateway.release();
  await Promise.all(waiting);
  t.match((await session.ask(call(3, 'echo'))).json, { id: 3, result: {} });
  const back = new AbortController();
  const asks = [1, 2, 3].map(() => client.ask({ method: 'roots/list' }, back.signal));
  t.match(await asks[2], { kind: 'error', error: { code: -31_050, data: refusalFields(null) } });
  back.abort();
  t.match(await asks[0], { kind: 'error' });
  for (let count = 0; count < 300; count += 1) client.notify({ method: 'notifications/x', params: { count } });
  const first = await session.listen();
  await waitFor('what was held', () => first.events().length === 257);
  t.equal(first.events()[1]?.message.params.count, 44, 'the oldest went');
  await session.listen();
  const third = await session.listen();
  t.equal(third.status, 429);
  t.same(JSON.parse(third.text()).error.data, refusalFields(10_000));
  const held = open(server, modern(1, 'tools/call', { name: 'wait' }));
  const second = open(server, modern(2, 'tools/call', { name: 'wait' }));
  await waitFor('the requests', () => server.gateway.sessions[1]?.open === 2);
  const fourth = (await ask(server, modern(3, 'tools/list'))).json;
  t.match(fourth, { id: 3, error: { code: -31_050 } });
  t.same(fourth.error.data, refusalFields(1_000));
  server.gateway.release();
  await Promise.all([held, second]);
});

t.test('what is held for a client without a stream: bounded in bytes too', async (t) => {
  const server = await serveFront(t, { maxWaitingBytes: 250_000, askWaitMs: 60_000 });
  const session = await beginSession(server);
  const { client } = server.gateway.sessions[0]!;
  const question = { method: 'sampling/createMessage', params: { filler: 'x'.repeat(200_000) } };
  const back = new AbortController();
  const held = client.ask(question, back.signal);
  t.match(
    await client.ask(question, back.signal),
    { kind: 'error', error: { code: -32_601 } },
    'there is no room for two',
  );
  client.notify({ method: 'notifications/message', params: { ...FILLER, logger: 'dropped' } });
  client.notify({ method: 'notifications/message', params: { level: 'info', data: 'small' } });
  const live = await session.listen();
  await waitFor('what was held', () => live.events().length === 3);
  t.strictSame(
    live.events().map(({ message }) => message?.method),
    [undefined, 'sampling/createMessage', 'notifications/message'],
  );
  t.equal(live.events()[2]?.message.params.data, 'small');
  back.abort(new Error('enough'));
  t.match(await held, { kind: 'error' });
});

t.test('a question that reaches nobody is answered at once', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server);
  let answer: unknown = null;
  let go: () => void = () => undefined;
  server.gateway.handle('tools/call late', async (_request, exchange) => {
    await new Promise<void>((resolve) => (go = resolve));
    answer = await exchange.ask({ method: 'roots/list' }, exchange.signal);
    return text('asked');
  });
  const headers = { ...session.headers(), 'content-type': 'application/json' };
  const outgoing = request({ port: server.port, host: '127.0.0.1', method: 'POST', headers, agent: false });
  outgoing.on('error', () => undefined);
  outgoing.end(JSON.stringify(call(1, 'late')));
  await waitFor('the call', () => server.gateway.sessions[0]?.open === 1);
  await server.breakConnections();
  go();
  await waitFor('the answer', () => answer);
  t.match(answer, { kind: 'error', error: { message: /no stream open/ } });
});

t.test('large messages, many at once: not all are taken in', async (t) => {
  const server = await serveFront(t, { maxBodyBytes: 3_000_000, maxBodiesBytes: 4_000_000 });
  const session = await beginSession(server);
  const large = call(1, 'echo', { filler: 'x'.repeat(2_500_000) });
  const stuck = await Promise.all(
    [1, 2].map(async () => {
      const headers = { ...session.headers(), 'content-type': 'application/json', 'content-length': '2900000' };
      const outgoing = request({ port: server.port, host: '127.0.0.1', method: 'POST', headers, agent: false });
      outgoing.on('error', () => undefined);
      outgoing.write('x'.repeat(1_900_000));
      return outgoing;
    }),
  );
  await waitFor('two halves', () => server.front.counts.bodyBytes === 3_800_000);
  const refused = await session.ask(large);
  t.equal(refused.status, 503);
  t.equal(refused.json.error.code, -31_050);
  t.same(refused.json.error.data, refusalFields(1_000));
  for (const outgoing of stuck) outgoing.destroy();
  await waitFor('their bytes to be free', () => server.front.counts.bodyBytes === 0);
  t.equal((await session.ask(large)).status, 200);
});

t.test('what can be read but not written: an error says so, and nothing breaks', async (t) => {
  const server = await serveFront(t);
  const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`) as unknown;
  server.gateway.handle('tools/call deep', async (_request, exchange) => {
    exchange.notify({ method: 'notifications/message', params: { level: 'info', data: deep } });
    const answer = await exchange.ask({ method: 'sampling/createMessage', params: { deep } }, exchange.signal);
    if (answer.kind === 'result') throw new Error('it was asked');
    return { kind: 'result', result: { deep } };
  });
  const session = await beginSession(server);
  const expected = { id: 1, error: { code: -32_603, message: 'The answer is nested too deeply, or too long' } };
  t.match((await session.ask(call(1, 'deep'))).json, expected);
  t.match((await ask(server, modern(1, 'tools/call', { name: 'deep' }))).json, expected);
  const { client } = server.gateway.sessions[0]!;
  t.doesNotThrow(() => client.notify({ method: 'notifications/x', params: { deep } }));
  const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"none","deep":${'['.repeat(1e6)}${']'.repeat(1e6)}}}`;
  t.match((await session.ask(body)).json, { id: 1, error: { code: -32_602 } });
});

t.test('what lies behind fails where it must not: an answer all the same', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server);
  await ask(server, modern(1, 'tools/list'));
  for (const behind of server.gateway.sessions) {
    Object.assign(behind, {
      request: () => {
        throw new Error('a bug');
      },
    });
  }
  const failed = { id: 1, error: { code: -32_603, message: /its log says more/ } };
  t.match((await session.ask(call(1, 'echo'))).json, failed);
  t.match((await session.ask(call(1, 'echo'))).json, failed, 'the id is free again');
  t.ok(server.logged.includes('warn an MCP request failed'));
  t.match((await ask(server, modern(1, 'resources/list'))).json, failed);
  for (const behind of server.gateway.sessions)
    Object.assign(behind, { request: () => Promise.reject(new Error('a bug')) });
  t.match((await session.ask(call(1, 'echo'))).json, failed);
  t.match((await ask(server, modern(1, 'resources/list'))).json, failed);
});

t.test('guessed session ids: all of them are as unknown', async (t) => {
  const server = await serveFront(t);
  const session = await beginSession(server);
  const guesses = [
    '',
    'x',
    session.id.slice(0, -1),
    `${session.id}x`,
    session.id.toUpperCase(),
    '__proto__',
    'constructor',
  ];
  for (const guess of guesses) {
    const reply = await ask(server, {
      headers: { 'mcp-session-id': guess },
      body: { jsonrpc: '2.0', id: 1, method: 'tools/list' },
    });
    t.equal(reply.status, 404, guess);
  }
  t.equal(server.gateway.sessions[0]?.requests.length, 0);
});
