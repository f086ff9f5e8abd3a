/** The official SDK clients, of both eras, against the front. */

import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import t from 'tap';
import type { Exchange } from '../../../../lib/mcp/wire/session.ts';
import { text } from '../../../helpers/fake-gateway.ts';
import { serveFront } from '../../../helpers/front-server.ts';
import type { FrontServer } from '../../../helpers/front-server.ts';
import { waitFor } from '../../../helpers/wait-for.ts';

const INFO = { name: 'sdk', version: '1.0.0' };

async function legacyClient(t: { teardown(handler: () => Promise<void>): void }, server: FrontServer) {
  const client = new LegacyClient(INFO, { capabilities: { elicitation: {}, roots: { listChanged: true } } });
  const transport = new LegacyHttp(new URL(`${server.url}/fake`));
  t.teardown(() => client.close());
  return { client, transport };
}

t.test('SDK 1: the legacy era', async (t) => {
  const server = await serveFront(t);
  const { client, transport } = await legacyClient(t, server);
  const heard: string[] = [];
  client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: { name: 'Ann' } }));
  client.setRequestHandler(ListRootsRequestSchema, async () => ({ roots: [{ uri: 'file:///srv' }] }));
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => void heard.push('tools changed'));
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void heard.push(String(params.data)));
  // The SDK's own types are at odds with exactOptionalPropertyTypes.
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  t.strictSame(client.getServerVersion(), { name: 'fake', version: '1.2.3' });
  t.equal(client.getInstructions(), 'Be kind.');
  t.strictSame(
    (await client.listTools()).tools.map(({ name }) => name),
    ['echo', 'wait', 'routed'],
  );
  t.match(await client.callTool({ name: 'echo', arguments: { a: 1 } }), { content: [{ text: '{"a":1}' }] });
  const steps: number[] = [];
  await client.callTool({ name: 'progress', arguments: { count: 20 } }, undefined, {
    onprogress: ({ progress }) => void steps.push(progress),
  });
  t.strictSame(
    steps,
    Array.from({ length: 20 }, (_, index) => index + 1),
    'whole and in order',
  );
  const asked = await client.callTool({ name: 'ask', arguments: {} });
  t.match(asked, { content: [{ text: '{"action":"accept","content":{"name":"Ann"}}' }] });
  const behind = server.gateway.sessions[0]!;
  const roots = await behind.client.ask({ method: 'roots/list' }, new AbortController().signal);
  t.strictSame(roots, { kind: 'result', result: { roots: [{ uri: 'file:///srv' }] } });
  behind.client.notify({ method: 'notifications/tools/list_changed' });
  behind.client.notify({ method: 'notifications/message', params: { level: 'info', data: 'hello' } });
  await waitFor('what belongs to no request', () => heard.length === 2);
  t.strictSame(heard, ['tools changed', 'hello']);
  await client.ping();
  await client.sendRootsListChanged();
  await waitFor('the notification', () => behind.notifications.length === 1);
  const enough = new AbortController();
  const cancelled = client.callTool({ name: 'wait' }, undefined, { signal: enough.signal });
  await waitFor('the call', () => behind.open === 1);
  enough.abort('not needed');
  await t.rejects(cancelled);
  await waitFor('the cancellation', () => behind.cancelled.length === 1);
  await transport.terminateSession();
  await waitFor('the end', () => behind.closed);
});

t.test('SDK 1: its stream breaks in mid-call, and the answer comes all the same', async (t) => {
  const server = await serveFront(t, { retryMs: 20, goneMs: 60_000 });
  const { client, transport } = await legacyClient(t, server);
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  let go: () => void = () => undefined;
  server.gateway.handle('tools/call steps', async (_request, exchange: Exchange) => {
    exchange.notify({ method: 'notifications/message', params: { level: 'info', data: 'first' } });
    await new Promise<void>((resolve) => (go = resolve));
    return text('the end');
  });
  const seen = new Promise<void>((resolve) => {
    client.setNotificationHandler(LoggingMessageNotificationSchema, () => resolve());
  });
  const calling = client.callTool({ name: 'steps' });
  await seen;
  await server.breakConnections();
  go();
  t.match(await calling, { content: [{ text: 'the end' }] });
});

