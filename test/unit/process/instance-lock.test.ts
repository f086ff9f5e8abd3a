import t from 'tap';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { acquireInstanceLock, holderOf, instanceOf, stateOfInstance } from '../../../lib/process/instance-lock.ts';
import { procfsFacts } from '../../../lib/os/procfs/process-facts.ts';
import type { TestScope } from '../../helpers/fixture.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { lacks } from '../../helpers/skip.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';
import { waitFor } from '../../helpers/wait-for.ts';

const self = procfsFacts.identity(process.pid) ?? { pid: process.pid, startTicks: 0 };

t.test('one at a time, the second is told of the first, and then it is free again', async (t) => {
  const directory = join(temporaryDirectory(t), 'state');
  const first = await acquireInstanceLock(directory, self, procfsFacts);
  t.equal(readFileSync(join(directory, 'daemon.pid'), 'utf8'), `${self.pid} ${self.startTicks}\n`);
  t.equal(statSync(directory).mode & 0o777, 0o700);
  const refused = {
    ...isGovernorError('daemon_running'),
    message: `another daemon (pid ${self.pid}) uses ${directory}`,
  };
  await t.rejects(acquireInstanceLock(directory, { pid: 1, startTicks: 1 }, procfsFacts), refused);
  await t.rejects(
    acquireInstanceLock(directory, { pid: 1, startTicks: 1 }, procfsFacts),
    refused,
    'being refused leaves the lock as it is',
  );
  first.release();
  t.notOk(existsSync(join(directory, 'daemon.pid')));
  const next = await waitFor('the lock to be free', () => acquireInstanceLock(directory, self, procfsFacts));
  next.release();
});

t.test('another way to the same directory is the same directory; another directory is not', async (t) => {
  const root = temporaryDirectory(t);
  const lock = await acquireInstanceLock(join(root, 'state'), self, procfsFacts);
  t.teardown(() => lock.release());
  symlinkSync('state', join(root, 'link'));
  await t.rejects(acquireInstanceLock(join(root, 'link'), self, procfsFacts), isGovernorError('daemon_running'));
  (await acquireInstanceLock(join(root, 'other'), self, procfsFacts)).release();
});

t.test('a file that a dead daemon has left is no lock, whatever it says', { skip: lacks('linux') }, async (t) => {
  for (const text of ['', 'nonsense', '1 1\n', `${process.pid} ${self.startTicks}\n`]) {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'daemon.pid'), text);
    (await acquireInstanceLock(directory, self, procfsFacts)).release();
  }
});

t.test('a holder whose file is gone or damaged is refused all the same', { skip: lacks('linux') }, async (t) => {
  const directory = temporaryDirectory(t);
  const lock = await acquireInstanceLock(directory, self, procfsFacts);
  t.teardown(() => lock.release());
  writeFileSync(join(directory, 'daemon.pid'), 'nonsense');
  await t.rejects(acquireInstanceLock(directory, self, procfsFacts), {
    ...isGovernorError('daemon_running'),
    message: `another daemon uses ${directory}`,
  });
});

t.test('a holder that is killed holds nothing any more', { skip: lacks('linux') }, async (t) => {
  const directory = temporaryDirectory(t);
  const holder = await startHolder(t, directory);
  await t.rejects(acquireInstanceLock(directory, self, procfsFacts), {
    ...isGovernorError('daemon_running'),
    message: new RegExp(`\\(pid ${holder.pid}\\)`),
  });
  holder.kill('SIGKILL');
  const next = await waitFor('the lock to be free', () => acquireInstanceLock(directory, self, procfsFacts));
  next.release();
});

t.test(
  'whoever finds the name of an instance can tell whether its daemon lives',
  { skip: lacks('linux') },
  async (t) => {
    const root = temporaryDirectory(t);
    const directory = join(root, 'state');
    const lock = await acquireInstanceLock(directory, self, procfsFacts);
    symlinkSync('state', join(root, 'link'));
    t.equal(lock.instance, instanceOf(directory));
    t.equal(lock.instance, instanceOf(join(root, 'link')), 'one name, whatever way leads there');
    t.not(lock.instance, instanceOf(root));
    t.not(lock.instance, instanceOf(directory, self.pid), 'nor for another user');
    t.match(lock.instance, /^[0-9a-f]{16}-\d+$/);
    const [, namespace] = /^net:\[(\d+)\]$/.exec(readlinkSync('/proc/self/ns/net')) ?? [];
    t.ok(lock.instance.endsWith(`-${namespace}`));
    t.same(holderOf(directory), self);
    t.equal(await stateOfInstance(lock.instance), 'alive');
    lock.release();
    t.equal(await waitFor('it to be free', async () => (await stateOfInstance(lock.instance)) === 'dead'), true);
    t.equal(holderOf(directory), null);
  },
);

t.test('what gives no proof of death is unknown', { skip: lacks('linux') }, async (t) => {
  const [digest, namespace] = instanceOf(temporaryDirectory(t)).split('-');
  t.equal(await stateOfInstance(`${digest}-${namespace}`), 'dead');
  for (const name of [
    `${digest}-${Number(namespace) - 1}`,
    `${digest}-0`,
    `${digest}`,
    `test-cgroup1-${namespace}`,
    '',
  ]) {
    t.equal(await stateOfInstance(name), 'unknown', name);
  }
});

t.test('a holder that is stopped lives', { skip: lacks('linux') }, async (t) => {
  const directory = temporaryDirectory(t);
  const holder = await startHolder(t, directory);
  t.ok(holder.kill('SIGSTOP'));
  for (let count = 0; count < 600; count += 1) t.equal(await stateOfInstance(instanceOf(directory)), 'alive');
  holder.kill('SIGKILL');
  await waitFor('it to be dead', async () => (await stateOfInstance(instanceOf(directory))) === 'dead');
});

t.test('a directory that cannot be used is said', async (t) => {
  const root = temporaryDirectory(t);
  writeFileSync(join(root, 'file'), '');
  await t.rejects(acquireInstanceLock(join(root, 'file', 'state'), self, procfsFacts), {
    ...isGovernorError('state_dir'),
    message: /^cannot use the state directory .*ENOTDIR/,
  });
  await t.test(
    'as an ordinary user',
    { skip: process.getuid?.() === 0 ? 'root may write everywhere' : false },
    async (t) => {
      mkdirSync(join(root, 'closed'));
      chmodSync(join(root, 'closed'), 0o500);
      await t.rejects(
        acquireInstanceLock(join(root, 'closed', 'state'), self, procfsFacts),
        isGovernorError('state_dir'),
      );
    },
  );
});

/** Another process that holds the lock of the directory. */
async function startHolder(t: TestScope, directory: string): Promise<ChildProcess> {
  const lock = new URL('../../../lib/process/instance-lock.js', import.meta.url).href;
  const script = `
    const { acquireInstanceLock } = await import(${JSON.stringify(lock)});
    await acquireInstanceLock(${JSON.stringify(directory)}, { pid: process.pid, startTicks: 1 }, null);
    setInterval(() => undefined, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  t.teardown(() => void holder.kill('SIGKILL'));
  await waitFor('the other to hold it', () => holderOf(directory) !== null);
  return holder;
}
