/** A server elsewhere, over Streamable HTTP, that says what its test says. */

import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HttpChannel } from '../../lib/mcp/upstream/http-channel.ts';
import { openUpstream } from '../../lib/mcp/upstream/multiplexer.ts';
import type { Upstream } from '../../lib/mcp/upstream/upstream.ts';
import type { Fields } from '../../lib/mcp/wire/message.ts';
import type { Era } from '../../lib/mcp/wire/protocol.ts';
import { DISCOVERED, INITIALIZED } from './fake-channel.ts';
import type { TestScope } from './fixture.ts';

export interface Visit {
  readonly verb: string;
  /** Empty where it is none. */
  readonly method: string;
  readonly id: unknown;
  readonly params: Fields;
  /** The whole body. */
  readonly body: Fields;
  readonly headers: IncomingMessage['headers'];
  readonly response: ServerResponse;
  /** On the stream of its answer, which the first one begins. */
  say(message: Fields): void;
  json(answer: Fields, status?: number): void;
}

/** The handshake, and what needs no answer, are answered already. */
export async function httpElsewhere(
  t: TestScope,
  handle: (visit: Visit) => void,
): Promise<{ readonly url: string; readonly visits: Visit[] }> {
  const visits: Visit[] = [];
  const server = createServer((request, response) => void receive(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = chunks.length === 0 ? {} : (JSON.parse(String(Buffer.concat(chunks))) as Fields);
    const { method = '', params = {}, id } = body as { method?: string; params?: Fields; id?: unknown };
    const json = (answer: Fields, status = 200, headers = {}): void =>
      void response
        .writeHead(status, { 'content-type': 'application/json', ...headers })
        .end(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
    const visit: Visit = {
      verb: request.method ?? '',
      method,
      id,
      params,
      body,
      headers: request.headers,
      response,
      say(message) {
        if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`);
      },
      json,
    };
    visits.push(visit);
    if (method === 'initialize') return json({ result: INITIALIZED }, 200, { 'mcp-session-id': 'secret-1' });
    if (method === 'server/discover') return json({ result: DISCOVERED });
    if (visit.verb === 'DELETE') return void response.writeHead(200).end();
    if (visit.verb === 'POST' && (id === undefined || method === '')) response.writeHead(202).end();
    handle(visit);
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, visits };
}

export async function openElsewhere(
  t: TestScope,
  url: string,
  era: Era,
): Promise<{ readonly upstream: Upstream; readonly channel: HttpChannel; readonly problems: string[] }> {
  const problems: string[] = [];
  const channel = new HttpChannel({ url, headers: {} });
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
  t.teardown(() => upstream.close('the test is over'));
  await upstream.ready();
  return { upstream, channel, problems };
}
