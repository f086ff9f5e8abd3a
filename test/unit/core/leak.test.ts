import t from 'tap';
import { BINS } from '../../../lib/core/floor-window.ts';
import { LeakDetector } from '../../../lib/core/leak.ts';
import type { LeakChange } from '../../../lib/core/leak.ts';
import type { LeakResource } from '../../../lib/core/leak-test.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import type { Quality, Readings } from '../../../lib/core/usage.ts';
import { measured, unsupported } from '../../../lib/core/usage.ts';

const MIB = 2 ** 20;
const SECOND = 1_000;
const SETTINGS = { warmUpMs: 60 * SECOND, windowMs: 480 * SECOND };
const WINDOW = SETTINGS.windowMs / SECOND;

type Change = LeakChange & { readonly atSecond: number };

/** One reading a second of one resource; null: nobody looks. */
function feed(
  detector: LeakDetector,
  seconds: number,
  valueAt: (second: number) => number | null,
  { resource = 'memory' as LeakResource, from = 0, quality = 'cgroup' as Quality } = {},
): Change[] {
  const changes: Change[] = [];
  const none = unsupported('not read');
  for (let second = from; second < from + seconds; second += 1) {
    const value = valueAt(second);
    if (value === null) continue;
    const atMs = second * SECOND;
    const readings = Object.fromEntries(
      RESOURCES.map((name) => [name, name === resource ? measured(value, quality, atMs) : none]),
    ) as unknown as Readings;
    for (const change of detector.add({ readings, atMs }) ?? []) changes.push({ ...change, atSecond: second });
  }
  return changes;
}

const line =
  (perWindow: number, base = 60 * MIB) =>
  (second: number): number =>
    base + (perWindow * second) / WINDOW;
/** Garbage that is collected every 20 s. */
const saw =
  (bytes: number) =>
  (second: number): number =>
    (bytes * (second % 20)) / 20;

t.test('a slow leak under a tall saw is found, with where it began and what it comes to', async (t) => {
  const leak = line(8 * MIB);
  const detector = new LeakDetector(0, SETTINGS);
  const [first, ...others] = feed(detector, 60 + 2 * WINDOW, (second) => leak(second) + saw(40 * MIB)(second));
  t.match(first, { kind: 'suspected', suspicion: { resource: 'memory' } });
  t.same(others, [], 'said once');
  if (first === undefined) return;
  t.ok(first.atSecond >= 60 + WINDOW, 'not before a whole window after the warm-up');
  t.ok(first.atSecond < 60 + 1.5 * WINDOW);
  const { rise, from, to } = first.suspicion;
  t.ok(Math.abs(rise - 8 * MIB) < MIB, `${rise}`);
  t.ok(from < to && from >= 60 * MIB);
  t.equal(detector.suspicions.length, 1);
});

t.test('what is no leak', async (t) => {
  const base = 60 * MIB;
  const series: Readonly<Record<string, (second: number) => number>> = {
    'nothing at all': () => base,
    'a saw': (second) => base + saw(60 * MIB)(second),
    'a long saw': (second) => base + (40 * MIB * (second % 110)) / 110,
    'growth of the start': (second) => base + 100 * MIB * Math.min(1, second / 60),
    'a cache that fills, evenly': (second) => base + 80 * MIB * Math.min(1, second / (60 + 0.5 * WINDOW)),
    'a cache that fills, ever more slowly': (second) => base + 80 * MIB * (1 - Math.exp(-second / 100)),
    'one step': (second) => base + (second > 60 + 0.6 * WINDOW ? 50 * MIB : 0),
    'a burst': (second) => base + (second > 300 && second < 400 ? 200 * MIB : 0),
    'a wave': (second) => base + 20 * MIB * Math.sin((2 * Math.PI * second) / 100),
    'growth too slow to matter': line(MIB),
  };
  for (const [what, valueAt] of Object.entries(series))
    t.same(feed(new LeakDetector(0, SETTINGS), 60 + 4 * WINDOW, valueAt), [], what);
});

t.test('the warm-up counts from the start of the run, not from the first look', async (t) => {
  const late = new LeakDetector(0, SETTINGS);
  const [found] = feed(late, 2 * WINDOW, line(8 * MIB), { from: 3_600 });
  t.ok(found !== undefined && found.atSecond < 3_600 + 1.5 * WINDOW, 'adopted after an hour: no warm-up any more');
});

