import t from 'tap';
import { openBridged } from '../../../../lib/mcp/bridge/bridge.ts';
import type { BridgeOptions } from '../../../../lib/mcp/bridge/bridge.ts';
import type { Answer, Fields, RequestBody } from '../../../../lib/mcp/wire/message.ts';
import type { Session } from '../../../../lib/mcp/wire/session.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
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
import { refusalFields } from '../../../helpers/refusal-fields.ts';

const CAPABLE = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };
const CAPABILITIES = {
  tools: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  logging: {},
};
const FORM = { method: 'elicitation/create', params: { message: 'your name?', requestedSchema: { type: 'object' } } };
const SERVER_INFO = { 'io.modelcontextprotocol/serverInfo': { name: 'fake', version: '1.2.3' } };
const never = new AbortController().signal;

function scene(handlers: Record<string, Handler> = {}, options: Partial<BridgeOptions> = {}) {
  const server = fakeServer('legacy', handlers, CAPABILITIES);
  const client = fakeClient('modern', CAPABLE);
  return { server, client, session: openBridged(server.open, client, options) };
}

function call(params: Fields = {}): RequestBody {
  return { method: 'tools/call', params: { name: 'greet', arguments: { a: 1 }, ...params } };
}

/** Asks, and answers with what it was told. */
const greeter: Handler = async (_params, exchange) => ({ content: [await exchange.ask(FORM, never)] });

function accept(result: Fields, key: string): Fields {
  const { requestState } = result;
  return { requestState, inputResponses: { [key]: { action: 'accept', content: { name: 'Ada' } } } };
}

function onlyKey(result: Fields): string {
  const keys = Object.keys(result['inputRequests'] as Fields);
  if (keys.length !== 1) throw new Error(`${keys.length} questions`);
  return keys[0]!;
}

t.test('a plain call', async (t) => {
  const { server, session, client } = scene({ 'tools/call': () => ({ content: [], unknown: 1 }) });
  const exchange = fakeExchange();
  const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', progressToken: 5, traceparent: 'x' };
  t.strictSame(await resultOf(session.request(call({ _meta: meta, extra: 2 }), exchange)), {
    content: [],
    unknown: 1,
    resultType: 'complete',
    _meta: SERVER_INFO,
  });
  t.strictSame(server.requests, [call({ extra: 2, _meta: { progressToken: 5, traceparent: 'x' } })]);
  t.equal(server.client.era, 'legacy');
  t.equal(server.client.protocolVersion, '2025-11-25');
  t.equal(server.client.capabilities, client.capabilities);
  t.equal((await session.describe(never)).era, 'modern');
});

t.test('errors of a legacy server', async (t) => {
  const { server, session } = scene();
  server.handlers['resources/read'] = () => refusal(-32002, 'not there', { uri: 'a:b' });
  t.strictSame(await errorOf(session.request({ method: 'resources/read', params: { uri: 'a:b' } }, fakeExchange())), {
    code: -32602,
    message: 'not there',
    data: { uri: 'a:b' },
  });
  for (const method of ['ping', 'logging/setLevel', 'resources/subscribe', 'initialize', 'tasks/list', 'tasks/result'])
    t.equal((await errorOf(session.request({ method }, fakeExchange()))).code, RPC_CODE.methodNotFound, method);
  t.equal(server.requests.length, 1, 'the server was asked for none of them');
});

t.test('one question', async (t) => {
  const { server, session } = scene({ 'tools/call': greeter });
  const first = await resultOf(session.request(call(), fakeExchange()));
  t.equal(first['resultType'], 'input_required');
  t.strictSame(Object.values(first['inputRequests'] as Fields), [FORM]);
  t.match(first['requestState'], /^[\w-]{32}$/);
  t.equal(server.exchanges[0]?.signal.aborted, false, 'the call is open');
  const last = await resultOf(session.request(call(accept(first, onlyKey(first))), fakeExchange()));
  t.equal(last['resultType'], 'complete');
  t.strictSame(last['content'], [{ kind: 'result', result: { action: 'accept', content: { name: 'Ada' } } }]);
  t.equal(server.requests.length, 1, 'it was sent once');
});

