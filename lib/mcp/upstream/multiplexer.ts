/** One server, any number of clients: puts conversation, routing and states together. */

import { GovernorError } from '../../core/errors.ts';
import type { Answer, Fields, NotificationBody, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Client, ServerDescription, Session } from '../wire/session.ts';
import { Attachment } from './attachment.ts';
import type { Shared } from './attachment.ts';
import { Conversation } from './conversation.ts';
import { Elicitations } from './elicitations.ts';
import { shakeHands } from './handshake.ts';
import type { HandshakeOptions } from './handshake.ts';
import { Interests } from './interests.ts';
import { JustCancelled } from './just-cancelled.ts';
import { OneByOne } from './one-by-one.ts';
import { LISTEN, listenForLists } from './own-stream.ts';
import { ownClient, quiet } from './own-side.ts';
import { routeNotice } from './notices.ts';
import type { ChangedList, NoticesOptions } from './notices.ts';
import { ServerRequests } from './server-requests.ts';
import type { StreamOf } from './server-requests.ts';
import { TaskOwners } from './task-owners.ts';
import { Turns } from './turns.ts';
import { UpstreamListeners } from './upstream-listeners.ts';
import type { Channel, Holds, QuestionListener, Received, Stale, Upstream, UpstreamState } from './upstream.ts';

export interface UpstreamOptions extends Pick<HandshakeOptions, 'era' | 'info' | 'capabilities' | 'timeoutMs'> {
  /** Known from an earlier process of the same definition. */
  readonly takesTurns: boolean;
  monotonicMs(): number;
  /** What is wrong with the conversation, and goes on. */
  onProblem(problem: string): void;
  /** What the server offers and nobody may be shown: each once. */
  onLeftOut(what: string): void;
}

/** Of what nobody waits for. */
const SETTLE_TIMEOUT_MS = 10_000;
const PING: RequestBody = { method: 'ping' };
const LISTEN_ENDED: Answer = { kind: 'result', result: { resultType: 'complete' } };
/** Methods that are told of once each. */
const TOLD_MAX = 100;

/** Begins the conversation; `ready()` tells how that went. */
export function openUpstream(channel: Channel, options: UpstreamOptions): Upstream {
  return new Multiplexer(channel, options);
}

class Multiplexer implements Upstream, Shared {
  readonly conversation: Conversation<Attachment>;
  readonly interests = new Interests<Attachment>();
  readonly tasks: TaskOwners<Attachment>;
  readonly elicitations = new Elicitations<Attachment>();
  readonly turns: Turns<Attachment>;
  readonly cancelled: JustCancelled<Attachment>;
  readonly subscribing = new OneByOne();
  readonly clients = new Set<Attachment>();
  state: UpstreamState;
  readonly #channel: Channel;
  readonly #options: UpstreamOptions;
  /** Governor itself, as the one who asks. */
  readonly #self: Attachment;
  readonly #asked: ServerRequests<Attachment>;
  readonly #notices: NoticesOptions;
  readonly #ready: Promise<ServerDescription>;
  readonly #listeners = new UpstreamListeners(this);
  readonly #told = new Set<string>();

