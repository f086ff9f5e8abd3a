import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createTempDir, removeTree, TempUsage, type TempUsageReading } from '../../../lib/os/tempdir.ts';
import { lacks } from '../../helpers/skip.ts';

/** In memory where that is to be had: thousands of files are made. Not in tap's own directory: some are not removable by plain means. */
function scratch(t: { teardown(work: () => void): void }): string {
  const directory = realpathSync(mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'governor-test-')));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

t.test('a temp dir is private', async (t) => {
  const root = join(scratch(t), 'a/b');
  const before = process.umask(0o777);
  t.teardown(() => process.umask(before));
  mkdirSync(join(root, '..'), { recursive: true, mode: 0o700 });
  chmodSync(join(root, '../..'), 0o700);
  chmodSync(join(root, '..'), 0o700);
  process.umask(0o077);
  const made = createTempDir(root, 'abc123defg');
  process.umask(before);
  t.equal(made.path, join(root, 'abc123defg'));
  t.equal(statSync(made.path).mode & 0o7777, 0o700);
  t.equal(statSync(made.path).ino, made.inode);
  t.throws(() => createTempDir(root, 'abc123defg'), { code: 'state_dir', message: /EEXIST/ }, 'never an existing one');
  for (const name of ['', '..', 'a/b', 'A', 'a\0b', 'x'.repeat(33)])
    t.throws(() => createTempDir(root, name), { code: 'internal' }, JSON.stringify(name));
});

t.test('a temp root that is not safe is refused', async (t) => {
  const base = scratch(t);
  const real = join(base, 'real');
  mkdirSync(real, { mode: 0o700 });
  symlinkSync(real, join(base, 'link'));
  t.throws(() => createTempDir(join(base, 'link'), 'run'), { code: 'state_dir', message: /symbolic link/ });
  chmodSync(real, 0o777);
  t.throws(() => createTempDir(real, 'run'), { code: 'state_dir', message: /written by others \(mode 777\)/ });
  writeFileSync(join(base, 'file'), '');
  t.throws(() => createTempDir(join(base, 'file'), 'run'), { code: 'state_dir' });
  t.same(readdirSync(real), []);
});

t.test('a root of another user is refused', { skip: lacks('root') }, async (t) => {
  const root = join(scratch(t), 'foreign');
  mkdirSync(root, { mode: 0o700 });
  spawnSync('chown', ['65534', root]);
  t.throws(() => createTempDir(root, 'run'), { code: 'state_dir', message: /belongs to user 65534/ });
});

function settle(usage: TempUsage, atMs: number): TempUsageReading {
  let reading = usage.sample(atMs, false);
  for (
    let turn = 0;
    turn < 10_000 && reading.kind === 'measured' && !(reading.complete && reading.atMs === atMs);
    turn += 1
  ) {
    reading = usage.sample(atMs, false);
  }
  if (reading.kind !== 'measured') throw new Error(`no reading but ${reading.kind}`);
  return reading;
}

t.test('usage is what the disk gives', async (t) => {
  const dir = scratch(t);
  const usage = new TempUsage(dir);
  t.teardown(() => usage.close());
  t.match(settle(usage, 0), { bytes: 0, inodes: 0, complete: true });
  writeFileSync(join(dir, 'a'), Buffer.alloc(1 << 20, 1));
  linkSync(join(dir, 'a'), join(dir, 'a again'));
  mkdirSync(join(dir, 'sub\nline'));
  writeFileSync(join(dir, 'sub\nline', 'b'), Buffer.alloc(1 << 16, 1));
  writeFileSync(Buffer.from(`${dir}/not utf8 \xff\xfe`, 'latin1'), Buffer.alloc(1 << 16, 1));
  symlinkSync('/usr', join(dir, 'link'));
  const expected = ['a', 'sub\nline', 'sub\nline/b', 'link'].reduce(
    (sum, name) => sum + lstatSync(join(dir, name)).blocks * 512,
    1 << 16,
  );
  t.match(
    settle(usage, 2000),
    { bytes: expected, inodes: 5, complete: true },
    'a hard link counts once, a link is not followed',
  );
});

t.test('an unchanged empty directory is not walked again, a changed one is', async (t) => {
  const dir = scratch(t);
  const usage = new TempUsage(dir);
  t.teardown(() => usage.close());
  settle(usage, 0);
  await new Promise((resolve) => setTimeout(resolve, 150));
  t.match(usage.sample(2000, false), { atMs: 2000, bytes: 0, complete: true });
  writeFileSync(join(dir, 'a'), 'x');
  t.match(settle(usage, 4000), { inodes: 1 });
  rmSync(join(dir, 'a'));
  t.match(settle(usage, 600_000), { inodes: 0, bytes: 0 });
});

