/** A Gateway in memory: one server whose tools do what tests of a front need, and which says what it was asked. */

import { GovernorError } from '../../lib/core/errors.ts';
import type { Answer, Fields, NotificationBody, RequestBody } from '../../lib/mcp/wire/message.ts';
import type { Client, Exchange, Gateway, ServerDescription, Session, View } from '../../lib/mcp/wire/session.ts';

export type FakeHandler = (request: RequestBody, exchange: Exchange, session: FakeSession) => Answer | Promise<Answer>;

export interface FakeSession {
  readonly view: View;
  readonly client: Client;
  readonly requests: readonly RequestBody[];
  readonly notifications: readonly NotificationBody[];
  /** Reasons of requests that were cancelled, in order. */
  readonly cancelled: readonly string[];
  readonly closed: string | null;
  /** Requests that are not answered yet. */
  readonly open: number;
}

export interface FakeGateway extends Gateway {
  readonly sessions: readonly FakeSession[];
  /** Answers a method, or a tool as `tools/call NAME`, in place of what is built in. */
  handle(what: string, handler: FakeHandler): void;
  /** Lets calls of the tool `wait` go on. */
  release(): void;
  /** What `describe` answers, or throws. Default: FAKE_SERVER. */
  describeAs(description: ServerDescription | GovernorError): void;
}

export const FAKE_TOOLS = [
  { name: 'echo', inputSchema: { type: 'object' } },
  { name: 'wait', inputSchema: { type: 'object' } },
  {
    name: 'routed',
    inputSchema: {
      type: 'object',
      properties: {
        region: { type: 'string', 'x-mcp-header': 'Region' },
        deep: { type: 'object', properties: { count: { type: 'integer', 'x-mcp-header': 'Count' } } },
      },
    },
  },
];

export const FAKE_SERVER: ServerDescription = {
  era: 'legacy',
  protocolVersion: '2025-11-25',
  info: { name: 'fake', version: '1.2.3' },
  capabilities: { tools: { listChanged: true }, resources: { subscribe: true }, logging: {} },
  instructions: 'Be kind.',
  raw: {
    protocolVersion: '2025-11-25',
    serverInfo: { name: 'fake', version: '1.2.3' },
    capabilities: { tools: { listChanged: true }, resources: { subscribe: true }, logging: {} },
    instructions: 'Be kind.',
    unknownField: { kept: true },
  },
};

export function text(value: string): Answer {
  return { kind: 'result', result: { content: [{ type: 'text', text: value }] } };
}

/** @param tools that can be opened by name; `direct` is never managed */
export function createFakeGateway(tools: readonly string[] = ['fake']): FakeGateway {
  const handlers = new Map<string, FakeHandler>(Object.entries(BUILT_IN));
  const sessions: FakeSession[] = [];
  const waiting = new Set<() => void>();
  let description: ServerDescription | GovernorError = FAKE_SERVER;
  handlers.set('tools/call wait', (_request, { signal }) => {
    return new Promise<Answer>((resolve) => {
      const go = (): void => resolve(text('waited'));
      waiting.add(go);
      signal.addEventListener('abort', () => {
        waiting.delete(go);
        resolve({ kind: 'error', error: { code: -32_000, message: 'cancelled' } });
      });
    });
  });
  return {
    sessions,
    handle: (what, handler) => void handlers.set(what, handler),
    release() {
      for (const go of waiting) go();
      waiting.clear();
    },
    describeAs: (next) => void (description = next),
    open(view, client) {
      if (view.kind === 'tool' && !tools.includes(view.tool)) {
        const direct = view.tool === 'direct';
        if (direct) throw new GovernorError('not_managed', 'direct is started by its client, with governor run');
        throw new GovernorError('unknown_tool', `There is no tool ${JSON.stringify(view.tool)}`);
      }
      const session = new InMemorySession(view, client, handlers, () => description);
      sessions.push(session);
      return session;
    },
  };
}

class InMemorySession implements Session, FakeSession {
  readonly view: View;
  readonly client: Client;
  readonly requests: RequestBody[] = [];
  readonly notifications: NotificationBody[] = [];
  readonly cancelled: string[] = [];
  closed: string | null = null;
  open = 0;
  readonly #handlers: ReadonlyMap<string, FakeHandler>;
  readonly #describe: () => ServerDescription | GovernorError;

  constructor(
    view: View,
    client: Client,
    handlers: ReadonlyMap<string, FakeHandler>,
    describe: () => ServerDescription | GovernorError,
  ) {
    this.view = view;
    this.client = client;
    this.#handlers = handlers;
    this.#describe = describe;
  }

  async describe(): Promise<ServerDescription> {
    const found = this.#describe();
    if (found instanceof GovernorError) throw found;
    return found;
  }

  async request(request: RequestBody, exchange: Exchange): Promise<Answer> {
    this.requests.push(request);
    const tool = request.method === 'tools/call' ? ` ${String(request.params?.['name'])}` : '';
    const handler = this.#handlers.get(`${request.method}${tool}`);
    if (handler === undefined) {
      const message = tool === '' ? `${request.method} is not known` : `There is no tool${tool}`;
      return { kind: 'error', error: { code: tool === '' ? -32_601 : -32_602, message } };
    }
    exchange.signal.addEventListener('abort', () => this.cancelled.push((exchange.signal.reason as Error).message));
    this.open += 1;
    try {
      return await handler(request, exchange, this);
    } finally {
      this.open -= 1;
    }
  }

  notify(notification: NotificationBody): void {
    this.notifications.push(notification);
  }

  async close(reason: string): Promise<void> {
    this.closed ??= reason;
  }
}

function argumentsOf(request: RequestBody): Fields {
  return (request.params?.['arguments'] ?? {}) as Fields;
}

function tokenOf(request: RequestBody): unknown {
  return (request.params?.['_meta'] as Fields | undefined)?.['progressToken'];
}

const BUILT_IN: Readonly<Record<string, FakeHandler>> = {
  'tools/list': () => ({ kind: 'result', result: { tools: FAKE_TOOLS, ttlMs: 0, cacheScope: 'private' } }),
  'tools/call echo': (request) => text(JSON.stringify(argumentsOf(request))),
  'tools/call routed': (request) => text(JSON.stringify(argumentsOf(request))),
  /** `count` steps of progress, then its result. */
  'tools/call progress': (request, exchange) => {
    const progressToken = tokenOf(request);
    const count = Number(argumentsOf(request)['count'] ?? 3);
    for (let progress = 1; progress <= count; progress += 1) {
      exchange.notify({ method: 'notifications/progress', params: { progressToken, progress, total: count } });
    }
    return text('done');
  },
  /** Asks its client, and tells what it answered. */
  'tools/call ask': async (request, exchange) => {
    const method = String(argumentsOf(request)['method'] ?? 'elicitation/create');
    const params = { mode: 'form', message: 'Who?', requestedSchema: { type: 'object', properties: {} } };
    const answer = await exchange.ask({ method, params }, exchange.signal);
    return text(JSON.stringify(answer.kind === 'result' ? answer.result : answer.error));
  },
  /** `bytes` of text. */
  'tools/call big': (request) => text('x'.repeat(Number(argumentsOf(request)['bytes']))),
};
