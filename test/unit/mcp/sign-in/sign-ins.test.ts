/** Sign-ins against a real authorization server and a real MCP server, of this process. */

import t, { type Test } from 'tap';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { SignIns } from '../../../../lib/mcp/sign-in/sign-ins.ts';
import type { SignInEvent } from '../../../../lib/mcp/sign-in/renewal.ts';
import { openSignInStore } from '../../../../lib/mcp/sign-in/store.ts';
import { HttpChannel } from '../../../../lib/mcp/upstream/http-channel.ts';
import { openUpstream } from '../../../../lib/mcp/upstream/multiplexer.ts';
import type { Answer } from '../../../../lib/mcp/wire/message.ts';
import type { Session } from '../../../../lib/mcp/wire/session.ts';
import type { SignInSettings, ToolDefinition } from '../../../../lib/supervisor/governor.ts';
import { fakeClient, fakeExchange } from '../../../helpers/fake-mcp-session.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';
import { waitFor } from '../../../helpers/wait-for.ts';
import { answerOf, oauthStand, publicKeyOf } from '../../../helpers/oauth-stand.ts';
import type { OAuthStand } from '../../../helpers/oauth-stand.ts';

const REDIRECT = 'http://127.0.0.1:9/callback';
const BROWSER: SignInSettings = { kind: 'browser', clientId: null, clientSecret: null, issuer: null, scopes: [] };

interface World {
  readonly stand: OAuthStand;
  readonly directory: string;
  readonly signIns: SignIns;
  readonly events: SignInEvent[];
  readonly ended: string[];
  readonly logged: string[];
  /** Monotonic and wall time, milliseconds. */
  clock: { nowMs: number };
  docs(signIn?: SignInSettings, url?: string): ToolDefinition;
  /** Another daemon on the same directory. */
  again(): SignIns;
  login(definition: ToolDefinition, signIns?: SignIns): Promise<void>;
  /** @throws what the handshake throws */
  open(definition: ToolDefinition, signIns?: SignIns): Promise<Session>;
  /** Everything that people can read of it. */
  said(): string;
}

async function world(t: Test): Promise<World> {
  const stand = await oauthStand(t);
  const directory = join(t.testdir(), 'sign-ins');
  const events: SignInEvent[] = [];
  const ended: string[] = [];
  const logged: string[] = [];
  const clock = { nowMs: 1_000_000 };
  const log = (data: object, message: string): void => void logged.push(`${message} ${JSON.stringify(data)}`);
  const make = (): SignIns =>
    new SignIns({
      store: openSignInStore(directory),
      log: { debug: log, info: log, warn: log, error: log },
      monotonicMs: () => clock.nowMs,
      wallMs: () => clock.nowMs,
      onEvent: (event) => void events.push(event),
      endRuns: async (tool, message) => void ended.push(`${tool}: ${message}`),
    });
  const signIns = make();
  return {
    stand,
    directory,
    signIns,
    events,
    ended,
    logged,
    clock,
    docs: (signIn = BROWSER, url = stand.url) =>
      ({ name: 'docs', command: url, remote: { url, headers: {}, signIn } }) as unknown as ToolDefinition,
    again: make,
    async login(definition, by = signIns) {
      const { authorizationUrl } = await by.begin(definition, REDIRECT);
      await by.finish(definition, new URLSearchParams(await answerOf(authorizationUrl)), 'test');
    },
    async open(definition, by = signIns) {
      const { url = '', headers = {} } = definition.remote ?? {};
      const channel = new HttpChannel({ url, headers, ...by.accessOf(definition) });
      const upstream = openUpstream(channel, {
        era: 'legacy',
        info: { name: 'governor', version: '1' },
        capabilities: {},
        timeoutMs: 20_000,
        takesTurns: false,
        monotonicMs: () => performance.now(),
        onProblem: (problem) => void logged.push(problem),
        onLeftOut: (what) => void logged.push(what),
      });
      t.teardown(() => upstream.close('the test is over'));
      await upstream.ready();
      return upstream.attach(fakeClient('legacy'));
    },
    said: () => JSON.stringify([events, ended, logged]),
  };
}