t.test('several questions, one after another and at once', async (t) => {
  const { server, session } = scene({
    async 'tools/call'(_params, exchange) {
      const one = await exchange.ask(FORM, never);
      const two = await Promise.all([
        exchange.ask({ method: 'sampling/createMessage', params: { messages: [] } }, never),
        exchange.ask({ method: 'roots/list' }, never),
      ]);
      return { content: [one, ...two].map((answer) => answer.kind === 'result' && answer.result['is']) };
    },
  });
  const first = await resultOf(session.request(call(), fakeExchange()));
  const second = await resultOf(
    session.request(
      call({ requestState: first['requestState'], inputResponses: { [onlyKey(first)]: { is: 1 } } }),
      fakeExchange(),
    ),
  );
  t.equal(second['resultType'], 'input_required');
  t.not(second['requestState'], first['requestState']);
  const questions = Object.entries(second['inputRequests'] as Record<string, RequestBody>);
  t.strictSame(questions.map(([, { method }]) => method).sort(), ['roots/list', 'sampling/createMessage']);
  const keyOf = (method: string) => questions.find(([, question]) => question.method === method)?.[0] ?? '';
  const third = await resultOf(
    session.request(
      call({
        requestState: second['requestState'],
        inputResponses: { [keyOf('sampling/createMessage')]: { is: 2 }, unknown: { is: 9 } },
      }),
      fakeExchange(),
    ),
  );
  t.equal(third['resultType'], 'input_required', 'what was not answered is asked again');
  t.strictSame(Object.keys(third['inputRequests'] as Fields), [keyOf('roots/list')]);
  const last = await resultOf(
    session.request(
      call({ requestState: third['requestState'], inputResponses: { [keyOf('roots/list')]: { is: 3 } } }),
      fakeExchange(),
    ),
  );
  t.strictSame(last['content'], [1, 2, 3]);
  t.equal(server.requests.length, 1);
});

t.test('a state is of one client, of one request, and good once', async (t) => {
  const { session } = scene({ 'tools/call': greeter });
  const other = scene({ 'tools/call': greeter });
  const first = await resultOf(session.request(call(), fakeExchange()));
  const answered = accept(first, onlyKey(first));
  const refused = async (session: Session, request: RequestBody) =>
    (await errorOf(session.request(request, fakeExchange()))).code;
  t.equal(await refused(other.session, call(answered)), RPC_CODE.invalidParams, 'of another client');
  t.equal(other.server.requests.length, 0);
  t.equal(await refused(session, call({ ...answered, arguments: { a: 2 } })), RPC_CODE.invalidParams);
  t.equal(await refused(session, call({ ...answered, name: 'other' })), RPC_CODE.invalidParams);
  t.equal(await refused(session, { method: 'prompts/get', params: call(answered).params! }), RPC_CODE.invalidParams);
  t.equal(await refused(session, call({ requestState: 7 })), RPC_CODE.invalidParams);
  t.equal((await resultOf(session.request(call(answered), fakeExchange())))['resultType'], 'complete');
  t.equal(await refused(session, call(answered)), RPC_CODE.invalidParams, 'again');
});

t.test('what the client has not declared is not asked', async (t) => {
  const { session, server } = scene({ 'tools/call': greeter });
  const meta = { 'io.modelcontextprotocol/clientCapabilities': { sampling: {} } };
  const result = await resultOf(session.request(call({ _meta: meta }), fakeExchange()));
  const [answer] = result['content'] as [Answer];
  t.equal(answer.kind === 'error' && answer.error.code, RPC_CODE.methodNotFound);
  server.handlers['tools/call'] = async (_params, exchange) => ({
    content: [await exchange.ask({ method: 'no/such' }, never)],
  });
  const other = await resultOf(session.request(call(), fakeExchange()));
  t.match(other['content'], [{ kind: 'error' }]);
  server.handlers['tools/list'] = async (_params, exchange) => ({ tools: [await exchange.ask(FORM, never)] });
  const list = await resultOf(session.request({ method: 'tools/list' }, fakeExchange()));
  t.match(list['tools'], [{ kind: 'error', error: { code: RPC_CODE.methodNotFound } }], 'not during a list');
});