  constructor(channel: Channel, options: UpstreamOptions) {
    this.#channel = channel;
    this.#options = options;
    this.tasks = new TaskOwners(() => options.monotonicMs());
    this.turns = new Turns(options.takesTurns);
    this.state = { kind: 'initializing', sinceMs: options.monotonicMs() };
    this.cancelled = new JustCancelled(() => this.#self.request(PING, quiet(AbortSignal.timeout(SETTLE_TIMEOUT_MS))));
    this.conversation = new Conversation(channel, {
      onCancelled: (request, told) => {
        this.#asked.callCancelled(request);
        // With one client there is nobody else who could be asked.
        if (this.description?.era === 'legacy' && this.clients.size > 1) this.cancelled.add(request, told);
      },
      onLeftBehind: (request, told) => {
        if (this.description?.era === 'legacy') this.cancelled.add(request, told);
      },
    });
    this.#self = new Attachment(ownClient(options), this);
    this.#asked = new ServerRequests({
      requests: this.conversation.requests,
      tasks: this.tasks,
      cancelled: this.cancelled,
      clients: () => [...this.clients],
      respond: (id, answer) => this.conversation.respond(id, answer),
      onAmbiguous: (method) => this.#takeTurns(method),
      onAsked: (owner, request) => {
        this.turns.asked(owner);
        this.elicitations.asked(owner, request);
        this.#listeners.asked(owner.client.context);
      },
      onAnswered: (owner) => {
        this.turns.answered(owner);
        this.#listeners.answered();
      },
      warn: (fields, message) => this.warn(fields, message),
    });
    this.#notices = {
      shared: this,
      isOwn: (id) => this.conversation.requests.get(Number(id))?.owner === this.#self,
      onStale: (what) => this.#listeners.stale(what),
      onListChanged: (list) => this.#listeners.listChanged(list),
      onCancelled: (params) => this.#cancelled(params),
      onUnattributed: ({ method }) => this.#unattributed(method),
    };
    this.#ready = this.#begin();
    // Whoever waits hears of it; nobody has to.
    this.#ready.catch(() => undefined);
  }

  get description(): ServerDescription | null {
    return this.state.kind === 'ready' ? this.state.description : null;
  }

  warn({ err }: Readonly<Record<string, unknown>>, message: string): void {
    this.#options.onProblem(`${message}: ${err instanceof Error ? err.message : String(err)}`);
  }

  get isOver(): boolean {
    return this.conversation.isOver;
  }

  get takesTurns(): boolean {
    return this.turns.isOn;
  }

  /** What Governor itself asks (checks, its own stream) holds nothing. */
  get holds(): Holds {
    const { requests } = this.conversation;
    let listens = 0;
    const own = requests.of(this.#self).length;
    for (const client of this.clients)
      for (const { method } of requests.of(client)) listens += method === LISTEN ? 1 : 0;
    return {
      sessions: this.clients.size,
      requests: requests.size - listens - own,
      progressTokens: requests.tokens,
      subscriptions: this.interests.subscriptions + listens,
      tasks: this.tasks.open,
    };
  }

  ready(): Promise<ServerDescription> {
    return this.#ready;
  }

  attach(client: Client): Session {
    const attachment = new Attachment(client, this);
    if (client.isGovernor === true || this.isOver) return attachment;
    this.clients.add(attachment);
    this.#asked.joined();
    return attachment;
  }

  onLeft(attachment: Attachment, reason: string): void {
    this.clients.delete(attachment);
    this.elicitations.leave(attachment);
    this.#asked.left(attachment, reason);
  }

  settle(request: RequestBody): void {
    void this.conversation.request(this.#self, request, quiet(AbortSignal.timeout(SETTLE_TIMEOUT_MS)));
  }

  async check(timeoutMs: number): Promise<boolean> {
    if (this.state.kind !== 'ready') return false;
    const method = this.description?.era === 'modern' ? 'server/discover' : 'ping';
    const answer = await this.#self.request({ method }, quiet(AbortSignal.timeout(timeoutMs)));
    // A server that knows no ping has answered all the same.
    return answer.kind === 'result' || answer.error.code === RPC_CODE.methodNotFound;
  }

  tell(method: string, params: Fields): void {
    if (this.state.kind === 'ready') this.conversation.notify({ method, params });
  }

  onEnd(listener: (reason: string) => void): () => void {
    return this.#listeners.onEnd(listener);
  }

  onStale(listener: (what: Stale) => void): () => void {
    return this.#listeners.onStale(listener);
  }

  onQuestions(listener: QuestionListener): void {
    this.#listeners.onQuestions(listener);
  }

  onListChanged(listener: (list: ChangedList) => void): () => void {
    return this.#listeners.onListChanged(listener);
  }

  async close(reason: string, data?: Fields): Promise<void> {
    this.#end({ kind: 'shutdown', reason }, data);
    await this.#channel.close();
  }

  async #begin(): Promise<ServerDescription> {
    const { era, info, capabilities, timeoutMs, monotonicMs } = this.#options;
    try {
      await this.#channel.start({
        onMessage: (message, stream) => this.#receiveSafely(message, stream),
        onProblem: (problem) => this.#options.onProblem(problem),
        onLeftOut: (what) => this.#options.onLeftOut(what),
        onClose: (reason) => this.#end({ kind: 'shutdown', reason: `the server has gone: ${reason}` }),
      });
      const description = await shakeHands({
        era,
        info,
        capabilities,
        timeoutMs,
        ask: (request, signal) => this.conversation.request(this.#self, request, quiet(signal)),
        notify: (method) => this.conversation.notify({ method }),
        onVersion: (version) => this.#channel.negotiated?.(version),
      });
      const { state } = this;
      if (state.kind !== 'initializing')
        throw new GovernorError('launch_failed', 'reason' in state ? state.reason : state.kind);
      this.state = { kind: 'ready', description, sinceMs: monotonicMs() };
      if (description.era === 'modern')
        void listenForLists(description, {
          request: (request) => this.#self.request(request, quiet(new AbortController().signal)),
          isOver: () => this.isOver,
          onListChanged: (list) => {
            this.#listeners.stale({ kind: 'list', list });
            this.#listeners.listChanged(list);
          },
        });
      return description;
    } catch (error) {
      this.#end({ kind: 'error', reason: (error as Error).message });
      await this.#channel.close();
      throw error;
    }
  }

  /** What a client's side throws is no fault of the server, nor of its other clients. */
  #receiveSafely(message: Received, stream: number | undefined): void {
    try {
      this.#receive(message, stream);
    } catch (error) {
      this.#options.onProblem(`a message of the server's could not be passed on: ${(error as Error).message}`);
    }
  }

  #receive(message: Received, stream: number | undefined): void {
    if (message.kind === 'answer') {
      // Answered twice, late, or never asked: nobody waits for it.
      this.conversation.answered(message.id, message.answer);
      return;
    }
    const body: NotificationBody =
      message.params === undefined ? { method: message.method } : { method: message.method, params: message.params };
    const call = this.#callOf(stream);
    if (message.kind === 'notification') routeNotice(body, this.#notices, call);
    else void this.#asked.handle(message.id, body, call);
  }

  #callOf(stream: number | undefined): StreamOf<Attachment> {
    if (stream === undefined) return undefined;
    const call = this.conversation.requests.get(stream);
    if (call === undefined) return 'over';
    return this.clients.has(call.owner) ? call : undefined;
  }

  /** A modern server asks nothing that it could cancel: it ends a stream (2026-07-28, basic/patterns/subscriptions). */
  #cancelled(params: Fields | undefined): void {
    if (this.description?.era !== 'modern') return this.#asked.cancelled(params);
    const { requests } = this.conversation;
    const listen = requests.get(Number(params?.['requestId']));
    if (listen?.method === LISTEN) requests.take(listen.id)?.settle(LISTEN_ENDED);
  }

  #unattributed(method: string): void {
    if (this.#told.size >= TOLD_MAX || this.#told.has(method)) return;
    this.#told.add(method);
    this.#options.onProblem(`${method.slice(0, 100)} belongs to no client that can be told`);
  }

  #takeTurns(method: string): void {
    if (this.turns.isOn) return;
    this.turns.isOn = true;
    this.#options.onProblem(`${method} could be for any of several clients: from now on their calls do not overlap`);
  }

  #end(state: UpstreamState & { readonly reason: string }, data?: Fields): void {
    if (this.state.kind === 'error' || this.state.kind === 'shutdown') return;
    this.state = state;
    this.conversation.end(state.reason, data);
    this.#asked.close(state.reason);
    this.#listeners.ended(state.reason);
  }
}
