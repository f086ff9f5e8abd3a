import t, { type Test } from 'tap';
import { spawnSync } from 'node:child_process';
import { openSync, writeFileSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { GovernorClient, type PressureEvent } from '../../../lib/client/governor-client.ts';
import { openPressureChannel, type PressureChannel } from '../../../lib/process/pressure-channel.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';
import { patience, waitFor } from '../../helpers/wait-for.ts';

const notice = (stage: string, resource = 'memory'): string =>
  JSON.stringify({ resource, stage, usage: 96, limit: 128, ratio: 0.75 });
const patient = { reason: 'limit', deadlineMs: 60_000, hurry: new AbortController().signal };

interface Stand {
  readonly path: string;
  readonly channel: PressureChannel;
  readonly client: GovernorClient;
}

/** The daemon's own socket, without the daemon. */
async function stand(t: Test): Promise<Stand> {
  const path = join(temporaryDirectory(t), 'run.sock');
  const channel = await openPressureChannel(path);
  t.teardown(() => channel.close());
  return { path, channel, client: newClient(t, channel.variables) };
}

function newClient(t: Test, environment: Readonly<Record<string, string | undefined>>): GovernorClient {
  const client = new GovernorClient({ environment });
  t.teardown(() => client.close());
  return client;
}

const connected = (channel: PressureChannel, count = 1): Promise<boolean> =>
  waitFor(`${count} listeners`, () => channel.notify('{"type":"none"}') === count);

t.test('several listeners, each for its resource, each with its end', async (t) => {
  const { channel, client } = await stand(t);
  const heard: string[] = [];
  const listen = (name: string) => (event: PressureEvent) => void heard.push(`${name} ${event.stage}`);
  const first = client.onPressure('memory', listen('first'));
  client.onPressure('memory', () => {
    throw new Error('harms nobody');
  });
  client.onPressure('memory', listen('second'));
  client.onPressure('tasks', listen('tasks'));
  t.match(first, { supported: true, reason: null });
  await connected(channel);
  channel.notify(notice('warning'));
  await waitFor('both to hear', () => heard.length === 2);
  first.dispose();
  first[Symbol.dispose]();
  channel.notify(notice('throttled'));
  channel.notify(notice('warning', 'tasks'));
  channel.notify(notice('warning', 'a new resource'));
  channel.notify(notice('a new stage'));
  channel.notify(notice('cleanup'));
  await waitFor('the last', () => heard.at(-1) === 'second cleanup');
  t.same(heard, ['first warning', 'second warning', 'second throttled', 'tasks warning', 'second cleanup']);
  t.throws(() => client.onPressure('swap' as 'memory', () => undefined), isGovernorError('invalid_request'));
});

t.test('the numbers come along', async (t) => {
  const { channel, client } = await stand(t);
  const heard: PressureEvent[] = [];
  client.onPressure('memory', (event) => void heard.push(event));
  await connected(channel);
  channel.notify(notice('warning'));
  await waitFor('it', () => heard.length > 0);
  t.same(heard, [{ resource: 'memory', stage: 'warning', usage: 96, limit: 128, ratio: 0.75 }]);
});

t.test('what is told before the daemon has read the hello is heard too', async (t) => {
  const path = join(temporaryDirectory(t), 'early.sock');
  const server = createServer((socket) => void socket.write(`${notice('throttled')}\n`));
  t.teardown(() => server.close());
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const client = newClient(t, { GOVERNOR_SOCKET: path });
  const heard: string[] = [];
  client.onPressure('memory', ({ stage }) => void heard.push(stage));
  await waitFor('it', () => heard.length > 0);
  t.same(heard, ['throttled']);
});

t.test('a daemon that is started again is found again, and hears of the handles again', async (t) => {
  const { path, channel, client } = await stand(t);
  const heard: string[] = [];
  client.onPressure('memory', ({ stage }) => void heard.push(stage));
  client.registerHandle('db', () => undefined);
  await waitFor('the handle', () => channel.handles === 1);
  channel.close();
  const next = await openPressureChannel(path);
  t.teardown(() => next.close());
  await waitFor('the handle again', () => next.handles === 1);
  next.notify(notice('warning'));
  await waitFor('it', () => heard.length > 0);
});

t.test('a socket that comes later is found', async (t) => {
  const path = join(temporaryDirectory(t), 'later.sock');
  const client = newClient(t, { GOVERNOR_SOCKET: path });
  t.equal(client.onPressure('memory', () => undefined).supported, true);
  const channel = await openPressureChannel(path);
  t.teardown(() => channel.close());
  await connected(channel);
});

t.test('handles are counted as they come and go, and closed when asked', async (t) => {
  const { channel, client } = await stand(t);
  const log: string[] = [];
  const register = (name: string, critical = false) =>
    client.registerHandle(name, ({ reason }) => void log.push(`${name} ${reason}`), { critical });
  t.match(register('a'), { supported: true, reason: null });
  await waitFor('one', () => channel.handles === 1);
  register('b', true);
  const gone = register('c');
  register('d');
  await waitFor('four', () => channel.handles === 4);
  t.equal(gone.unregister(), true);
  await waitFor('three', () => channel.handles === 3);
  t.same(await channel.closeHandles(patient), { held: 3, closed: 3, failed: [] });
  t.same(log, ['b limit', 'd limit', 'a limit']);
  await waitFor('none', () => channel.handles === 0);
  client.registerHandle('after', () => Promise.reject(new Error('late')));
  await waitFor('one again', () => channel.handles === 1);
  t.same(await channel.closeHandles(patient), { held: 1, closed: 0, failed: [{ name: 'after', reason: 'late' }] });
  for (const [name, close] of [
    ['', () => undefined],
    ['x', 7 as never],
  ] as const)
    t.throws(() => client.registerHandle(name, close), isGovernorError('invalid_request'));
});

t.test('one that hangs is answered for before the deadline of the daemon', async (t) => {
  const { channel, client } = await stand(t);
  client.registerHandle('fine', () => undefined);
  client.registerHandle('hangs', () => new Promise(() => undefined));
  await waitFor('two', () => channel.handles === 2);
  t.same(await channel.closeHandles({ ...patient, deadlineMs: patience(5_000) }), {
    held: 2,
    closed: 1,
    failed: [{ name: 'hangs', reason: 'it was not closed in time' }],
  });
});

t.test('very many handles are told in few words', async (t) => {
  const { channel, client } = await stand(t);
  client.onPressure('memory', () => undefined);
  await connected(channel);
  for (let index = 0; index < 5_000; index++) {
    client.registerHandle(`h${index}`, () => undefined).unregister();
    client.registerHandle(`kept ${index}`, () => undefined);
  }
  await waitFor('all', () => channel.handles === 5_000, { timeoutMs: 20_000 });
  t.equal(channel.notify('{}'), 1, 'still connected: it was not taken for a flood');
});

t.test('outside Governor nothing happens, and it says so', async (t) => {
  const file = join(temporaryDirectory(t), 'memory.pressure');
  writeFileSync(file, '');
  for (const [environment, reason] of [
    [{}, 'this process was not started by Governor: GOVERNOR_SOCKET is not set'],
    [{ MEMORY_PRESSURE_WATCH: '/dev/null' }, 'pressure is switched off: MEMORY_PRESSURE_WATCH is /dev/null'],
    [{ MEMORY_PRESSURE_WATCH: '/nowhere' }, 'MEMORY_PRESSURE_WATCH names /nowhere, which is not there'],
    [
      { MEMORY_PRESSURE_WATCH: file },
      `MEMORY_PRESSURE_WATCH names ${file}: only sockets and FIFOs can be waited for in Node`,
    ],
  ] as const) {
    const client = newClient(t, environment);
    const subscription = client.onPressure('memory', () => t.fail('nobody could tell'));
    t.match(subscription, { supported: false, reason });
    subscription.dispose();
    const log: string[] = [];
    const registration = client.registerHandle('db', () => void log.push('closed'));
    t.match(registration, { supported: false, reason });
    t.same(await client.closeHandles(), { held: 1, closed: 1, failed: [] }, 'but the tool can close them itself');
    t.same(log, ['closed']);
    t.equal(registration.unregister(), false);
    await t.rejects(client.closeHandles({ deadlineMs: -1 }), isGovernorError('invalid_request'));
  }
});

t.test("another service manager's socket: what is to be written is written, and any byte is pressure", async (t) => {
  const path = join(temporaryDirectory(t), 'systemd.sock');
  const sockets: Socket[] = [];
  let written = '';
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (text: string) => (written += text));
  });
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const client = newClient(t, {
    MEMORY_PRESSURE_WATCH: path,
    MEMORY_PRESSURE_WRITE: Buffer.from('some 200000 2000000\0').toString('base64'),
  });
  const heard: PressureEvent[] = [];
  t.equal(client.onPressure('memory', (event) => void heard.push(event)).supported, true);
  t.match(
    client.onPressure('cpu', () => undefined),
    { supported: false, reason: 'only pressure on memory is told here: GOVERNOR_SOCKET is not set' },
  );
  t.match(
    client.registerHandle('x', () => undefined),
    { supported: false, reason: 'handles are not asked for here: GOVERNOR_SOCKET is not set' },
  );
  await waitFor('what is to be written', () => written === 'some 200000 2000000\0');
  sockets[0]?.write('x');
  await waitFor('pressure', () => heard.length === 1);
  t.same(heard[0], { resource: 'memory', stage: 'warning', usage: null, limit: null, ratio: null });
  // An older Governor: whole notices, also in two pieces.
  sockets[0]?.write(notice('throttled').slice(0, 10));
  await new Promise((resolve) => setTimeout(resolve, 20));
  sockets[0]?.write(`${notice('throttled').slice(10)}\n`);
  await waitFor('the notice', () => heard.length === 2);
  t.match(heard[1], { stage: 'throttled', usage: 96 });
  sockets[0]?.destroy();
  await waitFor('it to come back', () => sockets.length === 2);
});