t.test('progress goes to the request that is open, with its token', async (t) => {
  let progress!: (value: number) => void;
  const { session } = scene({
    async 'tools/call'(params, exchange) {
      progress = (value) =>
        exchange.notify({
          method: 'notifications/progress',
          params: { progressToken: (params['_meta'] as Fields)['progressToken'], progress: value },
        });
      progress(1);
      await exchange.ask(FORM, never);
      progress(3);
      await exchange.ask(FORM, never);
      progress(4);
      return { content: [] };
    },
  });
  const exchanges = [fakeExchange(), fakeExchange(), fakeExchange()] as const;
  const withToken = (token: unknown, more: Fields = {}) => call({ ...more, _meta: { progressToken: token } });
  const first = await resultOf(session.request(withToken('one'), exchanges[0]));
  progress(2);
  const second = await resultOf(session.request(withToken('two', accept(first, onlyKey(first))), exchanges[1]));
  await resultOf(session.request(call(accept(second, onlyKey(second))), exchanges[2]));
  t.strictSame(
    exchanges.map(({ heard }) => heard.map(({ params }) => [params?.['progressToken'], params?.['progress']])),
    [[['one', 1]], [['two', 3]], []],
    'none while the client is away, none for a request that has no token',
  );
});

t.test('the client goes', async (t) => {
  const { session, server } = scene({ 'tools/call': greeter });
  const exchange = fakeExchange();
  const first = await resultOf(session.request(call(), fakeExchange()));
  const slow: Handler = () => new Promise(() => undefined);
  server.handlers['tools/call'] = slow;
  const open = session.request(call({ name: 'slow' }), exchange);
  await settled();
  exchange.cancel();
  t.equal((await errorOf(open)).code, RPC_CODE.internalError);
  t.equal(server.exchanges[1]?.signal.aborted, true, 'a call is cancelled with its request');
  t.equal(server.exchanges[0]?.signal.aborted, false);
  await session.close('the client has gone');
  t.equal(server.exchanges[0]?.signal.aborted, true, 'a parked one with the session');
  t.equal(server.closed, 'the client has gone');
  t.equal((await errorOf(session.request(call(accept(first, 'x')), fakeExchange()))).code, RPC_CODE.invalidParams);
});

t.test('a client that comes back and goes again', async (t) => {
  const { session, server } = scene({
    async 'tools/call'(_params, exchange) {
      await exchange.ask(FORM, never);
      return new Promise(() => undefined);
    },
  });
  const first = await resultOf(session.request(call(), fakeExchange()));
  const back = fakeExchange();
  const open = session.request(call(accept(first, onlyKey(first))), back);
  t.equal(await soon(open), null);
  back.cancel();
  await errorOf(open);
  t.equal(server.exchanges[0]?.signal.aborted, true);
});

t.test('a client that does not come back in time', async (t) => {
  const time = manualTime(t);
  const told: Answer[] = [];
  const { session, server } = scene(
    {
      async 'tools/call'(_params, exchange) {
        told.push(await exchange.ask(FORM, never));
        return {};
      },
    },
    { parkTimeoutMs: 60_000 },
  );
  const first = await resultOf(session.request(call(), fakeExchange()));
  await time.pass(59_999);
  t.equal(server.exchanges[0]?.signal.aborted, false);
  await time.pass(1);
  t.equal(server.exchanges[0]?.signal.aborted, true);
  t.match(told, [{ kind: 'error' }], 'the server hears it');
  t.equal((await errorOf(session.request(call(accept(first, 'x')), fakeExchange()))).code, RPC_CODE.invalidParams);
  t.equal(time.pending, 0);
});

t.test('only so many wait', async (t) => {
  const { session } = scene({ 'tools/call': greeter }, { maxParked: 2 });
  for (const _ of [1, 2])
    t.equal((await resultOf(session.request(call(), fakeExchange())))['resultType'], 'input_required');
  const third = await resultOf(session.request(call(), fakeExchange()));
  t.match(third['content'], [{ kind: 'error', error: { code: RPC_CODE.refused, data: refusalFields(10_000) } }]);
});

t.test('a server that asks without end', async (t) => {
  const { session } = scene({
    async 'tools/call'(_params, exchange) {
      const asked = Array.from({ length: 100 }, () => exchange.ask(FORM, new AbortController().signal));
      await settled(2);
      return { content: [await Promise.race(asked.slice(50))] };
    },
  });
  const result = await resultOf(session.request(call(), fakeExchange()));
  t.equal(Object.keys(result['inputRequests'] as Fields).length, 32);
});

