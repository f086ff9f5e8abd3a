/**
 * Who the client of a direct run is, and whether it still lives. design: "the client died" means that an ancestor of the
 * run that was alive at launch, below the session leader, is gone.
 *
 * The session is that of the launcher's parent, so a client that starts tools in sessions of their own is still their
 * client. The leader of that session counts too when it has no terminal: a desktop program or a service is often its own
 * session leader. With a terminal it is the shell of a person, who may leave things running on purpose (nohup, &).
 */

import type { ProcessIdentity } from '../core/identity.ts';
import type { Ancestor, ProcessFacts } from './facts.ts';

/** The ancestors whose death ends the run; never PID 1. */
export function clientAncestors(lineage: readonly Ancestor[]): readonly ProcessIdentity[] {
  const parent = lineage[0];
  if (parent === undefined) return [];
  const clients: ProcessIdentity[] = [];
  for (const ancestor of lineage) {
    if (ancestor.pid === 1 || ancestor.session !== parent.session) break;
    const leader = ancestor.pid === ancestor.session;
    if (!leader || !ancestor.terminal) clients.push({ pid: ancestor.pid, startTicks: ancestor.startTicks });
    if (leader) break;
  }
  return clients;
}

/** The first ancestor that is gone, or null while all live. */
export function deadClient(clients: readonly ProcessIdentity[], facts: ProcessFacts): ProcessIdentity | null {
  return clients.find((client) => !facts.alive(client)) ?? null;
}
