/** Secrets that reach Governor: none may be found in anything it writes or answers. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { addressOf, LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, newMarker, startProgram, type TestScope } from '../helpers/fixture.ts';
import { waitFor } from '../helpers/wait-for.ts';

let serial = 0;

/** Each its own, so that a find tells where it came from; of the alphabet that tokens have. */
function secret(kind: string): string {
  serial += 1;
  const value = `Zq7${kind}${serial}x9Kd83hfT5ls02mVb`;
  all.set(value, kind);
  return value;
}

const all = new Map<string, string>();
const MASKED_ARGUMENTS = (): readonly string[] => [
  `--key=${secret('Key')}`,
  '--token',
  secret('Token'),
  `--api-key=${secret('ApiKey')}`,
  '--password',
  secret('Password'),
  `https://user:${secret('Userinfo')}@example.org/mcp`,
  `https://example.org/mcp?access_token=${secret('Query')}`,
  `Authorization: Bearer ${secret('Bearer')}`,
  `PASSWORD=${secret('Pair')}`,
];

t.test('not one secret in state, answers, metrics or output', async (t) => {
  const fileSecret = secret('File');
  const daemonSecret = secret('Daemon');
  const stubborn = ['-c', 'echo "connecting with $SAID" >&2; exec cat', 'sh', ...MASKED_ARGUMENTS()];
  const config = {
    daemon: { log_level: 'debug', sample_interval: '100ms' },
    tools: {
      'from file': {
        command: 'sh',
        args: stubborn,
        env: { API_KEY: fileSecret, FROM_DAEMON: '${DAEMON_SECRET}', SAID: secret('Stderr') },
        readiness: 'none',
      },
      // What is no MCP is complained about, without being quoted.
      garbage: {
        command: 'sh',
        args: ['-c', 'echo "{\\"token\\":\\"$SAID\\""; exit 1'],
        env: { SAID: secret('Stdout') },
        ready_timeout: '2s',
        recovery: { strategy: 'stop' },
      },
    },
  };
  const daemon = await startDaemon(t, { config, env: { DAEMON_SECRET: daemonSecret } });
  // The configuration is the user's own file and may hold what it likes.
  writeFileSync(join(daemon.stateDir, 'limits.yaml'), '');
  const events = eavesdrop(t, daemon);
  await waitFor(
    'the tool of the file',
    async () => (await daemon.call('GET', '/v1/tools/from%20file')).json.state === 'active',
  );
  await registered(daemon);
  await direct(t, daemon);
  await mistakes(daemon);
  await waitFor(
    'the garbage to have failed',
    async () => (await daemon.call('GET', '/v1/tools/garbage')).json.lastEnd !== null,
  );
  const answers = await everyAnswer(daemon);
  t.ok(all.size >= 30, `${all.size} secrets were in play`);
  for (const [where, text] of [
    ...answers,
    ...stateFiles(daemon.stateDir),
    ['events', events.text()],
    ['output', daemon.output()],
  ] as const)
    nothingIn(t, where, text);
  await daemon.stop();
  for (const [where, text] of [...stateFiles(daemon.stateDir), ['output', daemon.output()]] as const)
    nothingIn(t, `${where} at the end`, text);
  const shown = answers.find(([where]) => where === 'GET /v1/tools')?.[1] ?? '';
  t.match(shown, /--key=/, 'arguments are shown, masked');
});

t.test('the state directory and what is in it are closed to others', async (t) => {
  const daemon = await startDaemon(t);
  await daemon.cli(['run', '--', 'true']);
  t.equal(statSync(daemon.stateDir).mode & 0o777, 0o700);
  const files = [...stateFiles(daemon.stateDir)].map(([path]) => path);
  for (const path of files) {
    // A file that is being replaced (`audit.head.new`) may be gone by now.
    const found = statSync(join(daemon.stateDir, path), { throwIfNoEntry: false });
    if (found !== undefined) t.equal(found.mode & 0o077, 0, path);
  }
  for (const path of ['token', 'audit.head']) t.ok(files.includes(path), `${path} is among them`);
  t.equal(statSync(join(daemon.stateDir, 'governor.sock')).mode & 0o077, 0);
});