t.test('a FIFO', { skip: process.platform === 'win32' }, async (t) => {
  const path = join(temporaryDirectory(t), 'fifo');
  t.equal(spawnSync('mkfifo', [path]).status, 0);
  const client = newClient(t, { MEMORY_PRESSURE_WATCH: path, MEMORY_PRESSURE_WRITE: 'eA==' });
  let heard = 0;
  t.equal(client.onPressure('memory', () => void heard++).supported, true);
  writeSync(openSync(path, 'w'), 'x');
  await waitFor('pressure', () => heard === 1);
});

t.test('keeps no process alive, connected or not', async (t) => {
  const { channel, path } = await stand(t);
  const index = new URL('../../../lib/client/index.js', import.meta.url).href;
  for (const socket of [path, '/nowhere.sock']) {
    const script = `
      import { onPressure, registerHandle } from ${JSON.stringify(index)};
      console.log(onPressure('memory', () => undefined).supported, registerHandle('db', () => undefined).supported);
      setTimeout(() => undefined, 300);
    `;
    const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
      encoding: 'utf8',
      timeout: 60_000,
      env: { ...process.env, GOVERNOR_SOCKET: socket },
    });
    t.match(child, { status: 0, signal: null, stdout: 'true true\n', stderr: '' }, socket);
  }
  t.equal(channel.notify('{}'), 0);
});
