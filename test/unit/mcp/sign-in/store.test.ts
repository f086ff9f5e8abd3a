import t from 'tap';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { belongs, binding, parseRecord, serialize } from '../../../../lib/mcp/sign-in/record.ts';
import type { SignInRecord } from '../../../../lib/mcp/sign-in/record.ts';
import { openSignInStore } from '../../../../lib/mcp/sign-in/store.ts';
import type { SignInSettings, ToolDefinition } from '../../../../lib/supervisor/governor.ts';

const RECORD: SignInRecord = {
  tool: 'docs',
  url: 'https://example.org/mcp',
  issuer: 'https://login.example.org',
  client: { client_id: 'me' },
  tokens: { access_token: 'access-1', token_type: 'Bearer', refresh_token: 'refresh-1' },
  revocation: { url: 'https://login.example.org/revoke', methods: [] },
  signedInAt: '2026-01-31T12:00:00.000Z',
};

const BROWSER: SignInSettings = { kind: 'browser', clientId: null, clientSecret: null, issuer: null, scopes: [] };

function definition(url: string, signIn: SignInSettings, name = 'docs'): ToolDefinition {
  return { name, command: url, remote: { url, headers: {}, signIn } } as unknown as ToolDefinition;
}

t.test('what is written is read again, by nobody else', (t) => {
  const directory = join(t.testdir(), 'sign-ins');
  const store = openSignInStore(directory);
  t.same(store.read('docs', RECORD.url), { kind: 'none' }, 'not even a directory is needed');
  t.same(store.all(), []);
  store.write(RECORD);
  t.match(store.read('docs', RECORD.url), { kind: 'record', record: RECORD });
  const [name = ''] = readdirSync(directory);
  t.equal(statSync(join(directory, name)).mode & 0o777, 0o600);
  t.equal(statSync(directory).mode & 0o777, 0o700);
  t.notMatch(name, /docs|example/, 'its name tells nothing');
  store.write({ ...RECORD, tokens: { ...RECORD.tokens, access_token: 'access-2' } });
  t.same(readdirSync(directory), [name], 'one file, replaced');
  t.match(store.read('docs', RECORD.url), { record: { tokens: { access_token: 'access-2' } } });
  t.same(store.read('docs', 'https://elsewhere.example.org/mcp'), { kind: 'none' }, 'another address, another file');
  t.same(store.read('other', RECORD.url), { kind: 'none' });
  store.remove('docs', RECORD.url);
  t.same(store.read('docs', RECORD.url), { kind: 'none' });
  t.end();
});

t.test('a mode that was left loose is not taken over', (t) => {
  const directory = join(t.testdir(), 'sign-ins');
  const store = openSignInStore(directory);
  store.write(RECORD);
  const file = join(directory, readdirSync(directory)[0] ?? '');
  writeFileSync(`${file}.new`, 'left by a daemon that died', { mode: 0o644 });
  chmodSync(`${file}.new`, 0o644);
  store.write(RECORD);
  t.equal(statSync(file).mode & 0o777, 0o600);
  writeFileSync(`${file}.new`, 'left again');
  t.equal(store.all().length, 1);
  t.equal(readdirSync(directory).length, 1, 'what was not finished is swept');
  t.end();
});

t.test('what is damaged says so, and nothing of what is in it', (t) => {
  const directory = join(t.testdir(), 'sign-ins');
  const store = openSignInStore(directory);
  store.write(RECORD);
  const file = join(directory, readdirSync(directory)[0] ?? '');
  const found = (text: string): unknown => {
    writeFileSync(file, text);
    return store.read('docs', RECORD.url);
  };
  const secret = { kind: 'damaged', file, reason: 'it is no JSON' };
  t.same(found('access-1 and no JSON'), secret);
  t.same(found(''), secret);
  t.match(found('[]'), { kind: 'damaged', reason: 'it is no object' });
  t.match(found('{"format":2}'), { kind: 'damaged', reason: 'its format 2 is not known' });
  for (const key of ['tool', 'url', 'issuer', 'client', 'tokens', 'signedInAt']) {
    const { [key]: _left, ...rest } = JSON.parse(serialize(RECORD)) as Record<string, unknown>;
    t.match(found(JSON.stringify(rest)), { kind: 'damaged', reason: new RegExp(`^${key} (is|are) missing`) }, key);
  }
  const wrong = { ...RECORD, revocation: { url: 'https://login.example.org/revoke' } } as unknown as SignInRecord;
  t.match(found(serialize(wrong)), { kind: 'damaged', reason: 'revocation is missing' });
  t.match(found(serialize({ ...RECORD, url: 'https://elsewhere.example.org/mcp' })), {
    kind: 'damaged',
    reason: 'it is of another tool',
  });
  mkdirSync(join(directory, 'a-folder.json'));
  t.match(
    store.all().find(({ file: at }) => at.endsWith('a-folder.json')),
    { found: { kind: 'damaged', reason: /EISDIR/ } },
  );
  t.end();
});

t.test('whose it is', (t) => {
  const same = definition(RECORD.url, BROWSER);
  t.ok(belongs(RECORD, same));
  t.notOk(belongs(RECORD, definition('https://evil.example.org/mcp', BROWSER)), 'another address');
  t.notOk(belongs(RECORD, definition(RECORD.url, BROWSER, 'other')), 'another tool');
  t.ok(belongs(RECORD, definition(RECORD.url, { ...BROWSER, issuer: 'https://login.example.org/' })));
  t.notOk(belongs(RECORD, definition(RECORD.url, { ...BROWSER, issuer: 'https://evil.example.org' })));
  t.ok(belongs(RECORD, definition(RECORD.url, { ...BROWSER, clientId: 'me', scopes: ['more'] })));
  t.notOk(belongs(RECORD, definition(RECORD.url, { ...BROWSER, clientId: 'another' })));
  const machine = { kind: 'client_credentials', clientId: 'me', key: { secret: 'x' }, issuer: RECORD.issuer } as const;
  t.notOk(belongs(RECORD, definition(RECORD.url, { ...machine, scopes: [] })));
  t.equal(binding(same), binding(definition(RECORD.url, { ...BROWSER, scopes: ['more'], clientSecret: 'y' })));
  t.not(binding(same), binding(definition(RECORD.url, { ...BROWSER, issuer: RECORD.issuer })));
  t.match(parseRecord(serialize(RECORD)), RECORD);
  t.end();
});
