/** The whole way: official clients, a real daemon, real servers; shared, by context, by call; and what dies on the way. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { RPC_CODE } from '../../lib/mcp/wire/protocol.ts';
import { addressOf, LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, startFixture, startProgram } from '../helpers/fixture.ts';
import { server, serversMissing } from '../helpers/npm-servers.ts';
import { lacks } from '../helpers/skip.ts';
import { identityOf, isAlive } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux');
const everything = { command: 'node', args: [server('everything'), 'stdio'], limits: { memory: '512MiB' } };

const echo = (...flags: readonly string[]): Readonly<Record<string, unknown>> => {
  const [command, ...args] = fixtureCommand('mcp-echo', flags);
  return { command, args, class: 'light', autostart: false };
};

/** An official client on `/mcp` or `/mcp/TOOL`. */
async function connected(t: Test, daemon: RunningDaemon, path: string, name = 'test'): Promise<Client> {
  const { url, token } = addressOf(daemon);
  const client = new Client({ name, version: '1.0.0' });
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(path, url), { requestInit }));
  t.teardown(() => client.close());
  return client;
}

/** Pids of the live runs of a tool. */
async function pids(daemon: RunningDaemon, tool: string): Promise<readonly number[]> {
  const { json } = await daemon.call('GET', `/v1/tools/${tool}`);
  return (json.runs as readonly { readonly pid: number }[]).map(({ pid }) => pid);
}

const said = (result: unknown): string =>
  (result as { readonly content: readonly { readonly text: string }[] }).content[0]?.text ?? '';

t.test('two ways in', { skip: skip || serversMissing('everything'), timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, {
    config: { tools: { everything: { ...everything, sharing: 'shared' }, own: echo() } },
  });
  await t.test('one tool, by its own names', async (t) => {
    const client = await connected(t, daemon, '/mcp/everything');
    t.match(client.getServerVersion()?.name, /everything/);
    const { tools } = await client.listTools();
    t.ok(tools.some(({ name }) => name === 'echo'));
    t.equal(said(await client.callTool({ name: 'echo', arguments: { message: 'hello' } })), 'Echo: hello');
  });
  await t.test('all tools, by joined names', async (t) => {
    const client = await connected(t, daemon, '/mcp');
    const names = (await client.listTools()).tools.map(({ name }) => name);
    t.ok(names.includes('everything__echo') && names.includes('own__echo'), names.join(' '));
    const call = (name: string): Promise<unknown> => client.callTool({ name, arguments: { message: 'hello' } });
    t.equal(said(await call('everything__echo')), 'Echo: hello');
    t.equal(said(await call('own__echo')), 'hello');
  });
  await t.test('over stdio', async (t) => {
    const client = new Client({ name: 'editor', version: '1.0.0' });
    await client.connect(
      new StdioClientTransport({ command: LAUNCHER, args: ['connect', 'everything'], env: { ...daemon.env } }),
    );
    t.teardown(() => client.close());
    t.equal(said(await client.callTool({ name: 'echo', arguments: { message: 'hello' } })), 'Echo: hello');
  });
  t.equal((await pids(daemon, 'everything')).length, 1, 'all of them had the one that was started with the daemon');
});

t.test('ten clients and five shared tools: five processes', { skip, timeout: patience(110_000) }, async (t) => {
  const names = ['one', 'two', 'three', 'four', 'five'];
  // Different arguments: equal ones could be taken for one server by a mistake that this is to find.
  const tools = Object.fromEntries(names.map((name) => [name, { ...echo(`--marker=${name}`), sharing: 'shared' }]));
  const daemon = await startDaemon(t, { config: { tools } });
  const clients = await Promise.all(
    Array.from({ length: 10 }, (_, index) => connected(t, daemon, '/mcp', `client ${index}`)),
  );
  const answers = await Promise.all(
    clients.flatMap((client, index) =>
      names.map(async (name) => [
        `${index} ${name}`,
        said(await client.callTool({ name: `${name}__echo`, arguments: { message: `${index} ${name}` } })),
      ]),
    ),
  );
  for (const [asked, answered] of answers) t.equal(answered, asked);
  for (const name of names) t.equal((await pids(daemon, name)).length, 1, name);
});

