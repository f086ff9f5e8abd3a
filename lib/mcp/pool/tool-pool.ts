/** One tool as it is served: its processes by key, spare, or for one call; what is known of its server; who has a session. */

import type { ToolDefinition } from '../../supervisor/governor.ts';
import type { ServedRun, ServedTools } from '../../supervisor/served.ts';
import type { Log } from '../../supervisor/ports.ts';
import type { Answer, RequestBody } from '../wire/message.ts';
import type { Stale } from '../upstream/upstream.ts';
import type { Era } from '../wire/protocol.ts';
import type { Client, Exchange, ServerDescription } from '../wire/session.ts';
import type { CallGuard } from './call-guard.ts';
import { isList, listed } from './catalogue.ts';
import type { Catalogue, ChangedList } from './catalogue.ts';
import type { CatalogueStore } from './catalogue-store.ts';
import { CatalogueWatch } from './catalogue-watch.ts';
import type { Connector } from './connector.ts';
import { fingerprint, identityOf, processKey, serverHash } from './identity.ts';
import type { Identity } from './identity.ts';
import { internalClient } from './internal-client.ts';
import { ToolMemory } from './memory.ts';
import type { ServerProcess } from './process.ts';
import { Processes } from './processes.ts';
import { ProcessStarter } from './starter.ts';
import type { Current } from './starter.ts';
import { SingleFlight } from './starts.ts';
import { Turnstile } from './waiting.ts';

export interface PoolOptions {
  readonly tools: ServedTools;
  readonly connector: Connector;
  readonly store: CatalogueStore;
  readonly log: Log;
  readonly guard: CallGuard | null;
  /** Governor's own, for servers that many clients share: what it can pass on to each of them. */
  readonly governor: Identity;
  monotonicMs(): number;
  /** Told before any client is. */
  readonly stale?: StaleListener;
}

/** Hears of what makes answers stale that were kept of a tool, and of what they may wait for. */
export interface StaleListener {
  onStale(tool: string, era: Era, what: Stale): void;
  /** A process that has just come offers something else than was known. */
  onCatalogueChanged(tool: string, era: Era): void;
  /** A server waits for a client of this context to answer it. Once each is over: `onQuestionOver`. */
  onQuestion(tool: string, context: string): void;
  onQuestionOver(tool: string): void;
  /** A process ends, and tells of nothing any more. */
  onProcessEnding(tool: string): void;
}

/** A session as its tool's pool sees it. */
export interface Member {
  readonly client: Client;
  /** The process that it has a conversation with. */
  readonly process: ServerProcess | null;
  listsChanged(lists: readonly ChangedList[]): void;
}

/** What a client needs a process for. */
export interface Want {
  readonly client: Client;
  /** In a form that can be compared; null: it has none, or they do not matter. */
  readonly roots: string | null;
}

/** Processes of one tool that are started for a call each. */
const CALLS_AT_ONCE = 16;
const CALLS_WAITING_MAX = 1_000;

export class ToolPool {
  readonly name: string;
  readonly options: PoolOptions;
  readonly starter: ProcessStarter;
  /** Of `sharing: call`: each is a process. */
  readonly calls = new Turnstile(CALLS_AT_ONCE, CALLS_WAITING_MAX);
  readonly #members = new Set<Member>();
  readonly #processes: Processes;
  readonly #starts = new SingleFlight<ServerProcess>();
  readonly #catalogues: CatalogueWatch;
  #memory: ToolMemory | null = null;
  /** What the members were told last, before the definition changed. */
  #former: ToolMemory | null = null;

