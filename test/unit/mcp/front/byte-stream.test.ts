/** MCP over a byte stream, both eras on one. */

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import { call, INITIALIZE, MODERN_META, serveFront } from '../../../helpers/front-server.ts';
import type { FrontServer, TestScope } from '../../../helpers/front-server.ts';
import { refusalFields } from '../../../helpers/refusal-fields.ts';
import { waitFor } from '../../../helpers/wait-for.ts';

// Messages of many shapes: the assertions say which.
// oxlint-disable-next-line typescript/no-explicit-any
type Received = any;

interface Line {
  readonly socket: Socket;
  send(...messages: readonly unknown[]): void;
  received(): readonly Received[];
  /** The answer to a request. */
  answer(id: string | number): Promise<Received>;
  readonly ended: Promise<void>;
}

async function dial(t: TestScope, server: FrontServer, path = '/fake', headers = ''): Promise<Line> {
  const socket = connect({ host: '127.0.0.1', port: server.port, allowHalfOpen: true });
  let text = '';
  socket.setEncoding('utf8').on('data', (part) => (text += String(part)));
  socket.on('error', () => undefined);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: mcp-stdio\r\n${headers}\r\n`);
  t.teardown(async () => void socket.destroy());
  const received = (): readonly Received[] =>
    text
      .slice(text.indexOf('\r\n\r\n') + 4)
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as unknown);
  await waitFor('the upgrade', () => text.includes('\r\n\r\n'));
  return {
    socket,
    send: (...messages) =>
      void socket.write(messages.map((one) => `${typeof one === 'string' ? one : JSON.stringify(one)}\n`).join('')),
    received,
    answer: (id) =>
      waitFor(`the answer to ${id}`, () => received().find((one) => one.id === id && one.method === undefined)),
    ended: new Promise((resolve) => socket.once('end', () => resolve())),
  };
}

const INITIALIZED = { jsonrpc: '2.0', method: 'notifications/initialized' };

t.test('the legacy era: handshake, requests, progress, questions, cancellation', async (t) => {
  const server = await serveFront(t);
  const line = await dial(t, server, '/fake', 'Governor-Context: desk\r\n');
  line.send({ jsonrpc: '2.0', id: 'p', method: 'ping' }, call(1, 'echo'));
  t.strictSame(await line.answer('p'), { jsonrpc: '2.0', id: 'p', result: {} });
  t.match(await line.answer(1), { error: { code: -32_602, message: /^Begin with initialize, or / } });
  line.send(INITIALIZE);
  t.match(await line.answer(0), { result: { protocolVersion: '2025-11-25', unknownField: { kept: true } } });
  const [session] = server.gateway.sessions;
  t.strictSame(session?.view, { kind: 'tool', tool: 'fake' });
  t.equal(session?.client.context, 'desk');
  session?.client.notify({ method: 'notifications/tools/list_changed' });
  line.send(call(2, 'progress', { count: 2 }, { progressToken: 'a' }));
  await line.answer(2);
  t.strictSame(
    line
      .received()
      .slice(3)
      .map(({ method, id, params }) => [method ?? id, params?.progress]),
    [
      ['notifications/progress', 1],
      ['notifications/progress', 2],
      [2, undefined],
    ],
    'in order; what belongs to no request waits for initialized',
  );
  line.send(INITIALIZED, call(3, 'ask'));
  const asked = await waitFor('the question', () =>
    line.received().find(({ method }) => method === 'elicitation/create'),
  );
  t.equal(line.received()[6]?.method, 'notifications/tools/list_changed');
  line.send({ jsonrpc: '2.0', id: asked.id, result: { action: 'accept' } });
  t.match(await line.answer(3), { result: { content: [{ text: '{"action":"accept"}' }] } });
  line.send(call(4, 'wait'));
  await waitFor('the request', () => session?.open === 1);
  line.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 4, reason: 'enough' } });
  await waitFor('the cancellation', () => session?.cancelled.length === 1);
  line.send({ ...INITIALIZE, id: 5 }, { jsonrpc: '2.0', method: 'notifications/roots/list_changed' });
  t.match(await line.answer(5), { error: { code: -32_600 } });
  t.notOk(
    line.received().some(({ id, method }) => id === 4 && method === undefined),
    'no answer to what was cancelled',
  );
  await waitFor('the notification', () => session?.notifications.length === 1);
});

t.test('the modern era: each request by itself; a probe tells; both on one stream', async (t) => {
  const server = await serveFront(t);
  const line = await dial(t, server);
  const modern = (id: string | number, method: string, params: object = {}) => ({
    jsonrpc: '2.0',
    id,
    method,
    params: { _meta: MODERN_META, ...params },
  });
  line.send(modern('d', 'server/discover'));
  t.match(await line.answer('d'), { result: { supportedVersions: ['2026-07-28'], resultType: 'complete' } });
  const future = { _meta: { ...MODERN_META, 'io.modelcontextprotocol/protocolVersion': '2031-01-01' } };
  line.send(modern(1, 'server/discover', future), { jsonrpc: '2.0', id: 2, method: 'server/discover' });
  t.match(await line.answer(1), {
    error: { code: -32_022, data: { supported: ['2026-07-28'], requested: '2031-01-01' } },
  });
  t.match(await line.answer(2), { error: { code: -32_602 } });
  line.send(modern(3, 'tools/list', { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } }));
  t.match(await line.answer(3), {
    error: { code: -32_602, data: { missing: ['io.modelcontextprotocol/clientCapabilities'] } },
  });
  line.send(modern(4, 'tools/call', { name: 'wait' }), modern(4, 'tools/list'));
  t.match(await line.answer(4), { error: { code: -32_600, message: /open already/ } });
  line.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 4 } });
  await waitFor('the cancellation', () => server.gateway.sessions[0]?.cancelled.length === 1);
  line.send(modern(4, 'ping'), modern('5', 'tools/call', { name: 'echo', arguments: { x: 1 } }));
  t.match(await line.answer('5'), { result: { content: [{ text: '{"x":1}' }] } });
  line.send(INITIALIZE, call(6, 'echo', { y: 2 }));
  t.match(await line.answer(6), { result: { content: [{ text: '{"y":2}' }] } });
  t.strictSame(
    server.gateway.sessions.map(({ client }) => client.era),
    ['modern', 'legacy'],
  );
  t.equal(new Set(server.gateway.sessions.map(({ client }) => client.context)).size, 1, 'one context');
});

t.test('lines that are no messages are answered, and the next is read', async (t) => {
  const server = await serveFront(t, { maxBodyBytes: 1000 });
  const line = await dial(t, server);
  line.send('not json', '', '   ', '7', '{"jsonrpc":"2.0","id":9}', `"${'x'.repeat(5000)}"`, '[]');
  line.send({ jsonrpc: '2.0', id: 'p', method: 'ping' });
  await line.answer('p');
  t.strictSame(
    line.received().map(({ error, id }) => [error?.code, id]),
    [
      [-32_700, undefined],
      [-32_600, undefined],
      [-32_600, 9],
      [-32_600, undefined],
      [-32_600, undefined],
      [undefined, 'p'],
    ],
  );
  line.socket.write('{"jsonrpc":"2.0",');
  line.socket.write('"id":"half","method":"ping"}\n');
  await line.answer('half');
});

t.test('batches of 2025-03-26', async (t) => {
  const server = await serveFront(t);
  const line = await dial(t, server);
  line.send({ ...INITIALIZE, params: { ...INITIALIZE.params, protocolVersion: '2025-03-26' } });
  await line.answer(0);
  line.send([call(1, 'echo'), { jsonrpc: '2.0', method: 'notifications/x' }, call(2, 'wait')]);
  await waitFor('the request', () => server.gateway.sessions[0]?.open === 1);
  server.gateway.release();
  const batch = await waitFor('the answers', () => line.received().find((one) => Array.isArray(one)));
  t.match(batch, [{ id: 1 }, { id: 2 }]);
  t.equal(batch.length, 2);
});

t.test('the client ends its side: what is open may still be answered, then the session is closed', async (t) => {
  const server = await serveFront(t, { drainMs: 200 });
  const line = await dial(t, server);
  line.send(INITIALIZE, call(1, 'wait'));
  await waitFor('the request', () => server.gateway.sessions[0]?.open === 1);
  line.socket.end();
  server.gateway.release();
  t.match(await line.answer(1), { result: { content: [{ text: 'waited' }] } });
  await line.ended;
  t.equal(server.gateway.sessions[0]?.closed, 'The client ended its side');
  const second = await dial(t, server);
  second.send(INITIALIZE, call(1, 'wait'));
  await waitFor('the request', () => server.gateway.sessions[1]?.open === 1);
  second.socket.end();
  await second.ended;
  t.equal(server.gateway.sessions[1]?.closed, 'The client ended its side');
  t.match(await second.answer(1), { error: { code: -31_051, message: 'The client ended its side' } });
  t.equal(server.front.counts.byteStreams, 0);
});

t.test('the client breaks off: all is cancelled and closed', async (t) => {
  const server = await serveFront(t);
  const line = await dial(t, server);
  line.send(INITIALIZE, call(1, 'wait'));
  await waitFor('the request', () => server.gateway.sessions[0]?.open === 1);
  line.socket.resetAndDestroy();
  await waitFor('the end', () => server.gateway.sessions[0]?.closed);
  t.strictSame(server.gateway.sessions[0]?.cancelled, ['The client has gone']);
  await waitFor('it to be forgotten', () => server.front.counts.byteStreams === 0);
});

t.test('a client that never reads is cut off; the others notice nothing', async (t) => {
  const server = await serveFront(t, { maxWaitingBytes: 64 * 1024 });
  const deaf = await dial(t, server);
  deaf.send(INITIALIZE);
  await deaf.answer(0);
  deaf.socket.pause();
  for (let id = 1; id <= 400; id += 1) deaf.send(call(id, 'big', { bytes: 100_000 }));
  await waitFor('it to be cut off', () => server.gateway.sessions[0]?.closed);
  t.ok(server.logged.includes('warn a byte stream was cut off: its client does not read'));
  const other = await dial(t, server);
  other.send(INITIALIZE, call(1, 'big', { bytes: 1_000_000 }));
  t.equal((await other.answer(1)).result.content[0].text.length, 1_000_000, 'one message may be larger than the bound');
});

t.test('a tool that is not there; too many clients; the front closes', async (t) => {
  const server = await serveFront(t, { maxClients: 1 });
  const lost = await dial(t, server, '/nobody');
  lost.send(INITIALIZE);
  t.match(await lost.answer(0), { error: { code: -32_602, message: 'There is no tool "nobody"' } });
  const refused = await dial(t, server);
  refused.send(INITIALIZE);
  t.match(await refused.answer(0), {
    error: { code: -31_050, message: /1 clients are connected/, data: refusalFields(10_000) },
  });
  await refused.ended;
  await server.front.close('The daemon is shutting down');
  await lost.ended;
  const late = await dial(t, server);
  late.send(INITIALIZE);
  t.match(await late.answer(0), {
    error: { code: -31_050, message: 'The daemon is shutting down', data: refusalFields(10_000) },
  });
});

t.test('a context that is ended: open requests hear why, the stream stays, the next request begins anew', async (t) => {
  const server = await serveFront(t);
  const line = await dial(t, server, '/fake', 'Governor-Context: desk\r\n');
  const neighbour = await dial(t, server, '/fake', 'Governor-Context: other\r\n');
  for (const each of [line, neighbour]) {
    each.send(INITIALIZE, INITIALIZED, call(1, 'wait'), call('m', 'wait', {}, MODERN_META));
    await each.answer(0);
  }
  await waitFor('the calls to be open', () => server.gateway.sessions.reduce((sum, { open }) => sum + open, 0) === 4);
  t.equal(await server.front.endContext('nobody', 'enough'), false);
  t.equal(await server.front.endContext('desk', 'stopped: its context desk ended'), true);
  for (const id of [1, 'm'])
    t.match(await line.answer(id), { error: { code: -31_051, message: 'stopped: its context desk ended' } });
  const own = server.gateway.sessions.filter(({ client }) => client.context === 'desk');
  t.strictSame(
    own.map(({ closed, open }) => [closed, open]),
    [
      ['stopped: its context desk ended', 0],
      ['stopped: its context desk ended', 0],
    ],
  );
  t.notOk(
    neighbour.received().some(({ id }) => id === 1 || id === 'm'),
    'others notice nothing',
  );
  line.send(call(2, 'echo', { again: true }));
  t.match(await line.answer(2), { result: { content: [{ text: '{"again":true}' }] } });
  t.equal(server.gateway.sessions.length, 5);
});
