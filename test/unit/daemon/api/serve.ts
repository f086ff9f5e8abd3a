/** Starts the real API around a fake governor, on a TCP port and a unix socket, and talks plain HTTP to it. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Router } from '../../../../daemon/api/api.ts';
import { createFront } from '../../../../daemon/api/front.ts';
import type { Front } from '../../../../daemon/api/front.ts';
import type { AccessToken, ApiDependencies, ApiSettings } from '../../../../daemon/api/dependencies.ts';
import { ALL_SCOPES } from '../../../../daemon/api/dependencies.ts';
import { parseLimitPatch } from '../../../../config/define.ts';
import { GovernorError } from '../../../../lib/core/errors.ts';
import { recommend, toYaml } from '../../../../lib/core/recommend.ts';
import { ok } from '../../../../lib/core/result.ts';
import { createMcpFront } from '../../../../lib/mcp/front/front.ts';
import type { McpFront } from '../../../../lib/mcp/front/front.ts';
import type { HistoryQuestion } from '../../../../lib/observe/history/query.ts';
import type { Gateway } from '../../../../lib/mcp/wire/session.ts';
import { createFakeGateway } from '../../../helpers/fake-gateway.ts';
import { createFakeGovernor, fakeDefinition, FAKE_DAEMON } from '../../../helpers/fake-governor.ts';
import { fakePostMortem } from '../../../helpers/fake-post-mortem.ts';
import type { FakeGovernor } from '../../../helpers/fake-governor.ts';
import { filledProfile } from '../../../helpers/filled-profile.ts';

export const TOKEN = 'full-token-0123456789';

export interface Served {
  readonly api: Router;
  readonly front: Front;
  readonly governor: FakeGovernor;
  readonly port: number;
  readonly socketPath: string;
  readonly stops: { readonly stopTools: boolean }[];
  /** What was asked of the sign-ins. */
  readonly signIns: readonly string[];
  readonly logged: string[];
  /** What was asked of the history, which has nothing. */
  readonly asked: readonly HistoryQuestion[];
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Parsed, where it is JSON. */
  readonly json: Record<string, unknown>;
}

export interface Overrides extends Partial<ApiDependencies> {
  readonly auth?: ApiSettings['auth'];
  readonly allowedHosts?: readonly string[];
  readonly moreTokens?: readonly AccessToken[];
}

const POST_MORTEMS = [
  fakePostMortem(),
  fakePostMortem({ id: 'failedrun0' }),
  fakePostMortem({ id: 'other', tool: 'gone' }),
];

/** What the contexts of the fake have asked for. */
export const CALLS = { calls: 2, failures: 1, durationMs: 12.5, cpuTimeMs: 3, sharedCpuTimeMs: 1, unmeasured: 0 };

/** As `serveUnloaded`, with the router loaded. */
export async function serve(
  t: { teardown(handler: () => Promise<void>): void },
  overrides: Overrides = {},
): Promise<Served> {
  const served = await serveUnloaded(t, overrides);
  return { ...served, api: await served.front.router() };
}

