import t from 'tap';
import { openBridged } from '../../../../lib/mcp/bridge/bridge.ts';
import type { BridgeOptions } from '../../../../lib/mcp/bridge/bridge.ts';
import type { Answer, Fields, RequestBody } from '../../../../lib/mcp/wire/message.ts';
import { fakeClient, fakeExchange, fakeServer, resultOf } from '../../../helpers/fake-mcp-session.ts';
import { settled } from '../../../helpers/manual-time.ts';

const never = new AbortController().signal;
const CALL: RequestBody = { method: 'tools/call', params: { name: 'list' } };
const ROOTS = { roots: [{ uri: 'file:///a' }] };

/** A server that asks, and answers the call without waiting for what it asked. */
function scene(question: RequestBody, options: Partial<BridgeOptions> = {}) {
  const told: Answer[] = [];
  const server = fakeServer(
    'legacy',
    {
      'tools/call': (_params, exchange) => {
        void exchange.ask(question, never).then((answer) => told.push(answer));
        return { content: ['done'] };
      },
    },
    { tools: {} },
  );
  const session = openBridged(server.open, fakeClient('modern', { roots: {}, sampling: {} }), options);
  const call = (params: Fields = {}): Promise<Fields> =>
    resultOf(session.request({ ...CALL, params: { ...CALL.params, ...params } }, fakeExchange()));
  return { server, call, told };
}

function keyOf(result: Fields): string {
  return Object.keys(result['inputRequests'] as Fields)[0] ?? '';
}

t.test('roots that a server asks for are asked of the client, though the call is answered already', async (t) => {
  const { server, call, told } = scene({ method: 'roots/list' });
  const first = await call();
  t.equal(first['resultType'], 'input_required');
  t.strictSame(Object.values(first['inputRequests'] as Fields), [{ method: 'roots/list' }]);
  t.strictSame(told, [], 'the server waits');
  const last = await call({ requestState: first['requestState'], inputResponses: { [keyOf(first)]: ROOTS } });
  t.strictSame(told, [{ kind: 'result', result: ROOTS }]);
  t.match(last, { resultType: 'complete', content: ['done'] }, 'the answer was kept');
  t.equal(server.requests.length, 1, 'it was sent once');
});

t.test('nobody waits for a person whom the answer does not need', async (t) => {
  const { call, told } = scene({ method: 'sampling/createMessage', params: { messages: [] } });
  t.match(await call(), { resultType: 'complete', content: ['done'] });
  t.match(told, [{ kind: 'error', error: { message: 'The request is answered' } }]);
});

t.test('a client that comes back without roots gets its answer, and is not asked for ever', async (t) => {
  const { call, told } = scene({ method: 'roots/list' });
  const first = await call();
  const last = await call({ requestState: first['requestState'], inputResponses: {} });
  t.match(last, { resultType: 'complete', content: ['done'] });
  t.match(told, [{ kind: 'error', error: { message: 'The request is answered' } }]);
});

t.test('where no more calls can be parked, the answer goes out, and the question is refused', async (t) => {
  const { call, told } = scene({ method: 'roots/list' }, { maxParked: 0 });
  t.match(await call(), { resultType: 'complete', content: ['done'] });
  await settled();
  t.equal(told[0]?.kind, 'error');
});