t.test('the server takes its question back, or answers while the client is away', async (t) => {
  const { session, server } = scene();
  const question = new AbortController();
  server.handlers['tools/call'] = async (_params, exchange) => ({
    content: [(await exchange.ask(FORM, question.signal)).kind],
  });
  const first = await resultOf(session.request(call(), fakeExchange()));
  question.abort(new Error('never mind'));
  await settled();
  const last = await resultOf(session.request(call(accept(first, onlyKey(first))), fakeExchange()));
  t.strictSame(last['content'], ['error'], 'the result waited for the client');
});

t.test('a page has to be opened', async (t) => {
  let times = 0;
  const { session, server } = scene({
    'tools/call': () =>
      ++times === 1
        ? refusal(-32042, 'log in', {
            elicitations: [{ mode: 'url', url: 'http://127.0.0.1/login', message: 'log in', elicitationId: 'e' }],
          })
        : { content: [times] },
  });
  const first = await resultOf(session.request(call(), fakeExchange()));
  t.equal(first['resultType'], 'input_required');
  t.strictSame(Object.values(first['inputRequests'] as Fields), [
    { method: 'elicitation/create', params: { mode: 'url', url: 'http://127.0.0.1/login', message: 'log in' } },
  ]);
  const last = await resultOf(session.request(call(accept(first, onlyKey(first))), fakeExchange()));
  t.strictSame(last['content'], [2]);
  t.strictSame(server.requests, [call(), call()], 'sent again as it was');

  times = 0;
  const again = await resultOf(session.request(call(), fakeExchange()));
  const declined = { requestState: again['requestState'], inputResponses: { [onlyKey(again)]: { action: 'decline' } } };
  t.equal((await errorOf(session.request(call(declined), fakeExchange()))).code, RPC_CODE.invalidParams);
  t.equal(times, 1);

  times = 0;
  const meta = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } };
  const unable = await errorOf(session.request(call({ _meta: meta }), fakeExchange()));
  t.equal(unable.code, -32021);
  t.match(unable.data, { requiredCapabilities: { elicitation: { url: {} } } });
});

t.test('log lines', async (t) => {
  const lines: ((level: string) => void)[] = [];
  const { session, server } = scene({
    'tools/call': (_params, exchange) =>
      new Promise((resolve) => {
        lines.push((level) => exchange.notify({ method: 'notifications/message', params: { level, data: level } }));
        exchange.signal.addEventListener('abort', () => resolve({}));
      }),
  });
  const level = (level: unknown) => ({ _meta: { 'io.modelcontextprotocol/logLevel': level } });
  const [quiet, warned, talkative] = [fakeExchange(), fakeExchange(), fakeExchange()] as const;
  void session.request(call(), quiet);
  await settled();
  t.strictSame(server.of('logging/setLevel'), []);
  void session.request(call(level('warning')), warned);
  await settled();
  void session.request(call(level('info')), talkative);
  await settled();
  t.strictSame(
    server.of('logging/setLevel').map(({ params }) => params?.['level']),
    ['warning', 'info'],
    'the most talkative that is wanted',
  );
  t.strictSame(
    server.requests.map(({ method }) => method),
    ['tools/call', 'logging/setLevel', 'tools/call', 'logging/setLevel', 'tools/call'],
    'before the call that wants it',
  );
  lines[1]?.('error');
  lines[1]?.('debug');
  server.client.notify({ method: 'notifications/message', params: { level: 'info', data: 'loose' } });
  t.strictSame(
    warned.heard.map(({ params }) => params?.['data']),
    ['error'],
  );
  t.strictSame(
    talkative.heard.map(({ params }) => params?.['data']),
    ['loose'],
    'of no request: the newest that wants it',
  );
  t.strictSame(quiet.heard, [], 'a request that asked for none gets none');
  talkative.cancel();
  await settled();
  server.client.notify({ method: 'notifications/message', params: { level: 'info' } });
  t.equal(warned.heard.length, 1);
  t.equal((await errorOf(session.request(call(level('loud')), fakeExchange()))).code, RPC_CODE.invalidParams);
});