t.test('counts: handles, sockets, tasks; bytes of files', async (t) => {
  for (const resource of ['file_handles', 'sockets', 'tasks'] as const) {
    const found = feed(
      new LeakDetector(0, SETTINGS),
      60 + 2 * WINDOW,
      (s) => 30 + (s % 7) + Math.floor((20 * s) / WINDOW),
      {
        resource,
      },
    );
    t.match(found, [{ kind: 'suspected', suspicion: { resource } }], resource);
    const churn = feed(new LeakDetector(0, SETTINGS), 60 + 4 * WINDOW, (s) => 30 + ((s * 7919) % 41), { resource });
    t.same(churn, [], `${resource}: churn`);
  }
  const resource = 'temp_storage';
  const left = feed(new LeakDetector(0, SETTINGS), 60 + 2 * WINDOW, (s) => Math.floor(s / 20) * MIB, { resource });
  t.match(left, [{ suspicion: { resource } }]);
  const rotated = feed(new LeakDetector(0, SETTINGS), 60 + 4 * WINDOW, (s) => (s % 100) * MIB, { resource });
  t.same(rotated, [], 'a log that is rotated');
});

t.test('cleared when it is given back', async (t) => {
  const detector = new LeakDetector(0, SETTINGS);
  const until = 60 + 1.6 * WINDOW;
  const leak = line(16 * MIB);
  const changes = feed(detector, 60 + 4 * WINDOW, (second) => (second < until ? leak(second) : 60 * MIB));
  t.match(changes, [{ kind: 'suspected' }, { kind: 'cleared', cause: 'given back' }]);
  t.same(detector.suspicions, []);
});

t.test('cleared when it has stopped for nearly a window, not before', async (t) => {
  const detector = new LeakDetector(0, SETTINGS);
  const until = 60 + 1.6 * WINDOW;
  const leak = line(16 * MIB);
  const changes = feed(detector, 60 + 4 * WINDOW, (second) => leak(Math.min(second, until)));
  t.match(changes, [{ kind: 'suspected' }, { kind: 'cleared', cause: 'has stopped growing' }]);
  const cleared = changes[1];
  t.ok(cleared !== undefined && cleared.atSecond > until + 0.75 * WINDOW, `${cleared?.atSecond}`);
});

t.test('a gap is no flat stretch, and no rise either', async (t) => {
  const leak = line(16 * MIB);
  // Nobody looked for a third of a window: a quarter without a floor decides nothing.
  const gapFrom = 60 + 0.5 * WINDOW;
  const changes = feed(new LeakDetector(0, SETTINGS), 60 + 3 * WINDOW, (second) =>
    second > gapFrom && second < gapFrom + WINDOW / 3 ? null : leak(second),
  );
  t.match(changes, [{ kind: 'suspected' }]);
  t.ok((changes[0]?.atSecond ?? 0) > 60 + WINDOW);
  const jump = feed(new LeakDetector(0, SETTINGS), 60 + 3 * WINDOW, (second) =>
    second > 600 && second < 900 ? null : 60 * MIB + (second >= 900 ? 50 * MIB : 0),
  );
  t.same(jump, [], 'it was higher after the gap: one step');
});

t.test('sums by another rule are another series', async (t) => {
  const detector = new LeakDetector(0, SETTINGS);
  const leak = line(16 * MIB);
  t.same(feed(detector, 60 + 0.9 * WINDOW, leak, { quality: 'rss-sum' }), []);
  const from = 60 + 0.9 * WINDOW;
  const changes = feed(detector, 2 * WINDOW, leak, { from, quality: 'pss' });
  t.match(changes, [{ kind: 'suspected' }]);
  t.ok((changes[0]?.atSecond ?? 0) >= from + WINDOW, 'its window is its own');
});

/** As without a cgroup: above 70 % of the limit shared pages are split, so that the sum is smaller. */
function summed(detector: LeakDetector, second: number, rssBytes: number, limitBytes: number): Change[] {
  const isNear = rssBytes > 0.7 * limitBytes;
  const value = isNear ? rssBytes - 45 * MIB : rssBytes;
  return feed(detector, 1, () => value, { from: second, quality: isNear ? 'pss' : 'rss-sum' });
}