function echo(session: Session, message: string): Promise<Answer> {
  return session.request({ method: 'tools/call', params: { name: 'echo', arguments: { message } } }, fakeExchange());
}

const said = (text: string) => ({ kind: 'result', result: { content: [{ text }] } });

/** Nobody listens there. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function noSecretIn(t: Test, { stand }: World, text: string, where: string): void {
  t.ok(stand.given.size > 0);
  t.same(
    [...stand.given].filter((secret) => text.includes(secret)),
    [],
    `no token in ${where}`,
  );
}

t.test('a person signs in: registration, PKCE, the tokens kept, shown to nobody else', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  const docs = w.docs();
  t.equal(signIns.problem(docs), 'sign in: governor login docs');
  t.match(signIns.view(docs), { how: 'browser', state: 'needed', issuer: null, signedInAt: null });
  await t.rejects(w.open(docs), { message: /sign in: governor login docs/ });
  t.same(stand.called, [], 'nothing is asked of the server as nobody');

  const { authorizationUrl } = await signIns.begin(docs, REDIRECT);
  t.match(Object.fromEntries(new URL(authorizationUrl).searchParams), {
    response_type: 'code',
    code_challenge_method: 'S256',
    redirect_uri: REDIRECT,
    resource: stand.url,
    scope: 'read write',
  });
  await signIns.finish(docs, new URLSearchParams(await answerOf(authorizationUrl)), 'test');
  t.equal(signIns.problem(docs), null);
  t.match(signIns.view(docs), { state: 'signed_in', issuer: stand.issuer, message: null });
  t.match(w.events, [{ tool: 'docs', event: 'login', detail: { issuer: stand.issuer, scope: 'read write' } }]);
  t.match(await echo(await w.open(docs), 'hello'), said('hello'));
  const again = w.again();
  t.equal(again.problem(docs), null, 'the next daemon knows it');
  t.match(await echo(await w.open(docs, again), 'hello'), said('hello'));
  t.equal(readdirSync(w.directory).length, 1);
  noSecretIn(t, w, w.said() + JSON.stringify(signIns.view(docs)), 'what is told');
});

t.test('an access token that expires in mid-session is renewed once, for all who wait', async (t) => {
  const w = await world(t);
  const { stand } = w;
  const docs = w.docs();
  await w.login(docs);
  const [one, two] = [await w.open(docs), await w.open(docs)];
  stand.expire();
  const all = await Promise.all(['a', 'b', 'c', 'd'].map((text, i) => echo(i % 2 === 0 ? one : two, text)));
  t.match(all, ['a', 'b', 'c', 'd'].map(said));
  const renewals = stand.of('/token').filter(({ params }) => params.get('grant_type') === 'refresh_token');
  t.equal(renewals.length, 1);
  t.equal(renewals[0]?.params.get('resource'), stand.url);
  stand.expire();
  t.match(await echo(one, 'again'), said('again'), 'with the refresh token that came with it');
  const kept = readFileSync(join(w.directory, readdirSync(w.directory)[0] ?? ''), 'utf8');
  t.ok(
    [...stand.good].some((token) => kept.includes(token)),
    'and the new ones are on the disk',
  );
  t.equal(w.events.length, 1, 'a renewal is no event');
});

t.test('a refusal that comes after the renewal renews nothing', async (t) => {
  const w = await world(t);
  const { stand } = w;
  const docs = w.docs();
  await w.login(docs);
  const session = await w.open(docs);
  stand.expire();
  let open!: () => void;
  stand.refusalGate = new Promise((resolve) => (open = resolve));
  const late = echo(session, 'late');
  await waitFor('it to be under way', () => stand.arrived > stand.called.length);
  stand.refusalGate = null;
  t.match(await echo(session, 'first'), said('first'));
  open();
  t.match(await late, said('late'));
  t.equal(stand.of('/token').filter(({ params }) => params.get('grant_type') === 'refresh_token').length, 1);
});

t.test('a refused renewal: the tokens are dropped, and a person has to sign in again', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  const docs = w.docs();
  await w.login(docs);
  const session = await w.open(docs);
  stand.expire();
  stand.refusal = { status: 400, body: JSON.stringify({ error: 'invalid_grant', error_description: 'revoked' }) };
  const why = `sign in: governor login docs (${stand.issuer} does not renew it: invalid_grant: revoked)`;
  const [first, second] = await Promise.all([echo(session, 'x'), echo(session, 'y')]);
  for (const answer of [first, second])
    t.match(answer, { kind: 'error', error: { message: `the request could not be handed over: ${why}` } });
  t.equal(signIns.problem(docs), why);
  t.same(readdirSync(w.directory), []);
  t.same(w.ended, [`docs: ${why}`], 'once, whoever hears of it');
  t.match(w.events.slice(1), [{ event: 'renewal_failed', detail: { reason: /invalid_grant/ } }]);
  t.equal(w.events.length, 2);
  const before = stand.called.length;
  t.match(await echo(session, 'z'), { kind: 'error', error: { message: new RegExp('sign in: governor login docs') } });
  t.equal(stand.called.length, before, 'nothing more is asked of the server');
  stand.refusal = null;
  await w.login(docs);
  t.match(await echo(await w.open(docs), 'back'), said('back'));
});

t.test('an authorization server that fails for now costs nobody their sign-in', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  const docs = w.docs();
  await w.login(docs);
  const session = await w.open(docs);
  const [refreshed] = [...stand.given].filter((token) => token.startsWith('refresh-'));
  for (const [refusal, message] of [
    [{ status: 503, body: `down for ${String(refreshed)}` }, /could not be renewed at http.*: HTTP 503$/],
    [
      { status: 400, body: `{"error":"temporarily_unavailable","error_description":"not ${String(refreshed)}"}` },
      /: temporarily_unavailable: not \*\*\*$/,
    ],
    [{ status: 200, body: '{"no":"token"}' }, /something else than OAuth says$/],
    [{ status: 200, body: 'hello' }, /no JSON$/],
  ] as const) {
    stand.expire();
    stand.refusal = refusal;
    t.match(await echo(session, 'x'), { kind: 'error', error: { message } });
    t.equal(signIns.problem(docs), null);
  }
  t.equal(w.events.filter(({ event }) => event === 'renewal_failed').length, 1, 'on record once');
  t.same(w.ended, []);
  stand.refusal = null;
  t.match(await echo(session, 'back'), said('back'));
  noSecretIn(t, w, w.said(), 'what is told');
});

t.test('without a person: client credentials', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  const machine: SignInSettings = {
    kind: 'client_credentials',
    clientId: 'robot',
    key: { secret: 'robot-secret' },
    issuer: stand.issuer,
    scopes: ['write'],
  };
  const docs = w.docs(machine);
  t.equal(signIns.problem(docs), null);
  await t.rejects(w.open(docs), { message: /the sign-in at .* failed: invalid_client/ });
  stand.clients.set('robot', { id: 'robot', secret: 'robot-secret', redirectUris: [] });
  const session = await w.open(docs);
  t.match(await echo(session, 'hello'), said('hello'));
  t.match(stand.of('/token').at(-1), { basic: 'robot:robot-secret' });
  t.equal(stand.of('/token').at(-1)?.params.get('scope'), 'write');
  stand.expire();
  t.match(await echo(session, 'later'), said('later'));
  t.notOk(existsSync(w.directory), 'nothing of it is on the disk');
  t.match(signIns.view(docs), { how: 'client_credentials', state: 'by_itself', issuer: stand.issuer });
  await t.rejects(signIns.begin(docs, REDIRECT), isGovernorError('illegal_state'));
  await t.rejects(signIns.logout(docs, 'test'), isGovernorError('illegal_state'));
  signIns.settle([]);
  await signIns.settled();
  t.equal(stand.revoked.length, 1, 'a tool that is gone leaves no token behind');
  noSecretIn(t, w, w.said(), 'what is told');
  t.notMatch(w.said(), /robot-secret/);
});

t.test('without a person: a private key in place of a secret', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  const file = join(t.testdir(), 'key.pem');
  const machine = { kind: 'client_credentials', clientId: 'robot', key: { file }, issuer: stand.issuer, scopes: [] };
  const docs = w.docs(machine as SignInSettings);
  await t.rejects(w.open(docs), { message: /the private key .*key\.pem cannot be used: ENOENT/ });
  writeFileSync(file, 'no key');
  await t.rejects(w.open(docs), { message: /key\.pem cannot be used: it is no private key in PEM/ });
  for (const pair of [
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ]) {
    const pem = String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    writeFileSync(file, pem);
    stand.clients.set('robot', { id: 'robot', secret: null, redirectUris: [], publicKey: publicKeyOf(pem) });
    stand.expire();
    t.match(await echo(await w.open(docs), 'hello'), said('hello'), String(pair.privateKey.asymmetricKeyType));
  }
  signIns.settle([]);
  await signIns.settled();
  t.match(w.events, [{ event: 'renewal_failed' }, { event: 'dropped', detail: { revocation: 'revoked' } }]);
});

t.test('a client that is known already, with its secret in limits.yaml only', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  stand.clients.set('known', { id: 'known', secret: 'known-secret', redirectUris: [REDIRECT] });
  const known: SignInSettings = {
    kind: 'browser',
    clientId: 'known',
    clientSecret: 'known-secret',
    issuer: stand.issuer,
    scopes: ['read'],
  };
  const docs = w.docs(known);
  await w.login(docs);
  t.same(stand.of('/register'), []);
  t.match(stand.of('/token').at(-1), { basic: 'known:known-secret' });
  stand.expire();
  t.match(await echo(await w.open(docs), 'renewed'), said('renewed'));
  t.notMatch(readFileSync(join(w.directory, readdirSync(w.directory)[0] ?? ''), 'utf8'), /known-secret/);
  t.equal(await signIns.logout(docs, 'test'), 'revoked');
  t.equal(stand.of('/revoke').at(-1)?.basic, 'known:known-secret');
  const other = w.docs({ ...known, issuer: 'https://login.example.org' });
  await t.rejects(signIns.begin(other, REDIRECT), { message: /names the authorization server .*, and limits\.yaml/ });
});

t.test('another address never gets the tokens of the first', async (t) => {
  const w = await world(t);
  const { signIns, stand } = w;
  const evil = await oauthStand(t);
  const docs = w.docs();
  await w.login(docs);
  await w.open(docs);
  const moved = w.docs(BROWSER, evil.url);
  t.match(signIns.problem(moved), /^sign in: governor login docs$/, 'even before the old one is dropped');
  await t.rejects(w.open(moved), { message: /sign in/ });
  signIns.settle([moved]);
  await signIns.settled();
  t.same(evil.called, []);
  t.same(readdirSync(w.directory), []);
  t.equal(stand.revoked.length, 2, 'both of its tokens are taken back');
  t.match(w.events.slice(1), [{ event: 'dropped', detail: { issuer: stand.issuer, revocation: 'revoked' } }]);
  t.equal(w.events.length, 2);
});

t.test('what changed while no daemon ran is dropped by the next', async (t) => {
  const w = await world(t);
  const docs = w.docs();
  await w.login(docs);
  const next = w.again();
  next.settle([w.docs(BROWSER, 'https://elsewhere.example.org/mcp')]);
  await next.settled();
  t.same(readdirSync(w.directory), []);
  t.equal(w.stand.revoked.length, 2);
  const same = w.again();
  await w.login(docs, same);
  const after = w.again();
  after.settle([docs]);
  t.equal(after.problem(docs), null, 'what did not change stays');
});

t.test('another authorization server never gets the refresh token', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  const docs = w.docs();
  await w.login(docs);
  const file = join(w.directory, readdirSync(w.directory)[0] ?? '');
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replaceAll(`"issuer":"${stand.issuer}"`, '"issuer":"https://former.example.org"'),
  );
  const next = w.again();
  stand.expire();
  const before = stand.of('/token').length;
  await t.rejects(w.open(docs, next), { message: /it is of https:\/\/former\.example\.org, and the server names/ });
  t.equal(stand.of('/token').length, before);
  t.match(next.problem(docs), /sign in: governor login docs \(it is of/);
  t.equal(signIns.problem(docs), null);
});

t.test('a call for which the token lacks a scope', async (t) => {
  const w = await world(t);
  const docs = w.docs();
  await w.login(docs);
  const session = await w.open(docs);
  w.stand.lacks = 'files:write';
  const message =
    'the request could not be handed over: the server wants the scope "files:write" for that: add it to auth.browser.scopes in limits.yaml, then: governor login docs';
  t.match(await echo(session, 'x'), { kind: 'error', error: { message } });
  w.stand.lacks = null;
  t.match(await echo(session, 'y'), said('y'), 'the conversation goes on');
  t.equal(w.signIns.problem(docs), null);
  t.same(w.ended, []);
});

t.test('logout: dropped here, taken back there, what runs with it ended', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  const docs = w.docs();
  t.equal(await signIns.logout(docs, 'test'), 'not_signed_in');
  await w.login(docs);
  t.equal(await signIns.logout(docs, 'test'), 'revoked');
  t.match(stand.revoked, [/^refresh-/, /^access-/]);
  t.same(readdirSync(w.directory), []);
  t.equal(signIns.problem(docs), 'sign in: governor login docs');
  t.match(w.ended, [/docs: somebody signed out/]);
  t.match(w.events.at(-1), { event: 'logout', detail: { issuer: stand.issuer, revocation: 'revoked' } });

  stand.revokes = false;
  await w.login(docs);
  t.equal(await signIns.logout(docs, 'test'), 'not_offered');
  stand.revokes = true;
  await w.login(docs);
  stand.clients.clear();
  t.equal(await signIns.logout(docs, 'test'), 'failed');
  t.match(w.logged.at(-1), /tokens could not be taken back.*HTTP 401/);
  t.same(readdirSync(w.directory), [], 'here it is gone all the same');
  noSecretIn(t, w, w.said(), 'what is told');
});

t.test('somebody signs in anew: the former tokens are taken back', async (t) => {
  const w = await world(t);
  await w.login(w.docs());
  const [former] = [...w.stand.good];
  await w.login(w.docs());
  t.ok(w.stand.revoked.includes(String(former)));
  t.match(w.ended, [/somebody signed in anew/]);
  t.match(await echo(await w.open(w.docs()), 'new'), said('new'));
});

t.test('answers that are not the one', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  const docs = w.docs();
  const finish = (query: string): Promise<void> => signIns.finish(docs, new URLSearchParams(query), 'test');
  await t.rejects(finish('code=x&state=y'), isGovernorError('illegal_state'), 'nobody has begun');
  const { authorizationUrl } = await signIns.begin(docs, REDIRECT);
  const answer = await answerOf(authorizationUrl);
  await t.rejects(finish('code=x'), isGovernorError('invalid_request'), 'no state');
  await t.rejects(finish(answer.replace(/state=[^&]{4}/, 'state=AAAA')), isGovernorError('invalid_request'));
  t.same(stand.of('/token'), [], 'none of them was redeemed');
  await finish(answer);
  await t.rejects(finish(answer), isGovernorError('illegal_state'), 'once');

  const late = await signIns.begin(docs, REDIRECT);
  const lateAnswer = await answerOf(late.authorizationUrl);
  w.clock.nowMs += 300_001;
  await t.rejects(finish(lateAnswer), isGovernorError('illegal_state'), 'too late');

  const first = await signIns.begin(docs, REDIRECT);
  const firstAnswer = await answerOf(first.authorizationUrl);
  await signIns.begin(docs, REDIRECT);
  await t.rejects(finish(firstAnswer), isGovernorError('invalid_request'), 'a later one has taken its place');

  const attempt = async (): Promise<void> =>
    finish(await answerOf((await signIns.begin(docs, REDIRECT)).authorizationUrl));
  stand.denies = true;
  await t.rejects(attempt(), { code: 'sign_in_failed', message: /refused: access_denied/ });
  stand.denies = false;
  stand.iss = 'https://evil.example.org';
  await t.rejects(attempt(), { code: 'sign_in_failed', message: /failed/ }, 'of another authorization server');
  stand.iss = null;
  await t.rejects(attempt(), { code: 'sign_in_failed' }, 'it says whose its answers are, and this one does not');
  t.equal(stand.of('/token').length, 1, 'only the good one was redeemed');
  t.equal(signIns.problem(docs), null, 'and what there was stays');
});

t.test('where the browser may be sent back to', async (t) => {
  const w = await world(t);
  for (const bad of [
    'https://example.org/callback',
    'http://example.org:80/callback',
    'http://127.0.0.1/callback',
    'x',
    'http://127.0.0.1.example.org:9/',
    'http://user@127.0.0.1:9/',
    'http://127.0.0.1:9/?a=b',
  ])
    await t.rejects(w.signIns.begin(w.docs(), bad), isGovernorError('invalid_request'), bad);
  for (const good of ['http://localhost:9/callback', 'http://[::1]:9/callback'])
    t.match(await w.signIns.begin(w.docs(), good), { authorizationUrl: /\/authorize/ }, good);
});

t.test('a server that does not say where to sign in', async (t) => {
  const w = await world(t);
  w.stand.hasMetadata = false;
  await t.rejects(w.signIns.begin(w.docs(), REDIRECT), {
    code: 'sign_in_failed',
    message: /does not say where to sign in: it has no protected resource metadata/,
  });
  const machine = {
    kind: 'client_credentials',
    clientId: 'a',
    key: { secret: 'b' },
    issuer: w.stand.issuer,
    scopes: [],
  };
  await t.rejects(w.open(w.docs(machine as SignInSettings)), { message: /does not say where to sign in/ });
  const url = `http://127.0.0.1:${await closedPort()}/mcp`;
  await t.rejects(w.signIns.begin(w.docs(BROWSER, url), REDIRECT), {
    code: 'sign_in_failed',
    message: /mcp cannot be reached: .*ECONNREFUSED/,
  });
});

t.test('a file that is damaged', async (t) => {
  const w = await world(t);
  const docs = w.docs();
  await w.login(docs);
  const file = join(w.directory, readdirSync(w.directory)[0] ?? '');
  writeFileSync(file, '{"format":1,"tok');
  const next = w.again();
  next.settle([docs]);
  t.equal(next.problem(docs), `sign in: governor login docs (the sign-in in ${file} cannot be used: it is no JSON)`);
  await w.login(docs, next);
  t.equal(next.problem(docs), null);
  t.match(await echo(await w.open(docs, next), 'mended'), said('mended'));
});

t.test('a disk that takes nothing', async (t) => {
  const w = await world(t);
  const docs = w.docs();
  await w.login(docs);
  const session = await w.open(docs);
  // Root writes whatever the mode says: a file where the directory was is refused to everybody.
  rmSync(w.directory, { recursive: true });
  writeFileSync(w.directory, '');
  w.stand.expire();
  t.match(await echo(session, 'goes on'), said('goes on'));
  t.match(w.logged.at(-1), /a renewed sign-in could not be kept/);
  await t.rejects(w.login(docs), isGovernorError('state_dir'));
  noSecretIn(t, w, w.said(), 'what is told');
});

t.test('a sign-in that is dropped while it is renewed', async (t) => {
  const w = await world(t);
  const { stand, signIns } = w;
  const docs = w.docs();
  await w.login(docs);
  const session = await w.open(docs);
  stand.expire();
  let open!: () => void;
  stand.gate = new Promise((resolve) => (open = resolve));
  const late = echo(session, 'late');
  await waitFor('it to be asked for', () => stand.of('/token').at(-1)?.params.get('grant_type') === 'refresh_token');
  const gone = signIns.logout(docs, 'test');
  open();
  await gone;
  t.match(await late, { kind: 'error', error: { message: /sign in: governor login docs/ } });
  await signIns.settled();
  t.same([...stand.good], [], 'what came of the renewal is taken back, too');
  t.same(readdirSync(w.directory), []);
});