  constructor(name: string, options: PoolOptions) {
    this.name = name;
    this.options = options;
    this.#processes = new Processes({
      monotonicMs: () => options.monotonicMs(),
      onEnding: (process) => {
        this.#remember(process);
        options.stale?.onProcessEnding(name);
      },
    });
    this.#catalogues = new CatalogueWatch({
      ...options,
      tool: name,
      members: this.#members,
      memory: () => this.#memory,
      identityFor: (client) => this.identityFor(this.current().definition, client),
    });
    this.starter = new ProcessStarter({
      ...options,
      processes: this.#processes,
      current: () => this.current(),
      onEntered: (process) => this.#catalogues.entered(process),
    });
  }

  /** @throws GovernorError unknown_tool, not_managed, shutting_down */
  current(): Current {
    const tool = this.options.tools.find(this.name);
    const { definition } = tool;
    const server = serverHash(definition);
    if (this.#memory?.server !== server) {
      this.#former = this.#memory;
      this.#memory = new ToolMemory(server, this.name, this.options.store);
    }
    return { tool, definition, memory: this.#memory };
  }

  get isUnused(): boolean {
    return this.#members.size === 0 && this.#processes.all.length === 0;
  }

  get connections(): { readonly initializing: number; readonly ready: number; readonly shutdown: number } {
    return {
      initializing: this.starter.connecting,
      ready: this.#processes.all.length,
      shutdown: this.#processes.endingCount,
    };
  }

  join(member: Member): void {
    this.#members.add(member);
  }

  /** What was started for its context alone is stopped with the last member of that. Never rejects. */
  async leave(member: Member): Promise<void> {
    this.#members.delete(member);
    const { context } = member.client;
    if (this.#hasMemberOf(context)) return;
    await Promise.all(
      this.#processes.all
        .filter(({ run }) => run.context === context)
        .toReversed()
        .map((process) => process.stop('context_ended', `stopped: its context ${context} ended`)),
    );
  }

  /** @throws GovernorError when a server has to be started for it and cannot be */
  async describe(client: Client): Promise<ServerDescription> {
    const { definition, memory } = this.current();
    const kept = memory.catalogue(fingerprint(this.identityFor(definition, client)));
    if (kept !== null) return kept.server;
    return (await this.#anyProcess(client)).description;
  }

  /** A list is the same whatever roots its reader has: any process answers, and none is bound to the reader by it. @throws GovernorError */
  async readList(client: Client, request: RequestBody, exchange: Exchange): Promise<Answer> {
    const process = await this.#anyProcess(client);
    const session = process.upstream.attach(internalClient(process.description, this.options.governor));
    try {
      return await session.request(request, exchange);
    } finally {
      await session.close('the list is read');
    }
  }

  /** One that says the same of itself as this client's own would. @throws GovernorError */
  async #anyProcess(client: Client): Promise<ServerProcess> {
    const { definition, memory } = this.current();
    const identity = this.identityFor(definition, client);
    const print = fingerprint(identity);
    const running = this.#processes.find(
      (process) => process.server === memory.server && fingerprint(process.identity) === print,
    );
    if (running !== undefined) return running;
    // Its roots cannot be asked for before it is answered; where they decide, or may, the process is nobody's until then.
    const mayHaveRoots = client.capabilities['roots'] !== undefined && memory.era !== 'modern';
    const isOpen = definition.sharing === 'call' || (definition.sharing === 'shared' && mayHaveRoots);
    return isOpen
      ? this.#starts.run(`spare ${print}`, () => this.starter.start(identity, null, true))
      : this.acquire({ client, roots: null });
  }

  /** A list from what is kept, where no process has to be asked; null otherwise. */
  listed(client: Client, request: RequestBody): Answer | null {
    if (!isList(request.method)) return null;
    const catalogue = this.#asleep(client);
    return catalogue === null ? null : listed(catalogue, request);
  }

  /** What its server said of itself, where none of its processes could be asked; null otherwise. */
  describedAsleep(client: Client): ServerDescription | null {
    return this.#asleep(client)?.server ?? null;
  }

  #asleep(client: Client): Catalogue | null {
    const { definition, memory } = this.current();
    const catalogue = memory.catalogue(fingerprint(this.identityFor(definition, client)));
    return definition.sharing !== 'call' && this.#mayHaveProcess(definition, client) ? null : catalogue;
  }

  /** The process of the key that this client's requests have: started when there is none. @throws GovernorError */
  async acquire(want: Want): Promise<ServerProcess> {
    const { definition, memory } = this.current();
    const { client, roots } = want;
    const key = processKey({ server: memory.server, sharing: definition.sharing, roots, context: client.context });
    const running = this.#processes.find((process) => process.key === key);
    if (running !== undefined) return running;
    return this.#starts.run(key, () => this.#start(key, client));
  }

  /** One for one call; whoever asked stops it. @throws GovernorError */
  temporary(client: Client): Promise<ServerProcess> {
    const { definition, memory } = this.current();
    const identity = this.identityFor(definition, client);
    memory.sawClient(identity);
    return this.starter.get(identity, client.context);
  }

  identityFor({ sharing }: ToolDefinition, client: Client): Identity {
    return sharing === 'shared' ? this.options.governor : identityOf(client);
  }

  /** Its definition may have changed. */
  refresh(): void {
    const { definition, memory } = this.current();
    for (const process of this.#processes.all) {
      if (process.server !== memory.server || process.run.definition.sharing !== definition.sharing) process.retire();
    }
    const former = this.#former;
    this.#former = null;
    if (former !== null) this.#catalogues.replaced(former);
  }

  /** From when on another may be demanded in place of this one that ends; null: nothing starts it by itself. */
  retryAfterMs(run: ServedRun): number | null {
    try {
      this.current();
    } catch {
      return null;
    }
    return run.retryAfterMs();
  }

  #hasMemberOf(context: string): boolean {
    for (const { client } of this.#members) if (client.context === context) return true;
    return false;
  }

  #mayHaveProcess({ sharing }: ToolDefinition, { context }: Client): boolean {
    const fits = ({ key, run }: ServerProcess): boolean =>
      key !== null && (sharing === 'shared' || run.context === context);
    return this.#processes.find(fits) !== undefined;
  }

  async #start(key: string, client: Client): Promise<ServerProcess> {
    await this.#processes.ended(key);
    const { definition, memory } = this.current();
    const context = definition.sharing === 'shared' ? null : client.context;
    const identity = this.identityFor(definition, client);
    const process = await this.starter.get(identity, context);
    process.key = key;
    if (definition.sharing !== 'shared') memory.sawClient(identity);
    // Everybody who wanted it has gone meanwhile.
    if (context !== null && !this.#hasMemberOf(context))
      void process.stop('context_ended', `stopped: its context ${context} ended while it was starting`);
    return process;
  }

  #remember(process: ServerProcess): void {
    const memory = this.#memory;
    if (memory?.server === process.server) memory.takesTurns ||= process.upstream.takesTurns;
  }
}
