import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { Cpu2 } from '../../../../lib/os/cgroup2/cpu.ts';
import { memoryCapBytes, memoryHighBytes, quotaUs, tasksCap } from '../../../../lib/os/cgroup2/parts.ts';
import { Pids } from '../../../../lib/os/cgroup2/pids.ts';
import { limitsOf } from '../../../helpers/cgroup-backends.ts';

const directory = mkdtempSync(join(tmpdir(), 'governor-test-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
const read = (name: string): string => readFileSync(join(directory, name), 'utf8');

t.test('caps', async (t) => {
  t.equal(memoryCapBytes(limitsOf({}), true), null);
  t.equal(memoryCapBytes(limitsOf({ memory: 101 }), false), 152);
  t.equal(memoryCapBytes(limitsOf({ memory: 100, temp_storage: 10 }), true), 165);
  t.equal(memoryHighBytes(limitsOf({}), true), null);
  t.equal(memoryHighBytes(limitsOf({ memory: 100, temp_storage: 10 }), false), 100);
  t.equal(
    memoryHighBytes(limitsOf({ memory: 100, temp_storage: 10 }), true),
    115,
    'files in memory do not stall the tool',
  );
  t.equal(tasksCap(limitsOf({ tasks: 1 })), 1);
  t.equal(tasksCap(limitsOf({ tasks: 1024 })), 1536);
  t.equal(tasksCap(limitsOf({})), null);
  t.equal(quotaUs(150), 150_000, 'more than one core');
  t.equal(quotaUs(0.01), 1000, 'the kernel takes no less');
});

t.test('cpu without the controller', async (t) => {
  write('cpu.stat', 'usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n');
  const cpu = new Cpu2(directory);
  t.equal(cpu.usageMs(0), 2500);
  t.equal(cpu.throttledMs(), 0);
  t.match(cpu.quotaSupport, { reason: /cpu controller/ });
  cpu.close();
});

t.test('cpu with the controller', async (t) => {
  write(
    'cpu.stat',
    'usage_usec 1\nuser_usec 1\nsystem_usec 0\nnr_periods 7\nnr_throttled 3\nthrottled_usec 123456\nnr_bursts 0\nburst_usec 0\n',
  );
  write('cpu.max', 'max 100000\n');
  const cpu = new Cpu2(directory);
  t.equal(cpu.quotaSupport, true);
  t.equal(cpu.usageMs(0), 0.001);
  t.equal(cpu.throttledMs(), 123.456);
  await cpu.setQuota(25);
  t.match(read('cpu.max'), /^25000 100000/);
  await cpu.setQuota(null);
  t.match(read('cpu.max'), /^max 100000/);
  cpu.close();
});

t.test('two groups that are read in turns', async (t) => {
  const other = mkdtempSync(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rmSync(other, { recursive: true }));
  for (const [at, throttledUs] of [
    [directory, 5_000],
    [other, 7_000],
  ] as const) {
    writeFileSync(join(at, 'cpu.stat'), `usage_usec ${throttledUs / 5}\nthrottled_usec ${throttledUs}\n`);
    writeFileSync(join(at, 'cpu.max'), 'max 100000\n');
  }
  const [first, second] = [new Cpu2(directory), new Cpu2(other)];
  t.same([first.usageMs(0), second.usageMs(0)], [1, 1.4]);
  t.same([first.throttledMs(), second.throttledMs()], [5, 7]);
  rmSync(join(other, 'cpu.max'));
  writeFileSync(join(other, 'cpu.stat'), 'usage_usec 3000\n');
  const third = new Cpu2(other);
  t.same([first.usageMs(1), third.usageMs(1)], [1, 3]);
  t.same([first.throttledMs(), third.throttledMs()], [5, 0], 'one with the controller and one without');
  for (const cpu of [first, second, third]) cpu.close();
});

t.test('pids', async (t) => {
  write('pids.current', '12\n');
  write('pids.max', 'max\n');
  const pids = new Pids(directory);
  t.equal(pids.current(), 12);
  t.equal((await pids.apply(limitsOf({ tasks: 100 }))).enforcement, 'kernel');
  t.match(read('pids.max'), /^150/);
  t.equal((await pids.apply(limitsOf({}))).enforcement, 'none');
  t.match(read('pids.max'), /^max/);
  pids.close();
});