t.test('subscriptions', async (t) => {
  const { session, server } = scene({
    'resources/subscribe': ({ uri }) => (uri === 'x:no' ? refusal(-32602, 'no') : {}),
  });
  const updated = (uri: string) => ({ method: 'notifications/resources/updated', params: { uri, extra: 1 } });
  const listen = (exchange = fakeExchange(), notifications: Fields = {}) => ({
    exchange,
    answer: session.request({ method: 'subscriptions/listen', params: { notifications } }, exchange),
  });
  const one = listen(fakeExchange(), { toolsListChanged: true, resourceSubscriptions: ['x:a', 'x:no'] });
  await settled();
  const two = listen(fakeExchange(), {
    resourcesListChanged: true,
    promptsListChanged: true,
    resourceSubscriptions: ['x:a'],
  });
  await settled();
  t.strictSame(
    server.of('resources/subscribe').map(({ params }) => params),
    [{ uri: 'x:a' }, { uri: 'x:no' }],
    'once each',
  );
  const acknowledged = (notifications: Fields) => ({
    method: 'notifications/subscriptions/acknowledged',
    params: { notifications },
  });
  t.strictSame(one.exchange.heard, [acknowledged({ toolsListChanged: true, resourceSubscriptions: ['x:a'] })]);
  t.strictSame(two.exchange.heard, [acknowledged({ resourcesListChanged: true, resourceSubscriptions: ['x:a'] })]);
  server.client.notify(updated('x:a'));
  server.client.notify(updated('x:b'));
  server.client.notify({ method: 'notifications/tools/list_changed' });
  server.client.notify({ method: 'notifications/prompts/list_changed' });
  server.client.notify({ method: 'notifications/anything' });
  t.strictSame(one.exchange.heard.slice(1), [updated('x:a'), { method: 'notifications/tools/list_changed' }]);
  t.strictSame(two.exchange.heard.slice(1), [updated('x:a')]);

  one.exchange.cancel();
  await settled();
  t.strictSame(
    server.of('resources/unsubscribe').map(({ params }) => params),
    [{ uri: 'x:no' }],
    'the other still listens',
  );
  t.equal(await soon(two.answer), null);
  two.exchange.cancel();
  await settled();
  t.same(server.of('resources/unsubscribe').at(-1)?.params, { uri: 'x:a' });

  const three = listen(fakeExchange(), { promptsListChanged: true });
  t.equal((await resultOf(three.answer))['resultType'], 'complete', 'nothing would ever come');
  t.strictSame(three.exchange.heard, [acknowledged({})]);
  t.equal(
    (await errorOf(session.request({ method: 'subscriptions/listen' }, fakeExchange()))).code,
    RPC_CODE.invalidParams,
  );

  const four = listen(fakeExchange(), { toolsListChanged: true });
  await settled();
  await session.close('over');
  t.equal((await resultOf(four.answer))['resultType'], 'complete', 'ends properly');
});

t.test('what comes before a subscription is acknowledged comes after its acknowledgement', async (t) => {
  let taken!: () => void;
  const { session, server } = scene({
    'resources/subscribe': () => new Promise((resolve) => (taken = () => resolve({}))),
  });
  const exchange = fakeExchange();
  const params = { notifications: { resourceSubscriptions: ['x:a'] } };
  void session.request({ method: 'subscriptions/listen', params }, exchange);
  await settled();
  server.client.notify({ method: 'notifications/resources/updated', params: { uri: 'x:a' } });
  t.strictSame(exchange.heard, []);
  taken();
  await settled();
  t.strictSame(
    exchange.heard.map(({ method }) => method),
    ['notifications/subscriptions/acknowledged', 'notifications/resources/updated'],
  );
});

t.test('a server that never answers takes no subscription', async (t) => {
  const time = manualTime(t);
  const { session, server } = scene(
    { 'resources/subscribe': () => new Promise(() => undefined) },
    { subscribeTimeoutMs: 5_000 },
  );
  const exchange = fakeExchange();
  const params = { notifications: { toolsListChanged: true, resourceSubscriptions: ['x:a'] } };
  void session.request({ method: 'subscriptions/listen', params }, exchange);
  await time.pass(5_000);
  t.strictSame(exchange.heard[0]?.params, { notifications: { toolsListChanged: true } });
  t.ok(server.exchanges[0]?.signal.aborted);
});

