import t, { type Test } from 'tap';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { openPressureChannel, type PressureChannel } from '../../../lib/process/pressure-channel.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';
import { waitFor } from '../../helpers/wait-for.ts';

interface Listener {
  readonly socket: Socket;
  heard(): string;
}

async function listen(path: string): Promise<Listener> {
  const socket = connect(path);
  let heard = '';
  socket.setEncoding('utf8').on('data', (text: string) => (heard += text));
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return { socket, heard: () => heard };
}

/** Connecting is over before the other side has taken note of it. */
const listeners = (channel: PressureChannel, count: number): Promise<boolean> =>
  waitFor(`${count} listeners`, () => channel.notify('?') === count);

t.test('whoever listens hears one line a notice', async (t) => {
  const path = join(temporaryDirectory(t), 'run.sock');
  const channel = await openPressureChannel(path);
  t.teardown(() => channel.close());
  t.same(channel.variables, { MEMORY_PRESSURE_WATCH: path, GOVERNOR_SOCKET: path });
  t.ok(statSync(path).isSocket(), 'a socket, as systemd has it');
  t.equal(channel.notify('nobody'), 0);
  const [one, two] = [await listen(path), await listen(path)];
  await listeners(channel, 2);
  t.equal(channel.notify('{"stage":"warning"}'), 2);
  await waitFor('both to hear it', () => [one, two].every(({ heard }) => heard().endsWith('{"stage":"warning"}\n')));
  t.notMatch(one.heard(), /nobody/);
  one.socket.destroy();
  await listeners(channel, 1);
  two.socket.end('what it says is dropped');
  await listeners(channel, 0);
});

t.test('no more than 32 listeners', async (t) => {
  const path = join(temporaryDirectory(t), 'run.sock');
  const channel = await openPressureChannel(path);
  t.teardown(() => channel.close());
  const all: Listener[] = [];
  for (let count = 0; count < 32; count++) all.push(await listen(path));
  await listeners(channel, 32);
  const oneMore = await listen(path);
  if (!oneMore.socket.destroyed) await once(oneMore.socket, 'close');
  t.equal(channel.notify('x'), 32);
  t.equal(oneMore.heard(), '');
});

t.test('a listener that does not read is dropped, and takes no memory', async (t) => {
  const path = join(temporaryDirectory(t), 'run.sock');
  const channel = await openPressureChannel(path);
  t.teardown(() => channel.close());
  const [deaf, good] = [await listen(path), await listen(path)];
  deaf.socket.pause();
  await listeners(channel, 2);
  const notice = 'x'.repeat(16 * 1024);
  await waitFor('the deaf one to be dropped', () => channel.notify(notice) === 1, { everyMs: 1 });
  const before = good.heard().length;
  channel.notify('still here');
  await waitFor('the other to hear', () => good.heard().length > before && good.heard().endsWith('still here\n'));
  deaf.socket.destroy();
});

t.test('closing ends all and removes the socket', async (t) => {
  const path = join(temporaryDirectory(t), 'run.sock');
  const channel = await openPressureChannel(path);
  const { socket } = await listen(path);
  await listeners(channel, 1);
  channel.close();
  if (!socket.destroyed) await once(socket, 'close');
  t.notOk(existsSync(path));
  t.equal(channel.notify('late'), 0);
  channel.close();
});

t.test('a socket that a dead daemon has left is replaced', async (t) => {
  const path = join(temporaryDirectory(t), 'run.sock');
  writeFileSync(path, '');
  const channel = await openPressureChannel(path);
  t.teardown(() => channel.close());
  await listen(path);
  await listeners(channel, 1);
});

t.test('a place where no socket can be is an error', async (t) => {
  await t.rejects(openPressureChannel(join(temporaryDirectory(t), 'no', 'folder', 'run.sock')));
  const folder = temporaryDirectory(t);
  const longest = join(folder, 'x'.repeat(103 - folder.length - 1));
  (await openPressureChannel(longest)).close();
  await t.rejects(
    openPressureChannel(`${longest}12345`),
    isGovernorError('launch_failed'),
    'Node would listen at a part of it',
  );
});

const hello = '{"type":"hello","version":1}\n';
const holds = (handles: number): string => `{"type":"holds","handles":${handles}}\n`;
const patient = (deadlineMs = 60_000): { reason: string; deadlineMs: number; hurry: AbortSignal } => ({
  reason: 'limit',
  deadlineMs,
  hurry: new AbortController().signal,
});

async function opened(t: Test): Promise<{ readonly path: string; readonly channel: PressureChannel }> {
  const path = join(temporaryDirectory(t), 'run.sock');
  const channel = await openPressureChannel(path);
  t.teardown(() => channel.close());
  return { path, channel };
}

/** One that has said hello and holds this many handles. */
async function holder(
  t: Test,
  { path, channel }: Awaited<ReturnType<typeof opened>>,
  handles: number,
): Promise<Listener> {
  const before = channel.handles;
  const listener = await listen(path);
  t.teardown(() => listener.socket.destroy());
  listener.socket.write(`${hello}${holds(handles)}`);
  await waitFor('the handles to be known', () => channel.handles === before + handles && listener.heard() !== '');
  return listener;
}

