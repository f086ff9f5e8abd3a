/** One face for the official SDK clients, so that a feature is asserted once for each of them. */

import { Client } from '@modelcontextprotocol/client';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as OldStdioTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as OldHttpTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport as OldTransport } from '@modelcontextprotocol/sdk/shared/transport.js';
import * as old from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import type { TestScope } from './fixture.ts';
import { waitFor } from './wait-for.ts';

/** `sdk-1`: @modelcontextprotocol/sdk; the others @modelcontextprotocol/client in either era. */
export type PeerKind = 'sdk-1' | 'sdk-2' | 'sdk-2-modern';
export const PEER_KINDS: readonly PeerKind[] = ['sdk-1', 'sdk-2', 'sdk-2-modern'];

// Documents of many shapes: the assertions say which.
// oxlint-disable-next-line typescript/no-explicit-any
export type Document = any;

export interface CallOptions {
  readonly meta?: Readonly<Record<string, unknown>>;
  readonly onprogress?: (progress: Document) => void;
  readonly signal?: AbortSignal;
}

export interface Peer {
  readonly kind: PeerKind;
  readonly modern: boolean;
  readonly protocolVersion: string | undefined;
  readonly server: Document;
  readonly capabilities: Document;
  readonly instructions: string | undefined;
  /** The result of any request, whole. Rejects with the SDK's error, which has `code` and `data`. */
  request(method: string, params?: object, options?: CallOptions): Promise<Document>;
  /** By the client's own `callTool`. */
  call(name: string, given?: object, options?: CallOptions): Promise<Document>;
  notify(method: string, params?: object): Promise<void>;
  rootsChanged(): Promise<void>;
  /** All entries of a paged list, and how many pages they came in. */
  list(method: string, key: string): Promise<{ readonly entries: readonly Document[]; readonly pages: number }>;
  /** Changes of lists and of this resource are told from now on. @returns what ends it for the resource */
  watch(uri: string): Promise<() => Promise<void>>;
  /** Notifications, in order. */
  heard(method: string): readonly Document[];
  hears(method: string, that?: (params: Document) => boolean): Promise<Document>;
  /** What the server asked of this client. */
  readonly asked: readonly Asked[];
  readonly roots: { uri: string; name: string }[];
  /** Before each answer to the server. */
  think: () => Promise<void>;
  close(): Promise<void>;
  /** As a client that says goodbye: over HTTP, a legacy one ends its session first. */
  leave(): Promise<void>;
}

export interface Asked {
  readonly method: string;
  readonly params: Document;
  /** Aborted: taken back. */
  readonly signal: AbortSignal;
}

export interface PeerOptions {
  readonly kind: PeerKind;
  readonly name: string;
  /** Streamable HTTP, or the command of a stdio server. */
  readonly to: { readonly url: string; readonly token: string } | StdioServer;
  readonly roots?: { uri: string; name: string }[];
  /** Added to each answer to the server, so that answers of several clients can be told apart. */
  readonly voice?: string;
}

