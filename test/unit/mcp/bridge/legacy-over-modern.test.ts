import t from 'tap';
import { openBridged } from '../../../../lib/mcp/bridge/bridge.ts';
import type { BridgeOptions } from '../../../../lib/mcp/bridge/bridge.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import type { Answer, Fields, RequestBody } from '../../../../lib/mcp/wire/message.ts';
import type { Exchange } from '../../../../lib/mcp/wire/session.ts';
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
import type { Handler } from '../../../helpers/fake-mcp-session.ts';
import { manualTime, settled } from '../../../helpers/manual-time.ts';

const CAPABILITIES = { tools: {}, resources: { subscribe: true }, logging: {} };
const CLIENT = { elicitation: { form: {}, url: {} }, sampling: {}, roots: { listChanged: true }, tasks: {} };
const FORM = { method: 'elicitation/create', params: { message: 'name?', requestedSchema: {} } };
const never = new AbortController().signal;

function scene(
  handlers: Record<string, Handler> = {},
  options: Partial<BridgeOptions> = {},
  capabilities: Fields = CLIENT,
) {
  const server = fakeServer('modern', handlers, CAPABILITIES);
  const client = fakeClient('legacy', capabilities);
  const session = openBridged(server.open, client, options);
  const ask = (method: string, params?: Fields, exchange = fakeExchange()) =>
    session.request(params === undefined ? { method } : { method, params }, exchange);
  return { server, client, session, ask };
}

const inputRequired = (questions: Record<string, RequestBody>, state?: string): Fields => ({
  resultType: 'input_required',
  ...(Object.keys(questions).length === 0 ? {} : { inputRequests: questions }),
  ...(state === undefined ? {} : { requestState: state }),
});

t.test('a plain call', async (t) => {
  const { server, session, ask } = scene({ 'tools/call': () => ({ resultType: 'complete', content: [], unknown: 1 }) });
  const params = { name: 'x', extra: 1, _meta: { progressToken: 3, traceparent: 'y' } };
  t.strictSame(await resultOf(ask('tools/call', params)), { content: [], unknown: 1 });
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'tester', version: '9' },
    'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} },
  };
  t.strictSame(server.requests[0]?.params, { ...params, _meta: { ...params._meta, ...meta } });
  await resultOf(ask('tools/list'));
  t.strictSame(server.requests[1]?.params, { _meta: meta });
  t.equal(server.client.era, 'modern');
  t.equal(server.client.protocolVersion, '2026-07-28');
  t.strictSame(server.client.capabilities['roots'], {});
  t.equal((await session.describe(never)).era, 'legacy');
});

t.test('what the modern era has no more', async (t) => {
  const { server, session, ask } = scene();
  t.strictSame(await resultOf(ask('ping')), {});
  for (const method of ['tasks/list', 'tasks/get', 'subscriptions/listen'])
    t.equal((await errorOf(ask(method))).code, RPC_CODE.methodNotFound);
  session.notify({ method: 'notifications/roots/list_changed' });
  session.notify({ method: 'notifications/vendor' });
  t.strictSame(server.notifications, [{ method: 'notifications/vendor' }]);
  t.strictSame(server.requests, []);
});

t.test('the log level goes with each request', async (t) => {
  const { server, ask } = scene();
  t.equal((await errorOf(ask('logging/setLevel', { level: 'loud' }))).code, RPC_CODE.invalidParams);
  await resultOf(ask('tools/list'));
  await resultOf(ask('logging/setLevel', { level: 'error' }));
  await resultOf(ask('tools/list'));
  const levels = server.requests.map(({ params }) => metaOf(params)?.['io.modelcontextprotocol/logLevel']);
  t.strictSame(levels, [undefined, 'error']);
  server.description = { ...server.description, capabilities: {} };
  server.client.notify({ method: 'notifications/tools/list_changed' });
  t.equal((await errorOf(ask('logging/setLevel', { level: 'error' }))).code, RPC_CODE.methodNotFound);
});

t.test('errors', async (t) => {
  const { server, ask } = scene();
  server.handlers['resources/read'] = ({ uri }) => refusal(-32602, 'not there', { uri });
  t.equal((await errorOf(ask('resources/read', { uri: 'a:b' }))).code, -32002);
  server.handlers['tools/call'] = () => ({ resultType: 'task', taskId: 't' });
  t.match(await errorOf(ask('tools/call', { name: 'x' })), { code: RPC_CODE.internalError, message: /"task"/ });
});

