/**
 * A session with a server of either era, shown in the era of its client. Which one the server has is known when it has described itself,
 * and may change with the server; where both have the same, requests and notifications pass as they are.
 */

import type { Answer, Fields, NotificationBody, RequestBody } from '../wire/message.ts';
import { LEGACY_VERSIONS, MODERN_VERSIONS, RPC_CODE } from '../wire/protocol.ts';
import type { Era } from '../wire/protocol.ts';
import type { Client, Exchange, ServerDescription, Session } from '../wire/session.ts';
import { failure } from '../wire/text.ts';
import { thrown } from './answers.ts';
import { clientAsModern } from './describe.ts';
import { LegacyOverModern } from './legacy-over-modern.ts';
import { ModernOverLegacy } from './modern-over-legacy.ts';
import type { Shown } from './shown.ts';

export interface BridgeOptions {
  /** How long a call of a modern client may wait for the answers that a legacy server has asked for. */
  readonly parkTimeoutMs: number;
  /** Such calls, of one client with one server. */
  readonly maxParked: number;
  readonly subscribeTimeoutMs: number;
  readonly maxRounds: number;
  readonly paceMs: number;
  readonly reopenMs: number;
}

export const BRIDGE_DEFAULTS: BridgeOptions = {
  // A person has to read, decide and type. No longer than a modern client without a request is remembered.
  parkTimeoutMs: 300_000,
  maxParked: 100,
  subscribeTimeoutMs: 10_000,
  maxRounds: 10,
  paceMs: 250,
  reopenMs: 1_000,
};

/**
 * @param open gives the session with the server, for the client as the server is to see it
 * @throws what `open` throws
 */
export function openBridged(
  open: (client: Client) => Session,
  client: Client,
  options: Partial<BridgeOptions> = {},
): Session {
  return new Bridge(open, client, { ...BRIDGE_DEFAULTS, ...options });
}

/** These may mean that the server is of another era than it was. */
const SUSPICIOUS: ReadonlySet<number> = new Set<number>([
  RPC_CODE.methodNotFound,
  RPC_CODE.invalidParams,
  RPC_CODE.invalidRequest,
  RPC_CODE.headerMismatch,
  RPC_CODE.unsupportedVersion,
]);

class Bridge implements Session {
  readonly #client: Client;
  readonly #options: BridgeOptions;
  readonly #face: Face;
  readonly #session: Session;
  /** Where requests go. Null: the server has to be looked at first. */
  #shown: Session | null = null;
  /** Null: both have the same era, or it is not known. */
  #converter: Shown | null = null;
  #closed: Promise<void> | null = null;

  constructor(open: (client: Client) => Session, client: Client, options: BridgeOptions) {
    this.#client = client;
    this.#options = options;
    this.#face = new Face(client, {
      notify: (notification) => this.#fromServer(notification),
      ask: (request, signal) => this.#converter?.askedByServer(request, signal) ?? client.ask(request, signal),
    });
    this.#session = open(this.#face);
  }

  async describe(signal: AbortSignal): Promise<ServerDescription> {
    const server = await this.#session.describe(signal);
    const shown = this.#show(server);
    return shown === this.#session ? server : shown.describe(signal);
  }

  request(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const shown = this.#shown;
    if (shown === null) return this.#look(request, exchange);
    return shown === this.#session ? shown.request(request, exchange) : this.#watched(shown, request, exchange);
  }

  notify(notification: NotificationBody): void {
    (this.#converter ?? this.#session).notify(notification);
  }

  close(reason: string): Promise<void> {
    if (this.#closed === null) {
      this.#converter?.release(reason);
      this.#closed = this.#session.close(reason);
    }
    return this.#closed;
  }

  async #look(request: RequestBody, exchange: Exchange): Promise<Answer> {
    let server: ServerDescription;
    try {
      server = await this.#session.describe(exchange.signal);
    } catch (error) {
      return thrown(error);
    }
    if (this.#closed !== null) return failure(RPC_CODE.stopped, 'The session is closed');
    this.#show(server);
    return this.request(request, exchange);
  }

  /** A server that was replaced by one of the other era answers like this; the next request looks first. */
  #watched(shown: Session, request: RequestBody, exchange: Exchange): Promise<Answer> {
    const answered = shown.request(request, exchange);
    void answered.then((answer) => {
      if (answer.kind === 'error' && SUSPICIOUS.has(answer.error.code)) this.#shown = null;
    });
    return answered;
  }

  #show(server: ServerDescription): Session {
    if (this.#face.era !== server.era || this.#face.isGuess) {
      this.#face.become(server.era);
      this.#converter?.release('its server was replaced by one of another protocol era');
      this.#converter = server.era === this.#client.era ? null : this.#convert(server);
    } else this.#converter?.update(server);
    this.#shown = this.#converter ?? this.#session;
    return this.#shown;
  }

  #convert(server: ServerDescription): Shown {
    return server.era === 'legacy'
      ? new ModernOverLegacy(this.#session, this.#client, server, this.#options)
      : new LegacyOverModern(this.#session, this.#client, server, this.#options);
  }

  #fromServer(notification: NotificationBody): void {
    if (notification.method.endsWith('/list_changed')) this.#shown = null;
    if (this.#converter === null) this.#client.notify(notification);
    else this.#converter.fromServer(notification);
  }
}

/** The client as its server sees it: of the server's era, as soon as that is known. */
class Face implements Client {
  readonly notify: Client['notify'];
  readonly ask: Client['ask'];
  readonly #client: Client;
  #era: Era | null = null;

  constructor(client: Client, ways: Pick<Client, 'notify' | 'ask'>) {
    this.#client = client;
    this.notify = ways.notify;
    this.ask = ways.ask;
  }

  get isGuess(): boolean {
    return this.#era === null;
  }

  get era(): Era {
    return this.#era ?? this.#client.era;
  }

  get frontEra(): Era {
    return this.#client.frontEra ?? this.#client.era;
  }

  become(era: Era): void {
    this.#era = era;
  }

  get context(): string {
    return this.#client.context;
  }

  get protocolVersion(): string {
    if (this.era === this.#client.era) return this.#client.protocolVersion;
    return this.era === 'legacy' ? LEGACY_VERSIONS[0] : MODERN_VERSIONS[0];
  }

  get info(): Fields {
    return this.#client.info;
  }

  get capabilities(): Fields {
    const { capabilities, era } = this.#client;
    return era === 'legacy' && this.era === 'modern' ? clientAsModern(capabilities) : capabilities;
  }
}
