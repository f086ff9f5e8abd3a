/** The ready processes of one tool, and those whose end is still under way. */

import type { ServedRun } from '../../supervisor/served.ts';
import type { ServedConnection } from './connector.ts';
import { serverHash } from './identity.ts';
import { ServerProcess } from './process.ts';

export interface ProcessesOptions {
  monotonicMs(): number;
  /** Its end has begun: it takes no new work. */
  onEnding(process: ServerProcess): void;
}

export class Processes {
  readonly #options: ProcessesOptions;
  /** In the order of their start. */
  readonly #ready = new Set<ServerProcess>();
  readonly #endings = new Map<string, Promise<void>>();
  #endingCount = 0;

  constructor(options: ProcessesOptions) {
    this.#options = options;
  }

  get all(): readonly ServerProcess[] {
    return [...this.#ready];
  }

  /** Whose end is under way. */
  get endingCount(): number {
    return this.#endingCount;
  }

  /** Of those that take new work. */
  find(fits: (process: ServerProcess) => boolean): ServerProcess | undefined {
    for (const process of this.#ready) if (process.usable && fits(process)) return process;
    return undefined;
  }

  /** Until a process is proven over, nothing of its key is to be started: it may hold a port or a lock. */
  ended(key: string): Promise<void> {
    return this.#endings.get(key) ?? Promise.resolve();
  }

  /**
   * @param isSpare whoever fits may take it over
   * @throws Error when its conversation is over already
   */
  enter(run: ServedRun, connection: ServedConnection, isSpare: boolean): ServerProcess {
    const { state } = connection.upstream;
    if (state.kind !== 'ready') throw new Error(`its conversation is over already (${state.kind})`);
    const process = new ServerProcess({
      run,
      connection,
      isSpare,
      server: serverHash(run.definition),
      description: state.description,
      monotonicMs: () => this.#options.monotonicMs(),
      onEnding: (ending) => this.#onEnding(ending),
    });
    if (process.alive) this.#ready.add(process);
    return process;
  }

  #onEnding(process: ServerProcess): void {
    this.#ready.delete(process);
    this.#options.onEnding(process);
    const { key } = process;
    this.#endingCount++;
    const ended = process.ended.finally(() => {
      this.#endingCount--;
      if (key !== null && this.#endings.get(key) === ended) this.#endings.delete(key);
    });
    if (key !== null) this.#endings.set(key, ended);
  }
}
