/** The raw MCP server of the fixtures, clean and with each of its faults. */

import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import t from 'tap';
import {
  fixtureCommand,
  fixtureEnvironment,
  newMarker,
  type RunningFixture,
  startFixture,
} from '../helpers/fixture.ts';
import { waitFor } from '../helpers/wait-for.ts';

t.test('a client of the SDK talks to it', async (t) => {
  const [command, ...args] = fixtureCommand('mcp-echo');
  const client = new Client({ name: 'test', version: '1.0.0' });
  t.teardown(() => client.close());
  await client.connect(new StdioClientTransport({ command, args, env: { ...fixtureEnvironment(newMarker()) } }));
  t.same(
    (await client.listTools()).tools.map(({ name }) => name),
    ['echo', 'sleep', 'allocate', 'exit'],
  );
  const { content } = await client.callTool({ name: 'echo', arguments: { message: 'höre' } });
  t.same(content, [{ type: 'text', text: 'höre' }]);
});

t.test('requests on the wire', async (t) => {
  const server = startFixture(t, 'mcp-echo');
  send(server, 1, 'initialize', { protocolVersion: '2025-06-18' });
  t.match(await answer(server, 1), { result: { protocolVersion: '2025-06-18', serverInfo: { name: 'mcp-echo' } } });
  send(server, 2, 'no/such/method');
  t.match(await answer(server, 2), { error: { code: -32_601 } });
  send(server, 3, 'tools/call', { name: 'nothing' });
  t.match(await answer(server, 3), { error: { code: -32_602 } });
  server.child.stdin?.write('not json\n');
  t.match(await answer(server, null), { error: { code: -32_700 } });
  send(server, 4, 'tools/call', { name: 'sleep', arguments: { ms: 30_000 } });
  send(server, undefined, 'notifications/cancelled', { requestId: 4 });
  send(server, 5, 'tools/call', { name: 'sleep', arguments: { ms: 1 } });
  await answer(server, 5);
  t.notOk(
    server.lines().some((line) => line.includes('"id":4')),
    'a cancelled call is not answered',
  );
  server.child.stdin?.end();
  t.same(await server.ended, { code: 0, signal: null }, 'ends with its stdin');
});

t.test('never initialize', async (t) => {
  const server = startFixture(t, 'mcp-echo', { args: ['--never-initialize'] });
  send(server, 1, 'initialize');
  send(server, 2, 'ping');
  await answer(server, 2);
  t.equal(server.lines().length, 1);
});

t.test('garbage', async (t) => {
  const server = startFixture(t, 'mcp-echo', { args: ['--garbage'] });
  await waitFor('garbage', () => server.lines().includes('this is not JSON'));
  send(server, 1, 'ping');
  t.match(await answer(server, 1), { result: {} }, 'and answers in between');
});

t.test('closed stdout', async (t) => {
  const server = startFixture(t, 'mcp-echo', { args: ['--close-stdout'] });
  let closed = false;
  server.child.stdout?.once('end', () => {
    closed = true;
  });
  send(server, 1, 'initialize');
  await answer(server, 1);
  await waitFor('the end of stdout', () => closed);
  t.equal(server.child.exitCode, null, 'while the server lives');
});

t.test('half a line, a crash, deaf to the end of stdin', async (t) => {
  const half = startFixture(t, 'mcp-echo', { args: ['--half-line'] });
  let heard = '';
  half.child.stdout?.on('data', (chunk: string) => {
    heard += chunk;
  });
  send(half, 1, 'ping');
  await waitFor('half an answer', () => heard);
  t.notOk(heard.includes('\n'));

  const crashing = startFixture(t, 'mcp-echo', { args: ['--crash-after=2'] });
  for (const id of [1, 2]) send(crashing, id, 'tools/call', { name: 'echo', arguments: { message: 'x' } });
  t.same(await crashing.ended, { code: 7, signal: null });

  const deaf = startFixture(t, 'mcp-echo', { args: ['--ignore-eof', '--notify-ms=20'] });
  deaf.child.stdin?.end();
  const before = deaf.lines().length;
  await waitFor('messages after the end of stdin', () => deaf.lines().length > before + 3);
  t.equal(deaf.child.exitCode, null);
});

function send(server: RunningFixture, id: number | undefined, method: string, params: object = {}): void {
  server.child.stdin?.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
}

function answer(server: RunningFixture, id: number | null): Promise<object> {
  return waitFor(`the answer to ${id}`, () =>
    server
      .lines()
      .filter((line) => line.startsWith('{"jsonrpc"') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as { readonly id?: number | null })
      .find((message) => message.id === id),
  );
}
