/** What clients of one legacy server have asked to hear of: resources, by count, and its log, by level. */

import type { Fields } from '../wire/message.ts';

/** RFC 5424, from the finest to the gravest. */
export const LOG_LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function isLogLevel(value: unknown): value is LogLevel {
  return (LOG_LEVELS as readonly unknown[]).includes(value);
}

/** Of one server; more is a storm. */
const SUBSCRIPTIONS_MAX = 10_000;
/** Of one client, so that its storm leaves room for the others; as many as are made good at a server that was started again. */
const SUBSCRIPTIONS_OF_ONE_MAX = 1_000;
/** Of a URI; what is longer is no part of anything, and is not kept. */
const URI_MAX_LENGTH = 8_192;
/** What servers send that nobody has set; the level that one is set back to. */
const DEFAULT_LEVEL: LogLevel = 'info';

export class Interests<Owner> {
  readonly #subscribers = new Map<string, Set<Owner>>();
  readonly #counts = new Map<Owner, number>();
  readonly #levels = new Map<Owner, LogLevel>();
  /** By one who has left: what the server sends by itself is not what it would have sent. */
  #levelWasSet = false;

  get subscriptions(): number {
    return this.#subscribers.size;
  }

  /** Why one more of this client is too much; null: it is not. */
  fullness(owner: Owner, uri: string): string | null {
    if (uri.length > URI_MAX_LENGTH) return `a URI of more than ${URI_MAX_LENGTH} characters cannot be subscribed to`;
    if ((this.#counts.get(owner) ?? 0) >= SUBSCRIPTIONS_OF_ONE_MAX)
      return `the client has ${SUBSCRIPTIONS_OF_ONE_MAX} subscriptions with this server; that is the most`;
    if (this.#subscribers.size >= SUBSCRIPTIONS_MAX && !this.isKnown(uri))
      return `${SUBSCRIPTIONS_MAX} subscriptions are open with this server; that is the most`;
    return null;
  }

  subscribe(owner: Owner, uri: string): void {
    const known = this.#subscribers.get(uri);
    if (known?.has(owner) === true) return;
    if (known === undefined) this.#subscribers.set(uri, new Set([owner]));
    else known.add(owner);
    this.#counts.set(owner, (this.#counts.get(owner) ?? 0) + 1);
  }

  /** Somebody has it. */
  isKnown(uri: string): boolean {
    return this.#subscribers.has(uri);
  }

  has(owner: Owner, uri: string): boolean {
    return this.#subscribers.get(uri)?.has(owner) === true;
  }

  /** @returns true where the server has to be told: nobody has it any more */
  unsubscribe(owner: Owner, uri: string): boolean {
    const known = this.#subscribers.get(uri);
    if (known === undefined || !known.delete(owner)) return false;
    const left = (this.#counts.get(owner) ?? 0) - 1;
    if (left > 0) this.#counts.set(owner, left);
    else this.#counts.delete(owner);
    if (known.size > 0) return false;
    this.#subscribers.delete(uri);
    return true;
  }

  /** Who hears of a change there: its subscribers, and those of what it is a part of (server/resources: "a sub-resource"). */
  subscribersOf(uri: string): ReadonlySet<Owner> {
    const exact = this.#subscribers.get(uri);
    const all = new Set<Owner>(exact);
    if (uri.length > URI_MAX_LENGTH) return all;
    for (let end = uri.lastIndexOf('/'); end > 0; end = uri.lastIndexOf('/', end - 1)) {
      for (const part of [uri.slice(0, end), uri.slice(0, end + 1)])
        for (const owner of this.#subscribers.get(part) ?? []) all.add(owner);
    }
    return all;
  }

  /** @returns the level that the server has to be set to: the finest that anyone wants */
  setLevel(owner: Owner, level: LogLevel): LogLevel {
    this.#levels.set(owner, level);
    return this.#finest();
  }

  levelOf(owner: Owner): LogLevel | undefined {
    return this.#levels.get(owner);
  }

  /** The server has refused it. */
  restoreLevel(owner: Owner, level: LogLevel | undefined): void {
    if (level === undefined) this.#levels.delete(owner);
    else this.#levels.set(owner, level);
  }

  #finest(): LogLevel {
    const wanted = new Set(this.#levels.values());
    return LOG_LEVELS.find((level) => wanted.has(level)) ?? DEFAULT_LEVEL;
  }

  /** Those that set a level which admits a message of this one. */
  listenersOf(level: unknown): readonly Owner[] {
    return [...this.#levels].flatMap(([owner, wanted]) => (admits(wanted, level) ? [owner] : []));
  }

  /** A client that set no level hears what the server sends by itself, but not what only others have asked for. */
  admits(owner: Owner, level: unknown): boolean {
    const own = this.#levels.get(owner);
    if (own !== undefined) return admits(own, level);
    return (this.#levels.size === 0 && !this.#levelWasSet) || admits(DEFAULT_LEVEL, level);
  }

  /** @returns the subscriptions that nobody has any more */
  leave(owner: Owner): readonly string[] {
    if (!this.#counts.has(owner)) return [];
    return [...this.#subscribers.keys()].filter((uri) => this.unsubscribe(owner, uri));
  }

  /** @returns the level that the server has to be set back to; null: nothing changes for it */
  leaveLevel(owner: Owner): LogLevel | null {
    const own = this.#levels.get(owner);
    if (own === undefined) return null;
    this.#levels.delete(owner);
    this.#levelWasSet = true;
    const finest = this.#finest();
    return LOG_LEVELS.indexOf(own) < LOG_LEVELS.indexOf(finest) ? finest : null;
  }
}

function admits(wanted: LogLevel, level: unknown): boolean {
  return !isLogLevel(level) || LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(wanted);
}

/** The URI that a subscription names. */
export function uriOf(params: Fields | undefined): string | null {
  const uri = params?.['uri'];
  return typeof uri === 'string' ? uri : null;
}
