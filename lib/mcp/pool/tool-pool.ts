/** The processes of one tool: by key, spare, or for one call; what is known of its server; and who has a session with it. */

import type { ToolDefinition } from '../../supervisor/governor.ts';
import type { ServedRun, ServedTool, ServedTools } from '../../supervisor/served.ts';
import type { Log } from '../../supervisor/ports.ts';
import type { Answer, RequestBody } from '../wire/message.ts';
import type { Client, ServerDescription } from '../wire/session.ts';
import type { CallGuard } from './call-guard.ts';
import { changedLists, collect, isList, listed } from './catalogue.ts';
import type { Catalogue, ChangedList } from './catalogue.ts';
import type { CatalogueStore } from './catalogue-store.ts';
import { isServed } from './connector.ts';
import type { ConnectRequest, Connector, ServedConnection } from './connector.ts';
import { canonical, fingerprint, identityOf, processKey, serverHash } from './identity.ts';
import type { Identity } from './identity.ts';
import { internalClient, internalExchange } from './internal-client.ts';
import { ToolMemory } from './memory.ts';
import { ServerProcess } from './process.ts';
import { patiently, SingleFlight } from './starts.ts';
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

interface Current {
  readonly tool: ServedTool;
  readonly definition: ToolDefinition;
  readonly memory: ToolMemory;
}

/** Processes of one tool that are started for a call each. */
const CALLS_AT_ONCE = 16;
const CALLS_WAITING_MAX = 1_000;
/** Lists may be long, and a server of tens of them slow; nobody waits for it. */
const COLLECT_TIMEOUT_MS = 60_000;
/** After a `list_changed` more of them tend to follow. */
const RECOLLECT_MS = 200;

export class ToolPool {
  readonly name: string;
  readonly options: PoolOptions;
  /** Of `sharing: call`: each is a process. */
  readonly calls = new Turnstile(CALLS_AT_ONCE, CALLS_WAITING_MAX);
  readonly #members = new Set<Member>();
  readonly #processes = new Set<ServerProcess>();
  /** Until its process is proven over, nothing of the same key is started: it may hold a port or a lock. */
  readonly #endings = new Map<string, Promise<void>>();
  readonly #starts = new SingleFlight<ServerProcess>();
  #memory: ToolMemory | null = null;
  /** What the members were told last, before the definition changed. */
  #former: ToolMemory | null = null;