t.test('a question beside any request', async (t) => {
  const { session, server } = scene();
  await session.describe(never);
  t.strictSame(await server.client.ask({ method: 'ping' }, never), { kind: 'result', result: {} });
  t.match(await server.client.ask(FORM, never), { kind: 'error', error: { code: RPC_CODE.methodNotFound } });
});

t.test('a tool that can only be called as a task', async (t) => {
  const tasks = { tools: {}, tasks: { cancel: {}, requests: { tools: { call: {} } } } };
  const tools = [
    { name: 'plain', execution: { taskSupport: 'optional' } },
    { name: 'slow', execution: { taskSupport: 'required' } },
  ];
  const done = { content: [{ type: 'text', text: 'done' }], _meta: { 'a/b': 1 } };
  const server = fakeServer(
    'legacy',
    {
      'tools/list': ({ cursor }) => ({
        tools: [tools[cursor === undefined ? 0 : 1]],
        ...(cursor === undefined ? { nextCursor: '' } : {}),
      }),
      'tools/call': ({ task }) =>
        task === undefined ? { content: [] } : { task: { taskId: 't1', status: 'working' } },
      'tasks/result': async ({ taskId }, exchange) => {
        const answer = await exchange.ask(FORM, never);
        return { ...done, taskId, answered: answer.kind };
      },
    },
    tasks,
  );
  const session = openBridged(server.open, fakeClient('modern', CAPABLE));
  t.notOk(Object.hasOwn((await session.describe(never)).capabilities, 'tasks'));
  const methods = () => server.requests.splice(0).map(({ method }) => method);
  await resultOf(session.request(call({ name: 'plain' }), fakeExchange()));
  t.strictSame(methods(), ['tools/list', 'tools/list', 'tools/call'], 'the list is read once, to its end');
  const first = await resultOf(session.request(call({ name: 'slow' }), fakeExchange()));
  t.equal(first['resultType'], 'input_required');
  const retry = call({ name: 'slow', ...accept(first, onlyKey(first)) });
  const last = await resultOf(session.request(retry, fakeExchange()));
  t.match(last, { content: done.content, resultType: 'complete', taskId: 't1', answered: 'result' });
  t.strictSame(
    server.requests.map(({ params }) => params),
    [call({ name: 'slow', task: {} }).params, { taskId: 't1' }],
  );
  t.strictSame(methods(), ['tools/call', 'tasks/result']);

  const exchange = fakeExchange();
  server.handlers['tasks/result'] = () => new Promise(() => undefined);
  const open = session.request(call({ name: 'slow' }), exchange);
  await settled();
  exchange.cancel();
  await errorOf(open);
  await settled();
  t.strictSame(methods(), ['tools/call', 'tasks/result', 'tasks/cancel'], 'the task ends with the call');

  server.handlers['tools/call'] = () => refusal(-32000, 'not today');
  t.equal((await errorOf(session.request(call({ name: 'slow' }), fakeExchange()))).message, 'not today');
  methods();
  tools[1] = { name: 'slow', execution: { taskSupport: 'forbidden' } };
  server.handlers['tools/call'] = () => ({ content: [] });
  server.client.notify({ method: 'notifications/tools/list_changed' });
  await resultOf(session.request(call({ name: 'slow' }), fakeExchange()));
  t.strictSame(methods(), ['tools/list', 'tools/list', 'tools/call']);

  server.handlers['tools/list'] = () => refusal(-32000, 'not today');
  server.client.notify({ method: 'notifications/tools/list_changed' });
  for (const _ of [1, 2]) await resultOf(session.request(call({ name: 'slow' }), fakeExchange()));
  t.strictSame(
    methods(),
    ['tools/list', 'tools/call', 'tools/list', 'tools/call'],
    'a list that could not be read is read again',
  );
});

t.test('a log level that the server did not take is tried again', async (t) => {
  const { session, server } = scene({ 'logging/setLevel': () => refusal(-32603, 'no') });
  const request = call({ _meta: { 'io.modelcontextprotocol/logLevel': 'info' } });
  for (const _ of [1, 2]) await resultOf(session.request(request, fakeExchange()));
  t.equal(server.of('logging/setLevel').length, 2);
  server.handlers['logging/setLevel'] = () => ({});
  for (const _ of [1, 2]) await resultOf(session.request(request, fakeExchange()));
  t.equal(server.of('logging/setLevel').length, 3);
});
