import t from 'tap';
import { GovernorError } from '../../../../lib/core/errors.ts';
import { createGateway } from '../../../../lib/mcp/router/gateway.ts';
import type { RouterSettings } from '../../../../lib/mcp/router/settings.ts';
import type { Fields, RequestBody } from '../../../../lib/mcp/wire/message.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import type { Era } from '../../../../lib/mcp/wire/protocol.ts';
import type { Servers } from '../../../../lib/mcp/wire/session.ts';
import { metaOf } from '../../../../lib/mcp/wire/shape.ts';
import {
  errorOf,
  fakeClient,
  fakeExchange,
  fakeServer,
  refusal,
  resultOf,
  soon,
} from '../../../helpers/fake-mcp-session.ts';
import type { FakeServer, Handler } from '../../../helpers/fake-mcp-session.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';
import { manualTime, settled } from '../../../helpers/manual-time.ts';
import { refusalFields } from '../../../helpers/refusal-fields.ts';

const INFO = { name: 'governor', version: '0' };
const TOOLS = { tools: { listChanged: true } };
const RESOURCES = { resources: { subscribe: true, listChanged: true } };
const never = new AbortController().signal;

interface Scene extends Servers {
  readonly servers: Map<string, FakeServer>;
  readonly opened: string[];
  change(change: (servers: Map<string, FakeServer>) => void): void;
}