  constructor(name: string, options: PoolOptions) {
    this.name = name;
    this.options = options;
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

  join(member: Member): void {
    this.#members.add(member);
  }

  /** What was started for its context alone is stopped with the last member of that. Never rejects. */
  async leave(member: Member): Promise<void> {
    this.#members.delete(member);
    const { context } = member.client;
    if (this.#hasMemberOf(context)) return;
    await Promise.all(
      [...this.#processes]
        .filter(({ run }) => run.context === context)
        .toReversed()
        .map((process) => process.stop('context_ended', `stopped: its context ${context} ended`)),
    );
  }

  /** @throws GovernorError when a server has to be started for it and cannot be */
  async describe(client: Client): Promise<ServerDescription> {
    const { definition, memory } = this.current();
    const identity = this.identityFor(definition, client);
    const print = fingerprint(identity);
    const kept = memory.catalogue(print);
    if (kept !== null) return kept.server;
    const running = this.#find(
      (process) => process.server === memory.server && fingerprint(process.identity) === print,
    );
    if (running !== undefined) return running.description;
    // Its roots cannot be asked for before it is answered; where they decide, the process is nobody's until then.
    const isOpen = definition.sharing === 'call' || (definition.sharing === 'shared' && hasRoots(client));
    const process = isOpen
      ? await this.#starts.run(`spare ${print}`, () => this.#startNew(identity, null))
      : await this.acquire({ client, roots: null });
    return process.description;
  }

  /** A list from what is kept, where no process has to be asked; null otherwise. */
  listed(client: Client, request: RequestBody): Answer | null {
    if (!isList(request.method)) return null;
    const { definition, memory } = this.current();
    const catalogue = memory.catalogue(fingerprint(this.identityFor(definition, client)));
    if (catalogue === null || (definition.sharing !== 'call' && this.#mayHaveProcess(definition, client))) return null;
    return listed(catalogue, request);
  }

  /** The process of the key that this client's requests have: started when there is none. @throws GovernorError */
  async acquire(want: Want): Promise<ServerProcess> {
    const { definition, memory } = this.current();
    const { client, roots } = want;
    const key = processKey({ server: memory.server, sharing: definition.sharing, roots, context: client.context });
    const running = this.#find((process) => process.key === key);
    if (running !== undefined) return running;
    return this.#starts.run(key, () => this.#start(key, client));
  }

  /** One for one call; whoever asked stops it. @throws GovernorError */
  async temporary(client: Client): Promise<ServerProcess> {
    const { definition } = this.current();
    const identity = this.identityFor(definition, client);
    const process =
      (await this.#takeSpare(identity, client.context)) ?? (await this.#startNew(identity, client.context));
    process.isSpare = false;
    return process;
  }

  identityFor({ sharing }: ToolDefinition, client: Client): Identity {
    return sharing === 'shared' ? this.options.governor : identityOf(client);
  }

  /** The handshake of a run that no request has asked for. */
  connectSpare(process: ConnectRequest['process'], options: ConnectRequest['options']): Promise<ServedConnection> {
    return this.#connect(process, options, this.#spareIdentity());
  }

  /** A run is ready that no request has asked for. */
  addSpare(run: ServedRun): void {
    if (isServed(run.connection)) this.#enter(run, run.connection);
  }

  get isUnused(): boolean {
    return this.#members.size === 0 && this.#processes.size === 0;
  }

  /** Its definition may have changed. */
  refresh(): void {
    const { definition, memory } = this.current();
    for (const process of this.#processes) {
      if (process.server !== memory.server || process.run.definition.sharing !== definition.sharing) process.retire();
    }
    const former = this.#former;
    this.#former = null;
    if (former === null) return;
    for (const member of this.#members) {
      const before = former.catalogue(fingerprint(this.identityFor(definition, member.client)));
      if (before !== null) member.listsChanged(changedLists(before, { server: before.server, lists: {} }));
    }
  }

  /** What a demand would have to wait after another failure; null: nothing starts it by itself. */
  retryAfterMs(): number | null {
    try {
      return this.current().tool.afterFailureMs();
    } catch {
      return null;
    }
  }

  #find(fits: (process: ServerProcess) => boolean): ServerProcess | undefined {
    for (const process of this.#processes) if (process.usable && fits(process)) return process;
    return undefined;
  }

  #hasMemberOf(context: string): boolean {
    for (const { client } of this.#members) if (client.context === context) return true;
    return false;
  }

  #mayHaveProcess({ sharing }: ToolDefinition, { context }: Client): boolean {
    return (
      this.#find(({ key, run }) => key !== null && (sharing === 'shared' || run.context === context)) !== undefined
    );
  }

  async #start(key: string, client: Client): Promise<ServerProcess> {
    await this.#endings.get(key);
    const { definition, memory } = this.current();
    const context = definition.sharing === 'shared' ? null : client.context;
    const identity = this.identityFor(definition, client);
    const process = (await this.#takeSpare(identity, context)) ?? (await this.#startNew(identity, context));
    process.key = key;
    process.isSpare = false;
    if (definition.sharing !== 'shared') memory.sawClient(identity);
    // Everybody who wanted it has gone meanwhile.
    if (context !== null && !this.#hasMemberOf(context))
      void process.stop('context_ended', `stopped: its context ${context} ended while it was starting`);
    return process;
  }

  /** One that nobody has used yet, and that believes to speak with a client that can do the same. */
  async #takeSpare(identity: Identity, context: string | null): Promise<ServerProcess | null> {
    const { tool, memory } = this.current();
    const capabilities = canonical(identity.capabilities);
    const find = (): ServerProcess | undefined =>
      this.#find(
        (process) =>
          process.isSpare &&
          process.server === memory.server &&
          (process.run.context === null || process.run.context === context) &&
          canonical(process.identity.capabilities) === capabilities,
      );
    let spare = find();
    if (spare === undefined && canonical(this.#spareIdentity().capabilities) === capabilities) {
      await tool.spareComing();
      spare = find();
    }
    if (spare === undefined) return null;
    spare.isSpare = false;
    spare.rootsUnasked = true;
    spare.run.take(context);
    spare.used();
    return spare;
  }

  async #startNew(identity: Identity, context: string | null): Promise<ServerProcess> {
    const { tool } = this.current();
    let connection: ServedConnection | null = null;
    const run = await patiently(
      () =>
        tool.start({
          context,
          connect: async (process, options) => (connection = await this.#connect(process, options, identity)),
        }),
      this.options.monotonicMs,
    );
    try {
      return this.#enter(run, connection ?? (run.connection as ServedConnection));
    } catch (error) {
      await run.stop('unhealthy', `stopped: ${(error as Error).message}`);
      throw error;
    }
  }

  #enter(run: ServedRun, connection: ServedConnection): ServerProcess {
    const { state } = connection.upstream;
    if (state.kind !== 'ready') throw new Error(`its conversation is ${state.kind} already`);
    const process = new ServerProcess({
      run,
      connection,
      server: serverHash(run.definition),
      description: state.description,
      monotonicMs: () => this.options.monotonicMs(),
      onEnding: (ending) => this.#onEnding(ending),
    });
    if (!process.alive) return process;
    this.#processes.add(process);
    process.upstream.onListChanged(() => process.soon(RECOLLECT_MS, () => this.#collect(process)));
    void this.#collect(process);
    return process;
  }

  #onEnding(process: ServerProcess): void {
    this.#processes.delete(process);
    const memory = this.#memory;
    if (memory?.server === process.server) memory.takesTurns ||= process.upstream.takesTurns;
    const { key } = process;
    if (key === null) return;
    const ended = process.ended.finally(() => {
      if (this.#endings.get(key) === ended) this.#endings.delete(key);
    });
    this.#endings.set(key, ended);
  }

  async #connect(
    process: ConnectRequest['process'],
    options: ConnectRequest['options'],
    identity: Identity,
  ): Promise<ServedConnection> {
    const { memory } = this.current();
    const { era, takesTurns } = memory;
    const connection = await this.options.connector({ process, options, identity, era, takesTurns });
    const { state } = connection.upstream;
    if (state.kind === 'ready') memory.era = state.description.era;
    return connection;
  }

  #spareIdentity(): Identity {
    const { definition, memory } = this.current();
    const { governor } = this.options;
    return definition.sharing === 'shared' ? governor : (memory.client ?? { info: governor.info, capabilities: {} });
  }

  /** Keeps what it offers, and tells whoever was told something else. */
  async #collect(process: ServerProcess): Promise<void> {
    const session = process.upstream.attach(internalClient(process.description, this.options.governor));
    try {
      const exchange = internalExchange(AbortSignal.timeout(COLLECT_TIMEOUT_MS));
      const catalogue: Catalogue = await collect(session, process.description, exchange);
      const memory = this.#memory;
      if (!process.alive || memory?.server !== process.server) return;
      const print = fingerprint(process.identity);
      const changed = memory.learn(print, catalogue);
      if (changed.length > 0) this.#tell(process, print, changed);
      process.isNew = false;
    } finally {
      await session.close('its lists are read');
    }
  }

  /** Members of other processes hear of their own; those of this one, from itself, unless it is new. */
  #tell(process: ServerProcess, print: string, changed: readonly ChangedList[]): void {
    const { definition } = this.current();
    for (const member of this.#members) {
      const isConcerned = member.process === null || (member.process === process && process.isNew);
      if (isConcerned && fingerprint(this.identityFor(definition, member.client)) === print)
        member.listsChanged(changed);
    }
  }
}

export function hasRoots({ era, capabilities }: Client): boolean {
  return era === 'legacy' && capabilities['roots'] !== undefined;
}
