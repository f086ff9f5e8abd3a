/** MCP clients that do nothing but send and receive: a figure is then of what lies behind, not of an SDK. */

import type { ChildProcess } from 'node:child_process';
import { Agent, type IncomingMessage, request } from 'node:http';

// Documents of many shapes.
// oxlint-disable-next-line typescript/no-explicit-any
export type Document = any;

export interface Wire {
  /** Rejects with what the other side refused, or when the connection ends. */
  request(method: string, params?: object): Promise<Document>;
  notify(method: string, params?: object): Promise<void>;
  /** Every message, in the order in which it came. */
  onMessage: ((message: Document) => void) | null;
  close(): Promise<void>;
}

/** Requests by their id: 1, 2, 3… on every connection, as all clients count. */
class Open {
  readonly #waiting = new Map<number, { resolve(result: Document): void; reject(error: Error): void }>();
  #last = 0;

  add(): { readonly id: number; readonly answer: Promise<Document> } {
    const id = (this.#last += 1);
    return { id, answer: new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject })) };
  }

  take(message: Document): void {
    const open = message.method === undefined ? this.#waiting.get(message.id) : undefined;
    if (open === undefined) return;
    this.#waiting.delete(message.id);
    if (message.error === undefined) open.resolve(message.result);
    else open.reject(new Error(`${message.error.code}: ${message.error.message}`));
  }

  fail(reason: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}

export async function handshake(wire: Wire, name = 'bench'): Promise<Wire> {
  await wire.request('initialize', {
    protocolVersion: '2025-06-18',
    capabilities: {},
    clientInfo: { name, version: '1.0.0' },
  });
  await wire.notify('notifications/initialized');
  return wire;
}

export function stdioWire(child: ChildProcess): Wire {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error('a stdio server needs pipes');
  const open = new Open();
  let rest = '';
  const wire: Wire = {
    request(method, params = {}) {
      const { id, answer } = open.add();
      stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
      return answer;
    },
    async notify(method, params = {}) {
      stdin.write(`${JSON.stringify({ jsonrpc: '2.0', method, params })}\n`);
    },
    onMessage: null,
    async close() {
      stdin.end();
    },
  };
  stdin.on('error', () => undefined);
  stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('{')) continue;
      const message = JSON.parse(line) as Document;
      wire.onMessage?.(message);
      open.take(message);
    }
  });
  stdout.once('close', () => open.fail('the server closed its output'));
  return wire;
}

/** Streamable HTTP, with a session where the server gives one. */
export function httpWire(url: string, token: string | null = null): Wire {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const open = new Open();
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
  };
  const take = (text: string): void => {
    const message = JSON.parse(text) as Document;
    wire.onMessage?.(message);
    open.take(message);
  };
  const post = (body: object): Promise<void> =>
    send(url, agent, headers, JSON.stringify(body), (response) => {
      const session = response.headers['mcp-session-id'];
      if (typeof session === 'string') headers['mcp-session-id'] = session;
      return String(response.headers['content-type']).startsWith('text/event-stream') ? events(take) : whole(take);
    });
  const wire: Wire = {
    request(method, params = {}) {
      const { id, answer } = open.add();
      post({ jsonrpc: '2.0', id, method, params }).catch((error: unknown) => open.fail(String(error)));
      return answer;
    },
    notify: (method, params = {}) => post({ jsonrpc: '2.0', method, params }),
    onMessage: null,
    async close() {
      agent.destroy();
      open.fail('closed');
    },
  };
  return wire;
}

/** HTTP with server-sent events (2024-11-05), which some peers still speak: answers come on the one stream. */
export async function sseWire(url: string): Promise<Wire> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const open = new Open();
  const stream = request(url, { headers: { accept: 'text/event-stream' } });
  const endpoint = await new Promise<string>((resolve, reject) => {
    stream.once('error', reject);
    stream.once('response', (response: IncomingMessage) => {
      if (response.statusCode !== 200) return void reject(new Error(`HTTP ${response.statusCode}`));
      const read = events((text, event) => {
        if (event === 'endpoint') return void resolve(new URL(text, url).href);
        const message = JSON.parse(text) as Document;
        wire.onMessage?.(message);
        open.take(message);
        return undefined;
      });
      response.setEncoding('utf8').on('data', read.data);
      return response.once('close', () => open.fail('the stream ended'));
    });
    stream.end();
  });
  const headers = { 'content-type': 'application/json' };
  const post = (body: object): Promise<void> =>
    send(endpoint, agent, headers, JSON.stringify(body), () => whole(() => undefined));
  const wire: Wire = {
    request(method, params = {}) {
      const { id, answer } = open.add();
      post({ jsonrpc: '2.0', id, method, params }).catch((error: unknown) => open.fail(String(error)));
      return answer;
    },
    notify: (method, params = {}) => post({ jsonrpc: '2.0', method, params }),
    onMessage: null,
    async close() {
      stream.destroy();
      agent.destroy();
    },
  };
  return wire;
}

interface Reader {
  data(chunk: string): void;
  end(): void;
}

function whole(take: (text: string) => void): Reader {
  let text = '';
  return {
    data: (chunk) => void (text += chunk),
    end: () => {
      if (text.startsWith('{')) take(text);
    },
  };
}

function events(take: (data: string, event: string) => void): Reader {
  let rest = '';
  return {
    data(chunk) {
      const blocks = `${rest}${chunk}`.split(/\r?\n\r?\n/);
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        let event = 'message';
        let data = '';
        for (const line of block.split(/\r?\n/)) {
          if (line.startsWith('data:')) data += line.slice(line.startsWith('data: ') ? 6 : 5);
          else if (line.startsWith('event:')) event = line.slice(6).trim();
        }
        if (data !== '') take(data, event);
      }
    },
    end: () => undefined,
  };
}

function send(
  url: string,
  agent: Agent,
  headers: Readonly<Record<string, string>>,
  body: string,
  read: (response: IncomingMessage) => Reader,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request(url, { method: 'POST', agent, headers }, (response) => {
      if ((response.statusCode ?? 500) >= 300) {
        response.resume();
        return void reject(new Error(`HTTP ${response.statusCode}`));
      }
      const reader = read(response);
      return response
        .setEncoding('utf8')
        .on('data', reader.data)
        .once('end', () => {
          reader.end();
          resolve();
        })
        .once('error', reject);
    });
    call.once('error', reject);
    call.end(body);
  });
}
