/** One session of Streamable HTTP, 2025-03-26 to 2025-11-25: its client, and the streams that its messages go on. */

import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Fields } from '../wire/message.ts';
import type { Caller } from './caller.ts';
import { EventStream } from './event-stream.ts';
import type { ReplayStore } from './event-stream.ts';
import { LegacyClient } from './legacy-client.ts';
import type { Standalone } from './legacy-client.ts';
import type { Gateway } from '../wire/session.ts';
import { PostReply } from './post-reply.ts';
import type { FrontLogger, FrontSettings } from './settings.ts';

/** Clients from this revision on can read an event without data. */
const PRIMED_FROM = '2025-11-25';
/** Finished streams whose events are kept for a client that comes back. */
const KEPT_STREAMS = 64;

export interface LegacySessionOptions {
  readonly gateway: Gateway;
  readonly caller: Caller;
  readonly context: string;
  /** Parameters of `initialize`. */
  readonly params: Fields;
  readonly settings: FrontSettings;
  readonly logger: FrontLogger;
  readonly store: ReplayStore;
  /** Replies that are not complete, of all sessions: those that take long get their stream. */
  readonly replies: Set<PostReply>;
  readonly now: () => number;
}

export type Resumed = 'attached' | 'unknown' | 'nothing_left';

export class LegacySession implements Standalone {
  /** 192 random bits: not to be guessed. */
  readonly id = randomBytes(24).toString('base64url');
  readonly caller: Caller;
  readonly client: LegacyClient;
  readonly #options: LegacySessionOptions;
  /** All of which events are kept or come, oldest first. */
  readonly #streams = new Map<string, EventStream>();
  /** Streams of GET, the newest last. */
  readonly #standalone: EventStream[] = [];
  readonly #sockets = new Set<Socket>();
  #initialized = false;
  #streamCount = 0;
  #usedMs: number;
  #hadStream = false;
  #gone: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: LegacySessionOptions) {
    this.#options = options;
    this.caller = options.caller;
    this.#usedMs = options.now();
    const { gateway, context, params, settings, logger } = options;
    this.client = new LegacyClient({
      gateway,
      view: options.caller.view,
      context,
      params,
      settings,
      logger,
      standalone: this,
    });
  }

  /** Milliseconds without anything open; 0 while something is. */
  idleMs(nowMs: number): number {
    return this.client.quiet && !this.#standalone.some((stream) => stream.attached) ? nowMs - this.#usedMs : 0;
  }

  /** A request of this session came in on that connection. */
  touch(socket: Socket): void {
    this.#usedMs = this.#options.now();
    clearTimeout(this.#gone);
    if (this.#sockets.has(socket)) return;
    this.#sockets.add(socket);
    usersOf(socket).add(this);
  }

  lost(socket: Socket): void {
    this.#sockets.delete(socket);
    this.#lookForClient();
  }

  initialized(): void {
    this.#initialized = true;
    if (this.open) this.client.ready();
  }

  reply(response: ServerResponse, expected: number, batch: boolean): PostReply {
    const { replies, now } = this.#options;
    const onDone = (done: PostReply): void => {
      replies.delete(done);
      this.#usedMs = now();
    };
    const reply = new PostReply({ response, expected, batch, openStream: () => this.#newStream(), onDone }, now());
    replies.add(reply);
    return reply;
  }

  /** A stream for what belongs to no request. @returns false when too many are open */
  listen(response: ServerResponse): boolean {
    if (this.#standalone.filter((stream) => stream.attached).length >= this.#options.settings.maxStreams) return false;
    const stream = this.#newStream();
    this.#standalone.push(stream);
    // Those that lost their connection are only kept to be asked for again.
    if (this.#standalone.length > KEPT_STREAMS) this.#drop(this.#standalone.shift());
    this.#hadStream = true;
    stream.attach(response, null);
    if (this.#initialized) this.client.ready();
    return true;
  }

  resume(response: ServerResponse, lastEventId: string): Resumed {
    const place = EventStream.parseEventId(lastEventId);
    const stream = place === null ? undefined : this.#streams.get(place.stream);
    if (place === null || stream === undefined) return 'unknown';
    if (stream.finished && !stream.hasAfter(place.number)) return 'nothing_left';
    if (this.#standalone.includes(stream)) this.#hadStream = true;
    stream.attach(response, place.number);
    return 'attached';
  }

  /** Of the standalone channel: the newest stream that has a connection, else the newest of all, which keeps it. */
  get open(): boolean {
    return this.#initialized && this.#standalone.length > 0;
  }

  send(text: string): boolean {
    const target = this.#standalone.findLast((stream) => stream.attached) ?? this.#standalone.at(-1);
    return target?.send(text) ?? false;
  }

  heartbeat(): void {
    for (const stream of this.#streams.values()) stream.comment();
  }

  async close(reason: string): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#gone);
    for (const socket of this.#sockets) usersOf(socket).delete(this);
    const closing = this.client.close(reason);
    for (const stream of this.#streams.values()) {
      stream.finish();
      stream.forget();
    }
    this.#streams.clear();
    await closing;
  }

  #newStream(): EventStream {
    const { settings, store, logger } = this.#options;
    this.#streamCount += 1;
    const stream = new EventStream({
      id: this.#streamCount.toString(36),
      primed: this.client.protocolVersion >= PRIMED_FROM,
      bounds: settings,
      store,
      onOverflow: () => logger.warn({ context: this.client.context }, 'a stream was cut off: its client does not read'),
      onDetached: () => this.#forgetFinished(),
    });
    this.#streams.set(stream.id, stream);
    return stream;
  }

  #forgetFinished(): void {
    this.#usedMs = this.#options.now();
    let surplus = -KEPT_STREAMS;
    for (const stream of this.#streams.values()) if (stream.finished) surplus += 1;
    for (const stream of this.#streams.values()) {
      if (surplus <= 0) return;
      if (!stream.finished) continue;
      this.#drop(stream);
      surplus -= 1;
    }
  }

  #drop(stream: EventStream | undefined): void {
    if (stream === undefined) return;
    stream.finish();
    stream.forget();
    this.#streams.delete(stream.id);
  }

  /**
   * A client on this machine whose connections have all gone, the stream that it had open with them, has ended: there is no network in
   * between that could have failed. What is held for it is given up; the session stays, in case that it comes back after all.
   */
  #lookForClient(): void {
    if (this.#closed || !this.caller.local || !this.#hadStream || this.#sockets.size > 0) return;
    clearTimeout(this.#gone);
    this.#gone = setTimeout(() => {
      this.#hadStream = false;
      this.#options.logger.debug({ context: this.client.context }, 'a client has gone without a word');
      void this.client.release('The client has gone');
    }, this.#options.settings.goneMs);
  }
}

/** A connection may carry the requests of many sessions: it has one listener for all. */
const USERS = new WeakMap<Socket, Set<LegacySession>>();

function usersOf(socket: Socket): Set<LegacySession> {
  const known = USERS.get(socket);
  if (known !== undefined) return known;
  const users = new Set<LegacySession>();
  USERS.set(socket, users);
  socket.once('close', () => {
    for (const session of users) session.lost(socket);
  });
  return users;
}
