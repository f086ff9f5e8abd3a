import t from 'tap';
import { CpuTotal } from '../../../lib/os/procfs/cpu-total.ts';
import { ProcStat } from '../../../lib/os/procfs/stat.ts';

interface Process {
  readonly pid: number;
  readonly own: number;
  readonly children?: number;
  readonly start?: number;
}

function stat({ pid, own, children = 0, start = 100 }: Process): ProcStat {
  const parsed = new ProcStat();
  const text = Buffer.from(`${pid} (x) S 1 1 1 0 -1 0 0 0 0 0 ${own} 0 ${children} 0 20 0 1 0 ${start} 0 0`);
  if (!parsed.parse(text, text.length)) throw new Error('the fixture is no stat line');
  return parsed;
}

function round(total: CpuTotal, processes: readonly Process[]): number {
  total.begin();
  for (const process of processes) total.add(process.pid, stat(process));
  return total.finish();
}

t.test('the living are summed', async (t) => {
  const total = new CpuTotal();
  t.equal(
    round(total, [
      { pid: 1, own: 10 },
      { pid: 2, own: 5 },
    ]),
    15,
  );
  t.equal(
    round(total, [
      { pid: 1, own: 12 },
      { pid: 2, own: 8 },
    ]),
    20,
  );
});

t.test('a child that its parent waited for is not counted twice', async (t) => {
  const total = new CpuTotal();
  round(total, [
    { pid: 1, own: 10 },
    { pid: 2, own: 50 },
  ]);
  t.equal(round(total, [{ pid: 1, own: 10, children: 52 }]), 62);
});

t.test('an orphan that nobody of the tree waited for stays in the total', async (t) => {
  const total = new CpuTotal();
  round(total, [
    { pid: 1, own: 10 },
    { pid: 2, own: 50 },
  ]);
  t.equal(round(total, [{ pid: 1, own: 11 }]), 61);
  t.equal(round(total, [{ pid: 1, own: 12 }]), 62, 'and is not added again');
});

t.test('one waited for, one lost, in the same round', async (t) => {
  const total = new CpuTotal();
  round(total, [
    { pid: 1, own: 0 },
    { pid: 2, own: 30 },
    { pid: 3, own: 40 },
  ]);
  t.equal(round(total, [{ pid: 1, own: 0, children: 30 }]), 70);
});

t.test('a pid that was used again is another process', async (t) => {
  const total = new CpuTotal();
  round(total, [{ pid: 2, own: 30, start: 100 }]);
  t.equal(round(total, [{ pid: 2, own: 1, start: 200 }]), 31);
});

t.test('never falls, not even when all end', async (t) => {
  const total = new CpuTotal();
  round(total, [{ pid: 1, own: 30 }]);
  t.equal(round(total, []), 30);
  t.equal(round(total, []), 30);
});
