import t from 'tap';
import { missingFor } from '../../../../lib/mcp/wire/client-needs.ts';
import { asLegacy, asModern, clientAsModern } from '../../../../lib/mcp/bridge/describe.ts';
import { LOG_LEVELS, admits } from '../../../../lib/mcp/bridge/levels.ts';
import { admittedBy, covers, honoured, readFilter } from '../../../../lib/mcp/bridge/listen-filter.ts';
import { legacyParams, modernMeta, modernParams } from '../../../../lib/mcp/bridge/request-meta.ts';
import { legacyError, legacyResult, modernError, modernResult } from '../../../../lib/mcp/bridge/results.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import { description, fakeClient } from '../../../helpers/fake-mcp-session.ts';

const INFO = { name: 'fake', version: '1.2.3' };
const SERVER_INFO = 'io.modelcontextprotocol/serverInfo';

t.test('what a legacy server says of itself, to a modern client', (t) => {
  const server = description(
    'legacy',
    { tools: { listChanged: true }, tasks: { list: {} }, experimental: { x: {} }, future: 1 },
    { instructions: 'be kind' },
  );
  const modern = asModern({ ...server, raw: { ...server.raw, unknown: 5, _meta: { 'a/b': 1 } } });
  t.equal(modern.era, 'modern');
  t.equal(modern.protocolVersion, '2026-07-28');
  t.equal(modern.instructions, 'be kind');
  t.strictSame(modern.capabilities, { tools: { listChanged: true }, experimental: { x: {} }, future: 1 });
  t.strictSame(modern.raw, {
    capabilities: modern.capabilities,
    instructions: 'be kind',
    unknown: 5,
    resultType: 'complete',
    supportedVersions: ['2026-07-28'],
    ttlMs: 0,
    cacheScope: 'private',
    _meta: { 'a/b': 1, [SERVER_INFO]: INFO },
  });
  t.end();
});

t.test('what a modern server says of itself, to a legacy client', (t) => {
  const capabilities = { resources: { subscribe: true }, extensions: { 'io.modelcontextprotocol/tasks': {} } };
  const server = description('modern', capabilities, { instructions: 'be kind' });
  const legacy = asLegacy({ ...server, raw: { ...server.raw, unknown: 5 } });
  t.equal(legacy.era, 'legacy');
  t.equal(legacy.protocolVersion, '2025-11-25');
  t.strictSame(legacy.capabilities, { resources: { subscribe: true } });
  t.strictSame(legacy.raw, {
    capabilities: { resources: { subscribe: true } },
    instructions: 'be kind',
    unknown: 5,
    protocolVersion: '2025-11-25',
    serverInfo: INFO,
  });
  t.strictSame(
    clientAsModern({ roots: { listChanged: true }, tasks: {}, sampling: { tools: {} }, extensions: { 'a/b': {} } }),
    { roots: {}, sampling: { tools: {} }, extensions: { 'a/b': {} } },
  );
  t.end();
});

t.test('results for a modern client', (t) => {
  const given = Object.freeze({ content: [], _meta: Object.freeze({ 'a/b': 1 }), other: 2 });
  t.strictSame(modernResult('tools/call', given, INFO), {
    content: [],
    other: 2,
    resultType: 'complete',
    _meta: { 'a/b': 1, [SERVER_INFO]: INFO },
  });
  t.strictSame(modernResult('resources/read', { contents: [] }, INFO), {
    contents: [],
    resultType: 'complete',
    _meta: { [SERVER_INFO]: INFO },
    ttlMs: 0,
    cacheScope: 'private',
  });
  const hinted = modernResult('resources/list', { resources: [], ttlMs: 500, cacheScope: 'public' }, INFO);
  t.equal(hinted['ttlMs'], 500, 'a hint of a legacy server that gives one is kept');
  t.equal(hinted['cacheScope'], 'public');
  t.equal(modernResult('resources/list', { ttlMs: -1 }, INFO)['ttlMs'], 0);
  t.strictSame(
    modernResult('tools/list', { tools: [{ name: 'a', execution: { taskSupport: 'optional' }, x: 1 }] }, INFO)['tools'],
    [{ name: 'a', x: 1 }],
  );
  t.equal(modernResult('tools/call', { resultType: 'task' }, INFO)['resultType'], 'complete');
  t.end();
});

t.test('results for a legacy client', (t) => {
  t.strictSame(legacyResult('tools/call', { resultType: 'complete', content: [], ttlMs: 5 }), {
    content: [],
    ttlMs: 5,
  });
  t.strictSame(legacyResult('prompts/list', { resultType: 'complete', prompts: [], ttlMs: 5, cacheScope: 'public' }), {
    prompts: [],
  });
  t.strictSame(legacyResult('tools/call', { content: [], structuredContent: [1, 2] }), {
    content: [{ type: 'text', text: '[1,2]' }],
  });
  const said = [{ type: 'text', text: 'one and two' }];
  t.strictSame(legacyResult('tools/call', { content: said, structuredContent: [1, 2] }), { content: said });
  t.strictSame(legacyResult('tools/call', { content: said, structuredContent: { a: 1 } }), {
    content: said,
    structuredContent: { a: 1 },
  });
  const tools = [
    { name: 'a', outputSchema: { type: 'object' } },
    { name: 'b', outputSchema: { type: 'array' } },
  ];
  t.strictSame(legacyResult('tools/list', { tools })['tools'], [tools[0], { name: 'b' }]);
  t.end();
});