t.test('SDK 2: 2026-07-28, found out by itself or pinned', async (t) => {
  const server = await serveFront(t);
  for (const mode of ['auto', { pin: '2026-07-28' }] as const) {
    const client = new Client(INFO, { versionNegotiation: { mode }, capabilities: { elicitation: {} } });
    await client.connect(new StreamableHTTPClientTransport(new URL(`${server.url}/fake`)));
    t.teardown(() => client.close());
    t.equal(client.getNegotiatedProtocolVersion(), '2026-07-28');
    t.equal((await client.listTools()).tools.length, 3);
    t.match(await client.callTool({ name: 'echo', arguments: { b: 2 } }), { content: [{ text: '{"b":2}' }] });
    const routed = { region: 'Grüße ', deep: { count: 7 } };
    t.match(await client.callTool({ name: 'routed', arguments: routed }), {
      content: [{ text: JSON.stringify(routed) }],
    });
    const steps: number[] = [];
    const onprogress = ({ progress }: { progress: number }): void => void steps.push(progress);
    await client.callTool({ name: 'progress', arguments: { count: 5 } }, { onprogress });
    t.strictSame(steps, [1, 2, 3, 4, 5]);
    await t.rejects(client.callTool({ name: 'none' }), /There is no tool none/);
  }
  t.equal(server.gateway.sessions.length, 1);
  t.equal(server.gateway.sessions[0]?.client.era, 'modern');
});

t.test('SDK 2: input_required, subscriptions, cancellation', async (t) => {
  const server = await serveFront(t);
  const client = new Client(INFO, {
    versionNegotiation: { mode: 'auto' },
    capabilities: { elicitation: { form: {} } },
  });
  t.teardown(() => client.close());
  client.setRequestHandler('elicitation/create', async () => ({ action: 'accept', content: { name: 'Ann' } }));
  server.gateway.handle('tools/call form', ({ params }) => {
    if (params?.['requestState'] === 'S') return text(JSON.stringify(params['inputResponses']));
    const form = { mode: 'form', message: 'Who?', requestedSchema: { type: 'object', properties: {} } };
    const inputRequests = { who: { method: 'elicitation/create', params: form } };
    return { kind: 'result', result: { resultType: 'input_required', inputRequests, requestState: 'S' } };
  });
  const listening: Exchange[] = [];
  server.gateway.handle('subscriptions/listen', ({ params }, exchange) => {
    listening.push(exchange);
    const acknowledged = 'notifications/subscriptions/acknowledged';
    exchange.notify({ method: acknowledged, params: { notifications: params?.['notifications'] } });
    return new Promise((resolve) =>
      exchange.signal.addEventListener('abort', () => resolve({ kind: 'error', error: { code: -1, message: 'gone' } })),
    );
  });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${server.url}/fake`)));
  t.match(await client.callTool({ name: 'form' }), { content: [{ text: /"name":"Ann"/ }] });
  let changes = 0;
  client.setNotificationHandler('notifications/tools/list_changed', () => void (changes += 1));
  const subscription = await client.listen({ toolsListChanged: true });
  t.strictSame(subscription.honoredFilter, { toolsListChanged: true });
  listening[0]?.notify({ method: 'notifications/tools/list_changed' });
  await waitFor('the change', () => changes === 1);
  await subscription.close();
  await waitFor('the end of the subscription', () => listening[0]?.signal.aborted);
  const enough = new AbortController();
  const cancelled = client.callTool({ name: 'wait' }, { signal: enough.signal });
  await waitFor('the call', () => server.gateway.sessions[0]?.open === 1);
  enough.abort('not needed');
  await t.rejects(cancelled);
  await waitFor('the cancellation', () => server.gateway.sessions[0]?.open === 0);
  const second = await client.listen({ toolsListChanged: true });
  await server.front.close('The daemon is shutting down');
  t.equal(await second.closed, 'graceful');
});

t.test('SDK 2: the legacy era on the same endpoint', async (t) => {
  const server = await serveFront(t);
  const client = new Client(INFO);
  await client.connect(new StreamableHTTPClientTransport(new URL(`${server.url}/fake`)));
  t.teardown(() => client.close());
  t.equal(client.getNegotiatedProtocolVersion(), '2025-11-25');
  t.match(await client.callTool({ name: 'echo', arguments: { c: 3 } }), { content: [{ text: '{"c":3}' }] });
  t.equal(server.gateway.sessions[0]?.client.era, 'legacy');
});
