/** Memory of a tree from RSS and PSS, with processes that say what a test wants. */

import t from 'tap';
import { MemoryTotal, PAGE_BYTES } from '../../../lib/os/procfs/memory-total.ts';
import type { ProcessHandle } from '../../../lib/os/procfs/process-table.ts';

const MIB = 2 ** 20;

class Process {
  reads = 0;
  rssBytes: number;
  pss: number | null;

  constructor(rssBytes: number, pss: number | null) {
    this.rssBytes = rssBytes;
    this.pss = pss;
  }

  rssPages(): number {
    return this.rssBytes / PAGE_BYTES;
  }

  pssBytes(): number | null {
    this.reads += 1;
    return this.pss;
  }
}

function total(memory: MemoryTotal, nowMs: number, processes: readonly Process[], fresh = false): number {
  memory.begin(nowMs, fresh);
  for (const process of processes) memory.add(process as unknown as ProcessHandle);
  return memory.finish();
}

t.test('far below the limit the sum of RSS will do', async (t) => {
  const memory = new MemoryTotal();
  const process = new Process(60 * MIB, 10 * MIB);
  t.equal(total(memory, 0, [process]), 60 * MIB, 'no limit');
  memory.setLimit(100 * MIB);
  t.equal(total(memory, 1, [process]), 60 * MIB);
  t.equal(memory.quality, 'rss-sum');
  t.equal(process.reads, 0);
});

t.test('near the limit PSS is read, and again only when something moved', async (t) => {
  const memory = new MemoryTotal();
  memory.setLimit(100 * MIB);
  const second = new Process(60 * MIB, 30 * MIB);
  const processes = [new Process(60 * MIB, 30 * MIB), second];
  t.equal(total(memory, 0, processes), 60 * MIB);
  t.equal(memory.quality, 'pss');
  for (const process of processes) process.rssBytes += 1 * MIB;
  t.equal(total(memory, 100, processes), 62 * MIB, 'a little more is counted without reading');
  t.same(
    processes.map(({ reads }) => reads),
    [1, 1],
  );
  total(memory, 5000, processes);
  t.same(
    processes.map(({ reads }) => reads),
    [2, 2],
    'read again after a while',
  );
  total(memory, 5001, processes, true);
  t.same(
    processes.map(({ reads }) => reads),
    [3, 3],
    'and before an act',
  );
  second.rssBytes += 40 * MIB;
  total(memory, 5002, processes);
  t.same(
    processes.map(({ reads }) => reads),
    [4, 4],
    'and when one of them moved: what it shares is in the other',
  );
});

t.test('whoever comes or goes changes what the others share', async (t) => {
  const memory = new MemoryTotal();
  memory.setLimit(300 * MIB);
  const parent = new Process(300 * MIB, 300 * MIB);
  t.equal(total(memory, 0, [parent]), 300 * MIB);
  const child = new Process(300 * MIB, 150 * MIB);
  parent.pss = 150 * MIB;
  t.equal(total(memory, 1, [parent, child]), 300 * MIB, 'a fork is no violation');
  parent.pss = 300 * MIB;
  memory.forget(child as unknown as ProcessHandle);
  t.equal(total(memory, 2, [parent]), 300 * MIB, 'nor does an exit hide one');
});

t.test('where PSS cannot be read the sum of RSS stands', async (t) => {
  const memory = new MemoryTotal();
  memory.setLimit(100 * MIB);
  t.equal(total(memory, 0, [new Process(50 * MIB, 20 * MIB), new Process(50 * MIB, null)]), 100 * MIB);
  t.equal(memory.quality, 'rss-sum');
  t.equal(total(memory, 1, [new Process(90 * MIB, 50 * MIB), new Process(0, null)]), 50 * MIB, 'a zombie has none');
});
