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

export class Interests<Owner> {
  readonly #subscribers = new Map<string, Set<Owner>>();
  readonly #levels = new Map<Owner, LogLevel>();

  get subscriptions(): number {
    return this.#subscribers.size;
  }

  get isFull(): boolean {
    return this.#subscribers.size >= SUBSCRIPTIONS_MAX;
  }

  /** @returns true where the server has to be asked: nobody had it before */
  subscribe(owner: Owner, uri: string): boolean {
    const known = this.#subscribers.get(uri);
    if (known === undefined) this.#subscribers.set(uri, new Set([owner]));
    else known.add(owner);
    return known === undefined;
  }

  has(owner: Owner, uri: string): boolean {
    return this.#subscribers.get(uri)?.has(owner) === true;
  }

  /** @returns true where the server has to be told: nobody has it any more */
  unsubscribe(owner: Owner, uri: string): boolean {
    const known = this.#subscribers.get(uri);
    if (known === undefined || !known.delete(owner) || known.size > 0) return false;
    this.#subscribers.delete(uri);
    return true;
  }

  /** Who hears of a change there: its subscribers, and those of what it is a part of (server/resources: "a sub-resource"). */
  subscribersOf(uri: string): ReadonlySet<Owner> {
    const exact = this.#subscribers.get(uri);
    const all = new Set<Owner>(exact);
    for (let end = uri.lastIndexOf('/'); end > 0; end = uri.lastIndexOf('/', end - 1)) {
      for (const part of [uri.slice(0, end), uri.slice(0, end + 1)])
        for (const owner of this.#subscribers.get(part) ?? []) all.add(owner);
    }
    return all;
  }

  /** @returns the level that the server has to be set to: the finest that anyone wants */
  setLevel(owner: Owner, level: LogLevel): LogLevel {
    this.#levels.set(owner, level);
    return this.finest() ?? level;
  }

  finest(): LogLevel | null {
    const wanted = new Set(this.#levels.values());
    return LOG_LEVELS.find((level) => wanted.has(level)) ?? null;
  }

  /** Those that set a level which admits a message of this one. */
  listenersOf(level: unknown): readonly Owner[] {
    return [...this.#levels].flatMap(([owner, wanted]) => (admits(wanted, level) ? [owner] : []));
  }

  /** A client that set no level hears what the server sends by itself, but not what only others have asked for. */
  admits(owner: Owner, level: unknown): boolean {
    const own = this.#levels.get(owner);
    if (own !== undefined) return admits(own, level);
    return this.#levels.size === 0 || admits('info', level);
  }

  /** @returns the subscriptions that the server has to be told of: nobody has them any more */
  leave(owner: Owner): readonly string[] {
    this.#levels.delete(owner);
    return [...this.#subscribers.keys()].filter((uri) => this.unsubscribe(owner, uri));
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
