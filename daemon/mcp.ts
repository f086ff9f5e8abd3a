/** Joins what serves managed tools to clients: pool, gateway and front doors, and the supervisor that they stand on. */

import { createMcpFront } from '../lib/mcp/front/front.ts';
import type { McpFront } from '../lib/mcp/front/front.ts';
import { openCatalogueStore } from '../lib/mcp/pool/catalogue-store.ts';
import { cachedServers } from '../lib/mcp/cache/cached-servers.ts';
import type { Recorder } from '../lib/observe/recorder.ts';
import type { CacheEvent } from '../lib/observe/cache-metrics.ts';
import { Accounts } from '../lib/mcp/calls/account.ts';
import type { CallRecord, ContextAccount } from '../lib/mcp/calls/account.ts';
import { createCallGuard } from '../lib/mcp/calls/guard.ts';
import { createConnector } from '../lib/mcp/connect.ts';
import { Pool } from '../lib/mcp/pool/pool.ts';
import type { Connector } from '../lib/mcp/pool/connector.ts';
import type { SignIns } from '../lib/mcp/sign-in/sign-ins.ts';
import type { Channel } from '../lib/mcp/upstream/upstream.ts';
import { createGateway } from '../lib/mcp/router/gateway.ts';
import type { Clock } from '../lib/core/clock.ts';
import { GovernorError } from '../lib/core/errors.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';
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
  readonly recorder: Recorder;
  /** Between the names of a server and its tool. */
  readonly separator: string;
  readonly signIns: SignIns;
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
  /** What is open for its clients ends, with what was started for it alone, and its account is closed. @returns false: nothing is known of it */
  endContext(context: string): Promise<boolean>;
  readonly cache: DaemonCache;
  /** @param tool that came, went or is defined anew; null: any may be */
  refresh(tool: string | null): void;
}

export function createMcp(input: McpInput): Mcp {
  const { registry, stateDir, clock, log, recorder, separator, signIns } = input;
  const info = { name: 'governor', version: governorVersion() };
  const now = (): number => clock.monotonicMs();
  const accounts = new Accounts(now);
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
    recorder,
    onCall,
    onEvent: (tool, event) => input.onCache(tool, event),
  });
  const { answers } = cache;
  const pool = new Pool({
    tools,
    connector: withSignIn(
      createConnector({
        version: governorVersion(),
        monotonicMs: now,
        remote: (definition) => openRemote(definition, signIns),
      }),
      signIns,
    ),
    store: openCatalogueStore(`${stateDir}/catalogues`, (problem) => log.warn({ problem }, 'a kept catalogue')),
    log,
    guard: createCallGuard({ monotonicMs: now, onCall }),
    governor: {
      info,
      // What it can pass on to whichever client a request of the server's belongs to.
      capabilities: { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } },
    },
    monotonicMs: now,
    stale: answers,
  });
  const servers = cachedServers(pool, answers);
  const gateway = createGateway({ servers, info, separator, now });
  const front = createMcpFront({ gateway, logger: log, now });
  return {
    pool,
    front,
    calls: () => accounts.all(),
    async endContext(context) {
      const hadClients = await front.endContext(context, `stopped: its context ${context} ended`);
      answers.endContext(context);
      return accounts.forget(context) || hadClients;
    },
    cache,
    refresh(tool) {
      answers.refresh(tool);
      pool.refresh(tool);
    },
  };
}

/** Loaded with the first server elsewhere: the SDK is 4 MB that a daemon of local tools need not carry. */
async function openRemote(definition: ToolDefinition, signIns: SignIns): Promise<Channel> {
  const { remote } = definition;
  if (remote === undefined) throw new GovernorError('internal', `${definition.name} is not elsewhere`);
  const { HttpChannel } = await import('../lib/mcp/upstream/http-channel.ts');
  return new HttpChannel({ url: remote.url, headers: remote.headers, ...signIns.accessOf(definition) });
}

/** Where a person has to sign in, that is all there is to say of a handshake that failed. */
function withSignIn(connect: Connector, signIns: SignIns): Connector {
  return async (request) => {
    try {
      return await connect(request);
    } catch (error) {
      const problem = signIns.problem(request.options.definition);
      throw problem === null ? error : new GovernorError('sign_in_needed', problem, { cause: error });
    }
  };
}