t.test('questions are put to the client, and the call is tried again with the answers', async (t) => {
  const rounds = [
    inputRequired({ one: FORM }, 's1'),
    inputRequired({
      two: { method: 'roots/list' },
      three: { method: 'sampling/createMessage', params: { messages: [] } },
    }),
    { resultType: 'complete', content: ['done'] },
  ];
  const { server, ask } = scene({ 'tools/call': () => rounds.shift() ?? {} });
  const exchange = fakeExchange();
  exchange.answer = ({ method }) => ({ kind: 'result', result: { from: method } });
  const params = { name: 'x', arguments: {} };
  t.strictSame(await resultOf(ask('tools/call', params, exchange)), { content: ['done'] });
  t.strictSame(exchange.asked, [
    FORM,
    { method: 'roots/list' },
    { method: 'sampling/createMessage', params: { messages: [] } },
  ]);
  t.match(
    server.requests.map((request) => request.params),
    [
      params,
      { ...params, requestState: 's1', inputResponses: { one: { from: 'elicitation/create' } } },
      { ...params, inputResponses: { two: { from: 'roots/list' }, three: { from: 'sampling/createMessage' } } },
    ],
  );
  t.notOk(Object.hasOwn(server.requests[2]?.params ?? {}, 'requestState'), 'there was none to bring back');
  t.notOk(Object.hasOwn(server.requests[2]?.params?.['inputResponses'] as object, 'one'), 'nor older answers');
});

t.test('a page to open gets an id, as the legacy era has it', async (t) => {
  const page = { method: 'elicitation/create', params: { mode: 'url', url: 'http://127.0.0.1/', message: 'm' } };
  const rounds = [inputRequired({ page }), { content: [] }];
  const { ask } = scene({ 'tools/call': () => rounds.shift() ?? {} });
  const exchange = fakeExchange();
  exchange.answer = () => ({ kind: 'result', result: { action: 'accept' } });
  await resultOf(ask('tools/call', { name: 'x' }, exchange));
  t.match(exchange.asked[0]?.params, { ...page.params, elicitationId: /^[\da-f-]{36}$/ });
});

t.test('a client that cannot or will not answer', async (t) => {
  const asks: Handler = () => inputRequired({ one: FORM, two: { method: 'roots/list' } }, 's');
  const { ask, server } = scene({ 'tools/call': asks, 'prompts/get': asks });
  const exchange = fakeExchange();
  let takenBack = false;
  exchange.answer = ({ method }, signal) =>
    method === 'roots/list'
      ? refusal(-1, 'no roots today')
      : new Promise<Answer>((resolve) => {
          signal.addEventListener('abort', () => {
            takenBack = true;
            resolve(refusal(-2, 'taken back'));
          });
        });
  const result = await resultOf(ask('tools/call', { name: 'x' }, exchange));
  t.match(result, { isError: true, content: [{ type: 'text', text: /no roots today|taken back/ }] });
  t.ok(takenBack);
  t.equal((await errorOf(ask('prompts/get', { name: 'x' }))).code, RPC_CODE.internalError);
  t.equal(server.requests.length, 2, 'no second round');

  const unable = scene({ 'tools/call': asks }, {}, { roots: {} });
  const silent = fakeExchange();
  t.match(await resultOf(unable.ask('tools/call', { name: 'x' }, silent)), { isError: true });
  t.strictSame(silent.asked, [], 'nothing is asked that the client has not declared');
  const odd = scene({ 'tools/call': () => inputRequired({ one: { method: 'tools/call' } }) });
  t.match(await resultOf(odd.ask('tools/call', { name: 'x' })), { isError: true });
});

t.test('a server that asks for nothing but time, and one that never stops', async (t) => {
  const time = manualTime(t);
  const { ask, server } = scene({ 'tools/call': () => inputRequired({}, 's') }, { maxRounds: 3, paceMs: 250 });
  const answer = ask('tools/call', { name: 'x' });
  await time.pass(250);
  t.equal(server.requests.length, 2);
  await time.pass(500);
  t.match(await resultOf(answer), { isError: true, content: [{ text: /after 3 rounds/ }] });
  t.equal(server.requests.length, 4);
  t.equal(time.pending, 0);
  const neither = scene({ 'tools/call': () => inputRequired({}) });
  t.match(await resultOf(neither.ask('tools/call', { name: 'x' })), { isError: true });
});

t.test('cancelled between two rounds', async (t) => {
  const { ask, server } = scene({ 'tools/call': () => inputRequired({ one: FORM }, 's') });
  const exchange = fakeExchange();
  exchange.answer = (_request, signal) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve(refusal(-1, 'gone'))));
  const answer = ask('tools/call', { name: 'x' }, exchange);
  await settled();
  exchange.cancel();
  t.equal((await errorOf(answer)).code, RPC_CODE.internalError);
  t.equal(server.requests.length, 1);
});

interface Stream {
  readonly uris: readonly string[];
  readonly exchange: Exchange;
  end(): void;
}