function fakeServers(servers: Record<string, FakeServer>): Scene {
  const listeners = new Set<() => void>();
  const scene: Scene = {
    servers: new Map(Object.entries(servers)),
    opened: [],
    names: () => [...scene.servers.keys()],
    open(tool, client) {
      scene.opened.push(tool);
      const server = scene.servers.get(tool);
      if (server === undefined) throw new GovernorError('unknown_tool', `no tool ${tool}`);
      return server.open(client);
    },
    onChanged(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    change(change) {
      change(scene.servers);
      for (const listener of listeners) listener();
    },
  };
  return scene;
}

function merged(servers: Record<string, FakeServer>, era: Era = 'legacy', settings: Partial<RouterSettings> = {}) {
  const scene = fakeServers(servers);
  const client = fakeClient(era, { elicitation: {}, sampling: {}, roots: {} });
  const gateway = createGateway({ servers: scene, info: INFO, settings });
  const session = gateway.open({ kind: 'all' }, client);
  const ask = (method: string, params?: Fields, exchange = fakeExchange()) =>
    session.request(params === undefined ? { method } : { method, params }, exchange);
  return { scene, client, gateway, session, ask };
}

/** Pages of two. */
function paged(field: string, entries: readonly Fields[]): Handler {
  return ({ cursor }) => {
    const from = cursor === undefined ? 0 : Number(cursor);
    const next = from + 2;
    return { [field]: entries.slice(from, next), ...(next < entries.length ? { nextCursor: String(next) } : {}) };
  };
}

function withTools(...names: string[]): FakeServer {
  return fakeServer(
    'legacy',
    {
      'tools/list': () => ({ tools: names.map((name) => ({ name, x: 1 })) }),
      'tools/call': (params) => ({ content: [], got: params }),
    },
    TOOLS,
  );
}

const names = (result: Fields): unknown[] => (result['tools'] as Fields[]).map(({ name }) => name);

t.test('calls go to the server that the name says', async (t) => {
  const { scene, ask } = merged({ files: withTools('read'), 'my tool': withTools('go'), other: withTools('read') });
  t.strictSame(names(await resultOf(ask('tools/list'))).slice(0, 1), ['files__read']);
  scene.opened.length = 0;
  const params = { name: 'files__read', arguments: { a: 1 }, extra: 2, _meta: { progressToken: 1 } };
  const result = await resultOf(ask('tools/call', params));
  t.strictSame(result['got'], { ...params, name: 'read' });
  t.strictSame(params.name, 'files__read', 'what came is as it was');
  const made = names(await resultOf(ask('tools/list')))[1];
  t.match(made, /^my-tool-[0-9a-f]{6}__go$/);
  t.equal(
    (await resultOf(ask('tools/call', { name: made })))['got'],
    scene.servers.get('my tool')!.of('tools/call')[0]!.params,
  );
  const unknown = await errorOf(ask('tools/call', { name: 'read' }));
  t.equal(unknown.code, RPC_CODE.invalidParams);
  t.match(unknown.message, /SERVER__NAME/);
  t.equal((await errorOf(ask('tools/call', {}))).code, RPC_CODE.invalidParams);
});

t.test('a server is opened when something is wanted of it', async (t) => {
  const { scene, ask } = merged({ a: withTools('x'), b: withTools('y') });
  t.strictSame(scene.opened, []);
  await resultOf(ask('tools/call', { name: 'b__y' }));
  t.strictSame(scene.opened, ['b']);
  t.strictSame(scene.servers.get('b')!.of('tools/list'), [], 'its lists are not needed for that');
});

t.test('names that no tool should have', async (t) => {
  const long = 'x'.repeat(150);
  const { scene, ask } = merged({ a: withTools('read a/b', long, 'plain-0123abcd') });
  const [odd, cut, plain] = names(await resultOf(ask('tools/list'))) as [string, string, string];
  t.equal(plain, 'a__plain-0123abcd');
  for (const name of [odd, cut, plain]) t.match(name, /^[\w.-]{1,128}$/);
  const called = () =>
    scene.servers
      .get('a')!
      .of('tools/call')
      .map(({ params }) => params?.['name']);
  for (const name of [odd, cut, plain]) await resultOf(ask('tools/call', { name }));
  t.strictSame(called(), ['read a/b', long, 'plain-0123abcd']);
  // Another session has not seen the list.
  const fresh = merged({ a: scene.servers.get('a')! });
  await resultOf(fresh.ask('tools/call', { name: odd }));
  t.equal(called().at(-1), 'read a/b');
});

t.test('all pages of all servers, in the order of the file', async (t) => {
  const many = ['1', '2', '3', '4', '5'].map((name) => ({ name }));
  const { ask } = merged({
    z: fakeServer('legacy', { 'tools/list': paged('tools', many) }, TOOLS),
    nothing: fakeServer('legacy', { 'tools/list': () => ({ tools: [{ name: 'hidden' }] }) }, {}),
    a: withTools('one'),
    m: fakeServer('legacy', { 'tools/list': paged('tools', many.slice(0, 3)) }, TOOLS),
  });
  const seen: unknown[] = [];
  const cursors: unknown[] = [];
  for (let params: Fields | undefined; ;) {
    const page = await resultOf(ask('tools/list', params));
    seen.push(...names(page));
    if (page['nextCursor'] === undefined) break;
    cursors.push(page['nextCursor']);
    params = { cursor: page['nextCursor'] };
  }
  t.strictSame(seen, ['z__1', 'z__2', 'z__3', 'z__4', 'z__5', 'a__one', 'm__1', 'm__2', 'm__3']);
  t.equal(cursors.length, 3);
  for (const cursor of [cursors[0], 'nonsense', '', 5])
    t.equal(
      (await errorOf(ask(cursor === cursors[0] ? 'prompts/list' : 'tools/list', { cursor }))).code,
      RPC_CODE.invalidParams,
    );
});

t.test('a server that fails is left out and named', async (t) => {
  const broken = withTools('x');
  broken.problem = new GovernorError('breaker_open', 'b failed too often');
  const refusing = withTools('y');
  refusing.handlers['tools/list'] = () => refusal(-32000, 'not today');
  const { session, ask, client } = merged({ a: withTools('one'), b: broken, c: refusing });
  await resultOf(session.request({ method: 'logging/setLevel', params: { level: 'warning' } }, fakeExchange()));
  const exchange = fakeExchange();
  const list = await resultOf(ask('tools/list', {}, exchange));
  t.strictSame(names(list), ['a__one']);
  t.strictSame(list['_meta'], {
    'governor/unavailable': [
      { tool: 'b', reason: 'b failed too often' },
      { tool: 'c', reason: 'not today' },
    ],
  });
  t.match(exchange.heard, [
    { method: 'notifications/message', params: { level: 'warning', logger: 'governor', data: { tool: 'b' } } },
    { params: { data: { tool: 'c' } } },
  ]);
  t.match(await session.describe(never), { capabilities: { prompts: {}, resources: {} } }, 'b may have anything');
  t.strictSame(client.heard, []);
  const called = await errorOf(ask('tools/call', { name: 'b__x' }));
  t.equal(called.code, RPC_CODE.refused);
});

t.test('a server that is slow holds nobody up for long, and is announced when it is there', async (t) => {
  const time = manualTime(t);
  const slow = withTools('late');
  let wake!: () => void;
  slow.gate = new Promise((resolve) => (wake = resolve));
  const scene = fakeServers({ a: withTools('one'), slow });
  const gateway = createGateway({ servers: scene, info: INFO, now: () => time.monotonicMs() });
  const client = fakeClient('legacy');
  const session = gateway.open({ kind: 'all' }, client);
  const first = session.request({ method: 'tools/list' }, fakeExchange());
  t.equal(await soon(first), null);
  await time.pass(20_000);
  t.strictSame(names(await resultOf(first)), ['a__one']);
  const second = gateway.open({ kind: 'all' }, fakeClient('legacy')).request({ method: 'tools/list' }, fakeExchange());
  await time.pass(1_000);
  t.strictSame(names(await resultOf(second)), ['a__one'], 'nobody waits as long again');
  t.strictSame(client.heard, []);
  wake();
  await time.pass(50);
  t.strictSame(client.heard, [{ method: 'notifications/tools/list_changed' }]);
  const third = session.request({ method: 'tools/list' }, fakeExchange());
  t.strictSame(names(await resultOf(third)), ['a__one', 'slow__late']);
  t.equal(slow.of('tools/list').length, 3, 'and was not asked again while it was late');
});

t.test('a list of a modern client', async (t) => {
  const modern = fakeServer(
    'modern',
    {
      'tools/list': () => ({
        resultType: 'complete',
        tools: [{ name: 'new' }],
        ttlMs: 60_000,
        cacheScope: 'public',
        _meta: { 'a/b': 1, 'io.modelcontextprotocol/serverInfo': { name: 'other' } },
      }),
    },
    TOOLS,
  );
  const alone = await resultOf(merged({ modern }, 'modern').ask('tools/list'));
  t.strictSame(alone, {
    resultType: 'complete',
    tools: [{ name: 'modern__new' }],
    ttlMs: 60_000,
    cacheScope: 'public',
    _meta: { 'a/b': 1, 'io.modelcontextprotocol/serverInfo': INFO },
  });
  const broken = withTools('x');
  broken.problem = new Error('broken');
  const { ask } = merged({ legacy: withTools('old'), modern, broken }, 'modern');
  for (const [level, lines] of [
    [undefined, 0],
    ['error', 0],
    ['warning', 1],
  ] as const) {
    const exchange = fakeExchange();
    const _meta = { progressToken: 1, ...(level === undefined ? {} : { 'io.modelcontextprotocol/logLevel': level }) };
    const list = await resultOf(ask('tools/list', { _meta }, exchange));
    t.strictSame(names(list), ['legacy__old', 'modern__new']);
    t.match(list, { ttlMs: 0, cacheScope: 'private', _meta: { 'governor/unavailable': [{ tool: 'broken' }] } });
    t.equal(exchange.heard.length, lines, `${level}`);
  }
  t.notOk(Object.hasOwn(metaOf(modern.requests.at(-1)?.params) ?? {}, 'progressToken'), 'it would be that of several');
});

t.test('a list that nobody waits for any more', async (t) => {
  const time = manualTime(t);
  const hanging = withTools('x');
  hanging.handlers['tools/list'] = () => new Promise(() => undefined);
  const { ask } = merged({ a: hanging, b: withTools('y') });
  const exchange = fakeExchange();
  const list = ask('tools/list', {}, exchange);
  t.equal(await soon(list), null);
  exchange.cancel();
  t.strictSame(names(await resultOf(list)), ['b__y']);
  t.equal(hanging.exchanges[0]?.signal.aborted, true);
  t.equal(time.pending, 0);
  const again = ask('tools/list');
  await time.pass(1_000);
  t.equal(await soon(again), null, 'that the client went says nothing about the server');
});

t.test('a server that hangs does not hold up every read', async (t) => {
  const time = manualTime(t);
  const hanging = withResources(['x:1'], [], { 'resources/list': () => new Promise(() => undefined) });
  const { ask } = merged({ hanging, b: withResources(['y:1']) });
  const first = ask('resources/read', { uri: 'y:1' });
  t.equal(await soon(first), null);
  await time.pass(20_000);
  await resultOf(first);
  const second = ask('resources/read', { uri: 'y:1' });
  await time.pass(1_000);
  await resultOf(second);
  t.equal(hanging.of('resources/list').length, 1);
});

t.test('many servers', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`s${index}`, withTools('x', 'y')]));
  const warned: unknown[] = [];
  const onWarning = (warning: Error): void => void warned.push(warning.message);
  process.on('warning', onWarning);
  t.teardown(() => process.off('warning', onWarning));
  const { ask, session } = merged(many);
  await session.describe(never);
  t.equal(names(await resultOf(ask('tools/list'))).length, 100);
  await errorOf(ask('resources/read', { uri: 'x:1' }));
  await settled();
  t.strictSame(warned, []);
});

