/** OAuth the whole way: a real daemon and its command line, an authorization server, an MCP server that is protected by it. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { RPC_CODE } from '../../lib/mcp/wire/protocol.ts';
import { formatConfig } from '../helpers/config-text.ts';
import { addressOf, LAUNCHER, newStateDir, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { answerOf, browse, oauthStand } from '../helpers/oauth-stand.ts';
import type { OAuthStand } from '../helpers/oauth-stand.ts';
import { lacks } from '../helpers/skip.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux');
const timeout = patience(110_000);

async function connected(t: Test, daemon: RunningDaemon, path: string): Promise<Client> {
  const { url, token } = addressOf(daemon);
  const client = new Client({ name: 'test', version: '1.0.0' });
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(path, url), { requestInit }));
  t.teardown(() => client.close());
  return client;
}

async function echo(client: Client, message: string): Promise<string> {
  const result = await client.callTool({ name: 'echo', arguments: { message } });
  return (result as { readonly content: readonly { readonly text: string }[] }).content[0]?.text ?? '';
}

function refusedBy(client: Client): Promise<unknown> {
  return echo(client, 'x').then(
    () => null,
    (error: unknown) => error,
  );
}

/** The same by REST, as a program elsewhere would. */
async function signIn(daemon: RunningDaemon, tool = 'docs'): Promise<void> {
  const begun = await daemon.call('POST', `/v1/tools/${tool}/login`, { redirectUri: 'http://127.0.0.1:9/callback' });
  if (begun.status !== 200) throw new Error(begun.text);
  const answer = await answerOf(begun.json.authorizationUrl as string);
  const done = await daemon.call('POST', `/v1/tools/${tool}/login/answer`, { answer });
  if (done.status !== 200) throw new Error(done.text);
}

/** Everything that people can read of a daemon, and that it keeps beside the sign-ins. */
async function told(daemon: RunningDaemon): Promise<string> {
  const documents = await Promise.all(
    ['/v1/tools', '/v1/audit', '/v1/runs', '/metrics', '/v1/tools/docs/logs'].map(
      async (path) => (await daemon.call('GET', path)).text,
    ),
  );
  const audit = join(daemon.stateDir, 'audit');
  const files = readdirSync(audit).map((name) => readFileSync(join(audit, name), 'utf8'));
  return [daemon.output(), ...documents, ...files].join('\n');
}

async function noSecretIn(t: Test, daemon: RunningDaemon, { given }: OAuthStand, more: readonly string[] = []) {
  const text = await told(daemon);
  t.ok(given.size > 0);
  t.same(
    [...given, ...more].filter((secret) => text.includes(secret)),
    [],
    'no secret is told',
  );
}

const events = async (daemon: RunningDaemon): Promise<readonly string[]> =>
  ((await daemon.call('GET', '/v1/audit?kind=sign_in')).json.entries as readonly { readonly event: string }[]).map(
    ({ event }) => event,
  );

t.test('client credentials', { skip, timeout }, async (t) => {
  const stand = await oauthStand(t);
  stand.clients.set('robot', { id: 'robot', secret: 'robot-secret', redirectUris: [] });
  const auth = {
    client_credentials: { client_id: 'robot', client_secret: '${ROBOT_SECRET}', issuer: stand.issuer },
  };
  const docs = { url: stand.url, auth, sharing: 'shared' };
  const daemon = await startDaemon(t, { config: { tools: { docs } }, env: { ROBOT_SECRET: 'robot-secret' } });
  const client = await connected(t, daemon, '/mcp/docs');
  t.equal(await echo(client, 'hello'), 'hello');
  t.match((await daemon.call('GET', '/v1/tools/docs')).json, {
    state: 'active',
    signIn: { how: 'client_credentials', state: 'by_itself', issuer: stand.issuer },
  });
  t.match((await daemon.cli(['ls', '-v'])).stdout, /sign-in +by itself \(client credentials\) at http/);
  stand.expire();
  t.equal(await echo(client, 'later'), 'later', 'a token that expires in mid-session is none of the client’s business');
  t.match(await daemon.cli(['login', 'docs']), { code: 1, stderr: /docs signs in by itself/ });
  await noSecretIn(t, daemon, stand, ['robot-secret']);
});

