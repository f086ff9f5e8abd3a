/** Real mounts, as root; everybody else is shown the refusal. */

import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { ResolvedLimit } from '../../../lib/core/limits.ts';
import { createRunDirectory, removeRunDirectory, removeTree } from '../../../lib/os/tempdir.ts';
import { isMountedTmpfs, seesDirectory, TmpfsUsage } from '../../../lib/os/tmpfs.ts';
import { holdTempStorage, tmpfsShrinks, tmpfsSize } from '../../../lib/os/tmpfs-mount.ts';
import { limitsOf } from '../../helpers/cgroup-backends.ts';
import type { TestScope } from '../../helpers/fixture.ts';
import { lacks } from '../../helpers/skip.ts';
import { waitFor } from '../../helpers/wait-for.ts';

const MIB = 2 ** 20;
const skip = lacks('mount');

function limitOf(bytes: number, inodes = 100): ResolvedLimit {
  return { ...(limitsOf({ temp_storage: bytes }).temp_storage as ResolvedLimit), inodes, backing: 'tmpfs' };
}

function scratch(t: TestScope): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'governor-test-')));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function mounted(t: TestScope, limit: ResolvedLimit): Promise<string> {
  const directory = await createRunDirectory(scratch(t), 'abcdefghij', limit);
  t.teardown(async () => void (await removeRunDirectory(directory)));
  return directory;
}

function mountLine(directory: string): string | undefined {
  return execFileSync('cat', ['/proc/self/mountinfo'], { encoding: 'utf8' })
    .split('\n')
    .find((line) => line.includes(` ${directory} `));
}

t.test('sizes lie at the emergency stage', async (t) => {
  t.same(tmpfsSize(limitOf(10 * MIB, 3)), { bytes: 15 * MIB, inodes: 6 }, 'one more for the directory itself');
  const { inodes: _none, ...bytesOnly } = limitOf(1001);
  t.same(tmpfsSize(bytesOnly), { bytes: 1502, inodes: null });
});

t.test('a limit on disk mounts nothing', async (t) => {
  const { backing: _disk, ...onDisk } = limitOf(MIB);
  const directory = await createRunDirectory(scratch(t), 'abcdefghij', onDisk);
  t.notOk(isMountedTmpfs(directory));
  t.equal(TmpfsUsage.tryOpen(directory), null);
  t.same(await holdTempStorage(directory, onDisk), { resource: 'temp_storage', enforcement: 'polled' });
  t.same(await holdTempStorage(directory, limitOf(MIB)), {
    resource: 'temp_storage',
    enforcement: 'polled',
    note: 'its tmpfs is not mounted any more',
  });
  t.match(await removeRunDirectory(directory), { files: 1, left: [], note: null });
});

t.test('a tmpfs is private, of its size, and gone with all that is in it', { skip }, async (t) => {
  const limit = limitOf(2 * MIB, 10);
  const directory = await mounted(t, limit);
  t.match(mountLine(directory), /rw,nosuid,nodev.* - tmpfs governor-abcdefghij rw,size=3072k,nr_inodes=16,mode=700/);
  t.equal(statSync(directory).mode & 0o7777, 0o700);
  t.equal(statSync(directory).uid, process.getuid?.());
  t.match(await holdTempStorage(directory, limit), { enforcement: 'kernel', note: /tmpfs of 3 MiB/ });

  writeFileSync(join(directory, 'a'), Buffer.alloc(MIB));
  t.throws(() => writeFileSync(join(directory, 'b'), Buffer.alloc(3 * MIB)), { code: 'ENOSPC' });
  unlinkSync(join(directory, 'b'));
  const files = Array.from({ length: 14 }, (_, index) => join(directory, `f${index}`));
  for (const file of files) writeFileSync(file, '');
  t.throws(() => writeFileSync(join(directory, 'one more'), ''), { code: 'ENOSPC' }, 'no inode is left');
  const removed = await removeRunDirectory(directory);
  t.match(removed, { files: 16, bytes: MIB, left: [], note: null }, '15 files and the directory');
  t.notOk(existsSync(directory));
  t.equal(mountLine(directory), undefined);
});

t.test('usage is the kernel’s count', { skip }, async (t) => {
  const directory = await mounted(t, limitOf(4 * MIB));
  const usage = TmpfsUsage.tryOpen(directory);
  const read = (atMs: number) => ({ ...usage?.sample(atMs) });
  t.same(read(1), { kind: 'measured', value: 0, inodes: 0, quality: 'exact', atMs: 1 });
  writeFileSync(join(directory, 'kept'), Buffer.alloc(MIB));
  linkSync(join(directory, 'kept'), join(directory, 'again'));
  mkdirSync(join(directory, 'deep'));
  t.match(read(2), { value: MIB, inodes: 3, atMs: 2 }, 'fresh each time');
  const hidden = openSync(join(directory, 'hidden'), 'w');
  writeSync(hidden, Buffer.alloc(MIB));
  unlinkSync(join(directory, 'hidden'));
  t.match(read(3), { value: 2 * MIB, inodes: 4 }, 'unlinked, but still open');
  closeSync(hidden);
  t.match(read(4), { value: MIB });
  t.ok(usage?.stands(5));
  writeFileSync(join(directory, 'more'), '');
  t.notOk(usage?.stands(6), 'an inode more');
  t.ok(usage?.stands(7));
  execFileSync('umount', [directory]);
  t.notOk(usage?.stands(8));
  t.match(read(9), { kind: 'unsupported', reason: /not mounted any more/ }, 'never the numbers of the disk below');
  rmSync(directory, { recursive: true });
  t.match(read(10), { kind: 'gone' });
});