t.test('a saw across the line between two rules hides no leak, and is none', async (t) => {
  const leak = line(16 * MIB);
  const leaking = new LeakDetector(0, SETTINGS);
  const calm = new LeakDetector(0, SETTINGS);
  const found: Change[] = [];
  for (let second = 0; second < 60 + 3 * WINDOW; second += 1) {
    found.push(...summed(leaking, second, leak(second) + saw(120 * MIB)(second), 200 * MIB));
    t.same(summed(calm, second, 60 * MIB + saw(120 * MIB)(second), 200 * MIB), []);
  }
  t.match(found, [{ kind: 'suspected', suspicion: { resource: 'memory' } }]);
});

t.test(
  'a suspicion outlives the rule that it was found by: what another one sums is not what was given back',
  async (t) => {
    const leak = line(16 * MIB);
    const at = (until: number): { detector: LeakDetector; changes: Change[] } => {
      const detector = new LeakDetector(0, SETTINGS);
      const changes: Change[] = [];
      // Near the limit after 2.5 windows.
      for (let second = 0; second < 60 + 7 * WINDOW; second += 1)
        changes.push(...summed(detector, second, leak(Math.min(second, until)), (60 * MIB + 2.5 * 16 * MIB) / 0.7));
      return { detector, changes };
    };
    const on = at(Infinity);
    t.match(on.changes, [{ kind: 'suspected' }]);
    t.equal(on.changes.length, 1, 'it goes on growing');
    t.match(on.detector.suspicions, [{ from: Number }]);
    t.ok((on.detector.suspicions[0]?.to ?? 0) > 90 * MIB, 'and is told as it is now');
    const over = at(60 + 3 * WINDOW);
    t.match(over.changes, [{ kind: 'suspected' }, { kind: 'cleared', cause: 'has stopped growing' }]);
  },
);

t.test('what is not counted to its end yet does not grow', async (t) => {
  const fed = (isBeingFound: boolean): readonly string[] => {
    const detector = new LeakDetector(0, SETTINGS);
    const none = unsupported('not read');
    const changes: LeakChange[] = [];
    for (let second = 0; second < 60 + 2 * WINDOW; second += 1) {
      const atMs = second * SECOND;
      const readings = Object.fromEntries(RESOURCES.map((name) => [name, none])) as Record<string, unknown>;
      readings['temp_storage'] = { ...measured(Math.floor(second / 20) * MIB, 'estimate', 0), isBeingFound };
      changes.push(...(detector.add({ readings: readings as unknown as Readings, atMs }) ?? []));
    }
    return changes.map(({ kind }) => kind);
  };
  t.same([fed(false), fed(true)], [['suspected'], []]);
});

t.test('the first use begins the warm-up, unless it is suspected already', async (t) => {
  const used = new LeakDetector(0, SETTINGS);
  const usedAt = 2 * WINDOW;
  // A cache that fills with the first calls, for three quarters of a warm-up and a window.
  const cache = (second: number): number =>
    60 * MIB + 80 * MIB * Math.min(1, Math.max(0, second - usedAt) / (60 + 0.5 * WINDOW));
  t.same(feed(used, usedAt, cache), []);
  used.firstUsed(usedAt * SECOND);
  t.same(feed(used, 4 * WINDOW, cache, { from: usedAt }), []);
  const leaking = new LeakDetector(0, SETTINGS);
  t.match(feed(leaking, usedAt, line(16 * MIB)), [{ kind: 'suspected' }]);
  leaking.firstUsed(usedAt * SECOND);
  t.equal(leaking.suspicions.length, 1);
});

t.test('a directory that is walked in slices is an estimate now and then, and the same series', async (t) => {
  const detector = new LeakDetector(0, SETTINGS);
  const changes: Change[] = [];
  for (let second = 0; second < 60 + 2 * WINDOW; second += 1) {
    const quality = second % 3 === 0 ? 'estimate' : 'exact';
    const left = (at: number): number => Math.floor(at / 20) * MIB;
    changes.push(...feed(detector, 1, left, { resource: 'temp_storage', from: second, quality }));
  }
  t.match(changes, [{ kind: 'suspected', suspicion: { resource: 'temp_storage' } }]);
});

t.test('the bin of a time, and the last one that is closed', async (t) => {
  const detector = new LeakDetector(1_000, SETTINGS);
  t.equal(detector.binOf(0), -7);
  t.equal(detector.binOf(61_000), 0);
  t.equal(detector.binMs, SETTINGS.windowMs / BINS);
  feed(detector, 100, () => MIB);
  t.equal(detector.lastClosed, Math.floor((99 - 61) / 10) - 1);
  t.equal(detector.floors('memory').length, detector.lastClosed + 1);
});
