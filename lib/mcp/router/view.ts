/** What the parts of a merged view share: its servers for one client, and what is known of them. */

import { modernMeta } from '../bridge/request-meta.ts';
import { quietExchange } from '../bridge/quiet.ts';
import type { Fields } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Client, ServerDescription } from '../wire/session.ts';
import type { ChangedList } from './lists.ts';
import type { Member } from './member.ts';
import type { MergedNames } from './names.ts';
import { allEntries } from '../bridge/pages.ts';
import type { Patience } from './patience.ts';
import { ResourceIndex } from './resource-index.ts';
import type { RouterSettings } from './settings.ts';

export interface ViewOptions {
  readonly client: Client;
  readonly settings: RouterSettings;
  readonly patience: Patience;
  /** Governor itself, as an Implementation. */
  readonly info: Fields;
  readonly names: () => MergedNames;
  readonly join: (name: string, part: string, signal: AbortSignal) => Member;
  readonly changed: (list: ChangedList) => void;
}

const RESOURCES = { method: 'resources/list', field: 'resources' };
const TEMPLATES = { method: 'resources/templates/list', field: 'resourceTemplates' };

export class View {
  readonly client: Client;
  readonly settings: RouterSettings;
  readonly patience: Patience;
  readonly info: Fields;
  readonly changed: ViewOptions['changed'];
  readonly index = new ResourceIndex();
  /** What the client has set for all of them; null: nothing. Legacy only. */
  level: string | null = null;
  readonly #options: ViewOptions;
  readonly #members = new Map<string, Member>();
  readonly #closed = new AbortController();

  constructor(options: ViewOptions) {
    this.#options = options;
    this.client = options.client;
    this.settings = options.settings;
    this.patience = options.patience;
    this.info = options.info;
    this.changed = options.changed;
    this.index.setOrder(this.names.servers);
  }

  get names(): MergedNames {
    return this.#options.names();
  }

  /** Aborted with the view: for work that outlives the request which began it. */
  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  /** In the order of the file. */
  members(): readonly Member[] {
    return this.names.servers.map((name) => this.member(name));
  }

  /** @param name of a server that is in `names` */
  member(name: string): Member {
    const known = this.#members.get(name);
    if (known !== undefined) return known;
    const member = this.#options.join(name, this.names.partOf(name) ?? name, this.signal);
    this.#members.set(name, member);
    return member;
  }

  /** Those that something was wanted of. */
  opened(): readonly Member[] {
    return [...this.#members.values()].filter(({ isOpen }) => isOpen);
  }

  /** Servers came or went. */
  refresh(): void {
    const { names } = this;
    this.index.setOrder(names.servers);
    for (const [name, member] of this.#members) {
      // A made-up part may have become another one.
      if (names.partOf(name) === member.part) continue;
      this.#members.delete(name);
      void member.close(`${name} is no longer served`);
    }
  }

  async close(reason: string): Promise<void> {
    this.#closed.abort(new Error(reason));
    await Promise.all([...this.#members.values()].map((member) => member.close(reason)));
  }

  /** Parameters of requests that Governor makes in the name of this client. */
  ownParams(): Fields {
    return this.client.era === 'modern' ? { _meta: modernMeta(this.client) } : {};
  }

  /** As the client is told it; remembered, so that the client can ask for it. */
  shownUri(member: Member, uri: string): string {
    const shown = this.index.shownUri(member.name, member.part, uri);
    if (shown === uri && this.index.ownerOf(uri) === undefined) this.index.saw(member.name, uri);
    return shown;
  }

  /** Null: it fails, or takes too long. */
  async described(member: Member, requestSignal: AbortSignal): Promise<ServerDescription | null> {
    // One of its own for each server: Node warns when a signal has more than a few listeners.
    const signal = AbortSignal.any([requestSignal]);
    try {
      return (await this.inTime(member, member.describe(signal), this.settings.describeTimeoutMs, signal)) ?? null;
    } catch {
      return null;
    }
  }

  /**
   * @param signal aborted: nobody waits for it any more, which says nothing about the server
   * @returns undefined when it took too long. Rejects as the promise does in time.
   */
  async inTime<T>(member: Member, promise: Promise<T>, timeoutMs: number, signal: AbortSignal): Promise<T | undefined> {
    const { patience } = this;
    void promise.then(
      () => patience.answered(member.name),
      () => undefined,
    );
    const waited = promise.then((value) => ({ value }));
    const found = await within(waited, patience.waitMs(member.name, timeoutMs), signal);
    if (found === undefined && !signal.aborted) patience.wasSlow(member.name);
    return found?.value;
  }

  /** Resolves when the resources of these are known, as far as they can be told in time. */
  async indexed(members: readonly Member[]): Promise<void> {
    const unknown = members.filter(({ name }) => !this.index.isKnown(name));
    if (unknown.length === 0) return;
    await Promise.all(
      unknown.map((member) => {
        const reading = (member.indexing ??= this.#read(member));
        return this.inTime(member, reading, this.settings.listTimeoutMs, AbortSignal.any([this.signal]));
      }),
    );
  }

  forgetResources(member: Member): void {
    this.index.forget(member.name);
    member.indexing = null;
  }

  async #read(member: Member): Promise<void> {
    // Runs after `indexing` is set: what is forgotten meanwhile must not be learned.
    await Promise.resolve();
    const mine = member.indexing;
    const exchange = quietExchange(
      AbortSignal.any([this.signal, AbortSignal.timeout(this.settings.lateListTimeoutMs)]),
    );
    try {
      const { capabilities } = await member.describe(exchange.signal);
      const has = capabilities['resources'] !== undefined;
      const [resources, templates] = await Promise.all(
        [RESOURCES, TEMPLATES].map((list) =>
          has ? allEntries(member.session, list, this.ownParams(), exchange) : Promise.resolve([]),
        ),
      );
      if (member.indexing === mine && isList(resources) && isList(templates))
        this.index.learn(member.name, entriesIn(resources), entriesIn(templates));
    } catch {
      // Not to be had now; the next request that needs it tries again.
    } finally {
      if (member.indexing === mine) member.indexing = null;
    }
  }
}

type Listed = Awaited<ReturnType<typeof allEntries>>;

/** Many servers have resources and no templates; they answer that with an error. */
function isList(listed: Listed | undefined): listed is Listed {
  return listed !== undefined && (!('kind' in listed) || listed.error.code === RPC_CODE.methodNotFound);
}

function entriesIn(listed: Listed): readonly Fields[] {
  return 'kind' in listed ? [] : listed;
}

function within<T>(promise: Promise<T>, timeoutMs: number, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve(undefined);
    };
    const timer = setTimeout(end, timeoutMs);
    timer.unref();
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    promise.then(resolve, reject).finally(end);
  });
}
