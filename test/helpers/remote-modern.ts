/**
 * A modern server elsewhere (2026-07-28, Streamable HTTP, by the official SDK, which compares `Mcp-Param-…` with the arguments and
 * refuses what does not fit). Its tools are what its test says, with any input schema; it keeps what every POST looked like.
 */

import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { createMcpHandler, fromJsonSchema, McpServer } from '@modelcontextprotocol/server';
import type { TestScope } from './fixture.ts';
import type { Document } from './mcp-peer.ts';

export interface RemotePost {
  readonly method: string;
  readonly params: Document;
  /** Of `Mcp-Param-…`, by name in small letters, as they came. */
  readonly mirrored: Readonly<Record<string, string>>;
  /** Of the answer: 400 where the headers were not what the arguments are. */
  readonly status: () => number;
}

export interface RemoteModern {
  readonly url: string;
  readonly posts: readonly RemotePost[];
  /** Calls of a tool that came. */
  calls(tool: string): readonly RemotePost[];
  /** By name, their input schemas. Takes effect with the next request. */
  tools: Readonly<Record<string, object>>;
  /** Says that its list of tools has changed. */
  changed(): void;
}

/** Each tool answers with its arguments, as JSON. */
export async function remoteModern(t: TestScope, tools: Readonly<Record<string, object>>): Promise<RemoteModern> {
  const posts: RemotePost[] = [];
  // The SDK complains of invalid declarations with every request.
  const { warn } = console;
  console.warn = () => undefined;
  t.teardown(() => void (console.warn = warn));
  const handler = createMcpHandler(newServer, { legacy: 'reject' });
  const http = createServer((request, response) => {
    receive(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    http.closeAllConnections();
    http.close();
  });
  const remote: RemoteModern = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    posts,
    calls: (tool) => posts.filter(({ method, params }) => method === 'tools/call' && params.name === tool),
    tools,
    changed: () => handler.notify.toolsChanged(),
  };
  return remote;

  function newServer(): McpServer {
    const server = new McpServer(
      { name: 'remote', version: '1.0.0' },
      { capabilities: { tools: { listChanged: true } } },
    );
    for (const [name, schema] of Object.entries(remote.tools))
      server.registerTool(name, { inputSchema: fromJsonSchema(schema as Document) }, (given: unknown) => ({
        content: [{ type: 'text', text: JSON.stringify(given) }],
      }));
    return server;
  }

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)]);
    if (request.method === 'POST') {
      const { method = '', params = {} } = JSON.parse(body) as { method?: string; params?: Document };
      const mirrored = Object.fromEntries(headers.filter(([name]) => name.startsWith('mcp-param-')));
      posts.push({ method, params, mirrored, status: () => response.statusCode });
    }
    const aborted = new AbortController();
    response.once('close', () => aborted.abort());
    const given = await handler.fetch(
      new Request(`http://${request.headers.host}${request.url}`, {
        method: request.method ?? 'GET',
        headers,
        signal: aborted.signal,
        ...(body === '' ? {} : { body }),
      }),
    );
    response.writeHead(given.status, Object.fromEntries(given.headers));
    if (given.body === null) return void response.end();
    Readable.fromWeb(given.body as Document)
      .on('error', () => response.destroy())
      .pipe(response);
  }
}
