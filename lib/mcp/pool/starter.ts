/** How a client gets a process of its tool: a spare one that fits is taken over, else one is started. */

import { GovernorError } from '../../core/errors.ts';
import type { ToolDefinition } from '../../supervisor/governor.ts';
import type { ServedRun, ServedTool } from '../../supervisor/served.ts';
import type { Log } from '../../supervisor/ports.ts';
import { isServed } from './connector.ts';
import type { ConnectRequest, Connector, ServedConnection } from './connector.ts';
import { canonical } from './identity.ts';
import type { Identity } from './identity.ts';
import type { ToolMemory } from './memory.ts';
import type { ServerProcess } from './process.ts';
import type { Processes } from './processes.ts';
import { patiently } from './starts.ts';

/** A tool as it is defined now, and what is known of its server. */
export interface Current {
  readonly tool: ServedTool;
  readonly definition: ToolDefinition;
  readonly memory: ToolMemory;
}

export interface StarterOptions {
  readonly processes: Processes;
  readonly connector: Connector;
  readonly log: Log;
  /** Governor's own. */
  readonly governor: Identity;
  /** @throws GovernorError unknown_tool, not_managed, shutting_down */
  current(): Current;
  monotonicMs(): number;
  onEntered(process: ServerProcess): void;
}

export class ProcessStarter {
  readonly #options: StarterOptions;
  #connecting = 0;

  constructor(options: StarterOptions) {
    this.#options = options;
  }

  /** Handshakes under way. */
  get connecting(): number {
    return this.#connecting;
  }

  /** @param context whose it is to be; null: everybody's @throws GovernorError when it cannot be started */
  async get(identity: Identity, context: string | null): Promise<ServerProcess> {
    return (await this.#takeSpare(identity, context)) ?? (await this.start(identity, context, false));
  }

  /** @param isSpare whoever fits may take it over @throws GovernorError when it cannot be started */
  async start(identity: Identity, context: string | null, isSpare: boolean): Promise<ServerProcess> {
    const { tool, memory } = this.#options.current();
    const isKnown = memory.era !== null;
    const begin = (): Promise<ServedRun> =>
      patiently(
        () => tool.start({ context, connect: (process, settings) => this.#connect(process, settings, identity) }),
        () => this.#options.monotonicMs(),
      );
    const run = await begin().catch((error: unknown) => {
      // It was asked for its era and went; now it is believed to be known.
      if (isKnown || memory.era === null) throw error;
      return begin();
    });
    return this.#enter(run, isSpare);
  }

  /** The handshake of a run that no request has asked for: as if it spoke with the client that came last. */
  connectSpare(process: ConnectRequest['process'], settings: ConnectRequest['options']): Promise<ServedConnection> {
    return this.#connect(process, settings, this.#spareIdentity());
  }

  addSpare(run: ServedRun): void {
    this.#enter(run, true).catch((error: unknown) =>
      this.#options.log.warn({ tool: run.tool, run: run.id, err: error }, 'a run that nobody uses yet has ended'),
    );
  }

  /** One that nobody has used yet, and that believes to speak with a client that can do the same. */
  async #takeSpare(identity: Identity, context: string | null): Promise<ServerProcess | null> {
    const { tool } = this.#options.current();
    const capabilities = canonical(identity.capabilities);
    const find = (): ServerProcess | undefined => {
      const { memory } = this.#options.current();
      return this.#options.processes.find(
        (process) =>
          process.isSpare &&
          process.server === memory.server &&
          (process.run.context === null || process.run.context === context) &&
          canonical(process.identity.capabilities) === capabilities,
      );
    };
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

  async #enter(run: ServedRun, isSpare: boolean): Promise<ServerProcess> {
    const { connection } = run;
    try {
      if (!isServed(connection)) throw new Error('it was connected to without the pool');
      const process = this.#options.processes.enter(run, connection, isSpare);
      this.#options.onEntered(process);
      return process;
    } catch (error) {
      await run.stop('unhealthy', `stopped: ${(error as Error).message}`);
      throw error;
    }
  }

  async #connect(
    process: ConnectRequest['process'],
    settings: ConnectRequest['options'],
    identity: Identity,
  ): Promise<ServedConnection> {
    const { definition, memory } = this.#options.current();
    const { era, takesTurns } = memory;
    this.#connecting++;
    try {
      const connection = await this.#options.connector({ process, options: settings, identity, era, takesTurns });
      const { state } = connection.upstream;
      if (state.kind === 'ready') memory.era = state.description.era;
      return connection;
    } catch (error) {
      // Some legacy servers exit when they are asked what they do not know. The next start does not ask. One elsewhere that
      // cannot be reached has said nothing of itself.
      const isAsked = error instanceof GovernorError && error.data['probe'] !== undefined;
      if (isAsked && definition.remote === undefined) memory.era ??= 'legacy';
      throw error;
    } finally {
      this.#connecting--;
    }
  }

  #spareIdentity(): Identity {
    const { definition, memory } = this.#options.current();
    const { governor } = this.#options;
    return definition.sharing === 'shared' ? governor : (memory.client ?? { info: governor.info, capabilities: {} });
  }
}
