/** The far end of a channel in memory: a server that says what its test says, and remembers what it was sent. */

import { openUpstream } from '../../lib/mcp/upstream/multiplexer.ts';
import type { UpstreamOptions } from '../../lib/mcp/upstream/multiplexer.ts';
import type { Channel, ChannelListener, Upstream } from '../../lib/mcp/upstream/upstream.ts';
import type { Answer, Fields, Message, RequestId, RpcError } from '../../lib/mcp/wire/message.ts';
import { LEGACY_VERSIONS, MODERN_VERSIONS } from '../../lib/mcp/wire/protocol.ts';
import type { Session } from '../../lib/mcp/wire/session.ts';
import { readMessage } from '../../lib/mcp/wire/shape.ts';
import { fakeClient, fakeExchange } from './fake-mcp-session.ts';
import type { FakeClient, FakeExchange } from './fake-mcp-session.ts';
import { settled } from './manual-time.ts';

export interface SentRequest {
  readonly id: number;
  readonly method: string;
  readonly params: Fields;
}

/** Null: it stays open until the test answers it. */
export type Reply = Fields | { readonly error: RpcError } | null;

export class FakeChannel implements Channel {
  readonly kind = 'stdio';
  pendingBytes = 0;
  readonly sent: Message[] = [];
  /** Requests so far, by method. */
  readonly counts = new Map<string, number>();
  closed = 0;
  /** Thrown by `send`. */
  problem: Error | null = null;
  /** Answered at once, by method. */
  readonly handlers: Record<string, (params: Fields, id: number) => Reply>;
  #listener: ChannelListener | null = null;

  constructor(handlers: FakeChannel['handlers'] = {}) {
    this.handlers = { ...handlers };
  }

  start(listener: ChannelListener): Promise<void> {
    this.#listener = listener;
    return Promise.resolve();
  }

  send(message: Message): undefined {
    if (this.problem !== null) throw this.problem;
    // As it would arrive: what is changed later must not be seen.
    const copy = JSON.parse(JSON.stringify(message)) as Message;
    this.sent.push(copy);
    if (!('method' in copy) || !('id' in copy)) return;
    const id = copy.id as number;
    this.counts.set(copy.method, (this.counts.get(copy.method) ?? 0) + 1);
    const reply = this.handlers[copy.method]?.(copy.params ?? {}, id) ?? null;
    if (reply === null) return;
    queueMicrotask(() => this.say('error' in reply ? { id, error: reply['error'] } : { id, result: reply }));
  }

  close(): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }

  /** What the server says; checked as what a real one says would be. */
  say(...messages: readonly Fields[]): void {
    for (const each of messages) this.sayOn(undefined, each);
  }

  /** On the stream of the answer to this request, as over HTTP. */
  sayOn(request: SentRequest | undefined, said: Fields): void {
    const message = readMessage({ jsonrpc: '2.0', ...said });
    if (message.kind === 'invalid') throw new Error(message.problem);
    this.#listener?.onMessage(message, request?.id);
  }

  complain(problem: string): void {
    this.#listener?.onProblem(problem);
  }

  leaveOut(what: string): void {
    this.#listener?.onLeftOut(what);
  }

  answer(request: SentRequest, result: Fields = {}): void {
    this.say({ id: request.id, result });
  }

  refuse(request: SentRequest, code: number, message: string): void {
    this.say({ id: request.id, error: { code, message } });
  }

  /** The server has gone. */
  end(reason = 'it closed its output'): void {
    this.#listener?.onClose(reason);
  }

  requests(method?: string): readonly SentRequest[] {
    return this.sent.flatMap((message) =>
      'method' in message && 'id' in message && (method === undefined || message.method === method)
        ? [{ id: message.id as number, method: message.method, params: message.params ?? {} }]
        : [],
    );
  }

  /** The request of this method that was sent last. @throws when there is none */
  last(method: string): SentRequest {
    const request = this.requests(method).at(-1);
    if (request === undefined) throw new Error(`${method} was not sent`);
    return request;
  }

  notifications(method?: string): readonly Fields[] {
    return this.sent.flatMap((message) =>
      'method' in message && !('id' in message) && (method === undefined || message.method === method)
        ? [{ ...message.params }]
        : [],
    );
  }

  /** To the server's own request. */
  answersTo(id: RequestId): readonly Answer[] {
    return this.sent.flatMap((message): Answer[] => {
      if ('method' in message || message.id !== id) return [];
      return 'error' in message
        ? [{ kind: 'error', error: message.error }]
        : [{ kind: 'result', result: message.result }];
    });
  }
}