/** Streams that the server has open, as it takes them. */
function streams(refuse: (uri: string) => boolean = () => false) {
  const open: Stream[] = [];
  const handler: Handler = ({ notifications }, exchange) => {
    const asked = (notifications as { resourceSubscriptions: string[] }).resourceSubscriptions;
    const uris = asked.filter((uri) => !refuse(uri));
    return new Promise((resolve) => {
      const stream = {
        uris,
        exchange,
        end: () => (open.splice(open.indexOf(stream), 1), resolve({ resultType: 'complete' })),
      };
      open.push(stream);
      exchange.signal.addEventListener('abort', stream.end);
      exchange.notify({
        method: 'notifications/subscriptions/acknowledged',
        params: {
          notifications: { resourceSubscriptions: uris },
          _meta: { 'io.modelcontextprotocol/subscriptionId': 1 },
        },
      });
    });
  };
  return { open, handler };
}

const updated = (uri: string, meta?: Fields) => ({
  method: 'notifications/resources/updated',
  params: { uri, more: 1, ...(meta === undefined ? {} : { _meta: meta }) },
});

t.test('subscriptions are one stream', async (t) => {
  const { open, handler } = streams((uri) => uri === 'x:no');
  const { ask, client, session } = scene({ 'subscriptions/listen': handler });
  await resultOf(ask('resources/subscribe', { uri: 'x:a' }));
  const first = open[0]!;
  await resultOf(ask('resources/subscribe', { uri: 'x:b' }));
  t.strictSame(
    open.map(({ uris }) => uris),
    [['x:a', 'x:b']],
    'the second took the place of the first',
  );
  first.exchange.notify(updated('x:a'));
  const subscriptionId = { 'io.modelcontextprotocol/subscriptionId': 7 };
  open[0]!.exchange.notify(updated('x:a', { ...subscriptionId, 'a/b': 1 }));
  open[0]!.exchange.notify(updated('x:b/part', subscriptionId));
  open[0]!.exchange.notify(updated('x:c', subscriptionId));
  t.strictSame(client.heard, [updated('x:a', { 'a/b': 1 }), updated('x:b/part')]);
  t.equal((await errorOf(ask('resources/subscribe', { uri: 'x:no' }))).code, RPC_CODE.invalidParams);
  t.strictSame(
    open.map(({ uris }) => uris),
    [['x:a', 'x:b']],
  );
  await resultOf(ask('resources/subscribe', { uri: 'x:a' }));
  await resultOf(ask('resources/unsubscribe', { uri: 'x:a' }));
  await settled();
  t.strictSame(
    open.map(({ uris }) => uris),
    [['x:b']],
  );
  open[0]!.exchange.notify(updated('x:a'));
  t.equal(client.heard.length, 2);
  await resultOf(ask('resources/unsubscribe', { uri: 'x:b' }));
  await settled();
  t.strictSame(open, [], 'no stream holds the server awake');
  await resultOf(ask('resources/subscribe', { uri: 'x:b' }));
  await session.close('over');
  t.strictSame(open, []);
  await errorOf(ask('resources/subscribe', {}));
});

t.test('many subscriptions at once', async (t) => {
  const { open, handler } = streams();
  const { ask, server } = scene({ 'subscriptions/listen': handler });
  const uris = ['x:a', 'x:b', 'x:c', 'x:d'];
  await Promise.all(uris.map((uri) => resultOf(ask('resources/subscribe', { uri }))));
  await settled();
  t.strictSame(
    open.map((stream) => stream.uris),
    [uris],
  );
  t.equal(server.of('subscriptions/listen').length, 1, 'one stream for all of them');
});

t.test('a stream that ended by itself is opened again', async (t) => {
  const time = manualTime(t);
  const { open, handler } = streams();
  const { ask, client, server } = scene({ 'subscriptions/listen': handler }, { reopenMs: 1_000 });
  await resultOf(ask('resources/subscribe', { uri: 'x:a' }));
  server.handlers['subscriptions/listen'] = () => refusal(-32000, 'not yet');
  open[0]!.end();
  await time.pass(1_000);
  t.equal(server.of('subscriptions/listen').length, 2);
  server.handlers['subscriptions/listen'] = handler;
  await time.pass(1_999);
  t.strictSame(open, [], 'after twice the time');
  await time.pass(1);
  t.strictSame(
    open.map(({ uris }) => uris),
    [['x:a']],
  );
  t.strictSame(
    client.heard,
    [{ method: 'notifications/resources/updated', params: { uri: 'x:a' } }],
    'it may have changed',
  );
});

t.test('a stream that is not acknowledged', async (t) => {
  const time = manualTime(t);
  const { ask, server } = scene(
    { 'subscriptions/listen': () => new Promise(() => undefined) },
    { subscribeTimeoutMs: 5_000 },
  );
  const answer = ask('resources/subscribe', { uri: 'x:a' });
  t.equal(await soon(answer), null);
  await time.pass(5_000);
  t.equal((await errorOf(answer)).code, RPC_CODE.internalError);
  t.equal(server.exchanges[0]?.signal.aborted, true);
  t.equal(time.pending, 0);
});
