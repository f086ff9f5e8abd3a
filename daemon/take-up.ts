/** The start of a daemon's work: what lived before it is adopted or ended, what is written is registered, launches are answered. */

import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { procfsFacts } from '../lib/os/procfs/process-facts.ts';
import type { ProcessIdentity } from '../lib/os/backend.ts';
import type { McpFront } from '../lib/mcp/front/front.ts';
import { unansweredLaunchers } from '../lib/process/launch-requests.ts';
import { Rendezvous } from '../lib/process/rendezvous.ts';
import type { SupervisorPorts } from '../lib/supervisor/ports.ts';
import { reconcile } from '../lib/supervisor/reconcile.ts';
import type { Registry } from '../lib/supervisor/registry.ts';
import { createConnectDoor } from './connect-door.ts';
import { createLaunchDoor } from './launch-door.ts';
import { restoreDefinition } from './restore-definition.ts';

export interface TakeUpOptions {
  /** Of launch requests. */
  readonly directory: string;
  /** As it is now. */
  readonly config: () => Config;
  readonly ports: SupervisorPorts;
  readonly registry: Registry;
  readonly front: McpFront;
  readonly self: ProcessIdentity;
  readonly log: Logger;
  /** The tools are those that are written. */
  onDefined(): void;
}

/** @returns the open door for launches, and what settles those that an earlier daemon did not finish (never rejects) */
export async function takeUp({
  directory,
  config,
  ports,
  registry,
  front,
  self,
  log,
  onDefined,
}: TakeUpOptions): Promise<{ readonly rendezvous: Rendezvous; readonly interrupted: Promise<void> }> {
  const waiting = new Set(unansweredLaunchers(directory));
  const afterwards = await reconcile({
    ports,
    registry,
    restoreDefinition: (entry) => restoreDefinition(entry, config()),
    waiting,
  });
  for (const definition of config().tools) if (!registry.live.has(definition.name)) registry.add(definition);
  onDefined();
  const facts = procfsFacts;
  const launch = createLaunchDoor({ registry, config, facts, log, directory });
  const connect = createConnectDoor({ governor: registry, front, log });
  const rendezvous = new Rendezvous({
    directory,
    self,
    facts,
    onRequest: (request) => (request.verb === 'run' ? launch(request) : connect(request)),
    onRefused: (reason) => log.warn({ reason }, 'a launch request was refused'),
  });
  return { rendezvous, interrupted: rendezvous.caughtUp.then(afterwards) };
}
