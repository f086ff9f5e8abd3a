import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { Cpu1 } from '../../../../lib/os/cgroup1/cpu.ts';
import { openDirectories } from '../../../../lib/os/cgroup1/hierarchy.ts';
import { Memory1 } from '../../../../lib/os/cgroup1/memory.ts';
import type { CgroupMounts, Hierarchy } from '../../../../lib/os/mounts.ts';
import { limitsOf } from '../../../helpers/cgroup-backends.ts';

const directory = mkdtempSync(join(tmpdir(), 'governor-test-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
const read = (name: string): string => readFileSync(join(directory, name), 'utf8');

/** memory.stat of Linux 6.18 with v1 controllers, shortened to what stands around the keys in use. */
const STAT = `cache 9166848
rss 13557760
shmem 8998912
swap 0
swapcached 0
hierarchical_memory_limit 9223372036854771712
total_cache 117108736
total_rss 24780800
total_rss_huge 0
total_shmem 8998912
total_mapped_file 11112448
total_swap 500000
total_swapcached 200000
total_pgfault 2782514
total_unevictable 21024768
`;

t.test('memory', async (t) => {
  write('memory.usage_in_bytes', '146000000\n');
  write('memory.stat', STAT);
  write('memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n');
  write('memory.limit_in_bytes', '');
  const memory = new Memory1(directory, false);
  t.equal(memory.unreclaimableBytes(0, false, 0), 24780800 + 8998912 + 300000, 'sub-groups included, page cache not');
  t.equal(memory.oomKills(), 3);
  write('memory.max_usage_in_bytes', '200000000\n');
  t.equal(memory.peakBytes(), 200_000_000);
  t.match(memory.highSupport, { reason: /memory\.high/ });
  t.equal((await memory.apply(limitsOf({ memory: 50_000_000 }))).enforcement, 'kernel');
  t.equal(read('memory.limit_in_bytes'), '75000000');
  const lowered = await memory.apply(limitsOf({ memory: 10_000_000 }));
  t.equal(lowered.enforcement, 'polled');
  t.equal(read('memory.limit_in_bytes'), '75000000', 'the old cap stays until then');
  write('memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\n');
  t.equal(memory.oomKills(), 0, 'before 4.13 there is no count');
  memory.close();
});

t.test('cpu from cpuacct, with a quota beside it', async (t) => {
  write('cpuacct.usage', '2500000000\n');
  write('cpu.stat', 'nr_periods 10\nnr_throttled 5\nthrottled_time 1500000000\n');
  write('cpu.cfs_quota_us', '-1\n');
  write('cpu.cfs_period_us', '50000\n');
  const cpu = new Cpu1({ unified: null, cpuacct: directory, cpu: directory });
  t.equal(cpu.quotaSupport, true);
  t.equal(cpu.usageMs(0), 2500);
  t.equal(cpu.throttledMs(), 1500);
  write('cpu.stat', 'nr_periods 10\nnr_throttled 5\nthrottled_time 1600000000\n');
  t.equal(cpu.throttledMs(), 1500, 'without a quota the counter stands still: not read');
  await cpu.setQuota(30);
  t.match(read('cpu.cfs_quota_us'), /^30000/);
  t.match(read('cpu.cfs_period_us'), /^100000/);
  t.equal(cpu.throttledMs(), 1600);
  await cpu.setQuota(null);
  t.match(read('cpu.cfs_quota_us'), /^-1/);
  cpu.close();
});

t.test('two groups that are read in turns', async (t) => {
  const other = mkdtempSync(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rmSync(other, { recursive: true }));
  const numbers = { rss: 1_000, kills: 2, throttledNs: 3_000_000 };
  const opened = [directory, other].map((at, index) => {
    const put = (name: string, text: string): void => writeFileSync(join(at, name), text);
    put('memory.usage_in_bytes', '9000\n');
    put('memory.stat', `total_rss ${numbers.rss + index}\n`);
    put('memory.oom_control', `oom_kill ${numbers.kills + index}\n`);
    put('cpuacct.usage', `${1_000_000 * (index + 1)}\n`);
    put('cpu.stat', `throttled_time ${numbers.throttledNs + index * 1_000_000}\n`);
    return { memory: new Memory1(at, false), cpu: new Cpu1({ unified: null, cpuacct: at, cpu: at }) };
  });
  const readings = (read: (group: (typeof opened)[number]) => number): readonly number[] => opened.map(read);
  t.same(
    readings(({ memory }) => memory.unreclaimableBytes(0, false, 0)),
    [1_000, 1_001],
  );
  t.same(
    readings(({ memory }) => memory.unreclaimableBytes(1, false, 0)),
    [1_000, 1_001],
    'kept',
  );
  t.same(
    readings(({ memory }) => memory.oomKills()),
    [2, 3],
  );
  t.same(
    readings(({ cpu }) => cpu.usageMs(0)),
    [1, 2],
  );
  t.same(
    readings(({ cpu }) => cpu.throttledMs()),
    [3, 4],
  );
  for (const { memory, cpu } of opened) {
    memory.close();
    cpu.close();
  }
});

t.test('cpu from the v2 group, without the cpu controller', async (t) => {
  write('cpu.stat', 'usage_usec 5000\nuser_usec 1\nsystem_usec 1\n');
  const cpu = new Cpu1({ unified: directory, cpuacct: null, cpu: null });
  t.equal(cpu.usageMs(0), 5);
  t.equal(cpu.throttledMs(), 0);
  t.match(cpu.quotaSupport, { reason: /cpu controller/ });
  cpu.close();
  t.throws(() => new Cpu1({ unified: null, cpuacct: null, cpu: null }), /not known/);
});

t.test('what is missing is said', async (t) => {
  const at = (mountPoint: string, readOnly = false): Hierarchy => ({
    version: 1,
    controllers: [],
    mountPoint,
    ownDirectory: mountPoint,
    readOnly,
  });
  const open = async (hierarchies: Readonly<Record<string, Hierarchy>>): Promise<string> => {
    const mounts: CgroupMounts = { unified: null, byController: new Map(Object.entries(hierarchies)) };
    const opened = await openDirectories(mounts, 'test');
    if (!opened.ok) return opened.error;
    await opened.value.release();
    return [...opened.value.directories.keys(), ...opened.value.missing.values()].join('; ');
  };
  t.equal(await open({}), 'nothing to end a process tree with: freezer is not mounted');
  t.equal(await open({ freezer: at('/sys', true) }), 'nothing to end a process tree with: /sys is mounted read-only');
  t.match(await open({ freezer: at(directory) }), /no v1 controller for memory, cpu or pids: memory is not mounted/);
  t.equal(
    await open({ freezer: at(directory), memory: at(directory), pids: at('/nowhere') }),
    'memory; freezer; unified is not mounted; cpu is not mounted; cpuacct is not mounted; /nowhere is not writable for this user',
  );
});
