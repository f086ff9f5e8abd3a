/** A server that exists only in memory, as the pool sees it through its upstream. */

import type { Holds, QuestionListener, Stale, Upstream, UpstreamState } from '../../lib/mcp/upstream/upstream.ts';
import type { ConnectRequest } from '../../lib/mcp/pool/connector.ts';
import type { Identity } from '../../lib/mcp/pool/identity.ts';
import type { Answer, Fields, NotificationBody, RequestBody } from '../../lib/mcp/wire/message.ts';
import { RPC_CODE } from '../../lib/mcp/wire/protocol.ts';
import type { Client, Exchange, ServerDescription, Session } from '../../lib/mcp/wire/session.ts';

export interface Asked {
  readonly client: Client;
  readonly request: RequestBody;
  readonly exchange: Exchange;
}

type Behaviour = (asked: Asked) => Answer | Promise<Answer>;

/** What every server of a test offers and answers; to be changed while it runs. */
export interface FakeOffer {
  tools: readonly string[];
  capabilities: Fields;
  era: 'legacy' | 'modern';
  /** Null: the usual answer. */
  behaviour: Behaviour | null;
  /** Thrown by its handshake. */
  refusal: (request: ConnectRequest) => Error | null;
}

export function offer(): FakeOffer {
  return { tools: ['one'], capabilities: { tools: {} }, era: 'legacy', behaviour: null, refusal: () => null };
}

export class FakeUpstream implements Upstream {
  readonly identity: Identity;
  readonly connect: ConnectRequest;
  readonly asked: Asked[] = [];
  readonly notified: NotificationBody[] = [];
  readonly told: { readonly method: string; readonly params: Fields }[] = [];
  readonly sessions = new Set<Client>();
  state: UpstreamState;
  takesTurns = false;
  answersChecks = true;
  checks = 0;
  /** Beside the requests that are open. */
  held: Partial<Holds> = {};
  readonly #offer: FakeOffer;
  readonly #pending = new Set<(answer: Answer) => void>();
  readonly #onEnd = new Set<(reason: string) => void>();
  readonly #onList = new Set<(list: 'tools' | 'resources' | 'prompts') => void>();
  readonly #onStale = new Set<(what: Stale) => void>();
  readonly #onQuestions = new Set<QuestionListener>();

  constructor(request: ConnectRequest, given: FakeOffer) {
    this.connect = request;
    this.identity = request.identity;
    this.#offer = given;
    this.state = { kind: 'ready', description: describe(given), sinceMs: 0 };
    void request.process?.exited.then(() => this.end('it closed its output'));
  }

  get holds(): Holds {
    const none = { sessions: this.sessions.size, requests: 0, progressTokens: 0, subscriptions: 0, tasks: 0 };
    return { ...none, requests: this.#pending.size, ...this.held };
  }

  /** Requests of real clients, by method. */
  methods(): readonly string[] {
    return this.asked.filter(({ client }) => client.context !== 'governor').map(({ request }) => request.method);
  }

  ready(): Promise<ServerDescription> {
    if (this.state.kind !== 'ready') throw new Error(this.state.kind);
    return Promise.resolve(this.state.description);
  }

  attach(client: Client): Session {
    this.sessions.add(client);
    return {
      describe: () => this.ready(),
      request: (request, exchange) => this.#request({ client, request, exchange }),
      notify: (notification) => void this.notified.push(notification),
      close: async () => void this.sessions.delete(client),
    };
  }

  check(): Promise<boolean> {
    this.checks++;
    return Promise.resolve(this.answersChecks);
  }

  tell(method: string, params: Fields): void {
    this.told.push({ method, params });
  }

  onEnd(listener: (reason: string) => void): () => void {
    this.#onEnd.add(listener);
    return () => void this.#onEnd.delete(listener);
  }

  onListChanged(listener: (list: 'tools' | 'resources' | 'prompts') => void): () => void {
    this.#onList.add(listener);
    return () => void this.#onList.delete(listener);
  }

  onStale(listener: (what: Stale) => void): () => void {
    this.#onStale.add(listener);
    return () => void this.#onStale.delete(listener);
  }

  onQuestions(listener: QuestionListener): void {
    this.#onQuestions.add(listener);
  }

  /** It asks a client of this context; resolves when that has answered. */
  async asks(context: string, answered: () => Promise<unknown>): Promise<void> {
    for (const listener of this.#onQuestions) listener.onQuestion(context);
    await answered();
    for (const listener of this.#onQuestions) listener.onQuestionOver();
  }

  /** It has said so. */
  stale(what: Stale): void {
    for (const listener of this.#onStale) listener(what);
  }

  listChanged(): void {
    for (const listener of this.#onList) listener('tools');
  }

  close(reason: string): Promise<void> {
    this.end(reason);
    return Promise.resolve();
  }

  end(reason: string): void {
    if (this.state.kind === 'shutdown') return;
    this.state = { kind: 'shutdown', reason };
    for (const answer of this.#pending) answer({ kind: 'error', error: { code: RPC_CODE.stopped, message: reason } });
    for (const listener of this.#onEnd) listener(reason);
  }

  #request(asked: Asked): Promise<Answer> {
    this.asked.push(asked);
    return new Promise((resolve) => {
      const answer = (given: Answer): void => {
        this.#pending.delete(answer);
        resolve(given);
      };
      this.#pending.add(answer);
      void Promise.resolve(this.#answer(asked)).then(answer);
    });
  }

  #answer(asked: Asked): Answer | Promise<Answer> {
    if (asked.request.method === 'tools/list')
      return { kind: 'result', result: { tools: this.#offer.tools.map((name) => ({ name })) } };
    return this.#offer.behaviour?.(asked) ?? { kind: 'result', result: { from: asked.client.context } };
  }
}

function describe({ era, capabilities }: FakeOffer): ServerDescription {
  const info = { name: 'fake', version: '1' };
  return {
    era,
    protocolVersion: era === 'legacy' ? '2025-11-25' : '2026-07-28',
    info,
    capabilities,
    raw: { serverInfo: info },
  };
}
