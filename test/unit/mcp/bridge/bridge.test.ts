import t from 'tap';
import { GovernorError } from '../../../../lib/core/errors.ts';
import { openBridged } from '../../../../lib/mcp/bridge/bridge.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import {
  description,
  errorOf,
  fakeClient,
  fakeExchange,
  fakeServer,
  resultOf,
  refusal,
  soon,
} from '../../../helpers/fake-mcp-session.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';
import { settled } from '../../../helpers/manual-time.ts';
import { refusalFields } from '../../../helpers/refusal-fields.ts';

const never = new AbortController().signal;
const LIST = { method: 'tools/list', params: { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } } };

t.test('the same era on both sides', async (t) => {
  for (const era of ['legacy', 'modern'] as const) {
    const server = fakeServer(era, {}, { tools: {} });
    const client = fakeClient(era, { roots: { listChanged: true } });
    const session = openBridged(server.open, client);
    const exchange = fakeExchange();
    await resultOf(session.request(LIST, exchange));
    t.equal(server.requests[0], LIST, 'not even copied');
    t.equal(server.exchanges[0], exchange);
    t.equal(await session.describe(never), server.description);
    t.equal(server.client.protocolVersion, client.protocolVersion);
    t.equal(server.client.capabilities, client.capabilities);
    t.equal(server.client.info, client.info);
    t.equal(server.client.context, client.context);
    server.client.notify({ method: 'notifications/x' });
    t.strictSame(client.heard, [{ method: 'notifications/x' }]);
    client.answer = () => ({ kind: 'result', result: { roots: [] } });
    t.strictSame(await server.client.ask({ method: 'roots/list' }, never), { kind: 'result', result: { roots: [] } });
    session.notify({ method: 'notifications/y' });
    t.strictSame(server.notifications, [{ method: 'notifications/y' }]);
    await session.close('over');
    t.equal(server.closed, 'over');
  }
});

t.test('the era is asked for once, by whoever comes first', async (t) => {
  const server = fakeServer('legacy');
  let asked = 0;
  const described = server.session.describe;
  server.session.describe = (signal) => (asked++, described(signal));
  const session = openBridged(server.open, fakeClient('modern'));
  await resultOf(session.request(LIST, fakeExchange()));
  await resultOf(session.request(LIST, fakeExchange()));
  t.equal(asked, 1);
});

t.test('a server that cannot be started', async (t) => {
  const server = fakeServer('legacy');
  server.problem = new GovernorError('launch_failed', 'it is not there', { data: { run: 'r1' } });
  const session = openBridged(server.open, fakeClient('modern'));
  t.strictSame(await errorOf(session.request(LIST, fakeExchange())), {
    code: RPC_CODE.stopped,
    message: 'it is not there',
    data: { ...refusalFields(null), action: null, reason: 'launch_failed', run: 'r1' },
  });
  await t.rejects(session.describe(never), isGovernorError('launch_failed'));
  server.problem = new GovernorError('breaker_open', 'later');
  t.strictSame(await errorOf(session.request(LIST, fakeExchange())), {
    code: RPC_CODE.refused,
    message: 'later',
    data: { ...refusalFields(null), reason: 'breaker_open' },
  });
  server.problem = null;
  t.equal((await resultOf(session.request(LIST, fakeExchange())))['resultType'], 'complete', 'and then it can');
});

t.test('a server that was replaced by one of the other era', async (t) => {
  const server = fakeServer('legacy', {}, { tools: { listChanged: true } });
  const session = openBridged(server.open, fakeClient('modern'));
  const listen = session.request(
    { method: 'subscriptions/listen', params: { notifications: { toolsListChanged: true } } },
    fakeExchange(),
  );
  await resultOf(session.request(LIST, fakeExchange()));
  t.strictSame(server.requests.at(-1)?.params, {}, 'as a legacy server wants it');
  server.description = description('modern', { tools: {} });
  server.handlers['tools/list'] = ({ _meta }) =>
    _meta === undefined ? refusal(RPC_CODE.invalidParams, 'no _meta') : { resultType: 'complete', tools: [] };
  await errorOf(session.request(LIST, fakeExchange()));
  t.strictSame(await resultOf(session.request(LIST, fakeExchange())), { resultType: 'complete', tools: [] });
  t.equal(server.requests.at(-1), LIST, 'as it came');
  t.equal(server.client.era, 'modern');
  t.match(await soon(listen), { kind: 'result' }, 'its stream ended properly');

  server.description = description('legacy', { tools: {} });
  server.handlers['tools/list'] = () => ({ tools: [] });
  server.client.notify({ method: 'notifications/tools/list_changed' });
  t.equal((await resultOf(session.request(LIST, fakeExchange())))['resultType'], 'complete');
  t.equal(server.client.era, 'legacy');
});

t.test('closed while it looks', async (t) => {
  const server = fakeServer('legacy');
  let go!: () => void;
  server.gate = new Promise((resolve) => (go = resolve));
  const session = openBridged(server.open, fakeClient('modern'));
  const answer = session.request(LIST, fakeExchange());
  await settled();
  await session.close('over');
  go();
  t.equal((await errorOf(answer)).code, RPC_CODE.stopped);
  t.strictSame(server.requests, []);
});

t.test('a session that cannot be opened', (t) => {
  const open = () => {
    throw new GovernorError('unknown_tool', 'no such tool');
  };
  t.throws(() => openBridged(open, fakeClient('modern')), isGovernorError('unknown_tool'));
  t.end();
});