t.test('a person, by the command line', { skip, timeout }, async (t) => {
  const stand = await oauthStand(t);
  const docs = { url: stand.url, auth: 'browser', sharing: 'shared' };
  const stateDir = newStateDir(t);
  const daemon = await startDaemon(t, { config: { tools: { docs } }, stateDir });
  const asks = 'sign in: governor login docs';
  t.match((await daemon.call('GET', '/v1/tools/docs')).json, {
    state: 'registered',
    runs: [],
    signIn: { how: 'browser', state: 'needed', message: asks },
  });
  t.match((await daemon.cli(['ls'])).stdout, /docs .*sign in: governor login docs/);
  t.match(await daemon.cli(['start', 'docs']), { code: 1, stderr: `governor: docs: ${asks}\n` });

  const both = await connected(t, daemon, '/mcp');
  for (let i = 0; i < 8; i++)
    t.match(await both.callTool({ name: 'docs__echo', arguments: {} }).catch((error: unknown) => error), {
      code: RPC_CODE.refused,
      message: new RegExp(`docs: ${asks}$`),
      data: { tool: 'docs', reason: 'sign_in_needed' },
    });
  t.same(stand.called, [], 'nobody has asked the server anything');
  t.equal((await daemon.call('GET', '/v1/tools/docs')).json.state, 'registered', 'and nothing is held back for it');

  const command = spawn(LAUNCHER, ['login', 'docs', '--json'], {
    env: daemon.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => command.kill('SIGKILL'));
  const lines = createInterface({ input: command.stdout })[Symbol.asyncIterator]();
  const begun = JSON.parse(String((await lines.next()).value)) as { authorizationUrl: string; redirectUri: string };
  t.match(begun.redirectUri, /^http:\/\/127\.0\.0\.1:\d+\/callback$/);
  for (const path of ['?code=x', '?code=x&state=y', '/other'])
    t.equal((await fetch(`${begun.redirectUri}${path}`)).status, 404, `${path} is not the answer`);
  t.match(await browse(begun.authorizationUrl), { status: 200, text: /You are signed in/ });
  t.match(JSON.parse(String((await lines.next()).value)), { name: 'docs', signIn: { state: 'signed_in' } });
  t.same(await once(command, 'exit'), [0, null]);

  const client = await connected(t, daemon, '/mcp/docs');
  t.equal(await echo(client, 'hello'), 'hello');
  t.equal(await both.callTool({ name: 'docs__echo', arguments: { message: 'all' } }).then(() => 'all'), 'all');
  t.match((await daemon.cli(['ls', '-v'])).stdout, /sign-in +signed in at http.* since 20/);
  stand.expire();
  t.equal(await echo(client, 'renewed'), 'renewed');
  await noSecretIn(t, daemon, stand);
  t.same(await events(daemon), ['login']);
  await daemon.stop();

  const next = await startDaemon(t, { config: { tools: { docs } }, stateDir });
  const again = await connected(t, next, '/mcp/docs');
  t.equal(await echo(again, 'kept'), 'kept', 'the next daemon needs nobody');
  t.match(await next.cli(['logout', 'docs']), { code: 0, stdout: 'docs: signed out; its tokens are revoked\n' });
  t.same([...stand.good], []);
  t.equal(
    stand.called.filter(({ verb, status }) => verb === 'DELETE' && status === 200).length,
    2,
    'both said goodbye',
  );
  t.match(await refusedBy(again), { code: RPC_CODE.refused, message: new RegExp(asks) });
  t.match((await next.call('GET', '/v1/tools/docs')).json, {
    state: 'registered',
    lastEnd: { reason: 'sign_in' },
    signIn: { state: 'needed' },
  });
  t.match(await next.cli(['logout', 'docs']), { code: 0, stdout: 'docs: nobody was signed in\n' });
  t.same(await events(next), ['login', 'logout']);
  t.same(readdirSync(join(stateDir, 'sign-ins')), []);
});

t.test('a browser on another machine: its last address is pasted', { skip, timeout }, async (t) => {
  const stand = await oauthStand(t);
  const daemon = await startDaemon(t, { config: { tools: { docs: { url: stand.url, auth: 'browser' } } } });
  const command = spawn(LAUNCHER, ['login', 'docs', '--paste'], { env: daemon.env, stdio: ['pipe', 'pipe', 'pipe'] });
  t.teardown(() => command.kill('SIGKILL'));
  let out = '';
  command.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  const authorizationUrl = await waitFor('the address', () => /^ {2}(http\S+)$/m.exec(out)?.[1]);
  command.stdin.write('hello\n');
  await once(command.stderr, 'data');
  command.stdin.write(`http://127.0.0.1:9/callback?${await answerOf(authorizationUrl)}\n`);
  t.same(await once(command, 'exit'), [0, null]);
  t.match(out, new RegExp(`docs: signed in at ${stand.issuer}\n$`));
});

t.test('a sign-in that the person refuses', { skip, timeout }, async (t) => {
  const stand = await oauthStand(t);
  stand.denies = true;
  const daemon = await startDaemon(t, { config: { tools: { docs: { url: stand.url, auth: 'browser' } } } });
  const command = spawn(LAUNCHER, ['login', 'docs', '--json'], { env: daemon.env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => command.kill('SIGKILL'));
  let said = '';
  command.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const lines = createInterface({ input: command.stdout })[Symbol.asyncIterator]();
  const { authorizationUrl } = JSON.parse(String((await lines.next()).value)) as { authorizationUrl: string };
  t.match(await browse(authorizationUrl), { status: 502, text: /The sign-in failed/ });
  t.same(await once(command, 'exit'), [1, null]);
  t.match(JSON.parse(said), { code: 'sign_in_failed', detail: 'the sign-in was refused: access_denied' });
});

t.test('Ctrl-C while it waits', { skip, timeout }, async (t) => {
  const stand = await oauthStand(t);
  const daemon = await startDaemon(t, { config: { tools: { docs: { url: stand.url, auth: 'browser' } } } });
  const command = spawn(LAUNCHER, ['login', 'docs', '--json'], { env: daemon.env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => command.kill('SIGKILL'));
  const lines = createInterface({ input: command.stdout })[Symbol.asyncIterator]();
  const { redirectUri } = JSON.parse(String((await lines.next()).value)) as { redirectUri: string };
  command.kill('SIGINT');
  t.same(await once(command, 'exit'), [null, 'SIGINT']);
  await t.rejects(fetch(redirectUri), 'nobody listens there any more');
  t.match((await daemon.call('GET', '/v1/tools/docs')).json, { signIn: { state: 'needed' } });
  await signIn(daemon);
  t.match((await daemon.call('GET', '/v1/tools/docs')).json, { signIn: { state: 'signed_in' } });
});

t.test('a refused renewal in mid-session', { skip, timeout }, async (t) => {
  const stand = await oauthStand(t);
  const docs = { url: stand.url, auth: 'browser', sharing: 'shared', recovery: { budget: '2/10m' } };
  const daemon = await startDaemon(t, { config: { tools: { docs } } });
  await signIn(daemon);
  const client = await connected(t, daemon, '/mcp/docs');
  t.equal(await echo(client, 'hello'), 'hello');
  stand.expire();
  stand.refusal = { status: 400, body: '{"error":"invalid_grant"}' };
  const asks = /sign in: governor login docs \(http\S+ does not renew it: invalid_grant\)/;
  t.match(await refusedBy(client), { message: asks });
  await waitFor('its run to end', async () => (await daemon.call('GET', '/v1/tools/docs')).json.runs.length === 0);
  for (let i = 0; i < 8; i++)
    t.match(await refusedBy(client), { code: RPC_CODE.refused, message: asks, data: { reason: 'sign_in_needed' } });
  t.match((await daemon.call('GET', '/v1/tools/docs')).json, {
    state: 'registered',
    lastEnd: { reason: 'sign_in', message: asks },
    recovery: { attempts: 0, nextAttemptAt: null },
    signIn: { state: 'needed', message: asks },
  });
  stand.refusal = null;
  await signIn(daemon);
  t.equal(await echo(client, 'back'), 'back', 'the same client goes on');
  t.same(await events(daemon), ['login', 'renewal_failed', 'login']);
  await noSecretIn(t, daemon, stand);
});

t.test('what is kept is of who was signed in', { skip, timeout }, async (t) => {
  const stand = await oauthStand(t);
  const cache = {
    patterns: [
      { uri: 'docs:///{name}', ttl: '1h', scope: 'public' },
      { uri: 'own:///{name}', ttl: '1h' },
    ],
  };
  const docs = { url: stand.url, auth: 'browser', sharing: 'shared', cache };
  const daemon = await startDaemon(t, { config: { tools: { docs } } });
  const kept = async (): Promise<number> => (await daemon.call('GET', '/v1/cache')).json.entries.length;
  await signIn(daemon);
  const client = await connected(t, daemon, '/mcp/docs');
  const read = async (uri: string): Promise<unknown> => {
    const { contents } = await client.readResource({ uri });
    return (contents[0] as { readonly text: string }).text;
  };
  const both = async (): Promise<readonly unknown[]> => [await read('docs:///a'), await read('own:///a')];
  const first = await both();
  t.same(await both(), first);
  t.equal(stand.called.filter(({ method }) => method === 'resources/read').length, 2);
  t.equal(await kept(), 2);

  await signIn(daemon);
  t.equal(await kept(), 0, 'somebody else, for all that is known');
  const second = await both();
  t.notSame(second, first);
  stand.expire();
  t.same(await both(), second, 'a token that is to be renewed is the same person’s');

  t.equal((await daemon.call('POST', '/v1/tools/docs/logout', {})).status, 200);
  t.equal(await kept(), 0);
  for (const uri of ['docs:///a', 'own:///a'])
    t.match(await read(uri).catch((error: unknown) => error), {
      code: RPC_CODE.refused,
      message: /governor login docs/,
    });
  t.equal(await kept(), 0);
});

t.test('somebody signs out while calls are open', { skip, timeout }, async (t) => {
  const stand = await oauthStand(t);
  const docs = { url: stand.url, auth: 'browser', sharing: 'shared', cache: { ttl: '1h' } };
  const daemon = await startDaemon(t, { config: { tools: { docs } } });
  await signIn(daemon);
  const clients = [await connected(t, daemon, '/mcp/docs'), await connected(t, daemon, '/mcp')];
  t.equal(await echo(clients[0] as Client, 'hello'), 'hello');
  stand.callGate = new Promise(() => undefined);
  const before = stand.called.length;
  const arrived = stand.arrived;
  const open = [
    refusedBy(clients[0] as Client),
    (clients[1] as Client).callTool({ name: 'docs__echo', arguments: {} }).catch((error: unknown) => error),
  ];
  await waitFor('both to be there', () => stand.arrived >= arrived + 2);
  t.match(await daemon.cli(['logout', 'docs']), { code: 0, stdout: 'docs: signed out; its tokens are revoked\n' });
  for (const error of await Promise.all(open))
    t.match(error, {
      code: RPC_CODE.stopped,
      message: /docs: somebody signed out; sign in: governor login docs$/,
      data: { tool: 'docs', reason: 'sign_in', retryAfterMs: null },
    });
  t.same([...stand.good], [], 'its tokens are good no more');
  t.ok(
    stand.called.slice(before).some(({ verb }) => verb === 'DELETE'),
    'and the server was told before',
  );
  t.match((await daemon.call('GET', '/v1/tools/docs')).json, { state: 'registered', runs: [] });
  stand.callGate = null;
  await signIn(daemon);
  t.equal(await echo(clients[0] as Client, 'back'), 'back', 'the same clients go on');
});

t.test('the file names another address', { skip, timeout }, async (t) => {
  const [stand, evil] = [await oauthStand(t), await oauthStand(t)];
  const tools = (url: string) => ({ docs: { url, auth: 'browser', sharing: 'shared' } });
  const daemon = await startDaemon(t, { config: { tools: tools(stand.url) } });
  await signIn(daemon);
  const client = await connected(t, daemon, '/mcp/docs');
  t.equal(await echo(client, 'hello'), 'hello');
  writeFileSync(daemon.configPath ?? '', formatConfig({ tools: tools(evil.url) }));
  t.equal((await daemon.call('POST', '/v1/config/reload', {})).status, 200);
  t.match(await refusedBy(client), { message: /sign in: governor login docs/ });
  await waitFor('the tokens to be taken back', () => stand.good.size === 0 && stand.revoked.length === 2);
  t.same(evil.called, []);
  t.same(evil.asked, []);
  await waitFor('that to be on record', async () => (await events(daemon)).includes('dropped'));

  await signIn(daemon);
  t.equal(evil.good.size, 1);
  writeFileSync(daemon.configPath ?? '', formatConfig({ tools: {} }));
  t.equal((await daemon.call('POST', '/v1/config/reload', {})).status, 200);
  await waitFor('those of a tool that is gone, too', () => evil.good.size === 0);
  t.same(readdirSync(join(daemon.stateDir, 'sign-ins')), []);
});

t.test('what is kept is damaged, or the server tells nothing', { skip, timeout }, async (t) => {
  const stand = await oauthStand(t);
  const stateDir = newStateDir(t);
  const config = { tools: { docs: { url: stand.url, auth: 'browser' }, plain: { command: 'true', autostart: false } } };
  const daemon = await startDaemon(t, { config, stateDir });
  await signIn(daemon);
  await daemon.stop();
  const [name = ''] = readdirSync(join(stateDir, 'sign-ins'));
  writeFileSync(join(stateDir, 'sign-ins', name), 'x');
  const next = await startDaemon(t, { config, stateDir });
  t.match(await next.cli(['start', 'docs']), {
    code: 1,
    stderr: /sign in: governor login docs \(the sign-in in \S+\.json cannot be used: it is no JSON\)/,
  });
  stand.hasMetadata = false;
  t.match(await next.cli(['login', 'docs']), {
    code: 1,
    stderr: /does not say where to sign in: it has no protected resource metadata \(RFC 9728\)/,
  });
  t.match(await next.cli(['login', 'plain']), { code: 1, stderr: /plain has no auth: browser in limits\.yaml/ });
  t.match(await next.cli(['login', 'dosc']), { code: 1, stderr: /did you mean "docs"/ });
  t.match(await next.call('POST', '/v1/tools/docs/login', {}), { status: 400 });
  stand.hasMetadata = true;
  await signIn(next);
  t.match((await next.call('GET', '/v1/tools/docs')).json, { signIn: { state: 'signed_in' } });
});