t.test('what it says of itself', async (t) => {
  const { session } = merged({
    a: fakeServer('legacy', {}, { tools: {} }, { instructions: 'use a' }),
    b: fakeServer('legacy', {}, { ...RESOURCES, tasks: { list: {} } }, { instructions: 'use b' }),
  });
  const capabilities = { tools: { listChanged: true }, logging: {}, ...RESOURCES, tasks: { list: {} } };
  const instructions = '# a\n\nuse a\n\n# b\n\nuse b';
  t.strictSame(await session.describe(never), {
    era: 'legacy',
    protocolVersion: '2025-11-25',
    info: INFO,
    capabilities: { ...capabilities, resources: { listChanged: true, subscribe: true } },
    instructions,
    raw: { capabilities, instructions, protocolVersion: '2025-11-25', serverInfo: INFO },
  });
  const modern = await merged({ a: fakeServer('legacy', {}, { tools: {} }) }, 'modern').session.describe(never);
  t.equal(modern.era, 'modern');
  t.match(modern.raw, { supportedVersions: ['2026-07-28'], ttlMs: 0, cacheScope: 'private', resultType: 'complete' });
});

t.test('prompts and completion', async (t) => {
  const server = fakeServer(
    'legacy',
    {
      'prompts/list': () => ({ prompts: [{ name: 'ask/me' }] }),
      'prompts/get': (params) => ({ messages: [{ role: 'user', content: { type: 'text', text: 'hi' } }], got: params }),
      'completion/complete': (params) => ({ completion: { values: [] }, got: params }),
      'resources/list': () => ({ resources: [] }),
      'resources/templates/list': () => ({ resourceTemplates: [{ uriTemplate: 'x:{id}', name: 'x' }] }),
    },
    { prompts: {}, completions: {}, ...RESOURCES },
  );
  const { ask } = merged({ a: withTools('x'), b: server, c: withResources(['w:1']) });
  t.strictSame((await resultOf(ask('prompts/list')))['prompts'], [{ name: 'b__ask/me' }]);
  t.strictSame((await resultOf(ask('prompts/get', { name: 'b__ask/me', q: 1 })))['got'], { name: 'ask/me', q: 1 });
  t.equal((await errorOf(ask('prompts/get', { name: 'ask/me' }))).code, RPC_CODE.invalidParams);
  const complete = async (ref: Fields) =>
    ((await resultOf(ask('completion/complete', { ref, argument: { name: 'id' } })))['got'] as Fields)['ref'];
  t.strictSame(await complete({ type: 'ref/prompt', name: 'b__ask/me', title: 't' }), {
    type: 'ref/prompt',
    name: 'ask/me',
    title: 't',
  });
  t.strictSame(await complete({ type: 'ref/resource', uri: 'x:{id}' }), { type: 'ref/resource', uri: 'x:{id}' });
  t.strictSame(await complete({ type: 'ref/resource', uri: 'governor:b/x:{id}' }), {
    type: 'ref/resource',
    uri: 'x:{id}',
  });
  for (const ref of [{ type: 'ref/prompt', name: 'x' }, { type: 'ref/other' }, { type: 'ref/resource', uri: 'q:{id}' }])
    await errorOf(ask('completion/complete', { ref }));
});

