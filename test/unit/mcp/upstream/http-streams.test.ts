import t, { type Test } from 'tap';
import type { Answer, Fields } from '../../../../lib/mcp/wire/message.ts';
import { fakeClient, fakeExchange } from '../../../helpers/fake-mcp-session.ts';
import { httpElsewhere, openElsewhere } from '../../../helpers/http-elsewhere.ts';
import type { Visit } from '../../../helpers/http-elsewhere.ts';
import { waitFor } from '../../../helpers/wait-for.ts';

const ELICIT = { method: 'elicitation/create', params: { message: 'who are you?' } };
const said = (name: string): Answer => ({ kind: 'result', result: { action: 'accept', content: { name } } });

t.test('what a legacy server asks and says on the stream of a call is for the client of that call', async (t) => {
  const answered: Fields[] = [];
  const calls: Visit[] = [];
  const server = await httpElsewhere(t, (visit) => {
    if (visit.verb === 'GET') return void visit.response.writeHead(405).end();
    if (visit.method === '' && visit.body['result'] !== undefined) answered.push(visit.body);
    if (visit.method !== 'tools/call') return;
    calls.push(visit);
    visit.say({ method: 'notifications/message', params: { level: 'info', data: visit.params['name'] } });
  });
  const { upstream } = await openElsewhere(t, server.url, 'legacy');
  const open = ['one', 'two', 'three'].map((name) => {
    const client = fakeClient('legacy', { elicitation: {} });
    const exchange = fakeExchange();
    exchange.answer = () => said(name);
    const params = { name };
    return {
      name,
      client,
      exchange,
      answer: upstream.attach(client).request({ method: 'tools/call', params }, exchange),
    };
  });
  await waitFor('all to be open at once', () => calls.length === 3);
  // In another order than they came.
  for (const call of calls.toReversed()) call.say({ id: `of ${String(call.params['name'])}`, ...ELICIT });
  await waitFor('the answers', () => answered.length === 3);
  for (const { name, exchange, client } of open) {
    t.match(
      answered.find(({ id }) => id === `of ${name}`),
      { result: { content: { name } } },
    );
    t.same(exchange.asked, [ELICIT], name);
    t.match(exchange.heard, [{ params: { data: name } }], 'and so are its log lines');
    t.equal(exchange.heard.length, 1);
    t.same([client.asked, client.heard], [[], []]);
  }
  t.equal(upstream.takesTurns, false);
  for (const call of calls) {
    call.say({ id: call.id, result: { by: call.params['name'] } });
    call.response.end();
  }
  for (const { name, answer } of open) t.same(await answer, { kind: 'result', result: { by: name } });
  t.match(
    server.visits.filter(({ method }) => method === 'tools/call').map(({ headers }) => headers['mcp-session-id']),
    ['secret-1', 'secret-1', 'secret-1'],
    'all of one session',
  );
});

t.test('a stream that is cancelled takes its question with it', async (t) => {
  const calls: Visit[] = [];
  const errors: Fields[] = [];
  const server = await httpElsewhere(t, (visit) => {
    if (visit.verb === 'GET') return void visit.response.writeHead(405).end();
    if (visit.body['error'] !== undefined) errors.push(visit.body);
    if (visit.method === 'tools/call') calls.push(visit);
  });
  const { upstream } = await openElsewhere(t, server.url, 'legacy');
  const session = upstream.attach(fakeClient('legacy', { elicitation: {} }));
  const [first, second] = [fakeExchange(), fakeExchange()];
  let aborted = false;
  first.answer = (_request, signal) => {
    signal.addEventListener('abort', () => (aborted = true));
    return new Promise(() => undefined);
  };
  for (const exchange of [first, second]) void session.request({ method: 'tools/call' }, exchange);
  await waitFor('both', () => calls.length === 2);
  calls.find(({ id }) => id === Math.min(...calls.map((each) => Number(each.id))))?.say({ id: 'q', ...ELICIT });
  await waitFor('the question', () => first.asked.length === 1);
  first.cancel();
  await waitFor('the error', () => errors.length === 1);
  t.ok(aborted, 'though another call of the same client is open');
  t.match(errors, [{ id: 'q', error: { message: /the call was cancelled/ } }]);
});

t.test('the stream of what belongs to no request is opened again and again', async (t) => {
  let gets = 0;
  const server = await httpElsewhere(t, ({ verb, response, say }) => {
    if (verb !== 'GET') return;
    gets++;
    // The first is opened and cut, the next four are refused.
    if (gets > 1 && gets < 6) return void response.writeHead(503).end();
    if (gets === 1) response.writeHead(200, { 'content-type': 'text/event-stream' }).end('retry: 100\n\n');
    else say({ method: 'notifications/tools/list_changed' });
  });
  const { upstream, problems } = await openElsewhere(t, server.url, 'legacy');
  const client = fakeClient('legacy');
  upstream.attach(client);
  await waitFor('the news', () => client.heard.length > 0);
  t.match(client.heard, [{ method: 'notifications/tools/list_changed' }]);
  t.equal(gets, 6);
  t.ok(problems.length <= 1, `an interruption is told once at most: ${problems.join('; ')}`);
  t.equal(upstream.state.kind, 'ready');
});

