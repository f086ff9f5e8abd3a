import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PAGE_BYTES } from '../../../lib/os/procfs/memory-total.ts';
import { TreeReader } from '../../../lib/os/procfs/tree-reader.ts';
import { lacks } from '../../helpers/skip.ts';

const ALL = { memory: true, cpu: true, tasks: true };

interface Fake {
  readonly state?: string;
  readonly ticks?: number;
  readonly threads?: number;
  readonly pages?: number;
  readonly start?: number;
  readonly links?: Readonly<Record<string, string>>;
  readonly rollup?: string;
}

/** Writes what the kernel would show of a process. */
function put(root: string, pid: number, fake: Fake): void {
  const { state = 'S', ticks = 0, threads = 1, pages = 0, start = 100, links = {}, rollup } = fake;
  const directory = join(root, String(pid));
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, 'stat'),
    `${pid} (fake) ${state} 1 1 1 0 -1 0 0 0 0 0 ${ticks} 0 0 0 20 0 ${threads} 0 ${start} 0 ${pages} 0`,
  );
  if (rollup !== undefined) writeFileSync(join(directory, 'smaps_rollup'), rollup);
  const fds = join(directory, 'fd');
  mkdirSync(fds, { recursive: true });
  for (const [fd, target] of Object.entries(links)) {
    rmSync(join(fds, fd), { force: true });
    symlinkSync(target, join(fds, fd));
  }
}

t.test('sums over a tree', { skip: lacks('linux') }, async (t) => {
  const root = t.testdir({});
  const reader = new TreeReader({ procRoot: root, tempDir: null, parts: ALL });
  t.teardown(() => reader.close());
  put(root, 10, { ticks: 100, threads: 3, pages: 50, links: { 0: '/dev/null', 5: 'socket:[900]', 6: 'socket:[901]' } });
  put(root, 11, { ticks: 7, threads: 1, pages: 5, links: { 0: 'pipe:[3]', 4: 'socket:[900]' } });
  const sample = reader.sample([10, 11], 5000, false);
  t.match(sample, {
    alive: 2,
    fileHandles: { kind: 'measured', value: 5, quality: 'exact', atMs: 5000 },
    sockets: { value: 2 },
    memory: { value: 55 * PAGE_BYTES, quality: 'rss-sum' },
    cpuTimeMs: { value: 1070 },
    tasks: { value: 4 },
    tempStorage: { kind: 'unsupported' },
  });
  t.equal(reader.sample([10, 11], 6000, false), sample, 'the object is reused');
});

t.test('sockets follow what is opened and closed', { skip: lacks('linux') }, async (t) => {
  const root = t.testdir({});
  const reader = new TreeReader({ procRoot: root, tempDir: null, parts: ALL });
  t.teardown(() => reader.close());
  put(root, 10, { links: { 3: 'socket:[1]', 4: 'socket:[1]' } });
  t.match(reader.sample([10], 0, false).sockets, { value: 1 }, 'one socket, two handles');
  put(root, 10, { links: { 5: 'socket:[2]' } });
  t.match(reader.sample([10], 1, false).sockets, { value: 2 });
  put(root, 10, { links: { 5: '/dev/null' } });
  t.match(reader.sample([10], 2, false).sockets, { value: 2 }, 'same number of handles: not looked at again yet');
  t.match(reader.sample([10], 3, true).sockets, { value: 1 }, 'a fresh look finds it');
  put(root, 10, { links: { 5: 'socket:[2]' } });
  t.match(
    reader.sample([10], 40_000, false).sockets,
    { value: 1 },
    'a process that did not run cannot have changed anything',
  );
  put(root, 10, { ticks: 1 });
  t.match(reader.sample([10], 60_001, false).sockets, { value: 2 }, 'one that ran is looked at again in time');
  put(root, 10, { ticks: 1, links: { 5: '/dev/null' } });
  t.match(reader.sample([10], 100_000, false).sockets, { value: 2 });
  t.match(reader.sample([10], 121_000, false).sockets, { value: 1 }, 'and the idle one too, after a minute');
  put(root, 10, { ticks: 1, links: { 5: 'socket:[2]' } });
  t.match(reader.sample([10], 121_001, true).sockets, { value: 2 });
  put(root, 11, { links: { 3: 'socket:[2]' } });
  t.match(reader.sample([10, 11], 121_002, false).sockets, { value: 2 }, 'a child shares its parent’s');
  t.match(reader.sample([11], 121_003, false).sockets, { value: 1 }, 'the parent is gone, the child still has it');
  t.match(reader.sample([], 121_004, false), { alive: 0, sockets: { value: 0 } });
});

t.test('a large table is read where it grew', { skip: lacks('linux') }, async (t) => {
  const root = t.testdir({});
  const reader = new TreeReader({ procRoot: root, tempDir: null, parts: ALL });
  t.teardown(() => reader.close());
  put(root, 10, { links: Object.fromEntries(Array.from({ length: 300 }, (_, fd) => [fd, `socket:[${fd + 1}]`])) });
  t.match(reader.sample([10], 0, false).sockets, { value: 300 });
  put(root, 10, { links: { 300: 'socket:[301]', 301: '/dev/null' } });
  t.match(reader.sample([10], 1, false).sockets, { value: 301 });
  rmSync(join(root, '10/fd/0'));
  t.match(reader.sample([10], 2, false), { sockets: { value: 300 }, fileHandles: { value: 301 } });
});