function withResources(uris: readonly string[], templates: readonly string[] = [], more: Record<string, Handler> = {}) {
  return fakeServer(
    'legacy',
    {
      'resources/list': () => ({ resources: uris.map((uri) => ({ uri, name: uri })) }),
      'resources/templates/list': () => ({ resourceTemplates: templates.map((uriTemplate) => ({ uriTemplate })) }),
      'resources/read': ({ uri }) => ({ contents: [{ uri, text: 't' }] }),
      ...more,
    },
    RESOURCES,
  );
}

const readsOf = (server: FakeServer) => server.of('resources/read').map(({ params }) => params?.['uri']);

t.test('resources: the first has the plain URI, the others are reachable', async (t) => {
  const [a, b] = [withResources(['x:one', 'x:a']), withResources(['x:one', 'x:b'], ['x:{id}'])];
  const { ask } = merged({ a, none: withTools('x'), b });
  const uris = ((await resultOf(ask('resources/list')))['resources'] as Fields[]).map(({ uri }) => uri);
  t.strictSame(uris, ['x:one', 'x:a', 'governor:b/x:one', 'x:b']);
  for (const uri of uris)
    t.strictSame((await resultOf(ask('resources/read', { uri })))['contents'], [{ uri, text: 't' }], String(uri));
  t.strictSame(
    [readsOf(a), readsOf(b)],
    [
      ['x:one', 'x:a'],
      ['x:one', 'x:b'],
    ],
  );
  await resultOf(ask('resources/read', { uri: 'governor:a/x:a' }));
  t.equal(readsOf(a).at(-1), 'x:a', 'any can be had by its qualified URI');
  await resultOf(ask('resources/read', { uri: 'x:fits' }));
  t.equal(readsOf(b).at(-1), 'x:fits', 'by template');
});

