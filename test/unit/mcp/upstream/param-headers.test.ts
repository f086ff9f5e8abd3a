import t from 'tap';
import { decodeHeader } from '../../../../lib/mcp/front/modern-check.ts';
import { ParamHeaders } from '../../../../lib/mcp/upstream/param-headers.ts';
import type { Fields } from '../../../../lib/mcp/wire/message.ts';
import { fakeClient, fakeExchange } from '../../../helpers/fake-mcp-session.ts';
import { waitFor } from '../../../helpers/wait-for.ts';
import { httpElsewhere, openElsewhere } from '../../../helpers/http-elsewhere.ts';

const REGION = { type: 'string', 'x-mcp-header': 'Region' };
const tool = (name: string, properties: Fields): Fields => ({ name, inputSchema: { type: 'object', properties } });
const call = (name: unknown, args?: unknown) =>
  ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } }) as const;

t.test('what a tool declares, of the arguments of its call', async (t) => {
  const params = new ParamHeaders();
  t.same(params.of(call('sql', { region: 'eu' })), {}, 'nothing is known of it');
  params.learn({
    tools: [
      tool('sql', {
        region: REGION,
        query: { type: 'string' },
        limits: { type: 'object', properties: { rows: { type: 'integer', 'x-mcp-header': 'Max-Rows' } } },
        rows: { type: 'array', items: { type: 'string', 'x-mcp-header': 'Never' } },
        dry: { type: 'boolean', 'x-mcp-header': 'Dry' },
        bad: { type: 'string', 'x-mcp-header': 'no token\r\nx: y' },
      }),
      tool('plain', {}),
      'no tool',
    ],
  });
  const all = { region: 'eu', query: 'select', limits: { rows: 10 }, rows: ['a'], dry: false, bad: 'x' };
  t.same(params.of(call('sql', all)), {
    'mcp-param-region': 'eu',
    'mcp-param-max-rows': '10',
    'mcp-param-dry': 'false',
  });
  t.same(params.of(call('sql', { region: null, limits: 3, dry: undefined })), {});
  t.same(params.of(call('sql', { region: ['eu'], limits: { rows: 2 ** 60 } })), {}, 'no single value, or not exact');
  for (const args of [undefined, null, 'text']) t.same(params.of(call('sql', args)), {});
  t.same(params.of({ ...call('sql', all), method: 'prompts/get' }), {});
  for (const name of ['plain', 'unknown', 'constructor', 7]) t.same(params.of(call(name, all)), {});
  params.learn({ tools: [tool('sql', { query: REGION })] });
  t.same(params.of(call('sql', all)), { 'mcp-param-region': 'select' }, 'it has changed');
  params.learn({ tools: [tool('sql', {})] });
  t.same(params.of(call('sql', all)), {});
  params.learn({ tools: 'nonsense' });
});

t.test('values that no header can have as they are', async (t) => {
  const params = new ParamHeaders();
  params.learn({ tools: [tool('sql', { region: REGION })] });
  const cases: readonly (readonly [value: string, isPlain: boolean])[] = [
    ['us-west 1', true],
    ['a\tb', true],
    ['x', true],
    ['', false],
    [' x', false],
    ['x ', false],
    ['Zürich', false],
    ['a\r\nX-Other: b', false],
    ['=?base64?eA==?=', false],
    ['=?base64?=', false],
    ['日本', false],
  ];
  for (const [value, isPlain] of cases) {
    const header = params.of(call('sql', { region: value }))['mcp-param-region'] ?? '';
    t.equal(header === value, isPlain, JSON.stringify(value));
    t.match(header, /^[\x20-\x7e\t]+$/);
    t.equal(decodeHeader(header), value, 'a server that reads it finds the same');
  }
});

t.test('no more than 10,000 tools', async (t) => {
  const params = new ParamHeaders();
  const tools = Array.from({ length: 10_001 }, (_, index) => tool(`t${index}`, { region: REGION }));
  params.learn({ tools });
  const of = (index: number): unknown => params.of(call(`t${index}`, { region: 'eu' }));
  t.same([of(0), of(9_999), of(10_000)], [{ 'mcp-param-region': 'eu' }, { 'mcp-param-region': 'eu' }, {}]);
});

interface Declared {
  header: string;
  lists: number;
}