t.test('who ends while the tree is read is left out', { skip: lacks('linux') }, async (t) => {
  const root = t.testdir({});
  const reader = new TreeReader({ procRoot: root, tempDir: null, parts: ALL });
  t.teardown(() => reader.close());
  put(root, 10, { threads: 2, links: { 0: '/dev/null' } });
  t.match(reader.sample([10, 999], 0, false), { alive: 1, tasks: { value: 2 }, fileHandles: { value: 1 } });
  put(root, 12, { state: 'Z', ticks: 5, links: {} });
  t.match(
    reader.sample([10, 12], 1, false),
    { alive: 1, tasks: { value: 3 }, cpuTimeMs: { value: 50 } },
    'a zombie is not alive, but has a pid',
  );
});

t.test('what has ended holds nothing, also while nobody reaps it', { skip: lacks('linux') }, async (t) => {
  const root = t.testdir({});
  const reader = new TreeReader({ procRoot: root, tempDir: null, parts: ALL });
  t.teardown(() => reader.close());
  put(root, 10, { links: { 0: 'socket:[1]', 1: 'socket:[2]' } });
  put(root, 11, { links: { 0: 'socket:[2]' } });
  t.match(reader.sample([10, 11], 0, true), { fileHandles: { value: 3 }, sockets: { value: 2 } });
  put(root, 10, { state: 'Z' });
  t.match(reader.sample([10, 11], 1, false), { fileHandles: { value: 1 }, sockets: { value: 1 } });
  t.match(reader.sample([10, 11], 2, true), { sockets: { value: 1 } }, 'let go once');
  put(root, 11, { state: 'Z' });
  t.match(reader.sample([10, 11], 3, false), { alive: 0, sockets: { value: 0 } });
});

t.test('PSS is read only near the limit', { skip: lacks('linux') }, async (t) => {
  const rollup = (kib: number): string =>
    `5600-7ff ---p 00000000 00:00 0 [rollup]\nRss: 9999 kB\nPss: ${kib * 2} kB\nPss_Anon: ${kib} kB\nPss_File: ${kib} kB\nPss_Shmem: 0 kB\nSwapPss: 8 kB\n`;
  const root = t.testdir({});
  const reader = new TreeReader({ procRoot: root, tempDir: null, parts: ALL });
  t.teardown(() => reader.close());
  put(root, 10, { pages: 1000, rollup: rollup(100) });
  put(root, 11, { pages: 1000, rollup: rollup(200) });
  const limit = 2500 * PAGE_BYTES;
  reader.setMemoryLimit(limit);
  t.match(
    reader.sample([10, 11], 0, false).memory,
    { quality: 'pss', value: (100 + 200 + 16) * 1024 },
    'file pages do not count',
  );
  put(root, 10, { pages: 1010, rollup: rollup(5000) });
  t.match(
    reader.sample([10, 11], 1, false).memory,
    { quality: 'pss', value: 316 * 1024 + 10 * PAGE_BYTES },
    'moved a little: the old one, moved as much',
  );
  t.match(reader.sample([10, 11], 2, true).memory, { value: (5000 + 200 + 16) * 1024 }, 'a fresh look reads again');
  put(root, 10, { pages: 4000, rollup: rollup(6000) });
  t.match(reader.sample([10, 11], 3, false).memory, { value: (6000 + 200 + 16) * 1024 }, 'moved much: read again');
  reader.setMemoryLimit(limit * 10);
  t.match(
    reader.sample([10, 11], 4, false).memory,
    { quality: 'rss-sum', value: 5000 * PAGE_BYTES },
    'far from the limit: the cheap sum',
  );
  rmSync(join(root, '11/smaps_rollup'));
  const other = new TreeReader({ procRoot: root, tempDir: null, parts: ALL });
  t.teardown(() => other.close());
  other.setMemoryLimit(limit);
  t.match(
    other.sample([10, 11], 5, false).memory,
    { quality: 'rss-sum', value: 5000 * PAGE_BYTES },
    'not for all: for none',
  );
});

t.test('an older kernel’s rollup has no kinds', { skip: lacks('linux') }, async (t) => {
  const root = t.testdir({});
  put(root, 10, { pages: 1000, rollup: 'Rss: 9999 kB\nPss: 700 kB\nSwapPss: 0 kB\n' });
  const reader = new TreeReader({ procRoot: root, tempDir: null, parts: ALL });
  t.teardown(() => reader.close());
  reader.setMemoryLimit(1000 * PAGE_BYTES);
  t.match(reader.sample([10], 0, false).memory, { quality: 'pss', value: 700 * 1024 });
});

t.test('text that no kernel writes is an error, not a number', { skip: lacks('linux') }, async (t) => {
  const root = t.testdir({ 10: { stat: 'broken', fd: {} } });
  const reader = new TreeReader({ procRoot: root, tempDir: null, parts: ALL });
  t.teardown(() => reader.close());
  t.throws(() => reader.sample([10], 0, false), /unexpected text "broken"/);
});

t.test('only what is asked for is read', { skip: lacks('linux') }, async (t) => {
  const root = t.testdir({ 10: { stat: 'broken', fd: {} } });
  const reader = new TreeReader({ procRoot: root, tempDir: null, parts: { memory: false, cpu: false, tasks: false } });
  t.teardown(() => reader.close());
  put(root, 11, { links: { 1: '/dev/null' } });
  t.match(reader.sample([11], 0, false), {
    fileHandles: { value: 1 },
    memory: { kind: 'unsupported' },
    tasks: { kind: 'unsupported' },
  });
});