export interface StdioServer {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const WHOLE = z.looseObject({});
const CAPABILITIES = { sampling: {}, elicitation: { form: {} }, roots: { listChanged: true } };

/** Connected; closed at the end of the test. */
export async function connectPeer(t: TestScope, options: PeerOptions): Promise<Peer> {
  const heard: { readonly method: string; readonly params: Document }[] = [];
  const asked: Asked[] = [];
  const roots = options.roots ?? [{ uri: 'file:///probe', name: 'probe' }];
  const answers = answersOf(options.voice ?? options.name, roots);
  const note = async (notification: { method: string; params?: object }): Promise<void> => {
    heard.push({ method: notification.method, params: notification.params ?? {} });
  };
  const answer: Answerer = async (request, signal) => {
    asked.push({ method: request.method, params: request.params ?? {}, signal });
    await peer.think();
    return answers[request.method]?.(request.params ?? {});
  };
  const info = { name: options.name, version: '1.2.3' };
  const raw = options.kind === 'sdk-1' ? oldClient(info, answer) : newClient(info, options.kind, answer);
  raw.client.fallbackNotificationHandler = note;
  await raw.client.connect(raw.transport(options.to));
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= raw.client.close());
  t.teardown(close);
  const modern = options.kind === 'sdk-2-modern';
  const peer: Peer = {
    kind: options.kind,
    modern,
    protocolVersion: raw.protocolVersion(),
    server: raw.client.getServerVersion(),
    capabilities: raw.client.getServerCapabilities(),
    instructions: raw.client.getInstructions(),
    request: (method, params = {}, { meta, ...rest } = {}) =>
      raw.client.request(
        { method, params: { ...params, ...(meta === undefined ? {} : { _meta: meta }) } },
        WHOLE,
        rest,
      ),
    call: (name, given = {}, { meta, ...rest } = {}) =>
      raw.callTool({ name, arguments: given, ...(meta === undefined ? {} : { _meta: meta }) }, rest),
    notify: (method, params = {}) => raw.client.notification({ method, params }),
    rootsChanged: () => raw.client.sendRootsListChanged(),
    async list(method, key) {
      const entries: Document[] = [];
      let pages = 0;
      let cursor: string | undefined;
      do {
        const page = await peer.request(method, cursor === undefined ? {} : { cursor });
        entries.push(...page[key]);
        cursor = page.nextCursor;
        pages += 1;
      } while (cursor !== undefined && pages < 100);
      return { entries, pages };
    },
    async watch(uri) {
      if (modern) {
        const filter = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };
        const lists = await raw.client.listen(filter);
        t.teardown(() => lists.close());
        const one = await raw.client.listen({ resourceSubscriptions: [uri] });
        return () => one.close();
      }
      await peer.request('resources/subscribe', { uri });
      return async () => void (await peer.request('resources/unsubscribe', { uri }));
    },
    heard: (method) => heard.filter((each) => each.method === method).map(({ params }) => params),
    hears: (method, that = () => true) => waitFor(`${method} at ${options.name}`, () => peer.heard(method).find(that)),
    asked,
    roots,
    think: async () => undefined,
    close,
    async leave() {
      if ('url' in options.to && !modern) await raw.client.transport.terminateSession();
      await close();
    },
  };
  return peer;
}

interface RawClient {
  readonly client: Document;
  transport(to: PeerOptions['to']): Document;
  callTool(params: object, options: object): Promise<Document>;
  protocolVersion(): string | undefined;
}

type Answerer = (request: { method: string; params?: object | undefined }, signal: AbortSignal) => Promise<Document>;

function oldClient(info: { name: string; version: string }, answer: Answerer): RawClient {
  const client = new OldClient(info, { capabilities: CAPABILITIES });
  client.setRequestHandler(old.CreateMessageRequestSchema, (request, { signal }) => answer(request, signal));
  client.setRequestHandler(old.ElicitRequestSchema, (request, { signal }) => answer(request, signal));
  client.setRequestHandler(old.ListRootsRequestSchema, (request, { signal }) => answer(request, signal));
  let transport: OldTransport | undefined;
  return {
    client,
    transport: (to) =>
      (transport =
        'url' in to
          ? (new OldHttpTransport(new URL(to.url), { requestInit: bearer(to.token) }) as OldTransport)
          : new OldStdioTransport({ command: to.command, args: [...to.args], env: { ...to.env } })),
    callTool: (params, options) => client.callTool(params as { name: string }, undefined, options),
    protocolVersion: () => (transport as { protocolVersion?: string } | undefined)?.protocolVersion,
  };
}

function newClient(info: { name: string; version: string }, kind: PeerKind, answer: Answerer): RawClient {
  const client = new Client(info, {
    capabilities: CAPABILITIES,
    versionNegotiation: { mode: kind === 'sdk-2-modern' ? { pin: '2026-07-28' } : 'legacy' },
  });
  client.setRequestHandler('sampling/createMessage', (request, { mcpReq }) => answer(request, mcpReq.signal));
  client.setRequestHandler('elicitation/create', (request, { mcpReq }) => answer(request, mcpReq.signal));
  client.setRequestHandler('roots/list', (request, { mcpReq }) => answer(request, mcpReq.signal));
  return {
    client,
    transport: (to) =>
      'url' in to
        ? new StreamableHTTPClientTransport(new URL(to.url), { requestInit: bearer(to.token) })
        : new StdioClientTransport({ command: to.command, args: [...to.args], env: { ...to.env } }),
    callTool: (params, options) => client.callTool(params as { name: string }, options),
    protocolVersion: () => client.getNegotiatedProtocolVersion(),
  };
}

function bearer(token: string): { readonly headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${token}` } };
}

function answersOf(voice: string, roots: readonly object[]): Readonly<Record<string, (params: Document) => Document>> {
  return {
    'sampling/createMessage': ({ messages }) => ({
      model: 'probe-model',
      role: 'assistant',
      stopReason: 'endTurn',
      content: { type: 'text', text: `${voice}: ${messages.at(-1).content.text}` },
    }),
    'elicitation/create': () => ({ action: 'accept', content: { name: voice } }),
    'roots/list': () => ({ roots }),
  };
}