t.test('resources: what nobody lists', async (t) => {
  const gone: Handler = () => refusal(-32002, 'not here');
  const [a, b] = [withResources(['x:1'], [], { 'resources/read': gone }), withResources(['x:2'])];
  const { ask } = merged({ a, b });
  await resultOf(ask('resources/read', { uri: 'x:3' }));
  t.strictSame([readsOf(a), readsOf(b)], [['x:3'], ['x:3']], 'the next one of the same scheme');
  const unknown = await errorOf(ask('resources/read', { uri: 'y:3' }));
  t.equal(unknown.code, -32002);
  t.match(unknown.message, /governor:SERVER/);
  t.equal(readsOf(a).length, 1, 'nobody was asked');
  t.equal((await errorOf(ask('resources/read', { uri: 'x:1' }))).code, -32002, 'who lists it has the word');
  t.equal(readsOf(b).length, 1);
  const alone = merged({ a: withResources([]), b: withTools('x') });
  await resultOf(alone.ask('resources/read', { uri: 'q:anything' }));
});

t.test('resources: lists that could not be read are read again', async (t) => {
  const a = withResources(['x:1'], [], { 'resources/list': () => refusal(-32000, 'not today') });
  const { ask } = merged({ a, b: withResources(['x:1', 'x:2']) });
  await resultOf(ask('resources/read', { uri: 'x:2' }));
  a.handlers['resources/list'] = () => ({ resources: [{ uri: 'x:1' }] });
  a.handlers['resources/templates/list'] = () => refusal(RPC_CODE.methodNotFound, 'no templates');
  await resultOf(ask('resources/read', { uri: 'x:1' }));
  t.strictSame(readsOf(a), ['x:1'], 'the first of the file');
  await resultOf(ask('resources/read', { uri: 'x:1' }));
  t.equal(a.of('resources/list').length, 2, 'and then no more');
});

t.test('only so many subscriptions', async (t) => {
  const uris = Array.from({ length: 1_001 }, (_, index) => `x:${index}`);
  const { ask } = merged({ a: withResources(uris) });
  for (const uri of uris.slice(0, -1)) void ask('resources/subscribe', { uri });
  await settled(50);
  const refused = await errorOf(ask('resources/subscribe', { uri: 'x:1000' }));
  t.equal(refused.code, RPC_CODE.refused);
  t.same(refused.data, refusalFields(null));
});

t.test('resources that a result names', async (t) => {
  const link = (uri: string) => ({ type: 'resource_link', uri, name: 'n' });
  const content = [
    link('x:one'),
    link('q:new'),
    { type: 'resource', resource: { uri: 'q:other', text: '' } },
    { type: 'text', text: '' },
  ];
  const b = withResources(['x:one'], [], {
    'tools/call': () => ({ content }),
    'prompts/get': () => ({ messages: [{ role: 'user', content: link('x:one') }] }),
  });
  const { ask } = merged({ a: withResources(['x:one']), b });
  await resultOf(ask('resources/list'));
  const shown = await resultOf(ask('tools/call', { name: 'b__go' }));
  t.strictSame(shown['content'], [link('governor:b/x:one'), ...content.slice(1)]);
  t.equal(content[0]!['type'] && (content[0] as Fields)['uri'], 'x:one', 'what came is as it was');
  const prompt = await resultOf(ask('prompts/get', { name: 'b__p' }));
  t.strictSame(prompt['messages'], [{ role: 'user', content: link('governor:b/x:one') }]);
  for (const uri of ['q:new', 'q:other']) await resultOf(ask('resources/read', { uri }));
  t.strictSame(readsOf(b), ['q:new', 'q:other']);
});

