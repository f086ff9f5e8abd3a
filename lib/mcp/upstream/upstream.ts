/**
 * One conversation with one server, whatever its era and transport, for any number of clients at once: ids and progress tokens are
 * re-numbered and mapped back, subscriptions and the log level are shared by count, and each message goes to exactly the client that it
 * belongs to.
 */

import type { Fields, Message } from '../wire/message.ts';
import type { Incoming } from '../wire/shape.ts';
import type { Client, ServerDescription, Session } from '../wire/session.ts';

/** A byte or message stream to a server: its stdio, or Streamable HTTP. */
export interface Channel {
  readonly kind: 'stdio' | 'http';
  /** Called once, before anything is sent. */
  start(listener: ChannelListener): Promise<void>;
  /**
   * Nothing: taken. A promise: rejects when it could not be handed over, or when no answer to it can come any more.
   * @throws when the channel is closed
   */
  send(message: Message): Promise<void> | undefined;
  /** HTTP: the stream of a request is closed, which in the modern era is its cancellation. Absent: `cancelled` is sent. */
  abort?(id: number, cancelled: Message): Promise<void>;
  /** HTTP: later requests name the version in a header. */
  negotiated?(protocolVersion: string): void;
  /** Bytes that were sent but not yet taken by the server: what a server that never reads makes grow. */
  readonly pendingBytes: number;
  /** Ends the conversation properly (HTTP: DELETE of the session, streams aborted). Idempotent, never rejects. */
  close(): Promise<void>;
}

/** Read and found to be a message. */
export type Received = Exclude<Incoming, { readonly kind: 'invalid' }>;

export interface ChannelListener {
  /** @param stream HTTP: the request on the stream of whose answer it came; undefined: it came on none that belongs to one */
  onMessage(message: Received, stream?: number): void;
  /** Something that is no message: a log line on stdout, half a line, a line that is too long. The conversation goes on. */
  onProblem(problem: string): void;
  /** Something that it offers and nobody may be shown, in words. Told once for each. */
  onLeftOut(what: string): void;
  /** No message comes any more. Told once. */
  onClose(reason: string): void;
}

/** Each state with what it has: no field that may be null in one and not in another. */
export type UpstreamState =
  | { readonly kind: 'initializing'; readonly sinceMs: number }
  | { readonly kind: 'ready'; readonly description: ServerDescription; readonly sinceMs: number }
  | { readonly kind: 'error'; readonly reason: string }
  | { readonly kind: 'shutdown'; readonly reason: string };

/** Why nothing is idle: what still holds the server awake. */
export interface Holds {
  readonly sessions: number;
  readonly requests: number;
  readonly progressTokens: number;
  readonly subscriptions: number;
  readonly tasks: number;
}

/** What the server has said to be no longer what it was. */
export type Stale =
  | { readonly kind: 'list'; readonly list: 'tools' | 'resources' | 'prompts' }
  | { readonly kind: 'resource'; readonly uri: string };

/** Hears of questions that the server asks its clients (legacy). */
export interface QuestionListener {
  /** One is open. @param context of the client that is asked */
  onQuestion(context: string): void;
  /** One of those is over. */
  onQuestionOver(): void;
}

export interface Upstream {
  readonly state: UpstreamState;
  /** Resolves when it is ready. @throws GovernorError launch_failed with the reason, to every waiter */
  ready(): Promise<ServerDescription>;
  readonly holds: Holds;
  /** Requests of different clients are not overlapped: what the server asked could not be told apart. */
  readonly takesTurns: boolean;
  /** A client joins. Its Session's `describe` is this server's. */
  attach(client: Client): Session;
  /** Health check: `ping` (legacy), `server/discover` (modern). False: no answer in time, or an error. */
  check(timeoutMs: number): Promise<boolean>;
  /** Of the server itself, to no client: a message of `warning` to whoever listens on the server's side (notifications/message). */
  tell(method: string, params: Fields): void;
  /** Told once, when the conversation is over; `reason` in words. Returns a disposer. */
  onEnd(listener: (reason: string) => void): () => void;
  /** Told before any client is. Returns a disposer. */
  onStale(listener: (what: Stale) => void): () => void;
  /** For as long as it lives. */
  onQuestions(listener: QuestionListener): void;
  /** Lists changed, as the server said, or because it is another one now. Returns a disposer. */
  onListChanged(listener: (list: 'tools' | 'resources' | 'prompts') => void): () => void;
  /**
   * Every open request is answered with an error of this reason, once; then the conversation ends.
   * @param data goes into each error's `data`
   */
  close(reason: string, data?: Fields): Promise<void>;
}
