import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import {
  type ListedProcess,
  listProcesses,
  listProcessesNow,
  parseProcessList,
  parseTime,
} from '../../../lib/os/portable/process-list.ts';
import { PortableTree } from '../../../lib/os/portable/tree.ts';

t.test('times', async (t) => {
  t.equal(parseTime('00:00:01'), 1000);
  t.equal(parseTime('1:02:03'), 3_723_000);
  t.equal(parseTime('2-01:02:03'), 176_523_000);
  t.equal(parseTime('0:01.25'), 1250, 'macOS');
  t.equal(parseTime('125:10.50'), 7_510_500);
  t.equal(parseTime('soon'), 0);
});

t.test('a real list has ourselves', async (t) => {
  const child = spawn('sleep', ['60']);
  t.teardown(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  for (const list of [listProcessesNow(), await listProcesses()]) {
    t.match(
      list.find((entry) => entry.pid === process.pid),
      { ppid: process.ppid },
    );
    t.match(
      list.find((entry) => entry.pid === child.pid),
      { ppid: process.pid, name: 'sleep', state: 'S' },
    );
  }
});

t.test('lines that are none', async (t) => {
  t.same(parseProcessList('ps: bad option\n\n  x y z\n'), []);
  t.same(
    parseProcessList('4194303 1 1 S 100 00:00:00 Sat Nov 21 02:25:00 2026 gone\n'),
    [],
    'no such process on Linux',
  );
});

function entry(pid: number, ppid: number, more: Partial<ListedProcess> = {}): ListedProcess {
  return { pid, ppid, group: 1, state: 'S', rssBytes: 0, cpuTimeMs: 0, startTicks: pid, name: 'x', ...more };
}

t.test('a tree by descent, groups and memory', async (t) => {
  const tree = new PortableTree();
  tree.add({ pid: 1000, startTicks: 1000 });
  const pids = (list: readonly ListedProcess[]): readonly number[] => tree.update(list).map((member) => member.pid);
  t.same(pids([entry(1002, 1001), entry(1000, 1), entry(1001, 1000), entry(2000, 1)]), [1002, 1000, 1001]);
  t.same(pids([entry(1002, 1), entry(1000, 1)]), [1002, 1000], 'an orphan stays');
  t.same(
    pids([entry(1000, 1, { group: 1000 }), entry(1003, 1, { group: 1000 })]),
    [1000, 1003],
    'a group that a member made',
  );
  t.same(
    pids([entry(1000, 1, { state: 'Z' }), entry(1003, 1, { startTicks: 5 })]),
    [],
    'a zombie, and a pid that was used again',
  );
});

t.test('never ourselves', async (t) => {
  const tree = new PortableTree();
  tree.add({ pid: 1000, startTicks: 1000 });
  t.same(
    tree.update([entry(1000, 1), entry(process.pid, 1000)]).map((member) => member.pid),
    [1000],
  );
});
