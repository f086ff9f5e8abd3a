/** A front over a fake gateway on a port of its own, and raw HTTP to speak with it. */

import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { readLabel } from '../../lib/mcp/front/caller.ts';
import { createMcpFront } from '../../lib/mcp/front/front.ts';
import type { McpFront } from '../../lib/mcp/front/front.ts';
import type { FrontSettings } from '../../lib/mcp/front/settings.ts';
import { createFakeGateway } from './fake-gateway.ts';
import type { FakeGateway } from './fake-gateway.ts';

export interface FrontServer {
  readonly port: number;
  readonly url: string;
  readonly front: McpFront;
  readonly gateway: FakeGateway;
  /** `warn a stream was cut off…`. */
  readonly logged: readonly string[];
  /** As a network that fails. Resolves when the server knows. */
  breakConnections(): Promise<void>;
}

export type TestScope = { teardown(handler: () => Promise<void>): void };

/** Paths are `/` for all tools and `/NAME` for one; the header `x-identity` is who asks. */
export async function serveFront(t: TestScope, settings: Partial<FrontSettings> = {}): Promise<FrontServer> {
  const gateway = createFakeGateway();
  const logged: string[] = [];
  const log = (level: string) => (_fields: Readonly<Record<string, unknown>>, message: string) =>
    void logged.push(`${level} ${message}`);
  const front = createMcpFront({ gateway, settings, logger: { debug: log('debug'), warn: log('warn') } });
  const callerOf = (incoming: IncomingMessage) => {
    const name = (incoming.url ?? '/').slice(1);
    return {
      view: name === '' ? ({ kind: 'all' } as const) : ({ kind: 'tool', tool: name } as const),
      identity: String(incoming.headers['x-identity'] ?? 'token default'),
      local: true,
      label: null,
    };
  };
  const server = createServer((incoming, response) => front.serve(incoming, response, callerOf(incoming)));
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (incoming: IncomingMessage, socket: Socket, head: Buffer) => {
    const label = readLabel(incoming.headers['governor-context'] as string | undefined);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: mcp-stdio\r\nConnection: Upgrade\r\n\r\n');
    front.connect(socket, head, { ...callerOf(incoming), label: 'label' in label ? label.label : null });
  });
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
  const { port } = server.address() as AddressInfo;
  t.teardown(async () => {
    await front.close('The test is over');
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const breakConnections = async (): Promise<void> => {
    const closed = [...sockets].map((socket) => once(socket, 'close'));
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
  };
  const url = `http://127.0.0.1:${port}`;
  return { port, url, front, gateway, logged, breakConnections };
}

export interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; text and bytes as they are. */
  readonly body?: unknown;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // Documents of many shapes: the assertions say which.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any;
  readonly events: readonly SentEvent[];
}

export interface SentEvent {
  readonly id: string | null;
  readonly data: string;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly message: any;
}

const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

export interface Live {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly response: IncomingMessage;
  readonly outgoing: ClientRequest;
  /** Everything so far. */
  text(): string;
  events(): readonly SentEvent[];
  /** Resolves at the end of the response, however it comes. */
  readonly ended: Promise<void>;
}

/** As soon as the headers are there. */
export function open(server: { readonly port: number }, ask: Ask): Promise<Live> {
  const { method = 'POST', path = '/', headers = {}, body } = ask;
  const payload = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: server.port,
        path,
        method,
        agent: false,
        headers: {
          ...(method === 'POST' ? JSON_HEADERS : {}),
          ...(payload === undefined || 'transfer-encoding' in headers
            ? {}
            : { 'content-length': Buffer.byteLength(payload as string) }),
          ...headers,
        },
      },
      (response) => {
        let received = '';
        response.setEncoding('utf8').on('data', (part: string) => (received += part));
        const ended = new Promise<void>((end) => {
          response.on('error', () => undefined);
          response.once('close', () => end());
        });
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          response,
          outgoing,
          text: () => received,
          events: () => parseEvents(received),
          ended,
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

export async function ask(server: { readonly port: number }, what: Ask): Promise<Reply> {
  const live = await open(server, what);
  await live.ended;
  const text = live.text();
  const type = String(live.headers['content-type'] ?? '');
  return {
    status: live.status,
    headers: live.headers,
    text,
    json: type.startsWith('application/json') && text !== '' ? (JSON.parse(text) as unknown) : null,
    events: type.startsWith('text/event-stream') ? parseEvents(text) : [],
  };
}

/** Whole events only; comments and fields other than id and data are left out. */
export function parseEvents(text: string): readonly SentEvent[] {
  return text
    .split('\n\n')
    .slice(0, -1)
    .flatMap((block) => {
      const fields = new Map(
        block
          .split('\n')
          .filter((line) => !line.startsWith(':'))
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).replace(/^ /, '')]),
      );
      const data = fields.get('data');
      if (data === undefined) return [];
      return [{ id: fields.get('id') ?? null, data, message: data === '' ? null : (JSON.parse(data) as unknown) }];
    });
}

export const INITIALIZE = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: { elicitation: {}, roots: { listChanged: true } },
    clientInfo: { name: 'raw', version: '1' },
  },
};

export interface RawSession {
  readonly id: string;
  readonly version: string;
  headers(more?: Readonly<Record<string, string>>): Record<string, string>;
  ask(body: unknown, more?: Readonly<Record<string, string>>): Promise<Reply>;
  open(body: unknown, more?: Readonly<Record<string, string>>): Promise<Live>;
  /** A GET stream, or one that is resumed. */
  listen(lastEventId?: string): Promise<Live>;
}

/** The handshake of the legacy era. */
export async function beginSession(
  server: { readonly port: number },
  options: {
    readonly path?: string;
    readonly version?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly initialized?: boolean;
  } = {},
): Promise<RawSession> {
  const { path = '/', version = '2025-11-25', headers: own = {} } = options;
  const body = { ...INITIALIZE, params: { ...INITIALIZE.params, protocolVersion: version } };
  const begun = await ask(server, { path, body, headers: own });
  const id = String(begun.headers['mcp-session-id']);
  const headers = (more: Readonly<Record<string, string>> = {}) => ({
    'mcp-session-id': id,
    'mcp-protocol-version': version,
    ...own,
    ...more,
  });
  const session: RawSession = {
    id,
    version,
    headers,
    ask: (sent, more) => ask(server, { path, body: sent, headers: headers(more) }),
    open: (sent, more) => open(server, { path, body: sent, headers: headers(more) }),
    listen: (lastEventId) =>
      open(server, {
        path,
        method: 'GET',
        headers: headers({
          accept: 'text/event-stream',
          ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
        }),
      }),
  };
  if (options.initialized !== false) await session.ask({ jsonrpc: '2.0', method: 'notifications/initialized' });
  return session;
}

export function call(id: string | number, name: string, args: object = {}, meta?: object): object {
  const params = { name, arguments: args, ...(meta === undefined ? {} : { _meta: meta }) };
  return { jsonrpc: '2.0', id, method: 'tools/call', params };
}

export const MODERN_META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};

/** A request of the modern era with the headers that it needs; `undefined` leaves one out. */
export function modern(
  id: string | number,
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  more: Readonly<Record<string, string | undefined>> = {},
): Ask {
  const name = params['name'] ?? params['uri'];
  const headers: Record<string, string> = {};
  const all = {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': method,
    'mcp-name': typeof name === 'string' ? name : undefined,
    ...more,
  };
  for (const [key, value] of Object.entries(all)) if (value !== undefined) headers[key] = value;
  return { headers, body: { jsonrpc: '2.0', id, method, params: { _meta: MODERN_META, ...params } } };
}
