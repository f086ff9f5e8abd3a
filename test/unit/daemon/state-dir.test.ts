import t from 'tap';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { resolveLocations } from '../../../daemon/cli/locations.ts';
import { linkSocket, prepareSocketDir, prepareStateDir } from '../../../daemon/state-dir.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { lacks } from '../../helpers/skip.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

t.test('made, with what is above it, and private', async (t) => {
  const directory = join(temporaryDirectory(t), 'a/b');
  prepareStateDir(directory);
  t.equal(statSync(directory).mode & 0o777, 0o700);
  t.same(readdirSync(directory), [], 'the probe is gone');
  chmodSync(directory, 0o755);
  prepareStateDir(directory);
  t.equal(statSync(directory).mode & 0o777, 0o700);
});

t.test("a link to one's own directory is followed", async (t) => {
  const root = temporaryDirectory(t);
  mkdirSync(join(root, 'real'), { mode: 0o755 });
  symlinkSync('real', join(root, 'link'));
  prepareStateDir(join(root, 'link'));
  t.equal(statSync(join(root, 'real')).mode & 0o777, 0o700);
});

t.test('refused with the reason, and what to do', async (t) => {
  const root = temporaryDirectory(t);
  writeFileSync(join(root, 'file'), '');
  t.throws(() => prepareStateDir(join(root, 'file/state')), {
    ...isGovernorError('state_dir'),
    message: `the state directory ${root}/file/state cannot be written: a part of the path is not a directory; choose another with --state-dir`,
  });
  t.throws(() => prepareStateDir(join(root, 'file')), {
    ...isGovernorError('state_dir'),
    message: /cannot be written: .*; choose another/,
  });
  t.throws(() => prepareStateDir('/proc/governor-test'), isGovernorError('state_dir'));
});

t.test("another user's directory, also behind a link", { skip: lacks('root') }, async (t) => {
  const root = temporaryDirectory(t);
  const foreign = join(root, 'foreign');
  mkdirSync(foreign, { mode: 0o755 });
  chownSync(foreign, 65_534, 65_534);
  symlinkSync('foreign', join(root, 'link'));
  for (const path of [foreign, join(root, 'link')]) {
    t.throws(() => prepareStateDir(path), {
      ...isGovernorError('state_dir'),
      message: `the state directory ${path} belongs to user 65534, not to 0; choose another with --state-dir`,
    });
  }
  t.equal(statSync(foreign).mode & 0o777, 0o755, 'and left as it was');
});

t.test(
  'a directory that its user may not write',
  { skip: process.getuid?.() === 0 ? 'root may write everywhere' : false },
  async (t) => {
    const root = temporaryDirectory(t);
    mkdirSync(join(root, 'closed'), { mode: 0o500 });
    t.throws(() => prepareStateDir(join(root, 'closed/state')), {
      ...isGovernorError('state_dir'),
      message: /permission denied/,
    });
  },
);

t.test('a socket outside of the state directory is linked from there', async (t) => {
  const root = temporaryDirectory(t);
  const locations = resolveLocations(
    { config: null, stateDir: null, listen: null },
    { env: { HOME: root, XDG_RUNTIME_DIR: join(root, 'run') }, cwd: '/', platform: process.platform },
  );
  prepareStateDir(locations.stateDir);
  prepareSocketDir(locations);
  t.equal(statSync(join(root, 'run/governor')).mode & 0o777, 0o700);
  const link = join(locations.stateDir, 'governor.sock');
  writeFileSync(link, 'what an earlier daemon left');
  const unlink = linkSocket(locations);
  t.equal(readlinkSync(link), join(root, 'run/governor/governor.sock'));
  unlink();
  unlink();
  t.notOk(existsSync(link));
});

t.test('a socket in the state directory needs no link, and is not taken away', async (t) => {
  const root = temporaryDirectory(t);
  const locations = resolveLocations(
    { config: null, stateDir: root, listen: null },
    { env: {}, cwd: '/', platform: process.platform },
  );
  writeFileSync(locations.listenSocketPath, '');
  linkSocket(locations)();
  t.ok(existsSync(locations.listenSocketPath));
});