t.test('and so is one that could not be opened at first, unless the server has none', async (t) => {
  for (const [status, count] of [
    [503, 2],
    [404, 1],
  ] as const) {
    let gets = 0;
    const server = await httpElsewhere(t, ({ verb, response, say, method, json }) => {
      if (method === 'ping') json({ result: {} });
      if (verb !== 'GET') return;
      gets++;
      if (gets === 1) response.writeHead(status).end();
      else say({ method: 'notifications/tools/list_changed' });
    });
    const { upstream } = await openElsewhere(t, server.url, 'legacy');
    const client = fakeClient('legacy');
    upstream.attach(client);
    await waitFor('the first', () => gets === 1);
    if (count === 2) await waitFor('the news', () => client.heard.length > 0);
    t.equal(await upstream.check(10_000), true, 'the session goes on');
    t.equal(gets, count, `${status}`);
  }
});

t.test('a session that is gone when its stream is opened again is over', async (t) => {
  let gets = 0;
  const server = await httpElsewhere(t, ({ verb, response }) => {
    if (verb !== 'GET') return;
    if (++gets > 1) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end('retry: 100\n\n');
  });
  const { upstream } = await openElsewhere(t, server.url, 'legacy');
  const reasons: string[] = [];
  upstream.onEnd((reason) => void reasons.push(reason));
  await waitFor('the end', () => reasons.length > 0);
  t.match(reasons, [/has ended the session/]);
});

/** A legacy server that asks on the stream of what belongs to no request; `asks` speaks there. */
async function asking(t: Test) {
  const calls: Visit[] = [];
  const answered: Visit[] = [];
  const streams: Visit[] = [];
  const server = await httpElsewhere(t, (visit) => {
    if (visit.verb === 'GET') {
      streams.push(visit);
      visit.response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    }
    if (visit.verb === 'POST' && visit.method === '') answered.push(visit);
    if (visit.method === 'tools/call') calls.push(visit);
  });
  const { upstream } = await openElsewhere(t, server.url, 'legacy');
  await waitFor('its stream', () => streams.length === 1);
  const join = (name: string) => {
    const client = fakeClient('legacy', { elicitation: {}, sampling: {}, roots: {} });
    const exchange = fakeExchange();
    client.answer = () => said(`client ${name}`);
    exchange.answer = () => said(`call of ${name}`);
    const session = upstream.attach(client);
    const call = () => void session.request({ method: 'tools/call', params: { name } }, exchange);
    return { client, exchange, session, call };
  };
  const ask = async (id: string, body: Fields): Promise<Fields> => {
    streams[0]?.say({ id, ...body });
    await waitFor(`the answer to ${id}`, () => answered.some((visit) => visit.body['id'] === id));
    t.equal(answered.filter((visit) => visit.body['id'] === id).length, 1, 'answered once');
    const visit = answered.find(({ body: { id: each } }) => each === id);
    t.equal(visit?.headers['mcp-session-id'], 'secret-1');
    return visit?.body ?? {};
  };
  return { upstream, calls, join, ask, say: (message: Fields) => streams[0]?.say(message) };
}

const QUESTIONS = ['elicitation/create', 'sampling/createMessage', 'roots/list'];

t.test('questions on the stream of no request: of the one client that calls, with its call', async (t) => {
  const { calls, join, ask } = await asking(t);
  const [idle, busy] = [join('idle'), join('busy')];
  busy.call();
  await waitFor('the call', () => calls.length === 1);
  t.same(await ask('p', { method: 'ping' }), { jsonrpc: '2.0', id: 'p', result: {} });
  for (const method of QUESTIONS)
    t.match(await ask(method, { method, params: {} }), { result: { content: { name: 'call of busy' } } });
  t.same(
    busy.exchange.asked.map(({ method }) => method),
    QUESTIONS,
  );
  t.same([idle.client.asked, idle.exchange.asked, busy.client.asked], [[], [], []]);
});

t.test('of the one client that is there, where none calls', async (t) => {
  const { join, ask } = await asking(t);
  const only = join('only');
  for (const method of QUESTIONS)
    t.match(await ask(method, { method, params: {} }), { result: { content: { name: 'client only' } } });
  t.equal(only.client.asked.length, QUESTIONS.length);
});

t.test('where several call nobody is asked, and from then on they take turns', async (t) => {
  const { calls, join, ask, upstream } = await asking(t);
  const both = [join('one'), join('two')];
  for (const { call } of both) call();
  await waitFor('the calls', () => calls.length === 2);
  const roots = await ask('r', { method: 'roots/list' });
  t.match(roots, { result: { content: { name: 'call of one' } } }, 'those who share have equal roots');
  const answer = await ask('q', ELICIT);
  t.match(answer, { error: { message: /could be for any of several clients/ } });
  t.equal(upstream.takesTurns, true);
  for (const { client, exchange } of both)
    t.notOk([...client.asked, ...exchange.asked].some(({ method }) => method === ELICIT.method));
});

t.test('one that the server takes back is taken back from its client', async (t) => {
  const { join, ask, say } = await asking(t);
  const only = join('only');
  let aborted = false;
  only.client.answer = (_request, signal) => {
    signal.addEventListener('abort', () => (aborted = true));
    return new Promise(() => undefined);
  };
  say({ id: 'q', ...ELICIT });
  await waitFor('the question', () => only.client.asked.length === 1);
  say({ method: 'notifications/cancelled', params: { requestId: 'q' } });
  await waitFor('the end of it', () => aborted);
  t.same(await ask('p', { method: 'ping' }), { jsonrpc: '2.0', id: 'p', result: {} }, 'and the stream goes on');
});
