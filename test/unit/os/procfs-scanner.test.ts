import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ScannedRun } from '../../../lib/os/procfs/scanned-run.ts';
import { ProcfsScanner } from '../../../lib/os/procfs/scanner.ts';
import { lacks } from '../../helpers/skip.ts';

const skip = lacks('linux');

interface Fake {
  readonly ppid?: number;
  readonly session?: number;
  readonly group?: number;
  readonly start?: number;
  readonly cookie?: string;
  readonly name?: string;
}

class FakeProc {
  readonly root: string;
  readonly scanner: ProcfsScanner;
  #nowMs = 0;

  constructor(root: string) {
    this.root = root;
    this.scanner = new ProcfsScanner(root);
  }

  put(pid: number, fake: Fake = {}): void {
    const { ppid = 1, session = 1, group = 1, start = UNBORN_TICKS + pid, cookie, name = 'x' } = fake;
    const directory = join(this.root, String(pid));
    mkdirSync(directory, { recursive: true });
    writeFileSync(
      join(directory, 'stat'),
      `${pid} (${name}) S ${ppid} ${group} ${session} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 ${start} 0 0`,
    );
    writeFileSync(join(directory, 'environ'), cookie === undefined ? 'A=1\0' : `A=1\0GOVERNOR_RUN=${cookie}\0`);
  }

  end(pid: number): void {
    rmSync(join(this.root, String(pid)), { recursive: true });
  }

  scan(run: ScannedRun): readonly number[] {
    this.#nowMs += 1000;
    this.scanner.scan(this.#nowMs, true);
    return [...run.pids].toSorted((a, b) => a - b);
  }
}

/** Later than any host has been up, so that a process counts as just born when it is seen first. */
const UNBORN_TICKS = 1_000_000_000_000;
/** Pids above what this machine gives out, so that none is one of our own ancestors. */
const BASE = 5_000_000;

t.test('by cookie, descent, session and group', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const run = new ScannedRun('run1');
  proc.scanner.register(run, false);
  proc.put(BASE + 1, { cookie: 'run1', session: BASE + 1, group: BASE + 1 });
  proc.put(BASE + 9, { cookie: 'run2' });
  t.same(proc.scan(run), [BASE + 1]);
  proc.put(BASE + 3, { ppid: BASE + 2 });
  proc.put(BASE + 2, { ppid: BASE + 1 });
  t.same(proc.scan(run), [BASE + 1, BASE + 2, BASE + 3], 'a grandchild, whatever the order');
  proc.put(BASE + 4, { session: BASE + 1, group: BASE + 4 });
  t.same(proc.scan(run).slice(3), [BASE + 4], 'an orphan in a session that a member made');
  proc.put(BASE + 5, { session: 1, group: BASE + 1 });
  t.same(proc.scan(run).slice(4), [BASE + 5], 'an orphan in such a group');
  proc.end(BASE + 2);
  proc.put(BASE + 3, { ppid: 1 });
  t.same(proc.scan(run), [BASE + 1, BASE + 3, BASE + 4, BASE + 5], 'once a member, always one');
});

t.test('strangers in a session that the run only was started in', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const run = new ScannedRun('run1');
  proc.scanner.register(run, false);
  proc.put(BASE + 1, { session: BASE, group: BASE });
  proc.put(BASE + 2, { session: BASE, group: BASE, cookie: 'run1' });
  proc.put(BASE + 3, { session: BASE, group: BASE });
  t.same(proc.scan(run), [BASE + 2]);
});

t.test('a session number that is somebody else’s by now', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const run = new ScannedRun('run1');
  proc.scanner.register(run, false);
  proc.put(BASE + 1, { cookie: 'run1', session: BASE + 1 });
  proc.put(BASE + 2, { cookie: 'run1', session: BASE + 2 });
  t.same(proc.scan(run), [BASE + 1, BASE + 2]);
  proc.end(BASE + 1);
  proc.put(BASE + 5, { session: BASE + 1 });
  t.same(proc.scan(run), [BASE + 2], 'no member is left in it that would prove it is still the same');
});

t.test('a pid that is used again is nobody’s', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const run = new ScannedRun('run1');
  proc.scanner.register(run, false);
  proc.put(BASE + 1, { cookie: 'run1' });
  proc.put(BASE + 2, { ppid: BASE + 1 });
  proc.scan(run);
  proc.put(BASE + 2, { start: 77_777_777 });
  t.same(proc.scan(run), [BASE + 1]);
  t.equal(proc.scanner.identityOf(run, BASE + 2), null);
});