t.test(
  'by context, each client has its own; it goes with its client',
  { skip, timeout: patience(110_000) },
  async (t) => {
    const daemon = await startDaemon(t, { config: { tools: { own: echo() } } });
    const [one, other] = await Promise.all([connected(t, daemon, '/mcp/own'), connected(t, daemon, '/mcp/own')]);
    for (const client of [one, other, one]) await client.callTool({ name: 'echo', arguments: { message: 'x' } });
    const before = await pids(daemon, 'own');
    t.equal(before.length, 2);
    const contexts = (await daemon.call('GET', '/v1/contexts')).json.contexts as readonly { readonly id: string }[];
    t.equal(new Set(contexts.map(({ id }) => id)).size, 2);
    await (one.transport as StreamableHTTPClientTransport).terminateSession();
    await waitFor('its process to go', async () => (await pids(daemon, 'own')).length === 1);
    t.equal(said(await other.callTool({ name: 'echo', arguments: { message: 'still' } })), 'still');
    t.match((await daemon.call('GET', '/v1/tools/own')).json.lastEnd, {
      reason: 'context_ended',
      cleanup: { left: {} },
    });
  },
);

t.test(
  'a server that is killed in mid-call: its call hears why, the next one works',
  { skip, timeout: patience(110_000) },
  async (t) => {
    const daemon = await startDaemon(t, {
      config: { tools: { shared: { ...echo(), sharing: 'shared' }, own: echo() } },
    });
    for (const tool of ['shared', 'own']) {
      const client = await connected(t, daemon, `/mcp/${tool}`);
      await client.callTool({ name: 'echo', arguments: { message: 'x' } });
      const call = client.callTool({ name: 'sleep', arguments: { ms: 60_000 } }).then(
        () => null,
        (error: unknown) => error,
      );
      const [pid = 0] = await pids(daemon, tool);
      process.kill(pid, 'SIGKILL');
      t.match(await call, {
        code: RPC_CODE.stopped,
        message: new RegExp(`^${tool}: ended by itself \\(SIGKILL\\)`),
        data: { tool, reason: 'exited', exit: { signal: 'SIGKILL' }, retryAfterMs: 0 },
      });
      t.equal(said(await client.callTool({ name: 'echo', arguments: { message: 'again' } })), 'again');
      t.not((await pids(daemon, tool))[0], pid);
    }
  },
);

t.test('a server over its limit: its call hears how much it was', { skip, timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, {
    config: {
      daemon: { sample_interval: '100ms' },
      tools: { own: { ...echo(), limits: { memory: '128MiB' } } },
    },
  });
  const client = await connected(t, daemon, '/mcp/own');
  await client.callTool({ name: 'echo', arguments: { message: 'x' } });
  const sleeping = client.callTool({ name: 'sleep', arguments: { ms: 60_000 } }).then(
    () => null,
    (error: unknown) => error,
  );
  void client.callTool({ name: 'allocate', arguments: { mb: 110 } }).catch(() => undefined);
  const error = (await sleeping) as { readonly data: { readonly ratio: number | null } };
  t.match(error, {
    code: RPC_CODE.stopped,
    message: /^own: .*(memory .* of its limit of 128 MiB|OOM)/,
    data: { tool: 'own', resource: 'memory', limit: 128 * 2 ** 20, stage: /cleanup|emergency/, action: /recycle|kill/ },
  });
  t.equal(said(await client.callTool({ name: 'echo', arguments: { message: 'again' } })), 'again');
});