t.test('a launch that waits is closed to others, whatever the umask of its client, which the tool has', async (t) => {
  const daemon = await startDaemon(t);
  const pending = join(daemon.stateDir, 'launch/pending');
  daemon.process.kill('SIGSTOP');
  t.teardown(() => daemon.process.kill('SIGCONT'));
  const child = spawn('sh', ['-c', 'umask 000; exec "$0" run -- sh -c umask', LAUNCHER], {
    env: { ...daemon.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let told = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (told += part));
  const ended = once(child, 'close');
  const [name] = await waitFor('its request', () => {
    const names = readdirSync(pending);
    return names.length > 0 && names;
  });
  t.equal(statSync(join(pending, name ?? '')).mode & 0o777, 0o600);
  daemon.process.kill('SIGCONT');
  await ended;
  t.equal(told.trim(), '0000');
});

t.test('over TCP: token, Host and Origin', async (t) => {
  const daemon = await startDaemon(t);
  const { url, token } = addressOf(daemon);
  const status = async (path: string, headers: Readonly<Record<string, string>> = {}): Promise<number> =>
    (await fetch(`${url}${path}`, { headers })).status;
  const bearer = { authorization: `Bearer ${token}` };
  t.equal(await status('/v1/tools'), 401, 'no token');
  t.equal(await status('/v1/tools', { authorization: 'Bearer wrong-token-of-some-length' }), 401);
  t.equal(await status('/v1/tools', { authorization: `Bearer ${token.slice(0, -1)}` }), 401, 'a token cut short');
  t.equal(await status('/v1/tools', { authorization: `Basic ${Buffer.from(`:${token}`).toString('base64')}` }), 401);
  t.equal(await status('/v1/tools', bearer), 200);
  t.equal(await status('/v1/tools', { ...bearer, origin: 'https://evil.example' }), 403, 'a foreign page');
  t.equal(await status('/v1/tools', { ...bearer, origin: 'null' }), 403, 'a page without origin');
  t.equal(await status('/metrics', { origin: 'https://evil.example' }), 403, 'also where no token is needed');
  t.equal(await status('/v1/tools', { ...bearer, origin: url }), 200, 'the daemon’s own page');
  for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.json', '/']) t.equal(await status(path), 200, path);
  const refused = await fetch(`${url}/v1/tools`);
  t.match(refused.headers.get('www-authenticate'), /^Bearer/);
  t.match(refused.headers.get('content-type'), /^application\/problem\+json/);
  for (const path of ['/v1/events', '/v1/audit', '/v1/host', '/v1/tools/x/logs', '/v1/nothing', '/nothing'])
    t.equal(await status(path), 401, `${path} tells nothing without a token`);
});

async function registered(daemon: RunningDaemon): Promise<void> {
  const body = {
    name: 'registered',
    command: 'sh',
    args: ['-c', 'exec cat', 'sh', ...MASKED_ARGUMENTS()],
    env: { SECRET: secret('Body') },
    readiness: 'none',
  };
  expect(201, await daemon.call('POST', '/v1/tools', body));
  expect(200, await daemon.call('POST', '/v1/tools/registered/activate', {}));
  expect(200, await daemon.call('POST', '/v1/tools/registered/restart', {}));
}

async function direct(t: TestScope, daemon: RunningDaemon): Promise<void> {
  // A name that no shell passes on makes the daemon hand the environment over in a file.
  const env = {
    ...daemon.env,
    OPENAI_API_KEY: secret('Env'),
    'odd.name': secret('OddEnv'),
    SAID: secret('DirectStderr'),
  };
  const tool = fixtureCommand('idle', [`--marker=${newMarker()}`]);
  const words = ['sh', '-c', 'echo "$SAID" >&2; shift; exec "$@"', 'sh', 'x', ...tool];
  const client = startProgram(t, [LAUNCHER, 'run', '--name', 'direct', '--', ...words], { env, detached: true });
  await client.said('ready');
  const second = startProgram(
    t,
    [LAUNCHER, 'run', '--name', 'arguments', '--', 'sh', '-c', 'echo ready; exec cat', 'sh', ...MASKED_ARGUMENTS()],
    { env: daemon.env, detached: true },
  );
  await second.said('ready');
  await daemon.cli(['run', '--', 'no-such-command', ...MASKED_ARGUMENTS()]);
  await daemon.cli(['run', '--memory', '1MB', '--', 'true', ...MASKED_ARGUMENTS()]);
}

/** What is refused is not repeated. */
async function mistakes(daemon: RunningDaemon): Promise<void> {
  const { url, token } = addressOf(daemon);
  const post = (body: string): Promise<Response> =>
    fetch(`${url}/v1/tools`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body,
    });
  const bodies = [
    `{"name":"x","command":"sh","env":{"KEY":"${secret('Malformed')}"`,
    JSON.stringify({ name: 'x', command: 'sh', env: { 'BAD=NAME': secret('BadName') } }),
    JSON.stringify({ name: 'x', command: 'sh', env: { KEY: [secret('WrongType')] } }),
    JSON.stringify({ name: 'x', command: 'sh', env: secret('NoObject') }),
    JSON.stringify({ name: 'x', command: 'sh', env: { KEY: `a\u0000${secret('Nul')}` } }),
    JSON.stringify({ name: 'registered', command: 'sh', env: { KEY: secret('Exists') } }),
  ];
  for (const body of bodies) {
    const answer = await post(body);
    const text = await answer.text();
    if (answer.status < 400) throw new Error(`accepted: ${body}`);
    for (const value of all.keys()) if (text.includes(value)) throw new Error(`repeated in ${text}`);
  }
  await fetch(`${url}/v1/tools?token=${secret('UrlToken')}`, {
    headers: { authorization: `Bearer ${secret('WrongBearer')}` },
  });
}

async function everyAnswer(daemon: RunningDaemon): Promise<readonly (readonly [string, string])[]> {
  const paths = [
    '/v1/tools',
    '/v1/usage',
    '/v1/contexts',
    '/v1/host',
    '/v1/audit?limit=1000',
    '/v1/audit/verify',
    '/openapi.json',
    '/metrics',
    '/',
    '/healthz',
  ];
  const { tools } = (await daemon.call('GET', '/v1/tools')).json as {
    tools: { name: string; runs: { id: string }[] }[];
  };
  for (const { name, runs } of tools) {
    const base = `/v1/tools/${encodeURIComponent(name)}`;
    paths.push(
      base,
      `${base}/usage`,
      `${base}/runs`,
      `${base}/processes`,
      `${base}/sockets`,
      `${base}/files`,
      ...runs.map(({ id }) => `/v1/runs/${id}`),
    );
  }
  const answers = await Promise.all(
    paths.map(async (path) => [`GET ${path}`, (await daemon.call('GET', path)).text] as const),
  );
  const commands = [['ls'], ['ls', '-v'], ['ls', '--json'], ['usage'], ['audit', 'show'], ['doctor']];
  const outputs = await Promise.all(
    commands.map(async (words) => [`governor ${words.join(' ')}`, JSON.stringify(await daemon.cli(words))] as const),
  );
  return [...answers, ...outputs];
}

/** Path below the state directory, and content. */
function stateFiles(stateDir: string): readonly (readonly [string, string])[] {
  return (readdirSync(stateDir, { recursive: true }) as string[]).flatMap((path) => {
    if (path === 'limits.yaml') return [];
    try {
      if (!statSync(join(stateDir, path)).isFile()) return [];
      return [[path, readFileSync(join(stateDir, path), 'latin1')] as const];
    } catch (error) {
      // Replaced by the daemon since it was listed.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
}

function eavesdrop(t: TestScope, daemon: RunningDaemon): { text(): string } {
  const { url, token } = addressOf(daemon);
  const abort = new AbortController();
  t.teardown(() => abort.abort());
  let text = '';
  const listen = async (): Promise<void> => {
    const answer = await fetch(`${url}/v1/events?last_event_id=0`, {
      headers: { authorization: `Bearer ${token}` },
      signal: abort.signal,
    });
    for await (const part of answer.body ?? []) text += Buffer.from(part).toString();
  };
  // Ends with the test, or with the daemon.
  listen().catch(() => undefined);
  return { text: () => text };
}

function nothingIn(t: { notOk(found: unknown, message: string): unknown }, where: string, text: string): void {
  const found = [...all]
    .filter(([value]) => text.includes(value) || text.includes(Buffer.from(value).toString('base64')))
    .map(([, kind]) => kind);
  t.notOk(found.length > 0, `${where}: ${found.join(', ')}`);
}

function expect(status: number, answer: { readonly status: number; readonly text: string }): void {
  if (answer.status !== status) throw new Error(answer.text);
}
