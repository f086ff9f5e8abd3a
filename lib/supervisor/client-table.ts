/** The clients of all runs: each is looked at once, however many runs it has. */

import type { ProcessIdentity } from '../core/identity.ts';
import type { Run } from './run.ts';

interface Client {
  readonly identity: ProcessIdentity;
  readonly runs: Set<Run>;
}

export class ClientTable {
  readonly #clients = new Map<string, Client>();

  /** A detached run outlives its clients: they do not matter. */
  add(run: Run): void {
    if (run.init.detached) return;
    for (const identity of run.init.clients) {
      const key = keyOf(identity);
      const client = this.#clients.get(key);
      if (client === undefined) this.#clients.set(key, { identity, runs: new Set([run]) });
      else client.runs.add(run);
    }
  }

  remove(run: Run): void {
    for (const identity of run.init.clients) {
      const key = keyOf(identity);
      const client = this.#clients.get(key);
      client?.runs.delete(run);
      if (client?.runs.size === 0) this.#clients.delete(key);
    }
  }

  /** Running runs that have lost a client, each with the first one that is gone. */
  orphans(isAlive: (client: ProcessIdentity) => boolean): ReadonlyMap<Run, ProcessIdentity> {
    let orphans: Map<Run, ProcessIdentity> | null = null;
    for (const { identity, runs } of this.#clients.values()) {
      if (isAlive(identity)) continue;
      orphans ??= new Map();
      for (const run of runs) if (run.state === 'running' && !orphans.has(run)) orphans.set(run, identity);
    }
    return orphans ?? NOBODY;
  }
}

const NOBODY: ReadonlyMap<Run, ProcessIdentity> = new Map();

function keyOf({ pid, startTicks }: ProcessIdentity): string {
  return `${pid}:${startTicks}`;
}
