import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import {
  createGroup,
  createGroupBelow,
  isSameGroup,
  isWritable,
  pidsBelow,
  readOrNull,
  removeGroup,
  removeIfEmpty,
} from '../../../../lib/os/cgroup2/directory.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';

// Plain directories stand in for groups where only names and texts matter.
const root = mkdtempSync(join(tmpdir(), 'governor-test-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));
const make = (name: string, files: Readonly<Record<string, string>> = {}): string => {
  const directory = join(root, name);
  mkdirSync(directory, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text);
  return directory;
};

t.test('a name that is in use is refused with its reason', async (t) => {
  const cases = [
    [{ 'cgroup.procs': '17\n18\n' }, /holds 2 processes/],
    [{ 'cgroup.freeze': '1\n', 'cgroup.procs': '' }, /is frozen/],
    [{ 'freezer.state': 'FREEZING\n', 'cgroup.procs': '' }, /is frozen/],
  ] as const;
  for (const [index, [files, message]] of cases.entries()) {
    const directory = make(`used-${index}`, files);
    await t.rejects(createGroup(directory), { ...isGovernorError('launch_failed'), message });
    t.ok(existsSync(directory));
  }
  const nested = make('used-nested/inner', { 'cgroup.procs': '99\n' });
  await t.rejects(createGroup(join(nested, '..')), isGovernorError('launch_failed'));
});

t.test('an empty leftover is replaced', async (t) => {
  const directory = make('leftover/inner');
  t.ok((await createGroup(join(directory, '..'))) > 0);
  t.notOk(existsSync(directory), 'its sub-groups are gone');
});

t.test('a missing top directory is made again', async (t) => {
  const directory = join(root, 'top/run');
  await t.rejects(createGroup(directory), { code: 'ENOENT' });
  t.ok((await createGroupBelow(directory, async () => void make('top'))) > 0);
});

t.test('pids of a group and of all below', async (t) => {
  make('tree', { 'cgroup.procs': '1\n2\n' });
  make('tree/a', { 'cgroup.procs': '0\n3\n' });
  make('tree/a/b', { 'cgroup.procs': '2\n4\n' });
  t.same(pidsBelow(join(root, 'tree')).toSorted(), [1, 2, 3, 4], 'each once; 0 is a process of another namespace');
  t.same(pidsBelow(join(root, 'nowhere')), []);
});

t.test('removal', async (t) => {
  const deep = make('gone/a/b/c');
  await removeGroup(join(root, 'gone'), performance.now() + 1000);
  t.notOk(existsSync(deep));
  await removeGroup(join(root, 'gone'), performance.now() + 1000);
  const busy = make('busy', { file: '' });
  await t.rejects(removeGroup(busy, performance.now() + 20), { code: 'ENOTEMPTY' });
  await removeIfEmpty(busy);
  t.ok(existsSync(busy));
  await removeIfEmpty(join(root, 'nowhere'));
});

t.test('a directory that is no group is never taken for one', async (t) => {
  const plain = make('plain');
  symlinkSync('/sys/fs/cgroup', join(root, 'link'));
  t.equal(isSameGroup(plain, 1), false);
  t.equal(isSameGroup(join(root, 'nowhere'), 1), false);
  t.equal(isSameGroup(join(plain, 'file/below'), 1), false);
});

t.test('small questions', async (t) => {
  t.equal(readOrNull(join(root, 'nowhere/file')), null);
  t.equal(await isWritable(root), true);
  t.equal(await isWritable(join(root, 'nowhere')), false);
});