t.test('a child that had not called exec when it was first seen', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const run = new ScannedRun('run1');
  proc.scanner.register(run, false);
  proc.put(BASE + 1);
  t.same(proc.scan(run), []);
  proc.put(BASE + 1, { cookie: 'run1' });
  t.same(proc.scan(run), [BASE + 1]);
});

t.test('an old stranger is asked again after it called exec', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const run = new ScannedRun('run1');
  proc.scanner.register(run, false);
  proc.put(BASE + 1);
  for (let round = 0; round < 10; round += 1) t.same(proc.scan(run), []);
  proc.put(BASE + 1, { cookie: 'run1', name: 'y' });
  for (let round = 0; round < 6 && run.pids.length === 0; round += 1) proc.scan(run);
  t.same(proc.scan(run), [BASE + 1]);
});

t.test('the older a stranger, the less often it is looked at, but every minute', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const run = new ScannedRun('run1');
  proc.scanner.register(run, false);
  // No pid is given out anew.
  writeFileSync(join(proc.root, 'loadavg'), '0.00 0.00 0.00 1/1 1\n');
  // Ticks since boot: there long before the first look.
  for (let pid = 1; pid <= 64; pid += 1) proc.put(BASE + pid, { start: 1 });
  t.same(proc.scan(run), []);
  for (let pid = 1; pid <= 64; pid += 1) proc.put(BASE + pid, { start: 1, cookie: 'run1', name: 'y' });
  const found: number[] = [];
  for (let second = 1; second <= 60; second += 1) found.push(proc.scan(run).length);
  t.equal(found.at(-1), 64);
  t.equal(found[0], 0, 'not at the next scan');
  const most = Math.max(...found.map((count, at) => count - (found[at - 1] ?? 0)));
  t.ok(most <= 10, `spread: at most ${most} in one scan`);
});

t.test('one that is old at the first look is asked then', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const run = new ScannedRun('run1');
  proc.scanner.register(run, false);
  proc.put(BASE + 1, { start: 1, cookie: 'run1' });
  t.same(proc.scan(run), [BASE + 1]);
});

t.test('two runs, one started by the other', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const outer = new ScannedRun('outer');
  const inner = new ScannedRun('inner');
  proc.scanner.register(outer, false);
  proc.scanner.register(inner, false);
  proc.put(BASE + 1, { cookie: 'outer' });
  proc.put(BASE + 2, { cookie: 'inner', ppid: BASE + 1 });
  proc.put(BASE + 3, { ppid: BASE + 2 });
  proc.put(BASE + 4, { cookie: 'of no run here', ppid: BASE + 1 });
  t.same(proc.scan(outer), [BASE + 1, BASE + 4], 'a made-up cookie is no way out');
  t.same([...inner.pids], [BASE + 2, BASE + 3]);
});

t.test('on the word of who started it, and a run of an earlier daemon', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const first = new ScannedRun('first');
  proc.scanner.register(first, false);
  proc.put(BASE + 1);
  proc.put(BASE + 2, { ppid: BASE + 1 });
  proc.put(BASE + 8, { cookie: 'old' });
  t.same(proc.scan(first), []);
  proc.scanner.adopt(first, { pid: BASE + 1, startTicks: UNBORN_TICKS + BASE + 1 }, 0);
  t.same([...first.pids], [BASE + 1], 'known at once');
  const old = new ScannedRun('old');
  proc.scanner.register(old, true);
  proc.scan(old);
  t.same([...old.pids], [BASE + 8]);
  t.same([...first.pids].toSorted(), [BASE + 1, BASE + 2]);
  proc.scanner.unregister(old);
  proc.scan(old);
  t.equal(proc.scanner.identityOf(old, BASE + 8), null);
});

t.test('a run with many short children does not grow', { skip }, async (t) => {
  const proc = new FakeProc(t.testdir({}));
  const run = new ScannedRun('run1');
  proc.scanner.register(run, false);
  proc.put(BASE + 1, { cookie: 'run1', session: BASE + 1 });
  for (let child = 100; child < 140; child += 1) {
    proc.put(BASE + child, { ppid: BASE + 1 });
    proc.scan(run);
    proc.end(BASE + child);
  }
  t.same(proc.scan(run), [BASE + 1]);
  t.ok(run.everPids.size <= 12, `${run.everPids.size} numbers are kept`);
});
