/** What the pool knows of one server (one `serverHash`) between its processes. */

import type { ChangedList, Catalogue } from './catalogue.ts';
import { changedLists } from './catalogue.ts';
import type { CatalogueStore } from './catalogue-store.ts';
import type { ServerMemory } from './connector.ts';
import type { Identity } from './identity.ts';
import { canonical } from './identity.ts';

/** Kinds of clients that are told apart; a server seldom has more than two. */
const FINGERPRINTS_MAX = 8;

export class ToolMemory {
  readonly server: string;
  era: ServerMemory['era'] = null;
  takesTurns = false;
  readonly #tool: string;
  readonly #store: CatalogueStore;
  readonly #catalogues = new Map<string, Catalogue>();
  /** Of this life of the daemon. */
  readonly #fresh = new Set<string>();
  #client: Identity | null;

  constructor(server: string, tool: string, store: CatalogueStore) {
    this.server = server;
    this.#tool = tool;
    this.#store = store;
    const known = store.read(server);
    for (const [print, catalogue] of Object.entries(known?.catalogues ?? {})) this.#catalogues.set(print, catalogue);
    this.#client = known?.client ?? null;
  }

  /** The client that came last. */
  get client(): Identity | null {
    return this.#client;
  }

  sawClient(client: Identity): void {
    if (canonical(client) === canonical(this.#client)) return;
    this.#client = client;
    this.#save();
  }

  catalogue(print: string): Catalogue | null {
    return this.#catalogues.get(print) ?? null;
  }

  /** A process of this daemon has told it, and not only one of an earlier. */
  isFresh(print: string): boolean {
    return this.#fresh.has(print);
  }

  /** @returns the lists that are not what they were; none where nothing was known */
  learn(print: string, catalogue: Catalogue): readonly ChangedList[] {
    const before = this.#catalogues.get(print);
    this.#fresh.add(print);
    if (before !== undefined && canonical(before) === canonical(catalogue)) return [];
    this.#catalogues.delete(print);
    this.#catalogues.set(print, catalogue);
    const oldest = this.#catalogues.keys().next();
    if (this.#catalogues.size > FINGERPRINTS_MAX && oldest.done !== true) {
      this.#catalogues.delete(oldest.value);
      this.#fresh.delete(oldest.value);
    }
    this.#save();
    return before === undefined ? [] : changedLists(before, catalogue);
  }

  #save(): void {
    this.#store.write(this.server, this.#tool, {
      catalogues: Object.fromEntries(this.#catalogues),
      client: this.#client,
    });
  }
}
