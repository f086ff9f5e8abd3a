import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { combine, parseMountInfo, parseOwnGroups, readCgroupMounts } from '../../../lib/os/mounts.ts';

/** A host with v1 controllers and a v2 hierarchy beside them. */
const HYBRID = `23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
`;
const HYBRID_OWN = `9:name=systemd:/user.slice
4:memory:/jobs/b439606a:c
1:cpu,cpuacct:/
0::/user.slice/session-3.scope
`;

const none = (): readonly string[] => [];

t.test('v1 controllers beside a bare v2 hierarchy', async (t) => {
  const mounts = combine(parseMountInfo(HYBRID), parseOwnGroups(HYBRID_OWN), none);
  t.same([...mounts.byController.keys()].toSorted(), ['cpu', 'cpuacct', 'memory', 'name=systemd']);
  t.equal(
    mounts.byController.get('memory')?.ownDirectory,
    '/sys/fs/cgroup/memory/jobs/b439606a:c',
    'a colon in the path',
  );
  t.equal(
    mounts.byController.get('cpu')?.ownDirectory,
    '/sys/fs/cgroup/cpu,cpuacct',
    'the root has no slash at the end',
  );
  t.equal(mounts.byController.get('cpu')?.mountPoint, mounts.byController.get('cpuacct')?.mountPoint);
  t.equal(mounts.unified?.ownDirectory, '/sys/fs/cgroup/unified/user.slice/session-3.scope');
  t.same(mounts.unified?.controllers, []);
});

t.test('pure v2', async (t) => {
  const info = parseMountInfo(
    '29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n',
  );
  const mounts = combine(info, parseOwnGroups('0::/system.slice/governor.service\n'), () => ['cpu', 'memory', 'pids']);
  t.equal(mounts.byController.size, 0);
  t.same(mounts.unified, {
    version: 2,
    controllers: ['cpu', 'memory', 'pids'],
    mountPoint: '/sys/fs/cgroup',
    ownDirectory: '/sys/fs/cgroup/system.slice/governor.service',
    readOnly: false,
  });
});

t.test('a container without a cgroup namespace sees only its part', async (t) => {
  const info = parseMountInfo(
    '800 790 0:31 /docker/4f1a /sys/fs/cgroup/memory ro,nosuid master:11 - cgroup cgroup rw,memory\n' +
      '801 790 0:32 /docker/4f1a /sys/fs/cgroup/pids rw,nosuid master:12 - cgroup cgroup rw,pids\n',
  );
  const own = parseOwnGroups('5:memory:/docker/4f1a/inner\n4:pids:/docker/other\n');
  const mounts = combine(info, own, none);
  t.equal(mounts.byController.get('memory')?.ownDirectory, '/sys/fs/cgroup/memory/inner');
  t.equal(mounts.byController.get('memory')?.readOnly, true);
  t.equal(mounts.byController.has('pids'), false, 'the own group lies outside of what is mounted');
});

t.test('a path outside of the cgroup namespace is not used', async (t) => {
  const info = parseMountInfo('29 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n');
  t.equal(combine(info, parseOwnGroups('0::/../session-3.scope\n'), none).unified, null);
  t.equal(combine(info, parseOwnGroups('0::/gone (deleted)\n'), none).unified, null);
  t.not(combine(info, parseOwnGroups('0::/a..b\n'), none).unified, null);
});

t.test('of two mounts the writable one is used', async (t) => {
  const info = parseMountInfo(
    '29 22 0:26 / /ro rw - cgroup2 cgroup2 ro\n30 22 0:26 / /rw rw - cgroup2 cgroup2 rw\n31 22 0:26 / /rw2 rw - cgroup2 cgroup2 rw\n',
  );
  t.equal(combine(info, parseOwnGroups('0::/\n'), none).unified?.mountPoint, '/rw');
});

t.test('names with blanks are escaped in mountinfo', async (t) => {
  const [mount] = parseMountInfo('29 22 0:26 / /mnt/a\\040b\\134c rw - cgroup2 cgroup2 rw\n');
  t.equal(mount?.mountPoint, '/mnt/a b\\c');
});

t.test('lines that mean nothing to us are skipped', async (t) => {
  t.same(parseMountInfo('\nnonsense\n1 2 3\n29 22 0:26 / /x rw - cgroup2\n'.replace('cgroup2', 'cgroup3')), []);
  t.same(parseOwnGroups('\nnonsense\n1:\n2:memory:relative\n'), []);
});

t.test('reads the files below the given root', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'self'));
  mkdirSync(join(root, 'group/own'), { recursive: true });
  writeFileSync(join(root, 'self/mountinfo'), `29 22 0:26 / ${root}/group rw - cgroup2 cgroup2 rw\n`);
  writeFileSync(join(root, 'self/cgroup'), '0::/own\n');
  t.same(readCgroupMounts(root).unified?.controllers, [], 'no file with controllers');
  writeFileSync(join(root, 'group/own/cgroup.controllers'), 'cpu memory\n');
  t.same(readCgroupMounts(root).unified?.controllers, ['cpu', 'memory']);
});

t.test('this process', { skip: process.platform !== 'linux' && 'needs Linux' }, async (t) => {
  t.doesNotThrow(() => readCgroupMounts());
});
