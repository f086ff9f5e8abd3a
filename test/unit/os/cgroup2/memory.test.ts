import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { fullTotalUs, Memory2, MemoryStall } from '../../../../lib/os/cgroup2/memory.ts';
import { KernelParseError } from '../../../../lib/os/kernel-file.ts';
import { limitsOf } from '../../../helpers/cgroup-backends.ts';
import type { TestScope } from '../../../helpers/fixture.ts';

/** memory.stat of Linux 6.1, a group with 200 MiB of page cache. */
const STAT = `anon 14352384
file 209801216
kernel 4067328
kernel_stack 360448
pagetables 1216512
sec_pagetables 0
percpu 960
sock 4096
vmalloc 65536
shmem 8192
zswap 0
zswapped 0
file_mapped 81920
file_dirty 0
swapcached 12288
anon_thp 0
inactive_anon 14311424
active_anon 8192
inactive_file 104857600
active_file 104943616
unevictable 0
slab_reclaimable 1900000
slab_unreclaimable 500000
slab 2400000
workingset_refault_anon 0
pgfault 14520
`;
const UNRECLAIMABLE = 14352384 + 360448 + 1216512 + 960 + 4096 + 65536 + 8192 + 500000;

function group(t: TestScope, files: Readonly<Record<string, string>> = {}): string {
  const directory = mkdtempSync(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const usual = {
    'memory.current': '226000000\n',
    'memory.stat': STAT,
    'memory.events': 'low 0\nhigh 3\nmax 4\noom 2\noom_kill 1\noom_group_kill 0\n',
  };
  const writable = { 'memory.max': '', 'memory.high': '', 'memory.oom.group': '', 'memory.swap.max': '' };
  for (const [name, text] of Object.entries({ ...usual, ...writable, ...files }))
    writeFileSync(join(directory, name), text);
  return directory;
}

t.test('page cache and reclaimable slab are no usage', async (t) => {
  const memory = new Memory2(group(t), false);
  t.equal(memory.unreclaimableBytes(0, false, 0), UNRECLAIMABLE);
  t.equal(memory.oomKills(), 1);
  t.ok(Number.isNaN(memory.peakBytes()), 'before 5.19 there is no peak');
  memory.close();
  const later = new Memory2(group(t, { 'memory.peak': '300000000\n' }), false);
  t.equal(later.peakBytes(), 300_000_000);
  later.close();
});

t.test('swap counts once, what is in the swap cache is counted already', async (t) => {
  const memory = new Memory2(group(t, { 'memory.swap.current': '112288\n' }), false);
  t.equal(memory.unreclaimableBytes(0, false, 0), UNRECLAIMABLE + 100000);
  memory.close();
});

t.test('files of a TMPDIR in memory are not counted twice', async (t) => {
  const memory = new Memory2(group(t), true);
  t.equal(memory.unreclaimableBytes(0, false, 5000), UNRECLAIMABLE - 5000);
  t.equal(
    memory.unreclaimableBytes(0, false, 1e9),
    UNRECLAIMABLE - 8192,
    'at most what the kernel calls shared memory',
  );
  memory.close();
});

t.test('an older kernel prints fewer keys', async (t) => {
  const memory = new Memory2(
    group(t, { 'memory.stat': 'anon 1000\nfile 5000\nshmem 24\nslab_unreclaimable 100\n' }),
    false,
  );
  t.equal(memory.unreclaimableBytes(0, false, 0), 1124);
  memory.close();
});

t.test('memory.stat is read again only when it could matter', async (t) => {
  const directory = group(t);
  const memory = new Memory2(directory, false);
  memory.unreclaimableBytes(0, false, 0);
  writeFileSync(join(directory, 'memory.stat'), 'anon 777\n');
  t.equal(memory.unreclaimableBytes(1, false, 0), UNRECLAIMABLE, 'the total stands still');
  writeFileSync(join(directory, 'memory.current'), '226004095\n');
  t.equal(memory.unreclaimableBytes(2, false, 0), UNRECLAIMABLE, 'less than a page');
  t.equal(memory.unreclaimableBytes(3, true, 0), 777, 'fresh');
  writeFileSync(join(directory, 'memory.stat'), 'anon 778\n');
  writeFileSync(join(directory, 'memory.current'), '226008192\n');
  t.equal(memory.unreclaimableBytes(4, false, 0), 778, 'a page');
  writeFileSync(join(directory, 'memory.stat'), 'anon 779\n');
  t.equal(memory.unreclaimableBytes(5004, false, 0), 779, 'five seconds');
  await memory.apply(limitsOf({ memory: 250_000_000 }));
  writeFileSync(join(directory, 'memory.stat'), 'anon 780\n');
  t.equal(memory.unreclaimableBytes(5005, false, 0), 780, 'above 75 % of the limit cache may turn into usage unseen');
  memory.close();
});

t.test('near a stage: by the total or by the value, whichever is more', async (t) => {
  const directory = group(t, {
    'memory.swap.current': '0\n',
    'memory.current': '1000000\n',
    'memory.stat': 'anon 777\n',
  });
  const memory = new Memory2(directory, false);
  t.teardown(() => memory.close());
  await memory.apply(limitsOf({ memory: 100_000_000 }));
  t.notOk(memory.isNearLimit);
  writeFileSync(join(directory, 'memory.swap.current'), '80000000\n');
  memory.unreclaimableBytes(1, true, 0);
  t.ok(memory.isNearLimit, 'swapped out: not among what the total counts');
  t.notOk(memory.stands());
  writeFileSync(join(directory, 'memory.swap.current'), '0\n');
  memory.unreclaimableBytes(2, false, 0);
  t.notOk(memory.isNearLimit, 'and no longer than that');
  writeFileSync(join(directory, 'memory.current'), '80000000\n');
  memory.unreclaimableBytes(3, false, 0);
  t.ok(memory.isNearLimit, 'page cache');
});

t.test('whether the total still stands', async (t) => {
  const directory = group(t);
  const memory = new Memory2(directory, false);
  t.notOk(memory.stands(), 'nothing was read before');
  memory.unreclaimableBytes(0, false, 0);
  t.ok(memory.stands());
  writeFileSync(join(directory, 'memory.current'), '226004095\n');
  t.ok(memory.stands(), 'less than a page');
  writeFileSync(join(directory, 'memory.current'), '226008192\n');
  t.notOk(memory.stands());
  memory.unreclaimableBytes(1, false, 0);
  t.ok(memory.stands());
  await memory.apply(limitsOf({ memory: 250_000_000 }));
  t.notOk(memory.stands(), 'above 75 % of the limit everything is read');
  memory.close();
});

t.test('the cap is at the emergency stage', async (t) => {
  const directory = group(t, { 'memory.swap.current': '0\n' });
  const memory = new Memory2(directory, false);
  const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
  t.same(await memory.apply(limitsOf({ memory: 100_000_000, temp_storage: 10_000_000 })), {
    resource: 'memory',
    enforcement: 'kernel',
  });
  t.equal(read('memory.max'), '150000000');
  t.equal(read('memory.oom.group'), '1');
  t.equal(read('memory.swap.max'), '0');
  await memory.setHigh(100_000_000);
  t.equal(read('memory.high'), '100000000');
  memory.close();
  const inMemory = new Memory2(directory, true);
  await inMemory.apply(limitsOf({ memory: 100_000_000, temp_storage: 10_000_000 }));
  t.equal(read('memory.max').slice(0, 9), '165000000', 'a TMPDIR in memory needs room too');
  inMemory.close();
});

t.test('without the controller there is nothing to open', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  t.throws(() => new Memory2(directory, false), { code: 'ENOENT' });
  t.equal(MemoryStall.tryOpen(directory), null);
});

t.test('pressure', async (t) => {
  const text =
    'some avg10=0.12 avg60=0.05 avg300=0.01 total=74012\nfull avg10=0.10 avg60=0.04 avg300=0.01 total=71234\n';
  const directory = group(t, { 'memory.pressure': text });
  const stall = MemoryStall.tryOpen(directory);
  t.equal(stall?.fullMs(), 71.234);
  stall?.close();
  t.throws(() => fullTotalUs(Buffer.from('no numbers here='), 16, 'x'), KernelParseError);
});
