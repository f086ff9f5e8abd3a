/** `governor connect` with a real daemon and a real server. */

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import t from 'tap';
import { clientSide } from '../helpers/client-side.ts';
import { callUnix, cleanEnvironment, LAUNCHER, newStateDir, runCommand, startDaemon } from '../helpers/daemon.ts';
import type { RunningDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, fixtureEnvironment, newMarker, type TestScope } from '../helpers/fixture.ts';
import { call, INITIALIZE } from '../helpers/front-server.ts';
import { killSurvivors, survivors, survivorsAfter } from '../helpers/survivors.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { waitFor } from '../helpers/wait-for.ts';

const [COMMAND, ...ARGS] = fixtureCommand('mcp-echo');
/** It is asked nothing: what cannot answer any more would wait for itself. */
const FIRST = `${JSON.stringify({ ...INITIALIZE, params: { ...INITIALIZE.params, capabilities: {} } })}\n`;

interface RunView {
  readonly context: string | null;
}

interface Stand {
  readonly daemon: RunningDaemon;
  /** Of everything at the clients' side, and of nothing else. */
  readonly marker: string;
  readonly env: Readonly<Record<string, string>>;
}

async function begin(t: TestScope, sharing = 'context'): Promise<Stand> {
  const marker = newMarker();
  const daemon = await startDaemon(t, {
    config: { tools: { 'my echo': { command: COMMAND, args: ARGS, env: { FIXTURE_LIFE_MS: '120000' }, sharing } } },
  });
  t.teardown(() => killSurvivors(marker));
  return { daemon, marker, env: { ...daemon.env, ...fixtureEnvironment(marker) } };
}

