import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createListeners } from '../../../../daemon/api/listeners.ts';
import type { Listeners } from '../../../../daemon/api/listeners.ts';
import { GovernorError } from '../../../../lib/core/errors.ts';
import { serve } from './serve.ts';

t.test('unix socket: mode 0600 from its first moment, and the umask is as it was', async (t) => {
  const { folder, listeners } = await fixture(t);
  const before = process.umask();
  await listeners.listenUnix(join(folder, 'governor.sock'));
  t.equal(((await stat(join(folder, 'governor.sock'))).mode & 0o777).toString(8), '600');
  t.equal(process.umask(), before);
  t.equal(await get(join(folder, 'governor.sock')), 'unix');
});

t.test('a dead socket is replaced', async (t) => {
  const { folder, listeners } = await fixture(t);
  const path = join(folder, 'governor.sock');
  // Killed, so that it cannot remove its socket.
  const holder = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)},()=>console.log('up'))`,
  ]);
  await once(holder.stdout, 'data');
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  t.ok((await stat(path)).isSocket(), 'it was left behind');
  await listeners.listenUnix(path);
  t.equal(await get(path), 'unix');
});

t.test('a socket that answers, a file in the way and a path that is too long are refused', async (t) => {
  const { folder, listeners } = await fixture(t);
  const path = join(folder, 'governor.sock');
  const other: Server = createServer((_request, response) => response.end('other'));
  await new Promise<void>((resolve) => other.listen(path, resolve));
  t.teardown(() => new Promise<void>((resolve) => other.close(() => resolve())));
  t.match(await refusal(listeners.listenUnix(path)), {
    code: 'daemon_running',
    message: `Another daemon listens on ${path}`,
  });
  t.equal(await get(path), 'other', 'which is still there');

  await writeFile(join(folder, 'file'), 'precious');
  t.match(await refusal(listeners.listenUnix(join(folder, 'file'))), { code: 'state_dir', message: /not a socket/ });
  await symlink(join(folder, 'file'), join(folder, 'link'));
  t.match(await refusal(listeners.listenUnix(join(folder, 'link'))), { code: 'state_dir', message: /not a socket/ });
  t.match(await refusal(listeners.listenUnix(join(folder, 'n'.repeat(120)))), {
    code: 'state_dir',
    message: /107 bytes/,
  });
  t.match(await refusal(listeners.listenUnix(join(folder, 'none', 'governor.sock'))), {
    code: 'state_dir',
    message: /is its directory there and writable\?$/,
  });
});

t.test('a port that is taken, or an address that is not ours, is refused by name', async (t) => {
  const { listeners } = await fixture(t);
  const { port } = await listeners.listenTcp({ host: '127.0.0.1', port: 0 });
  t.match(await refusal(listeners.listenTcp({ host: '127.0.0.1', port })), {
    code: 'port_taken',
    message: `Cannot listen on 127.0.0.1:${port}: another program listens there; choose another with --listen HOST:PORT`,
  });
  t.match(await refusal(listeners.listenTcp({ host: '192.0.2.1', port: 0 })), {
    code: 'invalid_config',
    message: /no network interface/,
  });
});

t.test('each connection is known by the listener that accepted it', async (t) => {
  const { folder, listeners } = await fixture(t);
  const { port } = await listeners.listenTcp({ host: '127.0.0.1', port: 0 });
  await listeners.listenUnix(join(folder, 'governor.sock'));
  t.equal(await get(join(folder, 'governor.sock')), 'unix');
  t.equal(await get({ host: '127.0.0.1', port }), `tcp 127.0.0.1 ${port}`);
});

t.test('close: idle connections end at once, a request in flight may finish, a stuck one is broken off', async (t) => {
  const served = await serve(t);
  const idle = connect(served.port, '127.0.0.1');
  await once(idle, 'connect');
  const stuck = connect(served.port, '127.0.0.1');
  await once(stuck, 'connect');
  stuck.on('error', () => undefined);
  stuck.write(
    `POST /v1/tools HTTP/1.1\r\nHost: 127.0.0.1:${served.port}\r\nAuthorization: Bearer full-token-0123456789\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
  );
  const ended = Promise.all([once(idle.resume(), 'close'), once(stuck.resume(), 'close')]);
  await served.front.close();
  await ended;
  await t.rejects(get(served.socketPath), 'nobody listens');
  await t.rejects(stat(served.socketPath), { code: 'ENOENT' }, 'the socket file is gone');
  await served.front.close();
});

interface Fixture {
  readonly folder: string;
  readonly listeners: Listeners;
}

async function fixture(t: { teardown(handler: () => Promise<void>): void }): Promise<Fixture> {
  const folder = await mkdtemp(join(tmpdir(), 'governor-test-'));
  const listeners: Listeners = createListeners((incoming, response) => {
    const listener = listeners.of(incoming.socket);
    response.end(listener?.kind === 'tcp' ? `tcp ${listener.address} ${listener.port}` : (listener?.kind ?? 'none'));
  });
  t.teardown(async () => {
    await listeners.close(100);
    await rm(folder, { recursive: true });
  });
  return { folder, listeners };
}

function get(target: string | { readonly host: string; readonly port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    const place = typeof target === 'string' ? { socketPath: target } : target;
    const outgoing = request({ ...place, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve(text));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

async function refusal(attempt: Promise<unknown>): Promise<GovernorError> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof GovernorError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}
