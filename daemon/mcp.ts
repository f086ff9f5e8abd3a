/** Joins what serves managed tools to clients: pool, gateway and front doors, and the supervisor that they stand on. */

import { createMcpFront } from '../lib/mcp/front/front.ts';
import type { McpFront } from '../lib/mcp/front/front.ts';
import { openCatalogueStore } from '../lib/mcp/pool/catalogue-store.ts';
import { cachedServers } from '../lib/mcp/cache/cached-servers.ts';
import type { CacheEvent } from '../lib/observe/cache-metrics.ts';
import { Accounts } from '../lib/mcp/calls/account.ts';
import type { CallRecord, ContextAccount } from '../lib/mcp/calls/account.ts';
import { createCallGuard } from '../lib/mcp/calls/guard.ts';
import { createConnector } from '../lib/mcp/connect.ts';
import { Pool } from '../lib/mcp/pool/pool.ts';
import type { HttpTarget } from '../lib/mcp/upstream/http-channel.ts';
import type { Channel } from '../lib/mcp/upstream/upstream.ts';
import { createGateway } from '../lib/mcp/router/gateway.ts';
import type { Clock } from '../lib/core/clock.ts';
import type { Log } from '../lib/supervisor/ports.ts';
import type { Registry } from '../lib/supervisor/registry.ts';
import { serveRegistry } from '../lib/supervisor/served.ts';
import type { CacheConfig } from '../config/cache-schema.ts';
import { createCache } from './cache.ts';
import type { DaemonCache } from './cache.ts';
import { governorVersion } from './cli/version.ts';

export interface McpInput {
  readonly registry: Registry;
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Between the names of a server and its tool. */
  readonly separator: string;
  /** Null: off. */
  readonly cache: CacheConfig | null;
  onCall(record: CallRecord): void;
  onCache(tool: string, event: CacheEvent): void;
}

export interface Mcp {
  readonly pool: Pool;
  readonly front: McpFront;
  /** By context, also of those that have ended, for a while. */
  calls(): readonly ContextAccount[];
  readonly cache: DaemonCache;
  /** @param tool that came, went or is defined anew; null: any may be */
  refresh(tool: string | null): void;
}

export function createMcp(input: McpInput): Mcp {
  const { registry, stateDir, clock, log, separator } = input;
  const info = { name: 'governor', version: governorVersion() };
  const now = (): number => clock.monotonicMs();
  const accounts = new Accounts();
  const tools = serveRegistry(registry);
  const onCall = (record: CallRecord): void => {
    accounts.add(record);
    input.onCall(record);
  };
  const cache = createCache({
    config: input.cache,
    tools,
    clock,
    log,
    onCall,
    onEvent: (tool, event) => input.onCache(tool, event),
  });
  const { answers } = cache;
  const pool = new Pool({
    tools,
    connector: createConnector({ version: governorVersion(), monotonicMs: now, remote: openRemote }),
    store: openCatalogueStore(`${stateDir}/catalogues`, (problem) => log.warn({ problem }, 'a kept catalogue')),
    log,
    guard: createCallGuard({ monotonicMs: now, onCall }),
    governor: {
      info,
      // What it can pass on to whichever client a request of the server's belongs to.
      capabilities: { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } },
    },
    monotonicMs: now,
    ...(answers === null ? {} : { stale: answers }),
  });
  const servers = answers === null ? pool : cachedServers(pool, answers);
  const gateway = createGateway({ servers, info, separator, now });
  return {
    pool,
    front: createMcpFront({ gateway, logger: log, now }),
    calls: () => accounts.all(),
    cache,
    refresh(tool) {
      answers?.refresh(tool);
      pool.refresh(tool);
    },
  };
}

/** Loaded with the first server elsewhere: the SDK is 4 MB that a daemon of local tools need not carry. */
async function openRemote(target: HttpTarget): Promise<Channel> {
  const { HttpChannel } = await import('../lib/mcp/upstream/http-channel.ts');
  return new HttpChannel(target);
}