/** The API is closed and its folder removed when the test ends. The folder is not tap's: a socket path has 107 bytes. */
export async function serveUnloaded(
  t: { teardown(handler: () => Promise<void>): void },
  overrides: Overrides = {},
): Promise<Omit<Served, 'api'>> {
  const folder = await mkdtemp(join(tmpdir(), 'governor-test-'));
  const governor = createFakeGovernor([fakeDefinition('echo'), fakeDefinition('naïve tool')]);
  const asked: HistoryQuestion[] = [];
  const stops: { readonly stopTools: boolean }[] = [];
  const signIns: string[] = [];
  const logged: string[] = [];
  const log = (level: string) => (_fields: Readonly<Record<string, unknown>>, message: string) =>
    void logged.push(`${level} ${message}`);
  const docsDirectory = join(folder, 'docs');
  await mkdir(docsDirectory, { recursive: true });
  await writeFile(join(docsDirectory, 'cli.md'), '# Commands\n');
  const {
    auth = { api: 'token', mcp: 'token', metrics: 'none' },
    allowedHosts = [],
    moreTokens = [],
    ...rest
  } = overrides;

  const accounts = [
    { context: 'chat', ...CALLS },
    { context: 'only calls', ...CALLS },
  ];
  const front = createFront({
    governor,
    contextCalls: () => accounts,
    endClients: async (id) => {
      const at = accounts.findIndex(({ context }) => context === id);
      if (at !== -1) accounts.splice(at, 1);
      return at !== -1;
    },
    settings: () => ({ auth, allowedHosts }),
    tokens: () => [{ token: TOKEN, label: 'default', scopes: ALL_SCOPES }, ...moreTokens],
    audit: {
      list: async ({ after = 0, limit }) => {
        const found = [1, 2, 3].filter((seq) => seq > after);
        const entries = found
          .slice(0, limit)
          .map((seq) => ({ seq, at: '2026-01-31T12:00:00.000Z', kind: 'daemon', event: 'start' }));
        return { entries, more: found.length > limit };
      },
      verify: async () => ({
        ok: false,
        entries: 2,
        findings: [{ file: 'audit-1.jsonl', line: 3, kind: 'changed', message: 'its mac does not fit' }],
      }),
    },
    recommend: async (tool) => {
      const { name } = governor.tool(tool);
      const profile = filledProfile({ hours: 30, memory: 100 * 1024 ** 2 });
      const { limits } = fakeDefinition(name);
      const proposals = recommend(profile, limits, false);
      const yaml = toYaml(name, proposals, limits);
      return { tool: name, at: '2026-01-31T12:00:00.000Z', observedMs: profile.observedMs, proposals, yaml };
    },
    signIns: {
      async begin(tool, redirectUri) {
        signIns.push(`login ${governor.tool(tool).name} ${redirectUri}`);
        return { authorizationUrl: 'https://login.example.org/authorize', expiresAt: '2026-01-31T12:05:00.000Z' };
      },
      async finish(tool, answer, by) {
        signIns.push(`finish ${tool} ${answer} by ${by}`);
        return governor.tool(tool);
      },
      async logout(tool, by) {
        signIns.push(`logout ${tool} by ${by}`);
        return 'revoked';
      },
    },
    cache: {
      report: () => ({ enabled: false, statistics: null, entries: [] }),
      clear: async () => ({ entries: 0, redis: 'none' }),
    },
    history: {
      read: async (question) => {
        asked.push(question);
        throw new GovernorError('unknown_tool', `nothing is kept of a tool named ${question.tool}`);
      },
      status: () => ({ state: 'on', reason: null, written: 7, dropped: 1, bytes: 4096 }),
    },
    postMortems: {
      list: async (tool, limit) => POST_MORTEMS.filter((one) => tool === null || one.tool === tool).slice(0, limit),
      read: async (tool, id) => POST_MORTEMS.find((one) => one.tool === tool && one.id === id) ?? null,
    },
    metricsText: async () => '# HELP governor_build_info x\n',
    ready: () => ({ ready: true, detail: 'ready' }),
    stop: (options) => stops.push(options),
    define: (body) => {
      const { name } = body as { readonly name: string };
      return ok(fakeDefinition(name));
    },
    parseLimits: parseLimitPatch,
    version: '0.0.0-test',
    instance: FAKE_DAEMON,
    logger: { debug: log('debug'), warn: log('warn'), error: log('error') },
    docsDirectory,
    ...rest,
  });
  t.teardown(async () => {
    await front.close();
    await rm(folder, { recursive: true });
  });
  const socketPath = join(folder, 'governor.sock');
  await front.listenUnix(socketPath);
  const { port } = await front.listenTcp({ host: '127.0.0.1', port: 0 });
  return { front, governor, port, socketPath, stops, signIns, logged, asked };
}

/** MCP over a fake gateway, whose one tool is `fake`. */
export function fakeFront(gateway: Gateway = createFakeGateway()): McpFront {
  return createMcpFront({ gateway, logger: { debug: () => undefined, warn: () => undefined } });
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Default: TOKEN. null: none. */
  readonly token?: string | null;
}

export function overTcp(served: Pick<Served, 'port'>, path: string, ask: Ask = {}): Promise<Answer> {
  return send({ host: '127.0.0.1', port: served.port }, path, ask.token === undefined ? TOKEN : ask.token, ask);
}

export function overUnix(served: Pick<Served, 'socketPath'>, path: string, ask: Ask = {}): Promise<Answer> {
  return send({ socketPath: served.socketPath }, path, ask.token ?? null, ask);
}

function send(target: object, path: string, token: string | null, ask: Ask): Promise<Answer> {
  const body = ask.json === undefined ? ask.body : JSON.stringify(ask.json);
  const headers = {
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    ...(ask.json === undefined ? {} : { 'content-type': 'application/json' }),
    ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
    ...ask.headers,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...target, path, method: ask.method ?? 'GET', headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const isJson = /json/.test(response.headers['content-type'] ?? '') && text !== '';
        const json = isJson ? (JSON.parse(text) as Record<string, unknown>) : {};
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