t.test('the size follows the limit, never below what is used', { skip }, async (t) => {
  const directory = await mounted(t, limitOf(4 * MIB, 100));
  writeFileSync(join(directory, 'a'), Buffer.alloc(4 * MIB));
  t.notOk(tmpfsShrinks(directory, limitOf(8 * MIB)));
  t.match(await holdTempStorage(directory, limitOf(8 * MIB, 200)), { enforcement: 'kernel' });
  t.match(mountLine(directory), /rw,nosuid,nodev.* - tmpfs .*size=12288k,nr_inodes=301,mode=700/);
  t.ok(tmpfsShrinks(directory, limitOf(2 * MIB)));
  t.match(await holdTempStorage(directory, limitOf(2 * MIB)), {
    enforcement: 'polled',
    note: /keeps its former size: /,
  });
  t.match(mountLine(directory), /size=12288k,nr_inodes=301/);
  rmSync(join(directory, 'a'));
  t.match(await holdTempStorage(directory, limitOf(2 * MIB)), { enforcement: 'kernel' });
  t.match(mountLine(directory), /size=3072k,nr_inodes=151/);
});

t.test('one that is in use is detached, and that is said', { skip }, async (t) => {
  const directory = await mounted(t, limitOf(4 * MIB));
  const held = openSync(join(directory, 'held'), 'w');
  t.teardown(() => closeSync(held));
  const removed = await removeRunDirectory(directory);
  t.match(removed, { left: [], note: /still in use/ });
  t.notOk(existsSync(directory));
  t.equal(mountLine(directory), undefined);
});

t.test('what else is mounted there is not touched', { skip }, async (t) => {
  const base = scratch(t);
  const precious = join(base, 'precious');
  mkdirSync(precious);
  writeFileSync(join(precious, 'file'), '');
  const { backing: _disk, ...onDisk } = limitOf(MIB);
  const directory = await createRunDirectory(join(base, 'root'), 'abcdefghij', onDisk);
  execFileSync('mount', ['--bind', precious, directory]);
  t.teardown(() => void execFileSync('umount', [directory]));
  for (const remove of [removeTree, removeRunDirectory]) {
    t.match(await remove(directory), { files: 0, left: [{ path: directory, reason: /another file system/ }] });
  }
  t.same(readdirSync(precious), ['file'], 'a bind mount has the device of the disk, and is told apart all the same');
});

t.test('a tool that puts a link or a mount in the place of its directory', { skip }, async (t) => {
  const directory = await mounted(t, limitOf(MIB));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'on-top', directory]);
  writeFileSync(join(directory, 'a'), '');
  t.match(await removeRunDirectory(directory), { left: [], files: 2 });
  t.equal(mountLine(directory), undefined, 'both are gone');
  symlinkSync('/dev/shm', directory);
  t.match(await removeRunDirectory(directory), { left: [{ reason: /symbolic link/ }] });
  unlinkSync(directory);
});

t.test('who may not mount is refused, and nothing is left', { skip: lacks('root') || lacks('setpriv') }, async (t) => {
  const root = scratch(t);
  execFileSync('chown', ['65534:65534', root]);
  const script = `
    const { createRunDirectory } = await import(${JSON.stringify(new URL('../../../lib/os/tempdir.js', import.meta.url).href)});
    await createRunDirectory(${JSON.stringify(root)}, 'abcdefghij', ${JSON.stringify(limitOf(MIB))}).catch((error) => console.log(JSON.stringify([error.code, error.message])));`;
  const as = [
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  ];
  const [code, message] = JSON.parse(execFileSync('setpriv', as, { encoding: 'utf8' })) as [string, string];
  t.equal(code, 'unsupported');
  t.match(
    message,
    /^temp_storage: backing: tmpfs is not possible here: .*(superuser|permi).*; write backing: disk, or run the daemon as root$/,
  );
  t.same(readdirSync(root), []);
});

t.test('processes of another mount namespace', { skip }, async (t) => {
  const directory = await mounted(t, limitOf(MIB));
  t.ok(seesDirectory(process.pid, directory));
  t.notOk(seesDirectory(2 ** 22 + 1, directory), 'no such process');
  const child = spawn('unshare', ['-m', 'sh', '-c', `umount ${directory}; read line`], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  t.teardown(() => void child.kill('SIGKILL'));
  await waitFor('another namespace', () => !seesDirectory(child.pid ?? 0, directory));
  t.ok(isMountedTmpfs(directory), 'here it is as before');
});