t.test('subscriptions of a legacy client', async (t) => {
  const [a, b] = [withResources(['x:one']), withResources(['x:one', 'x:two'])];
  const { ask, client } = merged({ a, b });
  for (const uri of ['x:one', 'governor:b/x:one', 'x:two'])
    await resultOf(ask('resources/subscribe', { uri, extra: 1 }));
  const subscribed = (server: FakeServer) => server.of('resources/subscribe').map(({ params }) => params);
  t.strictSame(subscribed(a), [{ uri: 'x:one', extra: 1 }]);
  t.strictSame(subscribed(b), [
    { uri: 'x:one', extra: 1 },
    { uri: 'x:two', extra: 1 },
  ]);
  const updated = (uri: string) => ({ method: 'notifications/resources/updated', params: { uri, more: 2 } });
  for (const server of [a, b]) server.client.notify(updated('x:one'));
  b.client.notify(updated('x:two'));
  t.strictSame(client.heard, [updated('x:one'), updated('governor:b/x:one'), updated('x:two')]);
  await resultOf(ask('resources/unsubscribe', { uri: 'governor:b/x:one' }));
  t.strictSame(
    b.of('resources/unsubscribe').map(({ params }) => params?.['uri']),
    ['x:one'],
  );
  t.strictSame(a.of('resources/unsubscribe'), []);
  t.equal((await errorOf(ask('resources/subscribe', { uri: 'nobody:x' }))).code, -32002);
});

t.test('a stream of a modern client before servers of both eras', async (t) => {
  const updated = (uri: string) => ({ method: 'notifications/resources/updated', params: { uri } });
  const legacy = withResources(['x:one']);
  const modern = fakeServer(
    'modern',
    {
      'resources/list': () => ({
        resources: [{ uri: 'y:one' }],
        ttlMs: 0,
        cacheScope: 'private',
        resultType: 'complete',
      }),
      'resources/templates/list': () => ({ resourceTemplates: [] }),
      'subscriptions/listen': ({ notifications }, exchange) => {
        exchange.notify({ method: 'notifications/subscriptions/acknowledged', params: { notifications } });
        return new Promise(() => undefined);
      },
    },
    RESOURCES,
  );
  const { ask } = merged({ legacy, modern }, 'modern', { coalesceMs: 0 });
  const exchange = fakeExchange();
  const notifications = { toolsListChanged: true, resourceSubscriptions: ['x:one', 'y:one', 'z:none'] };
  const stream = ask('subscriptions/listen', { notifications }, exchange);
  t.equal(await soon(stream), null);
  t.strictSame(exchange.heard, [
    {
      method: 'notifications/subscriptions/acknowledged',
      params: { notifications: { toolsListChanged: true, resourceSubscriptions: ['x:one', 'y:one'] } },
    },
  ]);
  const listen = modern.of('subscriptions/listen')[0]?.params;
  t.match(listen, { notifications: { resourceSubscriptions: ['y:one'] } }, 'no list: that would keep it awake');
  t.equal(metaOf(listen)?.['io.modelcontextprotocol/protocolVersion'], '2026-07-28');
  t.match(modern.of('resources/list')[0]?.params, { _meta: {} }, 'requests of Governor itself are whole too');
  legacy.client.notify(updated('x:one'));
  modern.exchanges
    .at(-1)
    ?.notify({ ...updated('y:one'), params: { uri: 'y:one', _meta: { 'io.modelcontextprotocol/subscriptionId': 9 } } });
  t.strictSame(exchange.heard.slice(1), [updated('x:one'), updated('y:one')]);
  exchange.cancel();
  await settled();
  t.strictSame(
    legacy.of('resources/unsubscribe').map(({ params }) => params?.['uri']),
    ['x:one'],
  );
  t.equal(modern.exchanges.at(-1)?.signal.aborted, true);
});

t.test('changes of lists are told once', async (t) => {
  const time = manualTime(t);
  const [a, b] = [withTools('x'), withTools('y')];
  const { ask, client, scene, session } = merged({ a, b });
  await resultOf(ask('tools/list'));
  for (const server of [a, b, a]) server.client.notify({ method: 'notifications/tools/list_changed' });
  t.strictSame(client.heard, []);
  await time.pass(50);
  t.strictSame(client.heard, [{ method: 'notifications/tools/list_changed' }]);
  scene.change((servers) => {
    servers.delete('b');
    servers.set('c', withTools('z'));
  });
  await time.pass(50);
  t.strictSame(
    client.heard.slice(1).map(({ method }) => method),
    ['notifications/tools/list_changed', 'notifications/prompts/list_changed', 'notifications/resources/list_changed'],
  );
  t.equal(b.closed, 'b is no longer served');
  t.strictSame(names(await resultOf(ask('tools/list'))), ['a__x', 'c__z']);
  t.equal((await errorOf(ask('tools/call', { name: 'b__y' }))).code, RPC_CODE.invalidParams);
  await session.close('over');
  scene.change((servers) => servers.delete('a'));
  await time.pass(50);
  t.equal(client.heard.length, 4, 'a closed session hears of nothing');
});