t.test('who says hello is welcomed, and told of pressure as messages', async (t) => {
  const open = await opened(t);
  const watcher = await listen(open.path);
  const speaker = await holder(t, open, 0);
  const half = await listen(open.path);
  half.socket.write('{"type":"hel');
  await listeners(open.channel, 3);
  half.socket.write('lo","version":99}\n{"type":"unknown"}\nnonsense\n');
  await waitFor('a welcome', () => half.heard().includes('welcome'));
  open.channel.notify('{"stage":"warning"}');
  const line = '{"type":"pressure","notice":{"stage":"warning"}}\n';
  await waitFor(
    'all to hear',
    () =>
      watcher.heard().endsWith('\n{"stage":"warning"}\n') &&
      speaker.heard().endsWith(line) &&
      half.heard().endsWith(line),
  );
  t.match(half.heard(), /\n?\{"type":"welcome","version":1\}\n/, 'with the version that is spoken here');
  watcher.socket.destroy();
  half.socket.destroy();
});

t.test('who says something else first is a listener as before, whatever it says later', async (t) => {
  const { path, channel } = await opened(t);
  const watcher = await listen(path);
  watcher.socket.write(`systemd wants this written\n${hello}${holds(3)}`);
  await listeners(channel, 1);
  watcher.socket.write(`${'x'.repeat(200_000)}\n${hello}${holds(3)}`);
  channel.notify('{"stage":"warning"}');
  await waitFor('it to hear', () => watcher.heard().endsWith('{"stage":"warning"}\n'));
  t.notMatch(watcher.heard(), /welcome/);
  t.equal(channel.handles, 0);
  watcher.socket.destroy();
});

t.test('all are asked to close their handles, those who hold any are waited for', async (t) => {
  const open = await opened(t);
  t.same(await open.channel.closeHandles(patient()), { held: 0, closed: 0, failed: [] });
  const [one, two, none, watcher] = [
    await holder(t, open, 2),
    await holder(t, open, 3),
    await holder(t, open, 0),
    await listen(open.path),
  ];
  const closing = open.channel.closeHandles(patient(7_000));
  const asked = '{"type":"cleanup","id":2,"reason":"limit","deadlineMs":7000}\n';
  await waitFor('all to be asked', () => [one, two, none].every(({ heard }) => heard().endsWith(asked)));
  one.socket.write(
    '{"type":"cleaned","id":1,"held":2,"closed":2,"failed":[]}\n{"type":"cleaned","id":2,"held":2,"closed":2,"failed":[]}\n',
  );
  two.socket.write('{"type":"cleaned","id":2,"held":3,"closed":1,"failed":[{"name":"db","reason":"EIO"}]}\n');
  t.same(await closing, { held: 5, closed: 3, failed: [{ name: 'db', reason: 'EIO' }] });
  t.equal(watcher.heard(), '');
  watcher.socket.destroy();
});

t.test('who does not answer, ends or has no time left is not waited for', async (t) => {
  const open = await opened(t);
  const silent = await holder(t, open, 2);
  t.same(await open.channel.closeHandles(patient(20)), {
    held: 2,
    closed: 0,
    failed: [{ name: 'all', reason: 'no answer within 20 ms' }],
  });
  const hurry = new AbortController();
  const closing = open.channel.closeHandles({ ...patient(), hurry: hurry.signal });
  hurry.abort();
  t.match(await closing, { failed: [{ reason: 'there was no more time' }] });
  t.match(await open.channel.closeHandles({ ...patient(), hurry: hurry.signal }), {
    failed: [{ reason: 'there was no more time' }],
  });
  const ending = open.channel.closeHandles(patient());
  silent.socket.destroy();
  t.match(await ending, { held: 2, closed: 0, failed: [{ reason: 'the process ended without an answer' }] });
  await waitFor('it to be forgotten', () => open.channel.handles === 0);
  const confused = await holder(t, open, 1);
  const confusing = open.channel.closeHandles(patient());
  confused.socket.write('x'.repeat(70_000));
  t.match(
    await confusing,
    { closed: 0, failed: [{ reason: 'the process ended without an answer' }] },
    'a line without an end',
  );
});

t.test('an answer cannot say that more was closed than was held', async (t) => {
  const open = await opened(t);
  const one = await holder(t, open, 1);
  const closing = open.channel.closeHandles(patient());
  one.socket.write('{"type":"cleaned","id":1,"held":2,"closed":1000000,"failed":[]}\n');
  t.same(await closing, { held: 2, closed: 2, failed: [] });
});

t.test('one that floods the daemon is cut off', async (t) => {
  const { path, channel } = await opened(t);
  const flood = await listen(path);
  flood.socket.write(hello + holds(1).repeat(100_000));
  await waitFor('its connection to end', () => flood.socket.destroyed);
  await listeners(channel, 0);
});