t.test('a large tree is read in slices, and the old value keeps its time until then', async (t) => {
  const dir = scratch(t);
  for (let folder = 0; folder < 20; folder += 1) {
    mkdirSync(join(dir, String(folder)));
    for (let file = 0; file < 250; file += 1) writeFileSync(join(dir, String(folder), String(file)), '');
  }
  const usage = new TempUsage(dir);
  t.teardown(() => usage.close());
  const first = usage.sample(0, false);
  t.match(first, { kind: 'measured', complete: false, isBeingFound: true });
  t.match(settle(usage, 0), { inodes: 5020, complete: true });
  t.match(usage.sample(1, false), { inodes: 5020, atMs: 0 }, 'not begun again at once');
  writeFileSync(join(dir, 'new'), '');
  t.match(usage.sample(1_000_000, false), { inodes: 5020, atMs: 0, complete: true }, 'the walk is under way');
  t.match(settle(usage, 1_000_000), { inodes: 5021, atMs: 1_000_000 });
  for (let file = 0; file < 6000; file += 1) writeFileSync(join(dir, `more-${file}`), 'x');
  let grown = usage.sample(2_000_000, false);
  for (let turn = 0; grown.kind === 'measured' && grown.complete && turn < 10_000; turn += 1)
    grown = usage.sample(2_000_000, false);
  t.match(
    grown,
    { atMs: 2_000_000, complete: false, isBeingFound: false },
    'an unfinished walk that found more counts at once',
  );
  t.ok(grown.kind === 'measured' && grown.inodes >= 5021 && grown.inodes < 11_021);
});

t.test('a tree deeper than any path is read and removed', { skip: lacks('linux') }, async (t) => {
  const dir = join(scratch(t), 'deep');
  mkdirSync(dir);
  const digger = `import os\nos.chdir(${JSON.stringify(dir)})\nfor n in range(600):\n    os.mkdir('d' * 100); os.chdir('d' * 100)\nopen('bottom', 'wb').write(b'x' * 1048576)`;
  const dug = spawnSync('python3', ['-c', digger], { encoding: 'utf8' });
  if (dug.status !== 0) return t.comment(`python3 could not dig: ${dug.stderr}`);
  const usage = new TempUsage(dir);
  t.teardown(() => usage.close());
  const reading = settle(usage, 0);
  t.match(reading, { inodes: 601, complete: true });
  t.ok(reading.bytes >= 1 << 20);
  t.match(await removeTree(dir), { files: 602, left: [], leftCount: 0 });
  t.notOk(existsSync(dir));
});

t.test('a dir that is gone, or no dir', async (t) => {
  const base = scratch(t);
  t.match(new TempUsage(join(base, 'nowhere')).sample(0, false), { kind: 'gone' });
  symlinkSync('/usr', join(base, 'link'));
  t.match(new TempUsage(join(base, 'link')).sample(0, false), { kind: 'gone' }, 'not what the link points to');
  t.match(await removeTree(join(base, 'nowhere')), { files: 0, bytes: 0, left: [], leftCount: 0 });
});

t.test('removal takes all that is inside, and nothing else', async (t) => {
  const base = scratch(t);
  const outside = join(base, 'outside');
  mkdirSync(join(outside, 'precious'), { recursive: true });
  writeFileSync(join(outside, 'precious/file'), 'keep');
  chmodSync(join(outside, 'precious/file'), 0o640);
  const dir = join(base, 'run');
  mkdirSync(join(dir, 'locked/inner'), { recursive: true });
  writeFileSync(join(dir, 'locked/inner/file'), Buffer.alloc(8192, 1));
  symlinkSync(outside, join(dir, 'to a dir'));
  symlinkSync(join(outside, 'precious/file'), join(dir, 'to a file'));
  symlinkSync(dir, join(dir, 'to itself'));
  symlinkSync('nowhere', join(dir, 'to nothing'));
  writeFileSync(join(dir, 'a\nb'), '');
  writeFileSync(Buffer.from(`${dir}/\xff`, 'latin1'), '');
  spawnSync('mkfifo', [join(dir, 'fifo')]);
  linkSync(join(outside, 'precious/file'), join(dir, 'hard'));
  chmodSync(join(dir, 'locked/inner'), 0o000);
  chmodSync(join(dir, 'locked'), 0o000);
  const report = await removeTree(dir);
  t.match(report, { files: 12, left: [], leftCount: 0 });
  t.ok(report.bytes >= 8192);
  t.notOk(existsSync(dir));
  t.match(lstatSync(join(outside, 'precious/file')), { nlink: 1, size: 4 });
  t.equal(statSync(join(outside, 'precious/file')).mode & 0o777, 0o640);
});