t.test(
  'a client that is killed: its context is cleaned up, others notice nothing',
  { skip, timeout: patience(110_000) },
  async (t) => {
    const daemon = await startDaemon(t, {
      config: { tools: { own: echo(), shared: { ...echo(), sharing: 'shared' } } },
    });
    const { url, token } = addressOf(daemon);
    const neighbour = await connected(t, daemon, '/mcp');
    for (const name of ['own__echo', 'shared__echo']) await neighbour.callTool({ name, arguments: { message: 'x' } });
    const [kept = 0] = await pids(daemon, 'own');

    await t.test('over HTTP', async (t) => {
      const client = startFixture(t, 'mcp-http-client', { args: [`${url}/mcp/own`, token, 'echo'] });
      await client.said('called');
      await killed(t, daemon, kept, () => client.child.kill('SIGKILL'));
    });
    await t.test('over stdio', async (t) => {
      const env = { ...daemon.env };
      const client = startProgram(t, [LAUNCHER, 'connect', 'own'], { env });
      const request = (id: number, method: string, params: object): string =>
        `${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`;
      const info = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } };
      client.child.stdin?.write(request(1, 'initialize', info));
      client.child.stdin?.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' })}\n`);
      client.child.stdin?.write(request(2, 'tools/call', { name: 'echo', arguments: { message: 'x' } }));
      await waitFor('the call to be answered', () => client.lines().some((line) => line.includes('"id":2')));
      await killed(t, daemon, kept, () => client.child.kill('SIGKILL'));
    });
    for (const name of ['own__echo', 'shared__echo'])
      t.equal(said(await neighbour.callTool({ name, arguments: { message: 'still' } })), 'still');
    t.equal((await pids(daemon, 'shared')).length, 1);
  },
);

/** @param kept the pid of somebody else's process, which stays */
async function killed(t: Test, daemon: RunningDaemon, kept: number, kill: () => void): Promise<void> {
  const [pid = 0] = (await pids(daemon, 'own')).filter((one) => one !== kept);
  const identity = identityOf(pid);
  t.ok(identity, 'it has a process of its own');
  if (identity === null) return;
  kill();
  await waitFor('its process to go', () => !isAlive(identity), { timeoutMs: 2_000 });
  await waitFor('its run to be over', async () => (await pids(daemon, 'own')).length === 1);
  t.same(await pids(daemon, 'own'), [kept]);
}

t.test('by call: each has a process of its own, and none is left', { skip, timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, { config: { tools: { brief: { ...echo(), sharing: 'call' } } } });
  const client = await connected(t, daemon, '/mcp/brief');
  const calls = Array.from({ length: 4 }, async (_, index) =>
    said(await client.callTool({ name: 'echo', arguments: { message: String(index) } })),
  );
  t.same(await Promise.all(calls), ['0', '1', '2', '3']);
  await waitFor('the last to go', async () => (await pids(daemon, 'brief')).length === 0);
  const { runs } = (await daemon.call('GET', '/v1/tools/brief/runs')).json;
  // One more where nothing was known of the server before.
  t.ok(runs.length >= 4, `${runs.length as number} runs`);
});

t.test(
  'asleep it is seen, also by the next daemon; a call wakes it',
  { skip, timeout: patience(110_000) },
  async (t) => {
    const config = { tools: { own: { ...echo(), idle_timeout: '500ms' } } };
    const daemon = await startDaemon(t, { config });
    const client = await connected(t, daemon, '/mcp/own');
    await client.callTool({ name: 'echo', arguments: { message: 'x' } });
    const asleep = async (): Promise<boolean> => (await pids(daemon, 'own')).length === 0;
    await waitFor('it to sleep', asleep);
    t.match((await daemon.call('GET', '/v1/tools/own')).json, { state: 'registered', lastEnd: { reason: 'idle' } });
    t.equal((await client.listTools()).tools.length, 4);
    t.ok(await asleep(), 'a look at its lists does not wake it');
    t.equal(said(await client.callTool({ name: 'echo', arguments: { message: 'awake' } })), 'awake');
    await daemon.stop();

    const next = await startDaemon(t, { config, stateDir: daemon.stateDir });
    const again = await connected(t, next, '/mcp/own');
    t.equal((await again.listTools()).tools.length, 4);
    t.same((await next.call('GET', '/v1/tools/own/runs')).json.runs, [], 'and nothing was started');
  },
);

