/**
 * A legacy server elsewhere (2025-11-25, Streamable HTTP, by the official SDK) whose calls stay open until their test ends them, and
 * which asks when and where its test says: on the stream of a call, or on the stream of what belongs to none.
 */

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import * as sdk from '@modelcontextprotocol/sdk/types.js';
import type { TestScope } from './fixture.ts';
import type { Document } from './mcp-peer.ts';
import { waitFor } from './wait-for.ts';

/** What came of a question. */
export type Told =
  | { readonly result: Document }
  | { readonly error: { readonly code: number; readonly message: string } };

/** Asks, and tells what came of it. Never rejects. */
export type AskClient = (method: string, params?: object) => Promise<Told>;

export interface RemoteCall {
  /** Of its arguments. */
  readonly key: string;
  readonly session: RemoteSession;
  /** On the stream of its answer. */
  readonly ask: AskClient;
  /** Asks there whatever the SDK thinks of it, which asks nothing for a call that was cancelled. What comes of it is not told. */
  insist(method: string, params?: object): void;
  /** A line of its log, there too. */
  log(text: string): Promise<void>;
  /** Its client wants it no more. */
  readonly cancelled: AbortSignal;
  finish(text: string): void;
}

export interface RemoteSession {
  readonly id: string;
  /** On the stream of what belongs to no request. */
  readonly ask: AskClient;
}

export interface RemoteLegacy {
  readonly url: string;
  /** Those that were not ended. */
  sessions(): readonly RemoteSession[];
  /** All that have come, in order. */
  readonly calls: readonly RemoteCall[];
  /** The call with this key that came last, when it has come, and its session has the stream of what belongs to none. */
  call(key: string): Promise<RemoteCall>;
  /** What a call does when it comes, in place of waiting for its test. */
  onCall: ((call: RemoteCall) => void) | null;
}

interface Served extends RemoteSession {
  readonly transport: StreamableHTTPServerTransport;
  /** Responses of GET. */
  readonly streams: ServerResponse[];
}

/** Its one tool is `hold`, with a `key`; its answer is what the call is finished with. */
export async function remoteLegacy(t: TestScope): Promise<RemoteLegacy> {
  const served = new Map<string, Served>();
  const calls: RemoteCall[] = [];
  const http = createServer((request, response) => {
    receive(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    await Promise.all([...served.values()].map(({ transport }) => transport.close()));
    http.closeAllConnections();
    http.close();
  });
  const remote: RemoteLegacy = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    sessions: () => [...served.values()],
    calls,
    async call(key) {
      await waitFor(`the call ${key}`, () => calls.some((each) => each.key === key));
      const call = calls.findLast((each) => each.key === key)!;
      await waitFor('its stream of what belongs to none', () =>
        served.get(call.session.id)?.streams.some((stream) => stream.headersSent && !stream.destroyed),
      );
      return call;
    },
    onCall: null,
  };
  return remote;

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const id = request.headers['mcp-session-id'];
    const known = served.get(String(id));
    if (known === undefined && id !== undefined) return void response.writeHead(404).end();
    if (request.method === 'GET') known?.streams.push(response);
    await (known?.transport ?? (await begin())).handleRequest(request, response);
  }

  async function begin(): Promise<StreamableHTTPServerTransport> {
    const server = new Server({ name: 'remote', version: '1.0.0' }, { capabilities: { tools: {}, logging: {} } });
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void served.set(id, session(id)),
      onsessionclosed: (id) => void served.delete(id),
    });
    const session = (id: string): Served => ({
      id,
      transport,
      streams: [],
      ask: (method, params) => told(server.request(question(method, params), sdk.ResultSchema)),
    });
    server.setRequestHandler(sdk.ListToolsRequestSchema, () => ({
      tools: [{ name: 'hold', inputSchema: { type: 'object' as const } }],
    }));
    server.setRequestHandler(
      sdk.CallToolRequestSchema,
      ({ params }, { sendRequest, sendNotification, signal, sessionId, requestId }) => {
        return new Promise((resolve) => {
          const call: RemoteCall = {
            key: String(params.arguments?.['key']),
            session: served.get(String(sessionId))!,
            ask: (method, given) => told(sendRequest(question(method, given), sdk.ResultSchema)),
            insist(method, given) {
              const message = { jsonrpc: '2.0', id: `insists-${randomUUID()}`, ...question(method, given) } as const;
              transport.send(message, { relatedRequestId: requestId }).catch(() => undefined);
            },
            log: (data) => sendNotification({ method: 'notifications/message', params: { level: 'warning', data } }),
            cancelled: signal,
            finish: (text) => resolve({ content: [{ type: 'text', text }] }),
          };
          calls.push(call);
          remote.onCall?.(call);
        });
      },
    );
    await server.connect(transport as Transport);
    return transport;
  }
}

function question(method: string, params?: object): sdk.ServerRequest {
  return { method, ...(params === undefined ? {} : { params }) } as sdk.ServerRequest;
}

function told(asked: Promise<Document>): Promise<Told> {
  return asked.then(
    (result) => ({ result }),
    ({ code, message }: { code: number; message: string }) => ({ error: { code, message } }),
  );
}
