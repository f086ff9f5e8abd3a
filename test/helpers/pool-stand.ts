/** The real pool on the real registry and tools; processes, servers and time are the test's. */

import { openCatalogueStore } from '../../lib/mcp/pool/catalogue-store.ts';
import type { CallGuard } from '../../lib/mcp/pool/call-guard.ts';
import { Pool } from '../../lib/mcp/pool/pool.ts';
import type { StaleListener } from '../../lib/mcp/pool/tool-pool.ts';
import type { Answer, NotificationBody, RequestBody } from '../../lib/mcp/wire/message.ts';
import type { Client, Exchange, Session } from '../../lib/mcp/wire/session.ts';
import type { ToolDefinition } from '../../lib/supervisor/governor.ts';
import { serveRegistry, serveRun } from '../../lib/supervisor/served.ts';
import type { ServedTools } from '../../lib/supervisor/served.ts';
import { stand, type Stand } from './fake-registry.ts';
import { FakeUpstream, offer, type FakeOffer } from './fake-upstream.ts';
import { type DefinitionOverrides, fakeDefinition } from './fake-views.ts';
import { temporaryDirectory } from './temp-directory.ts';
import type { TestScope } from './fixture.ts';

export interface FakeClient extends Client {
  readonly heard: NotificationBody[];
  capabilities: Client['capabilities'];
  /** What it says when it is asked. */
  roots: readonly string[] | null;
  rootsAsked: number;
}

export interface PoolStand extends Stand {
  readonly pool: Pool;
  readonly offer: FakeOffer;
  /** In the order of their start. */
  readonly servers: FakeUpstream[];
  readonly directory: string;
  readonly complaintsOfStore: string[];
  served(name?: string, overrides?: DefinitionOverrides): void;
  /** The file now says this of the tool, too. */
  redefine(name: string, overrides: DefinitionOverrides): Promise<void>;
  client(context: string, overrides?: Partial<FakeClient>): FakeClient;
  open(client: FakeClient, tool?: string): Session;
  /** Sends a request and lets everything happen that needs no time. */
  call(session: Session, method?: string, params?: RequestBody['params']): Promise<Answer>;
}

export interface PoolStandOptions {
  readonly guard?: CallGuard;
  readonly stale?: (tools: ServedTools) => StaleListener;
  /** Of an earlier daemon. */
  readonly directory?: string;
}

export const GOVERNOR = { info: { name: 'governor', version: '1' }, capabilities: { roots: {}, sampling: {} } };

export function poolStand(t: TestScope, options: PoolStandOptions = {}): PoolStand {
  const directory = options.directory ?? `${temporaryDirectory(t)}/catalogues`;
  const servers: FakeUpstream[] = [];
  const complaintsOfStore: string[] = [];
  const given = offer();
  const scene = stand(t, {
    connect: { connect: (process, settings) => pool.connect(process, settings) },
  });
  const tools = serveRegistry(scene.registry);
  const pool = new Pool({
    tools,
    ...(options.stale === undefined ? {} : { stale: options.stale(tools) }),
    async connector(request) {
      await scene.points.pass('connect');
      const refusal = given.refusal(request);
      if (refusal !== null) throw refusal;
      const upstream = new FakeUpstream(request, given);
      servers.push(upstream);
      return {
        server: { name: 'fake', version: '1', protocol: '2025-11-25', tools: given.tools },
        upstream,
        identity: request.identity,
        close: () => upstream.close('stopped'),
      };
    },
    store: openCatalogueStore(directory, (problem) => void complaintsOfStore.push(problem)),
    log: scene.ports.log,
    guard: options.guard ?? null,
    governor: GOVERNOR,
    monotonicMs: () => scene.clock.monotonicMs(),
  });
  scene.hooks.onSpare = (tool, run) => pool.addSpare(serveRun(tool, run));
  scene.hooks.onTools = (tool) => pool.refresh(tool);
  const definitions = new Map<string, ToolDefinition>();
  const define = (name: string, overrides: DefinitionOverrides): ToolDefinition => {
    const definition = fakeDefinition(name, {
      readiness: 'mcp',
      origin: 'file',
      sharing: 'context',
      ...definitions.get(name),
      ...overrides,
    });
    definitions.set(name, definition);
    return definition;
  };
  return Object.assign(scene, {
    pool,
    offer: given,
    servers,
    directory,
    complaintsOfStore,
    served: (name = 'tool', overrides: DefinitionOverrides = {}) => void scene.registry.add(define(name, overrides)),
    async redefine(name: string, overrides: DefinitionOverrides) {
      define(name, overrides);
      scene.define([...definitions.values()]);
      await scene.registry.reload();
    },
    client: fakeClient,
    open(client: FakeClient, tool = 'tool') {
      const session = pool.open(tool, client);
      clients.set(session, client);
      return session;
    },
    call: (session: Session, method = 'tools/call', params: RequestBody['params'] = {}) =>
      session.request({ method, params }, exchangeOf(clients.get(session))),
  });
}

const clients = new WeakMap<Session, FakeClient>();

function fakeClient(context: string, overrides: Partial<FakeClient> = {}): FakeClient {
  const client: FakeClient = {
    era: 'legacy',
    context,
    protocolVersion: '2025-11-25',
    info: { name: 'client', version: '1' },
    capabilities: {},
    heard: [],
    roots: null,
    rootsAsked: 0,
    notify: (notification) => void client.heard.push(notification),
    ask: (request) => Promise.resolve(answerOf(client, request)),
    ...overrides,
  };
  return client;
}

function answerOf(client: FakeClient | undefined, { method }: RequestBody): Answer {
  if (client === undefined || method !== 'roots/list' || client.roots === null)
    return { kind: 'error', error: { code: -32601, message: 'not here' } };
  client.rootsAsked++;
  return { kind: 'result', result: { roots: client.roots.map((uri) => ({ uri })) } };
}

export function exchangeOf(
  client: FakeClient | undefined,
  signal: Exchange['signal'] = new AbortController().signal,
): Exchange {
  return {
    signal,
    notify: (notification) => void client?.heard.push(notification),
    ask: (request) => Promise.resolve(answerOf(client, request)),
  };
}
