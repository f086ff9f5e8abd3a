/** Which requests, and by which keys. */

import t from 'tap';
import { cacheable, ownKey, readKey, sharedKey } from '../../../../lib/mcp/cache/cacheable.ts';
import type { Asked } from '../../../../lib/mcp/cache/cacheable.ts';
import { META } from '../../../../lib/mcp/wire/protocol.ts';

const asked = (client: Partial<Asked['client']> = {}, more: Partial<Asked> = {}): Asked => ({
  server: 'server',
  client: {
    era: 'modern',
    protocolVersion: '2026-07-28',
    context: 'chat',
    info: { name: 'client' },
    capabilities: {},
    ...client,
  },
  distinction: '',
  ...more,
});
const read = (uri = 'a', meta?: object) =>
  cacheable({ method: 'resources/read', params: { uri, ...(meta === undefined ? {} : { _meta: meta }) } })!;

t.test('reads and lists, and nothing that has more to it', async (t) => {
  t.same(read(), { method: 'resources/read', uri: 'a', isRead: true, params: { uri: 'a' } });
  for (const method of ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list']) {
    t.same(cacheable({ method }), { method, uri: method, isRead: false, params: {} });
    t.same(cacheable({ method, params: { cursor: '2' } })?.params, { cursor: '2' });
  }
  const meta = {
    progressToken: 1,
    traceparent: 'x',
    [META.protocolVersion]: '2026-07-28',
    [META.clientInfo]: {},
    [META.clientCapabilities]: {},
    [META.logLevel]: 'debug',
  };
  t.same(read('a', meta).params, { uri: 'a' });
  for (const [method, params] of [
    ['tools/call', { name: 'x' }],
    ['prompts/get', { name: 'x' }],
    ['server/discover', {}],
    ['tasks/list', {}],
    ['resources/read', {}],
    ['resources/read', { uri: 7 }],
    ['resources/read', { uri: 'a', requestState: 's' }],
    ['resources/read', { uri: 'a', inputResponses: {} }],
    ['resources/read', { uri: 'a', task: {} }],
    ['resources/read', { uri: 'a', cursor: '1' }],
    ['resources/read', { uri: 'a', _meta: { 'example.org/tenant': 7 } }],
    ['resources/read', { uri: 'a', _meta: [] }],
    ['resources/read', { uri: 'x'.repeat(8_193) }],
    ['resources/list', { cursor: null }],
    ['resources/list', { filter: 'x' }],
  ] as const)
    t.equal(cacheable({ method, params }), null, `${method} ${JSON.stringify(params).slice(0, 80)}`);
});

t.test('all callers of a server have one key, each caller its own', async (t) => {
  const key = sharedKey(read(), asked());
  const own = ownKey(read(), asked());
  t.equal(sharedKey(read('a', { progressToken: 3 }), asked()), key);
  for (const [what, other] of [
    ['context', asked({ context: 'other' })],
    ['info', asked({ info: { name: 'other' } })],
    ['capabilities', asked({ capabilities: { sampling: {} } })],
    ['roots', asked({}, { distinction: 'other' })],
  ] as const) {
    t.equal(sharedKey(read(), other), key, what);
    t.not(ownKey(read(), other), own, what);
  }
  for (const [what, other] of [
    ['server', asked({}, { server: 'other' })],
    ['era', asked({ era: 'legacy' })],
    ['version', asked({ protocolVersion: '2027-01-01' })],
  ] as const) {
    t.not(sharedKey(read(), other), key, what);
    t.not(ownKey(read(), other), own, what);
  }
  t.not(sharedKey(read('b'), asked()), key);
  t.equal(
    sharedKey(read(), asked({ era: 'legacy' })),
    sharedKey(read(), asked({ era: 'legacy', protocolVersion: '2024-11-05' })),
    'a legacy server has agreed on one version with Governor',
  );
  t.not(key, own);
  t.same(readKey(key), { method: 'resources/read', context: null });
  t.same(readKey(own), { method: 'resources/read', context: 'chat' });
});