t.test('a server elsewhere', { skip: skip || serversMissing('everything'), timeout: patience(110_000) }, async (t) => {
  const port = await freePort();
  const env = { PORT: String(port) };
  const elsewhere = startProgram(t, ['node', server('everything'), 'streamableHttp'], { env, lifeMs: 100_000 });
  await waitFor('it to listen', () => isListening(port));
  const docs = { url: `http://127.0.0.1:${port}/mcp`, headers: { 'X-Key': 'secret' }, sharing: 'shared' };
  const hurried = { ...docs, limits: { runtime: { limit: '500ms', reason: 'nobody waits longer' } } };
  const daemon = await startDaemon(t, { config: { tools: { docs, hurried } } });
  await t.test('the runtime of its calls is the only limit there is', async (t) => {
    const client = await connected(t, daemon, '/mcp/hurried');
    const late = await client
      .callTool({ name: 'trigger-long-running-operation', arguments: { duration: 20, steps: 2 } })
      .then(
        () => null,
        (reason: unknown) => reason,
      );
    t.match(late, {
      code: RPC_CODE.deadline,
      message:
        /hurried: cancelled: runtime .* of its limit of 500ms, stage cleanup \(limit because: nobody waits longer\)$/,
      data: { tool: 'hurried', resource: 'runtime', limit: 500, stage: 'cleanup', action: 'cancel_call' },
    });
    t.equal(said(await client.callTool({ name: 'echo', arguments: { message: 'on' } })), 'Echo: on', 'it goes on');
    const { limits, runs } = (await daemon.call('GET', '/v1/tools/hurried')).json;
    t.match(
      limits.find(({ resource }: { resource: string }) => resource === 'runtime'),
      { limit: 500, enforcement: 'polled', source: { from: 'file' }, note: undefined },
    );
    t.equal(runs.length, 1);
    t.match(
      (await daemon.call('GET', '/metrics')).text,
      /governor_tool_calls_total\{tool="hurried",outcome="expired"\} 1/,
    );
    const patch = (limits: object): Promise<unknown> => daemon.call('PATCH', '/v1/tools/hurried', { limits });
    t.match(await patch({ memory: '1GiB' }), {
      json: { code: 'unsupported', detail: /only the runtime of its calls/ },
    });
    t.match(await patch({ runtime: '10s' }), { status: 200 });
  });
  const client = await connected(t, daemon, '/mcp/docs');
  t.equal(said(await client.callTool({ name: 'echo', arguments: { message: 'far' } })), 'Echo: far');
  const view = (await daemon.call('GET', '/v1/tools/docs')).json;
  t.match(view, { state: 'active', command: [docs.url], runs: [{ pid: null, governed: false }] });
  t.ok((view.limits as readonly { enforcement: string }[]).every(({ enforcement }) => enforcement === 'none'));
  const usage = (await daemon.call('GET', '/v1/tools/docs/usage')).json;
  t.match(
    (usage.resources as readonly { resource: string }[]).find(({ resource }) => resource === 'memory'),
    { usage: null, quality: 'unsupported', unsupported: 'it runs on another host' },
  );
  t.match((await daemon.cli(['ls', '-v'])).stdout, /docs/);
  t.notMatch(daemon.output(), /secret/);
  t.equal((await daemon.cli(['stop', 'docs'])).code, 0);
  t.equal(said(await client.callTool({ name: 'echo', arguments: { message: 'anew' } })), 'Echo: anew');
  elsewhere.child.kill('SIGKILL');
  await elsewhere.ended;
  const error = await client.callTool({ name: 'echo', arguments: { message: 'lost' } }).then(
    () => null,
    (reason: unknown) => reason,
  );
  t.match(error, { code: RPC_CODE.stopped, message: /^docs: /, data: { tool: 'docs' } });
  await waitFor('it to be given up', async () => {
    const { json } = await daemon.call('GET', '/v1/tools/docs');
    return (json.lastEnd as { readonly reason: string } | null)?.reason === 'unhealthy';
  });
  startProgram(t, ['node', server('everything'), 'streamableHttp'], { env, lifeMs: 100_000 });
  await waitFor('another to listen', () => isListening(port));
  t.equal(said(await client.callTool({ name: 'echo', arguments: { message: 'back' } })), 'Echo: back');
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