export const INITIALIZED: Fields = {
  protocolVersion: LEGACY_VERSIONS[0],
  capabilities: { tools: {}, resources: { subscribe: true }, logging: {} },
  serverInfo: { name: 'fake', version: '1' },
};

export const DISCOVERED: Fields = {
  resultType: 'complete',
  supportedVersions: [...MODERN_VERSIONS],
  capabilities: { tools: {} },
  _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'fake', version: '1' } },
};

export interface Joined {
  readonly client: FakeClient;
  readonly session: Session;
  /** Sends a request; what the server got is `request`. */
  begin(method?: string, params?: Fields): Begun;
}

export interface Begun {
  readonly answer: Promise<Answer>;
  readonly exchange: FakeExchange;
  /** As the server got it. @throws when it did not get it */
  readonly request: SentRequest;
}

export interface UpstreamScene {
  readonly channel: FakeChannel;
  readonly upstream: Upstream;
  readonly problems: string[];
  join(context?: string, capabilities?: Fields): Joined;
}

/** Not ready until the server has answered. */
export function scene(channel: FakeChannel, options: Partial<UpstreamOptions> = {}): UpstreamScene {
  const problems: string[] = [];
  const upstream = openUpstream(channel, {
    era: 'legacy',
    info: { name: 'governor', version: '1' },
    capabilities: { sampling: {}, elicitation: {}, roots: {} },
    timeoutMs: 10_000,
    takesTurns: false,
    monotonicMs: () => 1_000,
    onProblem: (problem) => void problems.push(problem),
    onLeftOut: (what) => void problems.push(what),
    ...options,
  });
  const era = options.era ?? 'legacy';
  return {
    channel,
    upstream,
    problems,
    join(context = 'one', capabilities = {}) {
      const client: FakeClient = Object.assign(fakeClient(era, capabilities), { context });
      const session = upstream.attach(client);
      return { client, session, begin: (method = 'tools/call', params) => begin(channel, session, method, params) };
    },
  };
}

/** A legacy server that is ready. */
export async function legacyServer(
  handlers: FakeChannel['handlers'] = {},
  options: Partial<UpstreamOptions> = {},
): Promise<UpstreamScene> {
  return ready(scene(new FakeChannel({ initialize: () => INITIALIZED, ...handlers }), options));
}

/** A modern server that is ready. */
export async function modernServer(
  capabilities: Fields = { tools: {} },
  handlers: FakeChannel['handlers'] = {},
): Promise<UpstreamScene> {
  const discovered = { ...DISCOVERED, capabilities };
  const channel = new FakeChannel({ 'server/discover': () => discovered, ...handlers });
  return ready(scene(channel, { era: 'modern' }));
}

async function ready(given: UpstreamScene): Promise<UpstreamScene> {
  await given.upstream.ready();
  await settled(2);
  return given;
}

function begin(channel: FakeChannel, session: Session, method: string, params?: Fields): Begun {
  const exchange = fakeExchange();
  const before = channel.counts.get(method) ?? 0;
  const answer = session.request(params === undefined ? { method } : { method, params }, exchange);
  return {
    answer,
    exchange,
    get request() {
      const request = channel.requests(method)[before];
      if (request === undefined) throw new Error(`${method} did not reach the server`);
      return request;
    },
  };
}
