import t from 'tap';
import type { AccessToken, ApiSettings } from '../../../../daemon/api/dependencies.ts';
import { hostAllowed, judge, originAllowed } from '../../../../daemon/api/guard.ts';
import type { Access, GuardedRequest, Listener } from '../../../../daemon/api/guard.ts';

const LOOPBACK = { host: '127.0.0.1', address: '127.0.0.1', port: 7717 };
const BY_NAME = { host: 'localhost', address: '::1', port: 7717 };
const EVERYWHERE = { host: '0.0.0.0', address: '0.0.0.0', port: 7717 };
const LAN = { host: 'box.lan', address: '10.1.2.3', port: 7717 };

t.test('Host: the bound address and loopback names with the right port, nothing else', async (t) => {
  const cases: readonly (readonly [string | undefined, typeof LOOPBACK, boolean])[] = [
    ['127.0.0.1:7717', LOOPBACK, true],
    ['localhost:7717', LOOPBACK, true],
    ['LocalHost:7717', LOOPBACK, true],
    ['[::1]:7717', LOOPBACK, true],
    ['127.0.0.1', LOOPBACK, false],
    ['127.0.0.1:7718', LOOPBACK, false],
    ['evil.example:7717', LOOPBACK, false],
    ['localhost.evil.example:7717', LOOPBACK, false],
    ['127.0.0.1.nip.io:7717', LOOPBACK, false],
    ['10.1.2.3:7717', LOOPBACK, false],
    ['user@127.0.0.1:7717', LOOPBACK, false],
    ['127.0.0.1:7717:7717', LOOPBACK, false],
    ['127.0.0.1:7717/x', LOOPBACK, false],
    ['', LOOPBACK, false],
    [undefined, LOOPBACK, false],
    ['localhost:7717', BY_NAME, true],
    ['[::1]:7717', BY_NAME, true],
    ['10.1.2.3:7717', EVERYWHERE, true],
    ['[fe80::1]:7717', EVERYWHERE, true],
    ['evil.example:7717', EVERYWHERE, false],
    ['10.1.2.3:80', EVERYWHERE, false],
    ['box.lan:7717', LAN, true],
    ['10.1.2.3:7717', LAN, true],
    ['localhost:7717', LAN, false],
  ];
  for (const [header, bound, allowed] of cases) {
    t.equal(hostAllowed(header, bound, []), allowed, `${header} at ${bound.host} is ${allowed ? 'taken' : 'refused'}`);
  }
});

t.test('Host: names that the configuration allows', async (t) => {
  t.equal(hostAllowed('governor.svc:80', LOOPBACK, ['governor.svc']), true);
  t.equal(hostAllowed('governor.svc', LOOPBACK, ['governor.svc:80']), false);
  t.equal(hostAllowed('governor.svc:80', LOOPBACK, ['governor.svc:80']), true);
  t.equal(hostAllowed('x.governor.svc:80', LOOPBACK, ['governor.svc']), false);
});

t.test('Origin: only our own', async (t) => {
  t.equal(originAllowed('http://127.0.0.1:7717', '127.0.0.1:7717', []), true);
  t.equal(originAllowed('http://localhost:7717', '127.0.0.1:7717', []), false, 'another name is another origin');
  t.equal(originAllowed('https://127.0.0.1:7717', '127.0.0.1:7717', []), false);
  t.equal(originAllowed('null', '127.0.0.1:7717', []), false);
  t.equal(originAllowed('http://127.0.0.1:7717.evil.example', '127.0.0.1:7717', []), false);
  t.equal(originAllowed('https://gov.example', 'gov.example', ['gov.example']), true, 'a proxy in front may speak TLS');
});

const TOKENS: readonly AccessToken[] = [
  { token: 'all', label: 'default', scopes: ['read', 'control', 'launch'] },
  { token: 'look', label: 'viewer', scopes: ['read'] },
  { token: '', label: 'empty', scopes: ['read', 'control', 'launch'] },
];
const SETTINGS: ApiSettings = { auth: { api: 'token', mcp: 'token', metrics: 'none' } };

function ask(
  access: Access,
  authorization: string | undefined,
  overrides: Partial<GuardedRequest> = {},
  settings = SETTINGS,
): string {
  const listener: Listener = { kind: 'tcp', ...LOOPBACK };
  const verdict = judge(
    { listener, access, host: '127.0.0.1:7717', origin: undefined, authorization, ...overrides },
    settings,
    TOKENS,
  );
  return verdict.kind === 'allowed' ? `allowed: ${verdict.by}` : `${verdict.error.code}: ${verdict.challenge}`;
}

t.test('tokens and scopes', async (t) => {
  const missing = 'unauthorized: Bearer realm="governor"';
  const wrong = 'unauthorized: Bearer realm="governor", error="invalid_token"';
  t.equal(ask('read', undefined), missing);
  t.equal(ask('read', 'Basic YWxs'), missing);
  t.equal(ask('read', 'Bearer'), missing);
  t.equal(ask('read', 'Bearer '), missing, 'an empty token never matches');
  t.equal(ask('read', 'Bearer all x'), missing);
  t.equal(ask('read', 'Bearer al'), wrong);
  t.equal(ask('read', 'Bearer alll'), wrong);
  t.equal(ask('read', 'Bearer all'), 'allowed: token default');
  t.equal(ask('launch', 'bearer all'), 'allowed: token default', 'the scheme has no case, RFC 9110');
  t.equal(ask('read', 'Bearer look'), 'allowed: token viewer');
  t.equal(
    ask('control', 'Bearer look'),
    'forbidden: Bearer realm="governor", error="insufficient_scope", scope="control"',
  );
  t.equal(
    ask('launch', 'Bearer look'),
    'forbidden: Bearer realm="governor", error="insufficient_scope", scope="launch"',
  );
});

t.test('open routes, metrics and api: none', async (t) => {
  t.equal(ask('open', undefined), 'allowed: anyone');
  t.equal(ask('metrics', undefined), 'allowed: anyone');
  t.match(ask('metrics', undefined, {}, { auth: { api: 'token', mcp: 'token', metrics: 'token' } }), /^unauthorized/);
  t.equal(
    ask('metrics', 'Bearer look', {}, { auth: { api: 'token', mcp: 'token', metrics: 'token' } }),
    'allowed: token viewer',
  );
  const open: ApiSettings = { auth: { api: 'none', mcp: 'token', metrics: 'none' } };
  t.equal(ask('launch', undefined, {}, open), 'allowed: loopback without token');
  const everywhere: Listener = { kind: 'tcp', ...EVERYWHERE };
  t.match(
    ask('launch', undefined, { listener: everywhere }, open),
    /^unauthorized/,
    'api: none counts on loopback only',
  );
});

t.test('Host and Origin come before everything on TCP, also for open routes; the unix socket is trusted', async (t) => {
  t.equal(ask('open', 'Bearer all', { host: 'evil.example:7717' }), 'forbidden_origin: null');
  t.equal(ask('open', 'Bearer all', { origin: 'http://evil.example' }), 'forbidden_origin: null');
  t.equal(ask('read', 'Bearer all', { origin: 'http://127.0.0.1:7717' }), 'allowed: token default');
  t.equal(
    ask('launch', undefined, { listener: { kind: 'unix' }, host: 'x', origin: 'http://evil.example' }),
    'allowed: unix socket',
  );
  t.equal(ask('read', 'Bearer all', { listener: undefined }), 'forbidden_origin: null', 'a connection of no listener');
});
