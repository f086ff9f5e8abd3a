import t from 'tap';
import { FdLinks } from '../../../lib/os/procfs/fd-links.ts';
import type { HandleState, ProcessHandle } from '../../../lib/os/procfs/process-table.ts';
import { TreeSockets } from '../../../lib/os/procfs/tree-sockets.ts';

/** One process with the sockets that a test gives it. */
class FakeHandle {
  readonly pid: number;
  readonly links = new FdLinks(null);
  readonly stat = { ownTicks: 0 };
  inodes: readonly number[];
  state: HandleState = 'ok';
  /** CPU time, as a read of its stat would find it. */
  ticks = 0;
  linkReads = 0;

  constructor(pid: number, inodes: readonly number[]) {
    this.pid = pid;
    this.inodes = inodes;
  }

  get fdCount(): number {
    return this.inodes.length;
  }

  readStat(): HandleState {
    this.stat.ownTicks = this.ticks;
    return 'ok';
  }

  readLinks(): HandleState {
    this.linkReads += 1;
    if (this.state === 'ok') {
      this.links.sockets = [...this.inodes];
      this.links.count = this.inodes.length;
    }
    return this.state;
  }

  get real(): ProcessHandle {
    return this as unknown as ProcessHandle;
  }
}

t.test('a socket counts once, until the last who has it open lets go', async (t) => {
  const sockets = new TreeSockets(false);
  const [parent, child] = [new FakeHandle(10, [900, 901, 901]), new FakeHandle(11, [900])];
  for (const { real } of [parent, child]) sockets.read(real, 0, false);
  t.equal(sockets.size, 2);
  sockets.forget(parent.real);
  t.equal(sockets.size, 1, 'the child still has one');
  t.same([parent.links.sockets, parent.links.count], [[], -1]);
  child.inodes = [];
  sockets.read(child.real, 1, false);
  t.equal(sockets.size, 0);
  child.inodes = [5];
  sockets.read(child.real, 2, false);
  sockets.clear();
  t.equal(sockets.size, 0);
});

t.test('links are read when their number changes, in time, and when asked for', async (t) => {
  for (const mustReadStat of [true, false]) {
    const sockets = new TreeSockets(mustReadStat);
    const handle = new FakeHandle(0, [900]);
    const reads = (nowMs: number, fresh = false): number => {
      const before = handle.linkReads;
      if (!mustReadStat) handle.readStat();
      sockets.read(handle.real, nowMs, fresh);
      return handle.linkReads - before;
    };
    t.equal(reads(0), 1, 'the first time');
    t.equal(reads(9_999), 0);
    t.equal(reads(9_999, true), 1, 'asked for');
    handle.inodes = [900, 901];
    t.equal(reads(10_000), 1, 'one more');
    handle.ticks += 1;
    t.equal(reads(19_998), 0);
    handle.inodes = [900, 902];
    t.equal(reads(19_999), 1, 'it has run: one may have taken the place of another');
    t.equal(reads(29_999), 0, 'it has not run since');
    t.equal(reads(69_999), 0);
    t.equal(reads(79_999), 1, 'after a minute all the same');
  }
});

t.test('what cannot be read is said, until the next round', async (t) => {
  const sockets = new TreeSockets(false);
  const handle = new FakeHandle(10, [900]);
  handle.state = 'denied';
  sockets.read(handle.real, 0, false);
  const other = new FakeHandle(11, [901]);
  other.state = 'exhausted';
  sockets.read(other.real, 0, false);
  t.match(sockets.denied, { kind: 'unsupported', reason: /process 10/ }, 'the first of several');
  sockets.begin();
  t.equal(sockets.denied, null);
  sockets.read(other.real, 0, false);
  t.match(sockets.denied, { kind: 'unsupported', reason: /EMFILE/ });
  sockets.begin();
  handle.state = 'gone';
  sockets.read(handle.real, 0, false);
  t.equal(sockets.denied, null, 'who is gone has none');
});
