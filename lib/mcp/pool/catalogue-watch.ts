/** Keeps what the servers of one tool offer, as they tell of changes, and tells whoever was told something else. */

import type { Log } from '../../supervisor/ports.ts';
import type { Client } from '../wire/session.ts';
import { changedLists, collect } from './catalogue.ts';
import type { ChangedList } from './catalogue.ts';
import { fingerprint } from './identity.ts';
import type { Identity } from './identity.ts';
import { internalClient, internalExchange } from './internal-client.ts';
import type { ToolMemory } from './memory.ts';
import type { ServerProcess } from './process.ts';
import type { Member, StaleListener } from './tool-pool.ts';

/** Lists may be long, and a server of tens of them slow; nobody waits for it. */
const COLLECT_TIMEOUT_MS = 60_000;
/** After a `list_changed` more of them tend to follow. */
const RECOLLECT_MS = 200;

export interface CatalogueWatchOptions {
  readonly tool: string;
  readonly log: Log;
  readonly governor: Identity;
  readonly stale?: StaleListener;
  readonly members: ReadonlySet<Member>;
  /** Of the server as it is defined now. */
  memory(): ToolMemory | null;
  /** As whom a server would be asked for this client. @throws GovernorError unknown_tool, not_managed, shutting_down */
  identityFor(client: Client): Identity;
}

export class CatalogueWatch {
  readonly #options: CatalogueWatchOptions;

  constructor(options: CatalogueWatchOptions) {
    this.#options = options;
  }

  /** A process is there. */
  entered(process: ServerProcess): void {
    const { tool, log, stale, memory } = this.#options;
    const read = (): Promise<void> =>
      this.#collect(process).catch((error: unknown) =>
        log.warn({ tool, run: process.run.id, err: error }, 'its lists could not be read'),
      );
    process.upstream.onStale((what) => stale?.onStale(tool, process.description.era, what));
    if (stale !== undefined)
      process.upstream.onQuestions({
        onQuestion: (context) => stale.onQuestion(tool, context),
        onQuestionOver: () => stale.onQuestionOver(tool),
      });
    process.upstream.onListChanged(() => process.soon(RECOLLECT_MS, read));
    const known = memory()?.isFresh(fingerprint(process.identity)) === true;
    // A process that lives for one call is not asked each time.
    if (process.run.definition.sharing !== 'call' || !known) void read();
  }

  /** Another server is defined in the place of the one that this is known of. */
  replaced(former: ToolMemory): void {
    const { members, identityFor } = this.#options;
    for (const member of members) {
      const before = former.catalogue(fingerprint(identityFor(member.client)));
      if (before !== null) member.listsChanged(changedLists(before, { server: before.server, lists: {} }));
    }
  }

  async #collect(process: ServerProcess): Promise<void> {
    const { tool, governor, stale } = this.#options;
    const session = process.upstream.attach(internalClient(process.description, governor));
    try {
      const exchange = internalExchange(AbortSignal.timeout(COLLECT_TIMEOUT_MS));
      const catalogue = await collect(session, process.description, exchange);
      const memory = this.#options.memory();
      if (!process.alive || memory?.server !== process.server) return;
      const print = fingerprint(process.identity);
      const changed = memory.learn(print, catalogue);
      if (changed.length > 0 && process.isNew) stale?.onCatalogueChanged(tool, process.description.era);
      if (changed.length > 0) this.#tell(process, print, changed);
      process.isNew = false;
    } finally {
      await session.close('its lists are read');
    }
  }

  /** Members of other processes hear of their own; those of this one, from itself, unless it is new. */
  #tell(process: ServerProcess, print: string, changed: readonly ChangedList[]): void {
    const { members, identityFor } = this.#options;
    for (const member of members) {
      const isConcerned = member.process === null || (member.process === process && process.isNew);
      if (isConcerned && fingerprint(identityFor(member.client)) === print) member.listsChanged(changed);
    }
  }
}
