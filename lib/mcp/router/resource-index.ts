/**
 * Which server has which resource. A plain URI belongs to the first server of the file that lists it; where no list has it, to who last
 * named it in a result, and then to whose template it fits. The others are reachable by their qualified URI. Pure but for what it learns.
 */

import { UriTemplate } from '../../core/uri-template.ts';
import { normalizeUri } from '../../core/uri-text.ts';
import type { Fields } from '../wire/message.ts';
import { qualifiedUri, schemeOf } from './qualified-uri.ts';

interface Template {
  readonly text: string;
  /** Null: not to be read by RFC 6570. */
  readonly parsed: UriTemplate | null;
}

interface Known {
  readonly uris: ReadonlySet<string>;
  readonly templates: readonly Template[];
}

/** Named in results, but in no list. */
const SEEN_MAX = 1_000;
const NOTHING: Known = { uris: new Set(), templates: [] };

export class ResourceIndex {
  readonly #known = new Map<string, Known>();
  readonly #seen = new Map<string, string>();
  /** Of the file. */
  #order: readonly string[] = [];

  setOrder(servers: readonly string[]): void {
    this.#order = servers;
    for (const server of this.#known.keys()) if (!servers.includes(server)) this.forget(server);
    for (const [uri, server] of this.#seen) if (!servers.includes(server)) this.#seen.delete(uri);
  }

  isKnown(server: string): boolean {
    return this.#known.has(server);
  }

  learn(server: string, resources: readonly Fields[], templates: readonly Fields[]): void {
    this.#known.set(server, {
      uris: new Set(resources.flatMap(({ uri }) => (typeof uri === 'string' ? [uri] : []))),
      templates: templates.flatMap(({ uriTemplate }) =>
        typeof uriTemplate === 'string' ? [template(uriTemplate)] : [],
      ),
    });
  }

  forget(server: string): void {
    this.#known.delete(server);
  }

  /** A server has named a resource to the client in a result. */
  saw(server: string, uri: string): void {
    this.#seen.delete(uri);
    this.#seen.set(uri, server);
    if (this.#seen.size > SEEN_MAX) for (const oldest of this.#seen.keys()) if (this.#seen.delete(oldest)) break;
  }

  /** Undefined: no list has it. */
  ownerOf(uri: string): string | undefined {
    return this.#order.find((server) => this.#known.get(server)?.uris.has(uri) === true);
  }

  ownerOfTemplate(text: string): string | undefined {
    return this.#order.find((server) => this.#of(server).templates.some((one) => one.text === text));
  }

  /** What the client is told instead of the server's own URI. */
  shownUri(server: string, part: string, uri: string): string {
    const owner = this.ownerOf(uri);
    return owner === undefined || owner === server ? uri : qualifiedUri(part, uri);
  }

  shownTemplate(server: string, part: string, text: string): string {
    const owner = this.ownerOfTemplate(text);
    return owner === undefined || owner === server ? text : qualifiedUri(part, text);
  }

  /**
   * Who may have it, best first: each server at most once. Empty: nothing that any server has said of itself tells. Not everyone is
   * asked then, it would wake them all.
   */
  candidates(uri: string): readonly string[] {
    const [normalized, scheme] = [normalizeUri(uri), schemeOf(uri)];
    const fits = (server: string): boolean =>
      this.#of(server).templates.some(({ parsed }) => parsed?.matchNormalized(normalized) != null);
    const hasScheme = (server: string): boolean => {
      const { uris, templates } = this.#of(server);
      return [...uris, ...templates.map(({ text }) => text)].some((known) => schemeOf(known) === scheme);
    };
    const owner = this.ownerOf(uri);
    // A list is a promise; nobody else is asked.
    if (owner !== undefined) return [owner];
    const seen = this.#seen.get(uri);
    const found = [
      ...(seen === undefined ? [] : [seen]),
      ...this.#order.filter(fits),
      ...this.#order.filter(hasScheme),
    ];
    return [...new Set(found)];
  }

  #of(server: string): Known {
    return this.#known.get(server) ?? NOTHING;
  }
}

function template(text: string): Template {
  const parsed = UriTemplate.parse(text);
  return { text, parsed: parsed.ok ? parsed.value : null };
}
