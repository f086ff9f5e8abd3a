import t, { type Test } from 'tap';
import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { chooseTempRoot } from '../../../daemon/temp-root.ts';
import { createRunDirectory } from '../../../lib/os/tempdir.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const NAME = `governor-${process.getuid?.() ?? 'user'}`;

function withTmpdir(t: Test, directory: string): void {
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = directory;
  t.teardown(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });
}

t.test('a configured one is made, private', async (t) => {
  const root = join(temporaryDirectory(t), 'a/b');
  t.equal(chooseTempRoot(root), root);
  t.equal(statSync(root).mode & 0o777, 0o700);
});

t.test("below TMPDIR where that is short and on a disk, by the user's own name", async (t) => {
  const directory = temporaryDirectory(t);
  withTmpdir(t, directory);
  const chosen = chooseTempRoot(null);
  t.ok([join(directory, NAME), `/var/tmp/${NAME}`].includes(chosen), chosen);
  t.ok(existsSync(chosen));
});

t.test(
  'never on a tmpfs, whose files would count as memory',
  { skip: isTmpfs('/dev/shm') ? false : 'needs a tmpfs at /dev/shm' },
  async (t) => {
    withTmpdir(t, '/dev/shm');
    t.notMatch(chooseTempRoot(null), /^\/dev\/shm/);
  },
);

t.test('never below a long path: sockets below it could not be bound', async (t) => {
  const root = temporaryDirectory(t);
  withTmpdir(t, join(root, 'x'.repeat(60)));
  t.equal(chooseTempRoot(null), `/var/tmp/${NAME}`);
  const long = join(root, 'y'.repeat(80));
  t.throws(() => chooseTempRoot(long), {
    ...isGovernorError('invalid_config'),
    message: /^daemon\.temp_root: .* is too long for the sockets below it: at most \d+ bytes$/,
  });
});

t.test('behind a link, its real path: what lies below is recognised as its own', async (t) => {
  const root = temporaryDirectory(t);
  mkdirSync(join(root, 'real'));
  symlinkSync('real', join(root, 'link'));
  const chosen = chooseTempRoot(join(root, 'link/temp'));
  t.equal(chosen, join(root, 'real/temp'));
  t.equal(await createRunDirectory(chosen, 'abcdefghij', null), join(chosen, 'abcdefghij'));
});

t.test('a root that is a link itself, or open to others, is refused when it is used', async (t) => {
  const root = temporaryDirectory(t);
  mkdirSync(join(root, 'real'), { mode: 0o700 });
  symlinkSync('real', join(root, 'link'));
  await t.rejects(
    createRunDirectory(chooseTempRoot(join(root, 'link')), 'abcdefghij', null),
    isGovernorError('state_dir'),
  );
  chmodSync(join(root, 'real'), 0o777);
  await t.rejects(
    createRunDirectory(chooseTempRoot(join(root, 'real')), 'abcdefghij', null),
    isGovernorError('state_dir'),
  );
});

function isTmpfs(folder: string): boolean {
  return existsSync(folder) && statSync(folder).dev !== statSync('/').dev;
}
