import t from 'tap';
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
  t.same(channel.variables, { MEMORY_PRESSURE_WATCH: path, GOVERNOR_PRESSURE: path });
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
