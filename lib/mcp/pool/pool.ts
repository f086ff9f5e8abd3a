/** All tools that are served, each by its processes; what the router and the front doors open sessions with. */

import type { ServedRun } from '../../supervisor/served.ts';
import type { Client, Servers } from '../wire/session.ts';
import { CallSession } from './call-session.ts';
import type { ConnectRequest, ServedConnection } from './connector.ts';
import { PoolSession } from './session.ts';
import { ToolPool } from './tool-pool.ts';
import type { PoolOptions } from './tool-pool.ts';

/** By the states of a conversation. */
export interface ConnectionCounts {
  readonly initializing: number;
  readonly ready: number;
  readonly shutdown: number;
}

const NO_CONNECTIONS: ConnectionCounts = { initializing: 0, ready: 0, shutdown: 0 };

export class Pool implements Servers {
  readonly #options: PoolOptions;
  readonly #tools = new Map<string, ToolPool>();
  readonly #listeners = new Set<() => void>();
  /** In their order, as listeners were last told. */
  #served: Set<string>;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#served = new Set(this.names());
  }

  names(): readonly string[] {
    return this.#options.tools.names();
  }

  open(tool: string, client: Client): PoolSession | CallSession {
    const pool = this.#of(tool);
    const { definition } = pool.current();
    return definition.sharing === 'call' ? new CallSession(pool, client) : new PoolSession(pool, client);
  }

  onChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The handshake of a run that no request has asked for. @throws GovernorError launch_failed */
  connect(process: ConnectRequest['process'], options: ConnectRequest['options']): Promise<ServedConnection> {
    return this.#of(options.definition.name).starter.connectSpare(process, options);
  }

  /** A run is ready that no request has asked for. */
  addSpare(run: ServedRun): void {
    this.#of(run.tool).starter.addSpare(run);
  }

  /** Null for tools that are not served. */
  connections(tool: string): ConnectionCounts | null {
    const pool = this.#tools.get(tool);
    if (pool !== undefined) return pool.connections;
    return this.#options.tools.has(tool) ? NO_CONNECTIONS : null;
  }

  /** @param tool that came or went; null: any may have, or is defined anew. One of thousands costs no look at the others. */
  refresh(tool: string | null): void {
    if (tool === null) this.#refreshAll();
    else this.#refreshOne(tool);
  }

  #refreshOne(name: string): void {
    const isServed = this.#options.tools.has(name);
    this.#follow(name, isServed);
    if (isServed === this.#served.has(name)) return;
    if (isServed) this.#served.add(name);
    else this.#served.delete(name);
    this.#tell();
  }

  #refreshAll(): void {
    const before = [...this.#served];
    const names = this.names();
    this.#served = new Set(names);
    for (const name of this.#tools.keys()) this.#follow(name, this.#served.has(name));
    // Their order is that of the lists which clients see.
    if (names.join('\n') !== before.join('\n')) this.#tell();
  }

  #follow(name: string, isServed: boolean): void {
    const pool = this.#tools.get(name);
    if (pool === undefined) return;
    if (isServed) this.#attempt(name, () => pool.refresh());
    else if (pool.isUnused) this.#tools.delete(name);
  }

  #tell(): void {
    for (const listener of this.#listeners) this.#attempt(null, listener);
  }

  /** Whoever tells of a change is not the one to fail by what follows from it. */
  #attempt(tool: string | null, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.log.warn({ tool, err: error }, 'a change of the tools could not be followed');
    }
  }

  /** @throws GovernorError unknown_tool, not_managed, shutting_down */
  #of(tool: string): ToolPool {
    const known = this.#tools.get(tool);
    if (known !== undefined) return known;
    this.#options.tools.find(tool);
    const pool = new ToolPool(tool, this.#options);
    this.#tools.set(tool, pool);
    return pool;
  }
}