/** A client whose side are pipes of Node, which are sockets. */
function connect({ env }: Stand, words: readonly string[] = ['my echo']) {
  const child = spawn(LAUNCHER, ['connect', ...words], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  const side = clientSide(child);
  return { ...side, lines: (): readonly string[] => side.out().split('\n').slice(0, -1) };
}

async function connected(stand: Stand, words?: readonly string[]) {
  const client = connect(stand, words);
  client.child.stdin.write(FIRST);
  await waitFor('the handshake', () => client.out().includes('serverInfo'));
  return client;
}

const contexts = async ({ daemon }: Stand): Promise<readonly { id: string }[]> =>
  (await daemon.call('GET', '/v1/contexts')).json.contexts;
/** Runs of clients: the spare one belongs to nobody. */
const open = ({ daemon }: Stand) =>
  daemon
    .call('GET', '/v1/tools/my%20echo')
    .then(({ json }) => (json.runs as RunView[]).filter((run) => run.context?.startsWith('session-')).length);

t.test('a daemon is started when there is none, and nothing but MCP is ever on stdout', async (t) => {
  const stateDir = newStateDir(t);
  const env = { ...cleanEnvironment(), GOVERNOR_STATE_DIR: stateDir, GOVERNOR_LISTEN: '127.0.0.1:0' };
  t.teardown(async () => void (await runCommand(LAUNCHER, ['daemon', 'stop', '--all'], { env })));
  const first = await runCommand(LAUNCHER, ['connect', 'nobody'], { env });
  t.equal(first.code, 127);
  t.equal(first.stdout, '');
  t.equal(first.stderr, 'governor: no tool is named nobody\n');
  t.equal((await callUnix(join(stateDir, 'governor.sock'), 'GET', '/readyz')).status, 200, 'the daemon is up');
});

t.test('bytes pass both ways; no Node is beside the client; stdin ends: 0, and nothing is left', async (t) => {
  const stand = await begin(t);
  const { child, ended, lines, err } = await connected(stand, ['--context', 'my desk', 'my echo']);
  t.ok((await contexts(stand)).some(({ id }) => id === 'my desk'));
  const commands = survivors(stand.marker).map(({ command }) => command);
  t.equal(commands.length, 3, 'a shell and two that carry');
  t.notMatch(commands.join('\n'), /node /);
  const large = { message: 'ä€😀'.repeat(300_000) };
  child.stdin.write(`${JSON.stringify(call(1, 'echo', large))}\n`);
  await waitFor('the large answer', () => lines().length === 2);
  t.match(JSON.parse(lines()[1] ?? ''), { id: 1, result: { content: [{ text: large.message }] } }, 'untouched');
  child.stdin.end(`${JSON.stringify(call(2, 'echo', { message: 'last' }))}\n`);
  t.equal(await ended, 0);
  t.match(JSON.parse(lines()[2] ?? ''), { id: 2, result: {} }, 'what was asked before the end is answered');
  t.equal(err(), '');
  t.same(await survivorsAfter(stand.marker, 0), []);
});

t.test('the official client: its calls, and its end', async (t) => {
  const stand = await begin(t);
  const client = new Client({ name: 'sdk', version: '1.0.0' });
  await client.connect(
    new StdioClientTransport({ command: LAUNCHER, args: ['connect', 'my echo'], env: { ...stand.env } }),
  );
  t.match(await client.callTool({ name: 'echo', arguments: { message: 'hello' } }), { content: [{ text: 'hello' }] });
  await client.close();
  t.same(await survivorsAfter(stand.marker, 2_000), []);
});

t.test('plain pipes and files serve as well', async (t) => {
  // Up already: what is asked right before the end of input is answered within half a second, or not at all.
  const stand = await begin(t, 'shared');
  const warm = await connected(stand);
  t.teardown(() => warm.child.kill('SIGKILL'));
  const folder = temporaryDirectory(t);
  const [input, output] = [join(folder, 'in'), join(folder, 'out')];
  writeFileSync(input, `${FIRST}${JSON.stringify(call(1, 'echo', { message: 'of a file' }))}\n`);
  const files = [openSync(input, 'r'), openSync(output, 'w')] as const;
  const byFile = spawn(LAUNCHER, ['connect', 'my echo'], { env: stand.env, stdio: [...files, 'inherit'] });
  files.forEach((file) => closeSync(file));
  t.equal(await new Promise((resolve) => byFile.once('close', resolve)), 0);
  t.match(readFileSync(output, 'utf8'), /"id":1,"result":.*of a file/);
  const piped = await runCommand('sh', ['-c', `cat "${input}" | "${LAUNCHER}" connect 'my echo' | cat`], {
    env: stand.env,
  });
  t.match(piped.stdout, /"id":1,"result":.*of a file/);
  const closed = await runCommand('sh', ['-c', `exec "${LAUNCHER}" connect 'my echo' <&- >&-`], { env: stand.env });
  t.strictSame([closed.code, closed.stderr], [0, ''], 'neither is open');
  warm.child.stdin.end();
  await warm.ended;
  t.same(await survivorsAfter(stand.marker, 2_000), []);
});

t.test('refused: 127 and 125, with a message', async (t) => {
  const stand = await begin(t);
  const tool = spawn(LAUNCHER, ['run', '--name', 'direct', '--', 'sleep', '30'], { env: stand.env, stdio: 'ignore' });
  t.teardown(() => void tool.kill('SIGKILL'));
  await waitFor('the tool', async () => (await stand.daemon.call('GET', '/v1/tools/direct')).status === 200);
  for (const [words, code, message] of [
    [['nobody'], 127, /^governor: no tool is named nobody\n$/],
    [['direct'], 125, /^governor: direct is started by its client, with governor run\n$/],
    [['my echo', '--context', `a${'b'.repeat(300)}`], 125, /^governor: a context has at most 256 characters\n$/],
    // What the launcher leaves to Node.
    [['nobody', '--json'], 127, /"code":"unknown_tool"/],
    [['my echo', 'other'], 2, /too many arguments/],
    [[], 2, /missing required argument/],
  ] as const) {
    const { code: ended, stdout, stderr } = await runCommand(LAUNCHER, ['connect', ...words], { env: stand.env });
    t.equal(ended, code, words.join(' ').slice(0, 40));
    t.match(stderr, message);
    t.equal(stdout, '');
  }
  t.match(await runCommand(LAUNCHER, ['connect', '--help'], { env: stand.env }), { code: 0, stdout: /connect/ });
});

t.test('a tool whose command is called connect is a tool', async (t) => {
  const stand = await begin(t);
  const folder = temporaryDirectory(t);
  writeFileSync(join(folder, 'connect'), '#!/bin/sh\necho "the tool $1"\n', { mode: 0o755 });
  const env = { ...stand.env, PATH: `${folder}:${stand.env['PATH'] ?? ''}` };
  t.match(await runCommand(LAUNCHER, ['run', '--', 'connect', 'my echo'], { env }), {
    code: 0,
    stdout: 'the tool my echo\n',
  });
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGKILL'] as const) {
  t.test(`${signal} to the launcher: its call is cancelled, nothing of it is left`, async (t) => {
    const stand = await begin(t);
    const { child, ended } = await connected(stand);
    child.stdin.write(`${JSON.stringify(call(1, 'sleep', { ms: 60_000 }))}\n`);
    await waitFor('the run', async () => (await open(stand)) === 1);
    child.kill(signal);
    if (signal !== 'SIGKILL') t.equal(await ended, 0);
    t.same(await survivorsAfter(stand.marker, 2_000), []);
    await waitFor('its context to end', async () => (await open(stand)) === 0);
  });
}

t.test('the client is killed: its context ends', async (t) => {
  const stand = await begin(t);
  const client = spawn(
    process.execPath,
    ['-e', CLIENT, LAUNCHER, `${FIRST}${JSON.stringify(call(1, 'sleep', { ms: 60_000 }))}\n`],
    {
      env: stand.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let out = '';
  client.stdout.on('data', (part: Buffer) => (out += String(part)));
  await waitFor('the handshake', () => out.includes('serverInfo'));
  await waitFor('the run', async () => (await open(stand)) === 1);
  client.kill('SIGKILL');
  t.same(await survivorsAfter(stand.marker, 2_000), []);
  await waitFor('its context to end', async () => (await open(stand)) === 0);
});

const CLIENT = `const child = require('node:child_process').spawn(process.argv[1], ['connect', 'my echo'], { stdio: ['pipe', 'pipe', 'inherit'] });
child.stdin.write(process.argv[2]); child.stdout.pipe(process.stdout);`;

t.test('the reader of stdout is gone: it ends', async (t) => {
  const stand = await begin(t);
  const { child, ended } = await connected(stand);
  child.stdout.destroy();
  child.stdin.write(`${JSON.stringify(call(1, 'echo', { message: 'x'.repeat(300_000) }))}\n`);
  t.equal(await ended, 0);
  t.same(await survivorsAfter(stand.marker, 2_000), []);
  await waitFor('its context to end', async () => (await open(stand)) === 0);
});

t.test('a client that never reads is cut off, and its neighbour unharmed', async (t) => {
  const stand = await begin(t);
  const deaf = spawn(LAUNCHER, ['connect', 'my echo'], { env: stand.env, stdio: ['pipe', 'pipe', 'inherit'] });
  deaf.stdin.on('error', () => undefined);
  deaf.stdin.write(`${FIRST}${JSON.stringify(call(99, 'echo', { message: 'small' }))}\n`);
  await waitFor('the run', async () => (await open(stand)) === 1);
  for (let id = 1; id <= 40; id += 1)
    deaf.stdin.write(`${JSON.stringify(call(id, 'echo', { message: 'x'.repeat(1_000_000) }))}\n`);
  await waitFor('its context to end', async () => (await open(stand)) === 0);
  const neighbour = await connected(stand);
  neighbour.child.stdin.end(`${JSON.stringify(call(1, 'echo', { message: 'here' }))}\n`);
  t.equal(await neighbour.ended, 0);
  t.match(neighbour.lines()[1], /here/);
  deaf.kill('SIGTERM');
  t.same(await survivorsAfter(stand.marker, 2_000), []);
});

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(`the daemon goes away by ${signal}: said on stderr, 125`, async (t) => {
    const stand = await begin(t);
    const { child, ended, err, out } = await connected(stand);
    child.stdin.write(`${JSON.stringify(call(1, 'sleep', { ms: 60_000 }))}\n`);
    await waitFor('the run', async () => (await open(stand)) === 1);
    stand.daemon.process.kill(signal);
    t.equal(await ended, 125);
    t.equal(err(), 'governor: the daemon ended the connection to "my echo"\n');
    if (signal === 'SIGTERM') t.match(out(), /"id":1,"error":/, 'the open request is answered');
    t.same(await survivorsAfter(stand.marker, 0), []);
    // Tools of a daemon that was killed are ended by the next one.
    if (signal === 'SIGKILL') await startDaemon(t, { stateDir: stand.daemon.stateDir });
  });
}
