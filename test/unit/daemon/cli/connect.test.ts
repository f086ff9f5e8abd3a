/** `governor connect` as a process, before an API whose tools are in memory. */

import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as LegacyStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import t from 'tap';
import { createFakeGateway } from '../../../helpers/fake-gateway.ts';
import type { FakeGateway } from '../../../helpers/fake-gateway.ts';
import { clientSide } from '../../../helpers/client-side.ts';
import { cleanEnvironment } from '../../../helpers/daemon.ts';
import { call, INITIALIZE } from '../../../helpers/front-server.ts';
import { waitFor } from '../../../helpers/wait-for.ts';
import { fakeFront, serve } from '../api/serve.ts';
import type { Served } from '../api/serve.ts';
import { governor } from './harness.ts';

const INFO = { name: 'sdk', version: '1.0.0' };
const MAIN = join(import.meta.dirname, '../../../../daemon/main.js');

async function begin(
  t: Parameters<typeof serve>[0],
): Promise<{ served: Served; gateway: FakeGateway; env: Record<string, string> }> {
  const gateway = createFakeGateway(['echo', 'naïve tool']);
  const served = await serve(t, { mcp: fakeFront(gateway) });
  return { served, gateway, env: { ...cleanEnvironment(), GOVERNOR_STATE_DIR: dirname(served.socketPath) } };
}

function start(t: { teardown(handler: () => void): void }, words: readonly string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [MAIN, 'connect', ...words], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  t.teardown(() => void child.kill('SIGKILL'));
  return clientSide(child);
}

t.test('bytes pass both ways; stdin ends: 0', async (t) => {
  const { gateway, env } = await begin(t);
  const { child, ended, out, err } = start(t, ['naïve tool', '--context', 'my desk'], env);
  child.stdin.write(`${JSON.stringify(INITIALIZE)}\n`);
  await waitFor('the handshake', () => out().includes('serverInfo'));
  t.equal(gateway.sessions[0]?.client.context, 'my desk');
  t.strictSame(gateway.sessions[0]?.view, { kind: 'tool', tool: 'naïve tool' });
  const large = { text: 'ä€😀'.repeat(500_000) };
  child.stdin.write(`${JSON.stringify(call(1, 'echo', large))}\n`);
  await waitFor('the large answer', () => out().split('\n').length === 3);
  t.equal(JSON.parse(out().split('\n')[1] ?? '').result.content[0].text, JSON.stringify(large), 'untouched');
  child.stdin.end(`${JSON.stringify(call(2, 'echo'))}\n`);
  t.equal(await ended, 0);
  t.match(out().split('\n')[2], /"id":2,"result"/, 'what was asked before the end is answered');
  t.equal(err(), '');
  t.equal(gateway.sessions[0]?.closed, 'The client ended its side');
});

t.test('the official clients speak through it: SDK 1, and SDK 2 in either era', async (t) => {
  const { gateway, env } = await begin(t);
  const server = { command: process.execPath, args: [MAIN, 'connect', 'echo'], env };
  const legacy = new LegacyClient(INFO, { capabilities: { elicitation: {} } });
  t.teardown(() => legacy.close());
  legacy.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'decline' }));
  await legacy.connect(new LegacyStdio(server));
  t.match(await legacy.callTool({ name: 'echo', arguments: { a: 1 } }), { content: [{ text: '{"a":1}' }] });
  t.match(await legacy.callTool({ name: 'ask', arguments: {} }), { content: [{ text: '{"action":"decline"}' }] });
  await legacy.close();
  await waitFor('the end', () => gateway.sessions[0]?.closed);
  for (const [mode, version] of [
    ['auto', '2026-07-28'],
    ['legacy', '2025-11-25'],
  ] as const) {
    const client = new Client(INFO, { versionNegotiation: { mode } });
    t.teardown(() => client.close());
    await client.connect(new StdioClientTransport(server));
    t.equal(client.getNegotiatedProtocolVersion(), version);
    t.match(await client.callTool({ name: 'echo', arguments: { b: 2 } }), { content: [{ text: '{"b":2}' }] });
    // This client drops progress that it reads together with the result.
    let go: () => void = () => undefined;
    gateway.handle('tools/call spaced', async ({ params }, exchange) => {
      const { progressToken } = (params?.['_meta'] ?? {}) as { progressToken?: unknown };
      exchange.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } });
      await new Promise<void>((resolve) => (go = resolve));
      return { kind: 'result', result: { content: [] } };
    });
    const steps: number[] = [];
    const onprogress = ({ progress }: { progress: number }): void => {
      steps.push(progress);
      go();
    };
    await client.callTool({ name: 'spaced' }, { onprogress });
    t.strictSame(steps, [1]);
  }
});

t.test('no such tool: 127; one of governor run: 125; each with a message, and nothing on stdout', async (t) => {
  const { served, env } = await begin(t);
  t.strictSame(await governor(['connect', 'nobody'], { env }), {
    code: 127,
    out: '',
    err: 'governor: There is no tool "nobody"\n',
  });
  const real = served.governor.tool.bind(served.governor);
  served.governor.tool = (name) => ({ ...real(name), managed: false });
  const refused = await governor(['connect', 'echo'], { env });
  t.equal(refused.code, 125);
  t.match(refused.err, /^governor: echo is started by its client, with governor run\n$/);
  const json = await governor(['connect', 'nobody', '--json'], { env });
  t.equal(json.out, '');
  t.match(JSON.parse(json.err), { code: 'unknown_tool' });
});

t.test('the daemon goes away: said on stderr, 125', async (t) => {
  const { served, gateway, env } = await begin(t);
  const { child, ended, out, err } = start(t, ['echo'], env);
  child.stdin.write(`${JSON.stringify(INITIALIZE)}\n${JSON.stringify(call(1, 'wait'))}\n`);
  await waitFor('the request', () => gateway.sessions[0]?.open === 1);
  await served.front.close();
  t.equal(await ended, 125);
  t.equal(err(), 'governor: the daemon ended the connection to "echo"\n');
  t.match(
    out(),
    /"id":1,"error":\{"code":-31051,"message":"The daemon is shutting down"\}/,
    'the open request is answered',
  );
});

t.test('the client is killed: its session is closed', async (t) => {
  const { gateway, env } = await begin(t);
  const { child } = start(t, ['echo'], env);
  child.stdin.write(`${JSON.stringify(INITIALIZE)}\n${JSON.stringify(call(1, 'wait'))}\n`);
  await waitFor('the request', () => gateway.sessions[0]?.open === 1);
  child.kill('SIGKILL');
  await waitFor('the end', () => gateway.sessions[0]?.closed);
  t.equal(gateway.sessions[0]?.cancelled.length, 1);
});

t.test('the reader of stdout is gone: it ends', async (t) => {
  const { gateway, env } = await begin(t);
  const { child, ended, out } = start(t, ['echo'], env);
  child.stdin.write(`${JSON.stringify(INITIALIZE)}\n`);
  await waitFor('the handshake', () => out().includes('serverInfo'));
  child.stdout.destroy();
  child.stdin.write(`${JSON.stringify(call(1, 'big', { bytes: 200_000 }))}\n`);
  t.equal(await ended, 0);
  await waitFor('the end', () => gateway.sessions[0]?.closed);
});