t.test('a log level wakes nobody, and is there before the first request', async (t) => {
  const [a, b] = [
    fakeServer('legacy', { 'tools/call': () => ({ content: [] }) }, { ...TOOLS, logging: {} }),
    fakeServer('legacy', { 'tools/call': () => ({ content: [] }) }, TOOLS),
  ];
  const { ask, client } = merged({ a, b });
  t.equal((await errorOf(ask('logging/setLevel', { level: 'loud' }))).code, RPC_CODE.invalidParams);
  await resultOf(ask('logging/setLevel', { level: 'error' }));
  t.strictSame([a.requests, b.requests], [[], []]);
  for (const name of ['a__x', 'a__x', 'b__x']) await resultOf(ask('tools/call', { name }));
  const methods = (server: FakeServer) => server.requests.map(({ method }) => method);
  t.strictSame(methods(a), ['logging/setLevel', 'tools/call', 'tools/call']);
  t.strictSame(methods(b), ['tools/call']);
  a.client.notify({ method: 'notifications/message', params: { level: 'error', data: 1 } });
  a.client.notify({ method: 'notifications/message', params: { level: 'error', data: 2, logger: 'db' } });
  t.strictSame(
    client.heard.map(({ params }) => params?.['logger']),
    ['a', 'db'],
  );
});

t.test('questions and progress pass', async (t) => {
  const a = fakeServer('legacy', {
    async 'tools/call'(_params, exchange) {
      exchange.notify({ method: 'notifications/progress', params: { progressToken: 't', progress: 1 } });
      exchange.notify({ method: 'notifications/message', params: { level: 'info', data: 1 } });
      return { content: [], answer: await exchange.ask({ method: 'roots/list' }, never) };
    },
  });
  const { ask, client } = merged({ a });
  const exchange = fakeExchange();
  exchange.answer = () => ({ kind: 'result', result: { roots: [] } });
  t.match(await resultOf(ask('tools/call', { name: 'a__x' }, exchange)), { answer: { result: { roots: [] } } });
  t.strictSame(exchange.heard, [
    { method: 'notifications/progress', params: { progressToken: 't', progress: 1 } },
    { method: 'notifications/message', params: { level: 'info', data: 1, logger: 'a' } },
  ]);
  client.answer = (request) => ({ kind: 'result', result: { asked: request.method } });
  t.strictSame(await a.client.ask({ method: 'ping' }, never), { kind: 'result', result: { asked: 'ping' } });
});

t.test('questions of a legacy server reach a modern client through the view', async (t) => {
  const form = { method: 'elicitation/create', params: { message: 'who?', requestedSchema: {} } };
  const a = fakeServer(
    'legacy',
    {
      'tools/call': async (_params, exchange) => ({ content: [], answer: await exchange.ask(form, never) }),
      'resources/read': async ({ uri }, exchange) => ({ contents: [{ uri }], answer: await exchange.ask(form, never) }),
      'resources/list': () => ({ resources: [{ uri: 'x:1' }] }),
    },
    RESOURCES,
  );
  const { ask } = merged({ a, b: withResources(['y:1']) }, 'modern');
  for (const request of [
    { method: 'tools/call', params: { name: 'a__x' } },
    { method: 'resources/read', params: { uri: 'x:1' } },
  ]) {
    const asked = await resultOf(ask(request.method, request.params));
    t.equal(asked['resultType'], 'input_required');
    const [key = ''] = Object.keys(asked['inputRequests'] as Fields);
    const again = {
      ...request.params,
      requestState: asked['requestState'],
      inputResponses: { [key]: { action: 'decline' } },
    };
    const done = await resultOf(ask(request.method, again));
    t.match(done, { resultType: 'complete', answer: { result: { action: 'decline' } } });
  }
});