t.test('errors', (t) => {
  for (const [code, becomes] of [
    [-32002, -32602],
    [-32601, -32601],
    [-32000, -32000],
    [-32001, -32001],
    [-32030, -32603],
    [-32021, -32603],
    [RPC_CODE.stopped, RPC_CODE.stopped],
    [7, 7],
  ] as const) {
    t.equal(modernError({ code, message: 'm' }).code, becomes, `${code} to a modern client`);
  }
  t.strictSame(modernError({ code: -32030, message: 'm', data: { a: 1 } }).data, { a: 1, code: -32030 });
  t.equal(modernError({ code: -32030, message: 'm', data: 'text' }).data, 'text');
  const gone = { code: -32602, message: 'm', data: { uri: 'a:b' } };
  t.equal(legacyError('resources/read', { uri: 'a:b' }, gone).code, -32002);
  t.equal(legacyError('resources/read', { uri: 'a:c' }, gone).code, -32602);
  t.equal(legacyError('resources/read', { uri: 'a:b' }, { code: -32602, message: 'm' }).code, -32602);
  t.equal(legacyError('tools/call', { uri: 'a:b' }, gone).code, -32602);
  t.end();
});

t.test('what the modern era puts on each request', (t) => {
  const hop = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': {},
    'io.modelcontextprotocol/clientCapabilities': {},
    'io.modelcontextprotocol/logLevel': 'info',
  };
  t.strictSame(
    legacyParams({ name: 'a', inputResponses: {}, requestState: 's', _meta: { ...hop, traceparent: 'x' } }),
    {
      name: 'a',
      _meta: { traceparent: 'x' },
    },
  );
  t.strictSame(legacyParams({ name: 'a', _meta: hop }), { name: 'a' });
  t.strictSame(legacyParams({ name: 'a', _meta: { progressToken: 1 } }), { name: 'a', _meta: { progressToken: 1 } });
  t.equal(legacyParams(undefined), undefined);
  const meta = modernMeta(fakeClient('legacy', { tasks: {}, roots: { listChanged: true } }));
  t.strictSame(modernParams({ name: 'a', _meta: { progressToken: 1 } }, meta, 'error'), {
    name: 'a',
    _meta: {
      progressToken: 1,
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'tester', version: '9' },
      'io.modelcontextprotocol/clientCapabilities': { roots: {} },
      'io.modelcontextprotocol/logLevel': 'error',
    },
  });
  t.notOk(Object.hasOwn(modernParams({}, meta, null)['_meta'] as object, 'io.modelcontextprotocol/logLevel'));
  t.end();
});

t.test('what a question needs of the client', (t) => {
  const url = { method: 'elicitation/create', params: { mode: 'url' } };
  const form = { method: 'elicitation/create', params: {} };
  const tools = { method: 'sampling/createMessage', params: { tools: [] } };
  for (const [request, capabilities, missing] of [
    [{ method: 'roots/list' }, {}, { roots: {} }],
    [{ method: 'roots/list' }, { roots: {} }, null],
    [{ method: 'sampling/createMessage' }, {}, { sampling: {} }],
    [{ method: 'sampling/createMessage' }, { sampling: {} }, null],
    [tools, { sampling: {} }, { sampling: { tools: {} } }],
    [tools, { sampling: { tools: {} } }, null],
    [form, {}, { elicitation: { form: {} } }],
    [form, { elicitation: {} }, null],
    [form, { elicitation: { url: {} } }, { elicitation: { form: {} } }],
    [url, { elicitation: {} }, { elicitation: { url: {} } }],
    [url, { elicitation: { url: {} } }, null],
    [{ method: 'tools/call' }, {}, undefined],
  ] as const) {
    t.strictSame(missingFor(request, capabilities), missing, JSON.stringify([request, capabilities]));
  }
  t.end();
});

t.test('filters', (t) => {
  t.equal(readFilter({}), null);
  t.equal(readFilter({ notifications: [] }), null);
  t.equal(readFilter({ notifications: { resourceSubscriptions: [1] } }), null);
  t.equal(readFilter({ notifications: { resourceSubscriptions: 'a:b' } }), null);
  const filter = readFilter({
    notifications: { toolsListChanged: true, promptsListChanged: false, resourceSubscriptions: ['a:b', 'a:b', 'a:c'] },
  });
  t.strictSame(filter, { toolsListChanged: true, resourceSubscriptions: ['a:b', 'a:c'] });
  t.strictSame(honoured(filter!, { tools: {}, resources: { subscribe: true } }), {
    resourceSubscriptions: ['a:b', 'a:c'],
  });
  t.strictSame(honoured(filter!, { tools: { listChanged: true } }), { toolsListChanged: true });
  const about = (uri: string) => ({ method: 'notifications/resources/updated', params: { uri } });
  t.equal(admittedBy(filter!, about('a:b')), 'resource');
  t.equal(admittedBy(filter!, about('a:b/part')), 'resource');
  t.equal(admittedBy(filter!, about('a:bc')), null);
  t.equal(admittedBy(filter!, { method: 'notifications/tools/list_changed' }), 'list');
  t.equal(admittedBy(filter!, { method: 'notifications/prompts/list_changed' }), null);
  t.equal(admittedBy(filter!, { method: 'notifications/anything' }), null);
  t.ok(covers('file:///a/', 'file:///a/b'));
  t.end();
});

t.test('log levels', (t) => {
  for (const [index, wanted] of LOG_LEVELS.entries())
    for (const [other, level] of LOG_LEVELS.entries())
      t.equal(admits(wanted, level), other >= index, `${level} to who wants ${wanted}`);
  t.ok(admits('emergency', undefined));
  t.end();
});
