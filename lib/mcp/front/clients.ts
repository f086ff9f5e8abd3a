/** Everybody who is connected, with one bound for all; and the clock that looks after them while there is somebody. */

import { randomBytes } from 'node:crypto';
import type { Fields } from '../wire/message.ts';
import type { Gateway } from '../wire/session.ts';
import type { ByteStream } from './byte-stream.ts';
import { sameView } from './caller.ts';
import type { Caller } from './caller.ts';
import { ReplayStore } from './event-stream.ts';
import { LegacySession } from './legacy-session.ts';
import { ModernClient } from './modern-client.ts';
import type { ModernMeta } from './modern-check.ts';
import type { ModernReply } from './modern-reply.ts';
import type { PostReply } from './post-reply.ts';
import type { FrontLogger, FrontSettings } from './settings.ts';

export interface ClientsOptions {
  readonly gateway: Gateway;
  readonly logger: FrontLogger;
  readonly settings: FrontSettings;
  readonly now: () => number;
}

export class Clients {
  /** Replies that are not complete yet. */
  readonly legacyReplies = new Set<PostReply>();
  readonly modernReplies = new Set<ModernReply>();
  readonly #options: ClientsOptions;
  readonly #sessions = new Map<string, LegacySession>();
  readonly #modern = new Map<string, ModernClient>();
  readonly #byteStreams = new Set<ByteStream>();
  readonly #refusedStreams = new Set<ByteStream>();
  readonly #store: ReplayStore;
  readonly #closings = new Set<Promise<void>>();
  #clock: NodeJS.Timeout | undefined;
  #beatMs = 0;
  #closed = false;

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.#store = new ReplayStore(options.settings);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get counts() {
    return {
      sessions: this.#sessions.size,
      modernClients: this.#modern.size,
      byteStreams: this.#byteStreams.size,
      replayBytes: this.#store.bytes,
    };
  }

  /** @returns why nobody new is taken; null: somebody is */
  full(): string | null {
    const { maxClients } = this.#options.settings;
    if (this.#sessions.size + this.#modern.size + this.#byteStreams.size < maxClients) return null;
    // Nothing is lost with a modern client that waits for nothing.
    const nowMs = this.#options.now();
    let idlest: { readonly key: string; readonly client: ModernClient; readonly idleMs: number } | null = null;
    for (const [key, client] of this.#modern) {
      const idleMs = client.idleMs(nowMs);
      if (idleMs > (idlest?.idleMs ?? 0)) idlest = { key, client, idleMs };
    }
    if (idlest === null) return `${maxClients} clients are connected; try again later`;
    this.#endModern(idlest.key, idlest.client, 'Its place was needed');
    return null;
  }

  /** Not known by its id until `add`: its handshake may fail. */
  newSession(caller: Caller, params: Fields): LegacySession {
    const { gateway, logger, settings, now } = this.#options;
    const context = caller.label ?? newContext();
    const replies = this.legacyReplies;
    return new LegacySession({
      gateway,
      caller,
      context,
      params,
      settings,
      logger,
      now,
      replies,
      store: this.#store,
    });
  }

  add(session: LegacySession): void {
    this.#sessions.set(session.id, session);
    this.#startClock();
  }

  /** Of somebody else it is as unknown as one that never was. */
  session(id: string, caller: Caller): LegacySession | null {
    const found = this.#sessions.get(id);
    if (found === undefined || found.caller.identity !== caller.identity) return null;
    return sameView(found.caller.view, caller.view) ? found : null;
  }

  endSession(session: LegacySession, reason: string): void {
    this.#sessions.delete(session.id);
    this.#wait(session.close(reason));
  }

  /** One that is refused takes no place, but is ended with the others. */
  addByteStream(stream: ByteStream): void {
    const streams = stream.refused ? this.#refusedStreams : this.#byteStreams;
    streams.add(stream);
    void stream.ended.then(() => streams.delete(stream));
  }

  /** @returns why not, when there is no room for a new one */
  modern(caller: Caller, meta: ModernMeta): ModernClient | string {
    const { name, version } = meta.info;
    const agent = typeof name === 'string' ? `${name}@${typeof version === 'string' ? version : '?'}` : 'anonymous';
    const view = caller.view.kind === 'all' ? '' : caller.view.tool;
    const key = JSON.stringify([caller.identity, caller.label, agent, view]);
    const known = this.#modern.get(key);
    if (known !== undefined) return known;
    const refusal = this.full();
    if (refusal !== null) return refusal;
    const { gateway, settings, logger, now } = this.#options;
    const context = caller.label ?? `${agent.slice(0, 200)} (${caller.identity})`;
    const client = new ModernClient({ gateway, view: caller.view, context, settings, logger, now });
    this.#modern.set(key, client);
    this.#startClock();
    return client;
  }

  /** A reply is on its way that may take long. */
  watch(): void {
    this.#startClock();
  }

  /**
   * What lies behind the clients of a context is given up: their open requests get an error that says why, the next ones begin anew.
   * @returns false: no client is of it
   */
  async endContext(context: string, reason: string): Promise<boolean> {
    const clients = [
      ...[...this.#sessions.values()].map(({ client }) => client),
      ...this.#modern.values(),
      ...this.#byteStreams,
    ].filter((client) => client.context === context);
    await Promise.all(clients.map((client) => client.endContext(reason)));
    return clients.length > 0;
  }

  async close(reason: string): Promise<void> {
    this.#closed = true;
    clearInterval(this.#clock);
    for (const session of this.#sessions.values()) this.endSession(session, reason);
    for (const [key, client] of this.#modern) this.#endModern(key, client, reason);
    for (const stream of [...this.#byteStreams, ...this.#refusedStreams]) this.#wait(stream.close(reason));
    await Promise.all(this.#closings);
  }

  #endModern(key: string, client: ModernClient, reason: string): void {
    this.#modern.delete(key);
    this.#wait(client.close(reason));
  }

  #wait(closing: Promise<void>): void {
    this.#closings.add(closing);
    void closing.then(() => this.#closings.delete(closing));
  }

  #startClock(): void {
    if (this.#clock !== undefined || this.#closed) return;
    const { sessionIdleMs, clientIdleMs, streamAfterMs, heartbeatMs } = this.#options.settings;
    const everyMs = Math.max(10, Math.min(sessionIdleMs / 4, clientIdleMs / 4, streamAfterMs / 2, heartbeatMs));
    this.#beatMs = this.#options.now();
    this.#clock = setInterval(() => this.#look(), everyMs).unref();
  }

  #look(): void {
    const { settings, now } = this.#options;
    const nowMs = now();
    for (const reply of this.legacyReplies) if (nowMs - reply.sinceMs >= settings.streamAfterMs) reply.startStream();
    for (const reply of this.modernReplies) if (nowMs - reply.sinceMs >= settings.streamAfterMs) reply.startStream();
    for (const session of this.#sessions.values()) {
      if (session.idleMs(nowMs) >= settings.sessionIdleMs) this.endSession(session, 'The session was idle');
    }
    for (const [key, client] of this.#modern) {
      if (client.idleMs(nowMs) >= settings.clientIdleMs) this.#endModern(key, client, 'The client was idle');
    }
    if (nowMs - this.#beatMs >= settings.heartbeatMs) {
      this.#beatMs = nowMs;
      for (const session of this.#sessions.values()) session.heartbeat();
      for (const reply of this.modernReplies) reply.comment();
    }
    if (this.#sessions.size + this.#modern.size === 0) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    }
  }
}

/** Shown to people, so it is not the session's id. */
export function newContext(): string {
  return `session-${randomBytes(5).toString('hex')}`;
}