t.test('tasks are told apart by server', async (t) => {
  const related = (taskId: string) => ({ 'io.modelcontextprotocol/related-task': { taskId } });
  const a = fakeServer(
    'legacy',
    {
      'tools/call': () => ({ task: { taskId: 't/1', status: 'working' } }),
      'tasks/get': ({ taskId }) => ({ taskId, status: 'working' }),
      'tasks/list': () => ({ tasks: [{ taskId: 't/1' }] }),
      'tasks/result': async ({ taskId }, exchange) => {
        await exchange.ask({ method: 'elicitation/create', params: { _meta: related(String(taskId)) } }, never);
        return { content: [], _meta: related(String(taskId)) };
      },
    },
    { ...TOOLS, tasks: { list: {} } },
  );
  const idle = fakeServer('legacy', {}, { tasks: { list: {} } });
  const { ask, client, session } = merged({ b: withTools('x'), idle, a });
  await session.describe(never);
  t.strictSame((await resultOf(ask('tools/call', { name: 'a__x', task: {} })))['task'], {
    taskId: 'a__t/1',
    status: 'working',
  });
  t.equal((await resultOf(ask('tasks/get', { taskId: 'a__t/1' })))['taskId'], 'a__t/1');
  t.strictSame(a.of('tasks/get')[0]?.params, { taskId: 't/1' });
  t.strictSame((await resultOf(ask('tasks/list')))['tasks'], [{ taskId: 'a__t/1' }]);
  t.strictSame(idle.requests, [], 'a server that was not used has no tasks, and sleeps on');
  const exchange = fakeExchange();
  t.strictSame((await resultOf(ask('tasks/result', { taskId: 'a__t/1' }, exchange)))['_meta'], related('a__t/1'));
  t.strictSame(exchange.asked[0]?.params, { _meta: related('a__t/1') });
  a.client.notify({ method: 'notifications/tasks/status', params: { taskId: 't/1', status: 'completed' } });
  t.strictSame(client.heard[0]?.params, { taskId: 'a__t/1', status: 'completed' });
  for (const taskId of ['t/1', 'zz__t', 7]) await errorOf(ask('tasks/get', { taskId }));
  const modern = merged({ a }, 'modern');
  for (const method of ['tasks/list', 'tasks/result'])
    t.equal((await errorOf(modern.ask(method))).code, RPC_CODE.methodNotFound);
});

t.test('what the protocol does not know', async (t) => {
  const echo: Handler = (params) => ({ got: params });
  const a = fakeServer('legacy', { 'vendor/do': echo });
  const { ask, session } = merged({ a, b: fakeServer('legacy', { 'vendor/do': echo }) });
  t.strictSame((await resultOf(ask('vendor/do', { name: 'a__x' })))['got'], { name: 'x' });
  t.equal((await errorOf(ask('vendor/do'))).code, RPC_CODE.methodNotFound);
  t.strictSame((await resultOf(merged({ a }).ask('vendor/do', { z: 1 })))['got'], { z: 1 });
  t.strictSame(await resultOf(ask('ping')), {});
  session.notify({ method: 'notifications/roots/list_changed' });
  t.strictSame(a.notifications, [{ method: 'notifications/roots/list_changed' }]);
});

t.test('the end', async (t) => {
  const a = withTools('x');
  const { ask, session, scene } = merged({ a, b: withTools('y') });
  await resultOf(ask('tools/call', { name: 'a__x' }));
  await session.close('over');
  await session.close('again');
  t.equal(a.closed, 'over');
  t.equal((await errorOf(ask('tools/call', { name: 'b__y' }))).code, RPC_CODE.stopped);
  t.strictSame(scene.opened, ['a']);
});

t.test('closed while it looks for who has a resource', async (t) => {
  const [a, b] = [withResources(['x:1']), withResources(['y:1'])];
  const { ask, session, scene } = merged({ a, b });
  let go!: () => void;
  a.gate = new Promise((resolve) => (go = resolve));
  const reading = ask('resources/read', { uri: 'governor:b/y:1' });
  await resultOf(reading);
  const later = ask('resources/read', { uri: 'y:2' });
  await settled();
  const opened = scene.opened.length;
  await session.close('over');
  go();
  await errorOf(later);
  t.equal(scene.opened.length, opened, 'nothing is opened for a session that is closed');
});

t.test('one server as it is', async (t) => {
  const scene = fakeServers({ a: withTools('read a/b') });
  const gateway = createGateway({ servers: scene, info: INFO });
  const session = gateway.open({ kind: 'tool', tool: 'a' }, fakeClient('legacy'));
  t.strictSame(names(await resultOf(session.request({ method: 'tools/list' }, fakeExchange()))), ['read a/b']);
  const request: RequestBody = { method: 'tools/call', params: { name: 'x' } };
  const exchange = fakeExchange();
  await resultOf(session.request(request, exchange));
  const server = scene.servers.get('a')!;
  t.equal(server.requests.at(-1), request, 'the very same: nothing is copied');
  t.equal(server.exchanges.at(-1), exchange);
  t.throws(() => gateway.open({ kind: 'tool', tool: 'no' }, fakeClient('legacy')), isGovernorError('unknown_tool'));
});