/** It wants its header, and shows it on the second page of its list. */
async function strict(t: Parameters<typeof httpElsewhere>[0], declared: Declared) {
  const server = await httpElsewhere(t, ({ method, params, headers, json }) => {
    if (method === 'tools/list') {
      declared.lists++;
      if (params['cursor'] === undefined) return json({ result: { ...LIST, tools: [], nextCursor: 'more' } });
      return json({
        result: { ...LIST, tools: [tool('sql', { region: { ...REGION, 'x-mcp-header': declared.header } })] },
      });
    }
    if (method !== 'tools/call') return;
    const sent = headers[`mcp-param-${declared.header.toLowerCase()}`];
    if (sent !== (params['arguments'] as Fields)['region'])
      return json({ error: { code: -32_020, message: `Header mismatch: ${String(sent)}` } }, 400);
    json({ result: { resultType: 'complete', content: [], sent } });
  });
  const opened = await openElsewhere(t, server.url, 'modern');
  const session = opened.upstream.attach(fakeClient('modern'));
  return {
    server,
    list: async () => {
      for (const params of [{}, { cursor: 'more' }])
        await session.request({ method: 'tools/list', params }, fakeExchange());
    },
    call: (exchange = fakeExchange()) =>
      session.request({ method: 'tools/call', params: { name: 'sql', arguments: { region: 'eu' } } }, exchange),
    calls: () => server.visits.filter(({ method }) => method === 'tools/call').length,
  };
}

const LIST = { resultType: 'complete', ttlMs: 0, cacheScope: 'private' };

t.test('a modern server elsewhere gets the headers that it has declared', async (t) => {
  const declared = { header: 'Region', lists: 0 };
  const { list, call, calls } = await strict(t, declared);
  await list();
  t.match(await call(), { kind: 'result', result: { sent: 'eu' } });
  t.equal(calls(), 1, 'at the first try');
  t.equal(declared.lists, 2);
});

t.test('declared since, or something else: it is looked up, and the call is sent once more', async (t) => {
  const declared = { header: 'Region', lists: 0 };
  const { call, calls } = await strict(t, declared);
  t.match(await call(), { kind: 'result', result: { sent: 'eu' } });
  t.same([calls(), declared.lists], [2, 2]);
  declared.header = 'Zone';
  const both = await Promise.all([call(), call()]);
  for (const answer of both) t.match(answer, { kind: 'result', result: { sent: 'eu' } });
  t.equal(calls(), 6);
});

t.test('a call that was on its way when the headers were learnt by another', async (t) => {
  let late: (() => void) | null = null;
  let lists = 0;
  const server = await httpElsewhere(t, ({ method, params, headers, json }) => {
    if (method === 'tools/list') {
      lists++;
      return json({ result: { ...LIST, tools: [tool('sql', { region: REGION })] } });
    }
    if (method !== 'tools/call') return;
    const refuse = (): void => json({ error: { code: -32_020, message: 'Header mismatch' } }, 400);
    const { id } = params['arguments'] as Fields;
    if (headers['mcp-param-region'] === 'eu') return json({ result: { resultType: 'complete', content: [], id } });
    if (id === 'late') late = refuse;
    else refuse();
  });
  const { upstream } = await openElsewhere(t, server.url, 'modern');
  const session = upstream.attach(fakeClient('modern'));
  const call = (id: string) =>
    session.request({ method: 'tools/call', params: { name: 'sql', arguments: { region: 'eu', id } } }, fakeExchange());
  const first = call('late');
  await waitFor('it', () => late !== null);
  t.match(await call('early'), { kind: 'result', result: { id: 'early' } });
  late!();
  t.match(await first, { kind: 'result', result: { id: 'late' } });
  t.equal(lists, 1);
});

t.test('a server that is never content is believed', async (t) => {
  let lists = 0;
  const server = await httpElsewhere(t, ({ method, json }) => {
    if (method === 'tools/list') {
      lists++;
      json({ result: { ...LIST, tools: [tool('sql', {})] } });
    }
    if (method === 'tools/call') json({ error: { code: -32_020, message: 'Header mismatch: all of them' } }, 400);
  });
  const { upstream } = await openElsewhere(t, server.url, 'modern');
  const session = upstream.attach(fakeClient('modern'));
  const params = { name: 'sql', arguments: { region: 'eu' } };
  const answer = await session.request({ method: 'tools/call', params }, fakeExchange());
  t.match(answer, { kind: 'error', error: { code: -32_020, message: 'Header mismatch: all of them' } });
  t.same([lists, server.visits.filter(({ method }) => method === 'tools/call').length], [1, 1]);
});