t.test('removal as an ordinary user of directories that are closed', { skip: lacks('root', 'linux') }, async (t) => {
  const base = scratch(t);
  chmodSync(base, 0o755);
  const script =
    `import { mkdirSync, writeFileSync, chmodSync, existsSync } from 'node:fs';` +
    `import { removeTree } from ${JSON.stringify(new URL('../../../lib/os/tempdir.js', import.meta.url).href)};` +
    `const dir = process.argv[1] + '/run'; mkdirSync(dir + '/a/b', { recursive: true }); writeFileSync(dir + '/a/b/c', 'x');` +
    `chmodSync(dir + '/a/b', 0); chmodSync(dir + '/a', 0o500); chmodSync(dir, 0);` +
    `const report = await removeTree(dir); console.log(JSON.stringify({ ...report, exists: existsSync(dir) }));`;
  const home = join(base, 'home');
  mkdirSync(home);
  spawnSync('chown', ['65534', home]);
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', script, home], {
    uid: 65534,
    gid: 65534,
    encoding: 'utf8',
  });
  if (/EACCES|ERR_MODULE|Cannot find/.test(ran.stderr))
    return t.comment('skipped: that user cannot read the build directory');
  t.match(JSON.parse(ran.stdout), { files: 4, leftCount: 0, exists: false }, ran.stderr);
});

t.test('the dir itself replaced by a link', async (t) => {
  const base = scratch(t);
  mkdirSync(join(base, 'precious'));
  writeFileSync(join(base, 'precious/file'), 'keep');
  symlinkSync(join(base, 'precious'), join(base, 'run'));
  t.match(await removeTree(join(base, 'run')), {
    files: 0,
    leftCount: 1,
    left: [{ path: join(base, 'run'), reason: /symbolic link: not followed/ }],
  });
  t.ok(existsSync(join(base, 'precious/file')));
});

t.test('nothing behind a mount point is touched', { skip: lacks('root', 'linux') }, async (t) => {
  const base = scratch(t);
  const precious = join(base, 'precious');
  mkdirSync(precious);
  writeFileSync(join(precious, 'file'), 'keep');
  const dir = join(base, 'run');
  for (const name of ['a', 'bind', 'tmpfs']) mkdirSync(join(dir, name), { recursive: true });
  const bound = spawnSync('mount', ['--bind', precious, join(dir, 'bind')], { encoding: 'utf8' });
  if (bound.status !== 0) return t.comment(`skipped: mount --bind is not permitted here: ${bound.stderr.trim()}`);
  t.teardown(() => spawnSync('umount', [join(dir, 'bind')]));
  spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', join(dir, 'tmpfs')]);
  t.teardown(() => spawnSync('umount', [join(dir, 'tmpfs')]));
  writeFileSync(join(dir, 'tmpfs/file'), 'keep');
  writeFileSync(join(dir, 'a/file'), '');
  const report = await removeTree(dir);
  t.equal(report.leftCount, 2);
  t.match([...report.left].map((left) => left.path).toSorted(), [join(dir, 'bind'), join(dir, 'tmpfs')]);
  t.match(report.left[0], { reason: /mounted/ });
  t.ok(existsSync(join(precious, 'file')) && existsSync(join(dir, 'tmpfs/file')));
  t.notOk(existsSync(join(dir, 'a')), 'the rest is removed all the same');
});

t.test('directories swapped for links while they are removed', async (t) => {
  const base = scratch(t);
  const outside = join(base, 'outside');
  mkdirSync(outside);
  for (let file = 0; file < 50; file += 1) writeFileSync(join(outside, `keep-${file}`), '');
  const dir = join(base, 'run');
  for (let folder = 0; folder < 40; folder += 1) {
    mkdirSync(join(dir, `d${folder}`), { recursive: true });
    for (let file = 0; file < 60; file += 1) writeFileSync(join(dir, `d${folder}`, `keep-${file}`), '');
  }
  const ended = new AbortController();
  const removal = removeTree(dir).finally(() => ended.abort());
  for (let folder = 39; !ended.signal.aborted && folder >= 0; folder -= 1) {
    const victim = join(dir, `d${folder}`);
    if (existsSync(victim)) {
      renameSync(victim, join(base, `moved-${folder}`));
      symlinkSync(outside, victim);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await removal;
  t.equal(readdirSync(outside).length, 50, 'what the links point to is whole');
});

t.test('fifty thousand files', async (t) => {
  const dir = join(scratch(t), 'run');
  mkdirSync(dir);
  for (let file = 0; file < 50_000; file += 1) writeFileSync(join(dir, `f${file}`), '');
  let turns = 0;
  const ticking = setInterval(() => (turns += 1), 1);
  const report = await removeTree(dir);
  clearInterval(ticking);
  t.match(report, { files: 50_001, leftCount: 0 });
  t.ok(turns > 5, `the loop ran ${turns} times meanwhile`);
});
