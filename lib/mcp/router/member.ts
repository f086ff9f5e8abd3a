/** One server of a merged view, for one client: opened when it is first needed. */

import { GovernorError } from '../../core/errors.ts';
import { openBridged } from '../bridge/bridge.ts';
import type { BridgeOptions } from '../bridge/bridge.ts';
import { ResourceStream } from '../bridge/resource-stream.ts';
import { modernMeta } from '../bridge/request-meta.ts';
import { quietly } from '../bridge/quiet.ts';
import type { Answer, Fields, NotificationBody, RequestBody } from '../wire/message.ts';
import type { Client, Exchange, ServerDescription, Servers, Session } from '../wire/session.ts';

/** A server's part of a merged list. */
export type Part =
  | { readonly kind: 'page'; readonly result: Fields }
  /** It has no such list. */
  | { readonly kind: 'none' }
  | { readonly kind: 'failed'; readonly reason: string };

export interface MemberOptions {
  readonly name: string;
  readonly part: string;
  readonly servers: Servers;
  readonly client: Client;
  readonly bridge: Partial<BridgeOptions>;
  /** Aborted: nothing is opened any more. */
  readonly signal: AbortSignal;
  /** What the server tells this client beside any request; URIs and ids are the server's own. */
  readonly tell: (notification: NotificationBody) => void;
  readonly ask: Client['ask'];
}

const SET_LEVEL_TIMEOUT_MS = 5_000;
const SUBSCRIBE_TIMEOUT_MS = 10_000;
const REOPEN_MS = 1_000;

export class Member {
  readonly name: string;
  /** Of merged names. */
  readonly part: string;
  /** Made-up names of its tools that a list has shown. */
  readonly madeUp = new Map<string, string>();
  /** As the client knows them, by the server's own URI. */
  readonly subscribed = new Map<string, Set<string>>();
  /** Its resources are being read; null: not now. */
  indexing: Promise<void> | null = null;
  /** First pages of lists that were not there in time, and are still to come: not asked for twice. */
  readonly late = new Map<string, Promise<Part>>();
  /** As it was last; null: not asked yet, or it failed. */
  description: ServerDescription | null = null;
  readonly #options: MemberOptions;
  #session: Session | null = null;
  #stream: ResourceStream | null = null;
  #level: string | null = null;
  #isUsed = false;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.name = options.name;
    this.part = options.part;
  }

  get isOpen(): boolean {
    return this.#session !== null;
  }

  /** The client has had it do something: what a server keeps for a client, it keeps for this one. */
  get isUsed(): boolean {
    return this.#isUsed;
  }

  /** @throws GovernorError as Servers.open; illegal_state when the view is closed */
  get session(): Session {
    if (this.#session === null && this.#options.signal.aborted)
      throw new GovernorError('illegal_state', 'the session is closed');
    this.#session ??= openBridged(
      (face) => this.#options.servers.open(this.name, face),
      this.#client(),
      this.#options.bridge,
    );
    return this.#session;
  }

  /** @throws GovernorError when it would have to be started for it and cannot be */
  async describe(signal: AbortSignal): Promise<ServerDescription> {
    this.description = await this.session.describe(signal);
    return this.description;
  }

  /**
   * For requests that the server works on, not for lists: it wakes.
   * @param level what the client has set for all servers; null: nothing
   * @throws GovernorError as Servers.open
   */
  request(request: RequestBody, exchange: Exchange, level: string | null): Promise<Answer> {
    const { session } = this;
    this.#isUsed = true;
    if (level === null || level === this.#level) return session.request(request, exchange);
    return this.#requestAtLevel(session, request, exchange, level);
  }

  /** For modern clients: subscriptions as the legacy era has them. */
  get stream(): ResourceStream {
    this.#stream ??= new ResourceStream({
      session: this.session,
      tell: this.#options.tell,
      meta: () => modernMeta(this.#options.client),
      ackTimeoutMs: SUBSCRIBE_TIMEOUT_MS,
      reopenMs: REOPEN_MS,
    });
    return this.#stream;
  }

  notify(notification: NotificationBody): void {
    this.#session?.notify(notification);
  }

  async close(reason: string): Promise<void> {
    this.#stream?.close();
    await this.#session?.close(reason);
  }

  /** A log level alone wakes no server: each is told when it has something to do. */
  async #requestAtLevel(session: Session, request: RequestBody, exchange: Exchange, level: string): Promise<Answer> {
    this.#level = level;
    const description = this.description ?? (await this.describe(exchange.signal).catch(() => null));
    if (description?.capabilities['logging'] !== undefined)
      await quietly(session, 'logging/setLevel', { level }, SET_LEVEL_TIMEOUT_MS);
    return session.request(request, exchange);
  }

  #client(): Client {
    const { client, tell, ask } = this.#options;
    return {
      era: client.era,
      context: client.context,
      get protocolVersion(): string {
        return client.protocolVersion;
      },
      get info(): Fields {
        return client.info;
      },
      get capabilities(): Fields {
        return client.capabilities;
      },
      notify: tell,
      ask,
    };
  }
}
