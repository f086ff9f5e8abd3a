import t from 'tap';
import { decodeHeader } from '../../../../lib/mcp/front/modern-check.ts';
import { ParamHeaders } from '../../../../lib/mcp/upstream/param-headers.ts';
import type { Fields } from '../../../../lib/mcp/wire/message.ts';
import { fakeClient, fakeExchange } from '../../../helpers/fake-mcp-session.ts';
import { waitFor } from '../../../helpers/wait-for.ts';
import { httpElsewhere, openElsewhere } from '../../../helpers/http-elsewhere.ts';
import { refusalFields } from '../../../helpers/refusal-fields.ts';

const REGION = { type: 'string', 'x-mcp-header': 'Region' };
const tool = (name: string, properties: Fields): Fields => ({ name, inputSchema: { type: 'object', properties } });
const of = (properties: Fields): Fields => ({ type: 'object', properties });
const call = (name: unknown, args?: unknown) =>
  ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } }) as const;

t.test('what a tool declares, of the arguments of its call', async (t) => {
  const params = new ParamHeaders(() => t.fail('nothing is wrong with them'));
  t.same(params.of(call('sql', { region: 'eu' })), {}, 'nothing is known of it');
  params.learn({
    tools: [
      tool('sql', {
        region: REGION,
        query: { type: 'string' },
        limits: { type: 'object', properties: { rows: { type: 'integer', 'x-mcp-header': 'Max-Rows' } } },
        dry: { type: 'boolean', 'x-mcp-header': 'Dry' },
      }),
      tool('plain', {}),
      'no tool',
    ],
  });
  const all = { region: 'eu', query: 'select', limits: { rows: 10 }, dry: false };
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

t.test('tools that declare what they may not are left out, said once, until they are mended', async (t) => {
  const faulty: Readonly<Record<string, readonly [inputSchema: Fields, fault: RegExp]>> = {
    token: [of({ a: { type: 'string', 'x-mcp-header': 'no token\r\nx: y' } }), /"a" has "no token\\r\\nx: y"/],
    empty: [of({ a: { type: 'string', 'x-mcp-header': '' } }), /"a" has "", no name/],
    noText: [of({ a: { type: 'string', 'x-mcp-header': 7 } }), /"a" has 7, no name/],
    number: [of({ a: { type: 'number', 'x-mcp-header': 'A' } }), /"a" is neither/],
    object: [of({ a: { ...of({}), 'x-mcp-header': 'A' } }), /"a" is neither/],
    twice: [
      of({ a: REGION, b: of({ c: { type: 'string', 'x-mcp-header': 'REGION' } }) }),
      /"a" and "b.c" have the same/,
    ],
    items: [of({ a: { type: 'array', items: REGION } }), /"a.items" has one/],
    below: [of({ a: { type: 'array', items: of({ b: REGION }) } }), /"a.items.b" has one/],
    either: [{ ...of({}), anyOf: [{}, of({ a: REGION })] }, /"anyOf.a" has one/],
    defined: [{ ...of({}), $defs: { x: REGION } }, /"x" has one/],
    itself: [{ ...of({}), 'x-mcp-header': 'A' }, /the schema itself has one/],
  };
  const said: string[] = [];
  const params = new ParamHeaders((problem) => void said.push(problem));
  const fine = [
    tool('fine', { region: REGION, 'x-mcp-header': { type: 'object', default: { 'x-mcp-header': 7 } } }),
    'no tool',
  ];
  const page = { tools: [...Object.entries(faulty).map(([name, [inputSchema]]) => ({ name, inputSchema })), ...fine] };
  for (const _ of [1, 2]) t.same(params.learn({ ...page, nextCursor: 'x' }), { tools: fine, nextCursor: 'x' });
  t.equal(said.length, Object.keys(faulty).length);
  for (const [index, [name, [, fault]]] of Object.entries(faulty).entries()) {
    t.match(said[index], fault);
    t.match(said[index], `the tool "${name}" is left out: its "x-mcp-header" is invalid: `);
    t.match(params.refusalOf(call(name)), fault);
    t.match(params.refusalOf(call(name)), `"${name}" cannot be called: `);
    t.equal(params.refusalOf({ ...call(name), method: 'prompts/get' }), null);
  }
  for (const name of ['fine', 'unknown', 7]) t.equal(params.refusalOf(call(name)), null);
  const mended = { tools: [tool('twice', { region: REGION })] };
  t.equal(params.learn(mended), mended);
  t.equal(params.refusalOf(call('twice')), null);
  t.same(params.of(call('twice', { region: 'eu' })), { 'mcp-param-region': 'eu' });
  params.learn({ tools: [{ name: 'twice', inputSchema: faulty['itself']?.[0] }] });
  t.same(params.of(call('twice', { region: 'eu' })), {}, 'nothing of it is mirrored');
  let deep: Fields = REGION;
  for (let depth = 0; depth < 100_000; depth++) deep = { properties: { a: deep } };
  t.equal(params.learn({ tools: [{ name: 'deep', inputSchema: { items: deep } }] })['tools']?.toString(), '');
});

t.test('through a channel: what was never shown cannot be called, and the server does not hear of it', async (t) => {
  const bad = { type: 'number', 'x-mcp-header': 'Rate' };
  const server = await httpElsewhere(t, ({ method, json, params }) => {
    if (method === 'tools/list')
      json({ result: { ...LIST, tools: [tool('bad', { rate: bad }), tool('good', { region: REGION })] } });
    if (method !== 'tools/call') return;
    if (params['name'] === 'bad') json({ error: { code: -32_020, message: 'Header mismatch' } }, 400);
    else json({ result: { resultType: 'complete', content: [] } });
  });
  const { upstream, problems } = await openElsewhere(t, server.url, 'modern');
  const session = upstream.attach(fakeClient('modern'));
  const calls = (): number => server.visits.filter(({ method }) => method === 'tools/call').length;
  const ask = (name: string) => session.request({ method: 'tools/call', params: { name } }, fakeExchange());
  const refusal = { message: /^"bad" cannot be called: its "x-mcp-header" is invalid: "rate" is neither/ };
  t.match(await ask('bad'), { kind: 'error', error: refusal }, 'learnt when the server wanted other headers');
  t.equal(calls(), 1);
  const listed = await session.request({ method: 'tools/list' }, fakeExchange());
  t.same(listed.kind === 'result' && listed.result['tools'], [tool('good', { region: REGION })]);
  const refused = await ask('bad');
  t.match(refused, { kind: 'error', error: { ...refusal, code: -31_050 } });
  t.same(refused.kind === 'error' && refused.error.data, refusalFields(null));
  t.equal(calls(), 1);
  t.match(await ask('good'), { kind: 'result' });
  t.equal(problems.filter((each) => each.includes('"bad" is left out')).length, 1);
});

t.test('a legacy server may have anything in its schemas', async (t) => {
  const tools = [tool('old', { a: { type: 'number', 'x-mcp-header': 'no token' } })];
  const server = await httpElsewhere(t, ({ method, json, verb, response }) => {
    if (verb === 'GET') response.writeHead(405).end();
    if (method === 'tools/list') json({ result: { tools } });
    if (method === 'tools/call') json({ result: { content: [] } });
  });
  const { upstream } = await openElsewhere(t, server.url, 'legacy');
  const session = upstream.attach(fakeClient('legacy'));
  t.same(await session.request({ method: 'tools/list' }, fakeExchange()), { kind: 'result', result: { tools } });
  const called = await session.request({ method: 'tools/call', params: { name: 'old' } }, fakeExchange());
  t.equal(called.kind, 'result');
});

t.test('values that no header can have as they are', async (t) => {
  const params = new ParamHeaders(() => undefined);
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
  const params = new ParamHeaders(() => undefined);
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
