import t from 'tap';
import type { Stage } from '../../../lib/core/ladder.ts';
import { rank, STAGES, THRESHOLD_STAGES } from '../../../lib/core/ladder.ts';
import { decide, initialMemory, overallStage, sameAgain, withdrawn } from '../../../lib/core/policy.ts';
import { NO_LIMITS } from '../../../lib/core/limits.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import { GONE, measured, unsupported } from '../../../lib/core/usage.ts';
import type { Reading, Readings, UsageRecord } from '../../../lib/core/usage.ts';
import { Bench, limitOf, SETTINGS, shorten } from './policy-fixture.ts';

t.test('boundaries: the stage that a steady usage settles in', (t) => {
  const table: readonly (readonly [number, Stage])[] = [
    [0, 'normal'],
    [74.99, 'normal'],
    [75, 'warning'],
    [89.99, 'warning'],
    [90, 'throttled'],
    [99.99, 'throttled'],
    [100, 'cleanup'],
    [149.99, 'cleanup'],
    [150, 'emergency'],
    [1e15, 'emergency'],
  ];
  for (const resource of RESOURCES) {
    for (const [value, stage] of table) {
      const bench = new Bench(resource, { cpuWarmUpMs: 0 });
      const seen = bench.run([value, value, value]).filter((word) => word !== '-');
      t.equal(bench.stage, stage, `${resource} at ${value}`);
      t.same(
        seen,
        stage === 'normal' ? [] : [`normal→${stage}`],
        `${resource} at ${value}: one decision, straight to the stage`,
      );
    }
  }
  t.end();
});

t.test('holds: which sample enters', (t) => {
  const table: readonly (readonly [string, readonly number[], readonly string[]])[] = [
    ['warning at the third', [80, 80, 80, 80], ['-', '-', 'normal→warning', '-']],
    ['warning at 3 of 5', [80, 10, 80, 10, 80], ['-', '-', '-', '-', 'normal→warning']],
    ['3 of 6 are not enough', [80, 10, 80, 10, 10, 80, 10], ['-', '-', '-', '-', '-', '-', '-']],
    ['throttled at the third', [95, 95, 95], ['-', '-', 'normal→throttled']],
    ['cleanup at the second', [110, 110], ['-', 'normal→cleanup']],
    ['cleanup at 2 of 3', [110, 99, 110], ['-', '-', 'normal→cleanup']],
    ['2 of 4 are not enough', [110, 70, 70, 110], ['-', '-', '-', '-']],
    ['emergency at the first', [150], ['normal→emergency']],
    ['higher samples count for lower stages', [80, 95, 110], ['-', '-', 'normal→warning']],
    [
      'one step at a time when usage climbs',
      [80, 80, 80, 95, 95, 95, 110, 110, 160],
      ['-', '-', 'normal→warning', '-', '-', 'warning→throttled', '-', 'throttled→cleanup', 'cleanup→emergency'],
    ],
    ['the latest sample must lie in the stage', [110, 110 * 0.9, 70], ['-', '-', '-']],
  ];
  for (const [name, values, wanted] of table) t.same(new Bench().run(values), wanted, name);
  t.end();
});

t.test('exit: two in a row below threshold less margin', (t) => {
  const table: readonly (readonly [string, readonly number[], readonly string[]])[] = [
    [
      'warning is left below 70',
      [80, 80, 80, 70, 70, 69.9, 69.9],
      ['-', '-', 'normal→warning', '-', '-', '-', 'warning→normal'],
    ],
    [
      'one above in between starts anew',
      [80, 80, 80, 69, 71, 69, 69],
      ['-', '-', 'normal→warning', '-', '-', '-', 'warning→normal'],
    ],
    ['throttled falls to warning', [95, 95, 95, 84.9, 84.9], ['-', '-', 'normal→throttled', '-', 'throttled→warning']],
    ['throttled holds at 85', [95, 95, 95, 85, 85, 85], ['-', '-', 'normal→throttled', '-', '-', '-']],
    ['cleanup falls to where usage is', [110, 110, 20, 20], ['-', 'normal→cleanup', '-', 'cleanup→normal']],
    ['cleanup holds at 95', [110, 110, 95, 95], ['-', 'normal→cleanup', '-', '-']],
    ['emergency falls to cleanup', [160, 144, 144], ['normal→emergency', '-', 'emergency→cleanup']],
    ['emergency holds at 145', [160, 145, 145], ['normal→emergency', '-', '-']],
  ];
  for (const [name, values, wanted] of table) t.same(new Bench().run(values), wanted, name);
  t.end();
});

t.test('re-arm: samples from before a stage was left do not help to enter again', (t) => {
  const bench = new Bench();
  bench.run([80, 80, 80, 80, 80, 60, 60]);
  t.equal(bench.stage, 'normal');
  t.same(bench.run([80, 80, 80]), ['-', '-', 'normal→warning']);
  t.end();
});

t.test('figures of a decision', (t) => {
  const bench = new Bench();
  bench.run([80, 81]);
  t.same(bench.step(82), [
    {
      kind: 'enter',
      resource: 'memory',
      from: 'normal',
      to: 'warning',
      cause: 'samples',
      usage: 82,
      limit: 100,
      ratio: 0.82,
    },
  ]);
  bench.run([50]);
  t.same(bench.step(40), [
    { kind: 'leave', resource: 'memory', from: 'warning', to: 'normal', usage: 40, limit: 100, ratio: 0.4 },
  ]);
  t.end();
});

t.test('quiet after an action: same and lower stages wait, higher ones do not', (t) => {
  const bench = new Bench();
  bench.run([110, 110]);
  bench.acted('cleanup');
  bench.withdrawn('normal');
  t.same(bench.run([95, 95, 95, 110, 110]), ['-', '-', '-', '-', '-'], 'lower and same stage');
  t.same(bench.run([160]), ['normal→emergency'], 'a higher one at once');

  const later = new Bench();
  later.run([110, 110]);
  later.acted('cleanup');
  later.withdrawn('normal');
  later.run([110], { afterMs: 14_000 });
  t.same(later.run([110], { afterMs: 999 }), ['-'], 'one ms before the end');
  t.same(later.run([110], { afterMs: 1 }), ['normal→cleanup'], 'at the end');

  const two = new Bench();
  two.acted('emergency');
  two.clock.advance(10_000);
  two.acted('warning');
  two.clock.advance(6_000);
  t.same(
    two.run([80, 80, 80], { afterMs: 0, ageMs: -1 }),
    ['-', '-', '-'],
    'the reading does not get newer: not counted',
  );
  t.same(
    two.run([110, 110]),
    ['-', 'normal→cleanup'],
    'the quiet time of the higher stage is over, that of the lower one does not hold it',
  );
  t.end();
});

t.test('repeat: still in an acting stage when the quiet time is over', (t) => {
  const bench = new Bench();
  bench.run([110, 110]);
  bench.acted('cleanup');
  t.same(bench.run([110, 110], { afterMs: 7_000 }), ['-', '-'], 'not before');
  t.same(bench.run([110], { afterMs: 1_000 }), ['cleanup↻']);
  t.same(bench.run([110, 110]), ['-', '-'], 'once each quiet time, also when nobody says that it acted');
  t.same(bench.run([110], { afterMs: 14_000 }), ['cleanup↻']);
  t.same(bench.run([97, 97], { afterMs: 20_000 }), ['-', '-'], 'samples no longer hold the stage');

  const emergency = new Bench();
  emergency.run([160]);
  emergency.acted('emergency');
  t.same(emergency.run([160, 160], { afterMs: 8_000 }), ['-', 'emergency↻']);

  const throttled = new Bench('memory', { escalateAfterMs: { ...SETTINGS.escalateAfterMs, memory: null } });
  throttled.run([95, 95, 95]);
  throttled.acted('throttled');
  t.same(throttled.run([95, 95], { afterMs: 20_000 }), ['-', '-'], 'a throttle is not repeated');

  const told = new Bench('cpu', { cpuWarmUpMs: 0 });
  told.run([110, 110]);
  t.same(told.run([110, 110], { afterMs: 20_000 }), ['-', '-'], 'a stage that only tells is told once');
  t.end();
});

t.test('repeat after the fall from emergency to cleanup', (t) => {
  const bench = new Bench();
  bench.run([160]);
  bench.acted('emergency');
  t.same(bench.run([120, 120]), ['-', 'emergency→cleanup']);
  t.same(bench.run([120], { afterMs: 15_000 }), ['cleanup↻']);
  t.end();
});

t.test('deadline: a throttle that lasts is cleaned up', (t) => {
  const bench = new Bench();
  bench.run([95, 95, 95]);
  t.same(bench.run([95], { afterMs: 29_999 }), ['-']);
  const [decision] = bench.step(95, { afterMs: 1 });
  t.same(decision, {
    kind: 'enter',
    resource: 'memory',
    from: 'throttled',
    to: 'cleanup',
    cause: 'deadline',
    usage: 95,
    limit: 100,
    ratio: 0.95,
  });

  const between = new Bench();
  between.run([95, 95, 95]);
  t.same(
    between.run([86], { afterMs: 30_000 }),
    ['throttled→cleanup (deadline)'],
    'between exit and entry is throttled still',
  );

  const entered = new Bench();
  entered.run([95, 95, 95, 86]);
  t.same(
    entered.run([86, 86, 86], { afterMs: 30_000 }),
    ['throttled→cleanup (deadline)', '-', 'cleanup→warning'],
    'left by samples taken after the deadline only',
  );

  const left = new Bench();
  left.run([95, 95, 95, 84, 84]);
  t.same(left.run([84, 84], { afterMs: 30_000 }), ['-', '-'], 'left in time');

  const again = new Bench();
  again.run([95, 95, 95]);
  again.clock.advance(20_000);
  again.run([84, 84, 95, 95, 95]);
  t.equal(again.stage, 'throttled');
  t.same(again.run([95], { afterMs: 20_000 }), ['-'], 'the deadline counts from the last entry');

  const cached = new Bench('sockets');
  cached.run([95, 95, 95]);
  cached.clock.advance(27_000);
  cached.run([95]);
  t.same(
    cached.run([95], { afterMs: 2_000, ageMs: 2_000 }),
    ['throttled→cleanup (deadline)'],
    'a cached reading that is not stale is evidence enough',
  );

  const stale = new Bench('sockets');
  stale.run([95, 95, 95]);
  t.same(stale.run([95], { afterMs: 31_000, ageMs: 31_000 }), ['-'], 'a stale one is not');
  t.same(
    new Bench('cpu', { cpuWarmUpMs: 0 }).run([95, 95, 95, 95], { afterMs: 60_000 }),
    ['-', '-', 'normal→throttled', '-'],
    'cpu has no deadline',
  );

  const falling = new Bench();
  falling.run([99, 99, 99]);
  t.same(
    falling.run([84, 86], { afterMs: 30_000 }),
    ['-', 'throttled→cleanup (deadline)'],
    'not on a sample that falls fast',
  );
  t.end();
});

t.test('stall: a throttled tree that makes no progress for want of memory', (t) => {
  const stall = (share: number | null): { kernel: { memoryStall: number | null } } => ({
    kernel: { memoryStall: share },
  });
  const bench = new Bench();
  bench.run([95, 95, 95]);
  t.same(bench.run([95, 95], stall(0.6)), ['-', 'throttled→cleanup (stall)'], 'two seconds');

  const broken = new Bench();
  broken.run([95, 95, 95]);
  t.same(
    [...broken.run([95], stall(0.6)), ...broken.run([95], stall(0.5)), ...broken.run([95], stall(0.6))],
    ['-', '-', '-'],
    'in one piece, above the share',
  );
  t.same(broken.run([95], stall(null)), ['throttled→cleanup (stall)'], 'an unknown share interrupts nothing');

  const early = new Bench();
  t.same(
    early.run([95, 95, 95, 95, 95], stall(1)),
    ['-', '-', 'normal→throttled', '-', 'throttled→cleanup (stall)'],
    'counted from the throttle on',
  );
  const warned = new Bench();
  t.same(
    warned.run([80, 80, 80, 80, 80, 80], stall(1)),
    ['-', '-', 'normal→warning', '-', '-', '-'],
    'only while throttled',
  );
  const other = new Bench('sockets');
  t.same(other.run([95, 95, 95, 95, 95, 95], stall(1)), ['-', '-', 'normal→throttled', '-', '-', '-'], 'only memory');
  const unread = new Bench();
  unread.run([95, 95, 95]);
  t.same(unread.run([null, null, null], stall(1)), ['-', '-', '-'], 'not without a reading');
  t.end();
});

t.test('starvation: opt-in, per core, after the warm-up', (t) => {
  const starved = { kernel: { cpuThrottledMs: 600 } };
  const starvation = { share: 0.5, forMs: 5_000 };
  t.same(
    new Bench('cpu', { cpuWarmUpMs: 0 })
      .run(
        Array.from({ length: 12 }, () => 95),
        starved,
      )
      .filter((word) => word !== '-'),
    ['normal→throttled'],
    'off by default',
  );

  const bench = new Bench('cpu', { starvation, cpuWarmUpMs: 0 });
  t.same(bench.run([95, 95, 95, 95, 95, 95, 95, 95], starved), [
    '-',
    '-',
    'normal→throttled',
    '-',
    '-',
    '-',
    '-',
    'throttled→cleanup (starvation)',
  ]);
  t.same(
    bench.run([99, 99, 99, 99, 99], starved),
    ['-', '-', '-', '-', 'cleanup↻ (starvation)'],
    'has to build up anew',
  );

  const capped = new Bench('cpu', { starvation, cpuWarmUpMs: 0 });
  capped.run([101, 101]);
  t.equal(capped.stage, 'cleanup', 'by usage alone, which only tells');
  t.same(capped.run([101, 101, 101, 101, 101], starved), ['-', '-', '-', '-', 'cleanup↻ (starvation)']);

  t.same(
    capped.run([101, 101, 101, 101, 101], starved),
    ['-', '-', '-', '-', 'cleanup↻ (starvation)'],
    'and each time anew',
  );

  const relieved = new Bench('cpu', { starvation, cpuWarmUpMs: 0 });
  relieved.run([95, 95, 95, 95, 95, 95], starved);
  relieved.run([95], { kernel: { cpuThrottledMs: 500 } });
  t.same(relieved.run([95, 95, 95, 95], starved), ['-', '-', '-', '-'], 'exactly the share is not above it');

  const warm = new Bench('cpu', { starvation, cpuWarmUpMs: 10_000 });
  t.same(
    warm
      .run(
        Array.from({ length: 13 }, () => 95),
        starved,
      )
      .filter((word) => word !== '-'),
    ['normal→throttled'],
    'the warm-up counts for nothing',
  );
  t.end();
});

t.test('cpu is not judged in the warm-up', (t) => {
  const bench = new Bench('cpu');
  t.same(
    bench.run([400, 400, 400, 400, 400, 400, 400, 400, 400], {}),
    Array.from({ length: 9 }, () => '-'),
  );
  t.same(bench.run([95, 95, 95], {}), ['-', '-', 'normal→throttled'], 'and earlier samples do not count');
  t.equal(new Bench('memory').run([400])[0], 'normal→emergency', 'other resources have none');
  t.end();
});

t.test('kernel: an OOM kill is an emergency at once', (t) => {
  const oom = { kernel: { oomKills: 1 } };
  const table: readonly (readonly [string, Parameters<Bench['step']>[1], number, number])[] = [
    ['with a reading', { ...oom }, 42, 0.42],
    ['without a reading: the limit stands in', { ...oom, reading: unsupported('x') }, 100, 1],
    ['tree gone', { ...oom, reading: GONE }, 100, 1],
  ];
  for (const [name, options, usage, ratio] of table) {
    const bench = new Bench();
    t.same(
      bench.step(42, options),
      [
        {
          kind: 'enter',
          resource: 'memory',
          from: 'normal',
          to: 'emergency',
          cause: 'kernel',
          usage,
          limit: 100,
          ratio,
        },
      ],
      name,
    );
  }
  const known = new Bench();
  known.step(97);
  t.match(known.step(null, oom), [{ usage: 97, cause: 'kernel' }], 'the last known usage');
  const left = new Bench();
  left.step(73);
  t.match(left.step(0, oom), [{ usage: 73, ratio: 0.73 }], 'what the kill has left is not what was held');
  t.match(new Bench().step(0, oom), [{ usage: 100, ratio: 1 }], 'never a zero that nobody used');
  const peak = new Bench();
  peak.step(73);
  t.match(
    peak.step(0, { kernel: { oomKills: 1, memoryPeakBytes: 150 } }),
    [{ usage: 150, limit: 100, ratio: 1.5 }],
    "the kernel's own account",
  );

  const again = new Bench();
  again.step(50, oom);
  t.same(again.run([50], oom), ['emergency↻ (kernel)']);
  again.acted('emergency');
  t.same(again.run([160], oom), ['-'], 'quiet');

  const stalled = new Bench();
  t.same(stalled.run([50], { ...oom, stalled: true }), ['-'], 'not acted on by a stalled daemon');
  t.same(stalled.run([50]), ['normal→emergency (kernel)'], 'but not lost');
  t.same(stalled.run([50, 50]), ['-', 'emergency→normal'], 'and told once; two samples later it is over');

  t.same(new Bench('memory', {}, null).run([50], oom), ['-'], 'no limit, no ladder');
  t.same(new Bench('tasks').run([50], oom), ['-'], 'memory only');
  t.end();
});

t.test('one-way: runtime enters at once and never leaves by itself', (t) => {
  const bench = new Bench('runtime');
  t.same(bench.run([74.9, 75, 90, 100, 150]), [
    '-',
    'normal→warning',
    'warning→throttled',
    'throttled→cleanup',
    'cleanup→emergency',
  ]);
  t.same(bench.run([10, 10, 10]), ['-', '-', '-']);

  const raised = new Bench('runtime');
  raised.run([80]);
  raised.setLimit(1000);
  t.same(raised.run([81, 82]), ['warning→normal', '-'], 'a raised limit is another deadline');
  t.same(raised.run([751]), ['normal→warning']);
  const lowered = new Bench('runtime');
  lowered.run([80]);
  lowered.setLimit(82);
  t.same(lowered.run([81.5, 82]), ['warning→throttled', 'throttled→cleanup']);
  t.end();
});

t.test('usage that falls fast is left alone, except in an emergency', (t) => {
  const bench = new Bench();
  t.same(bench.run([140, 119, 118]), ['-', '-', 'normal→cleanup'], 'a fall of 15 % withholds, the next sample decides');
  const just = new Bench();
  t.same(just.run([140, 119.1]), ['-', 'normal→cleanup'], 'less than 15 % does not');
  const throttled = new Bench();
  t.same(throttled.run([130, 96, 95, 94]), ['-', '-', 'normal→throttled', '-']);
  const emergency = new Bench();
  t.same(emergency.run([200, 160]), ['normal→emergency', '-']);
  const held = new Bench();
  held.acted('emergency');
  held.run([300]);
  t.same(held.run([200], { afterMs: 15_000 }), ['normal→emergency'], 'emergency is not withheld');
  const warning = new Bench();
  t.same(warning.run([99, 99, 80]), ['-', '-', 'normal→warning'], 'a warning is only told');
  const repeat = new Bench();
  repeat.run([140, 140]);
  t.same(repeat.run([110, 110], { afterMs: 16_000 }), ['-', 'cleanup↻'], 'repeats are withheld too');
  t.end();
});

t.test('what is not fresh neither counts nor clears', (t) => {
  const bench = new Bench();
  bench.run([110]);
  t.same(bench.run([null, null, null]), ['-', '-', '-'], 'unsupported');
  t.same(bench.run([10], { reading: GONE }), ['-'], 'gone');
  t.same(bench.run([200], { ageMs: 5_001, afterMs: 10_000 }), ['-'], 'stale');
  t.same(bench.run([200], { stalled: true }), ['-'], 'stalled');
  t.same(bench.run([Number.NaN, Infinity]), ['-', '-'], 'not a number');
  t.same(bench.run([110]), ['normal→cleanup'], 'the sample from before still counts');
  t.same(bench.run([1, 1, 1, 1], { stalled: true }), ['-', '-', '-', '-'], 'a stalled record clears nothing');
  t.same(bench.run([1], { ageMs: 5_000, afterMs: 10_000 }), ['-'], 'just not stale');
  t.same(bench.run([1]), ['cleanup→normal']);

  const cached = new Bench('sockets');
  const reading = measured(110, 'exact', cached.clock.monotonicMs() + 500);
  t.same(cached.run([null, null, null], { reading }), ['-', '-', '-'], 'the same census counts once');
  t.end();
});

t.test('a stalled record escalates nothing by time', (t) => {
  const bench = new Bench();
  bench.run([95, 95, 95]);
  t.same(bench.run([95], { afterMs: 60_000, stalled: true, kernel: { memoryStall: 1 } }), ['-']);
  t.equal(bench.stage, 'throttled');
  t.end();
});

t.test('limits that change on a running tool', (t) => {
  const lowered = new Bench();
  lowered.run([60, 60, 60]);
  lowered.setLimit(50);
  t.same(lowered.run([60]), ['normal→cleanup'], 'flagged at the next sample');
  const raised = new Bench();
  raised.run([110, 110]);
  raised.setLimit(1000);
  t.same(raised.run([110]), ['cleanup→normal']);
  const removed = new Bench();
  removed.run([95, 95, 95]);
  removed.setLimit(null);
  t.same(removed.step(95), [
    { kind: 'leave', resource: 'memory', from: 'throttled', to: 'normal', usage: 95, limit: 100, ratio: 0.95 },
  ]);
  t.same(removed.run([95, 200]), ['-', '-'], 'and that is all');
  removed.setLimit(100);
  t.same(removed.run([110, 110]), ['-', 'normal→cleanup'], 'a new limit starts with empty windows');
  const thresholds = new Bench();
  thresholds.run([60, 60, 60]);
  thresholds.setLimit(
    limitOf('memory', 100, { thresholds: { warning: 0.5, throttled: 0.7, cleanup: 0.9, emergency: 1.2 } }),
  );
  t.same(thresholds.run([60]), ['normal→warning'], 'changed thresholds likewise');
  t.end();
});

t.test('inodes: the larger ratio counts', (t) => {
  const bench = new Bench('temp_storage', {}, limitOf('temp_storage', 100, { inodes: 10 }));
  t.same(bench.run([5, 5], { inodes: 11 }), ['-', 'normal→cleanup']);
  t.match(bench.step(5, { inodes: 15 }), [{ to: 'emergency', usage: 5, limit: 100, ratio: 1.5 }]);
  const bytes = new Bench('temp_storage', {}, limitOf('temp_storage', 100, { inodes: 10 }));
  t.same(bytes.run([110, 110]), ['-', 'normal→cleanup'], 'where inodes were not read, bytes alone');
  t.end();
});

t.test('withdrawn: the stage falls back, windows are empty', (t) => {
  const bench = new Bench();
  bench.run([110, 110]);
  bench.withdrawn('warning');
  t.equal(bench.stage, 'warning');
  t.same(bench.run([110, 110]), ['-', 'warning→cleanup'], 'the hold is needed again');
  t.same(bench.memory.resources.sockets, initialMemory(100_000).resources.sockets, 'other resources are not touched');
  t.end();
});

t.test('the window: the last samples in order, and what was is never written over', (t) => {
  const bench = new Bench();
  const seen = (memory = bench.memory): readonly number[] => memory.resources.memory.recent.map(({ value }) => value);
  bench.run([1, 2, 3]);
  t.same(seen(), [1, 2, 3]);
  bench.run([4, 5]);
  const full = bench.memory;
  bench.run([6, 7]);
  t.same(seen(), [3, 4, 5, 6, 7]);
  t.same(seen(full), [1, 2, 3, 4, 5], 'of an earlier step');
  bench.settings = { ...bench.settings, warning: { needed: 2, of: 3 }, throttled: { needed: 2, of: 3 } };
  bench.run([8]);
  t.same(seen(), [6, 7, 8], 'settings that look at fewer');
  bench.settings = SETTINGS;
  bench.run([9, 10, 11]);
  t.same(seen(), [7, 8, 9, 10, 11]);
  t.end();
});

t.test('steady: what the same readings again would not change', (t) => {
  const record = (atMs: number, memoryStall: number | null, value = 10): UsageRecord => ({
    runId: 'run',
    atMs,
    stalled: false,
    readings: { ...allReadings(unsupported('not part of the test')), memory: measured(value, 'cgroup', atMs) },
    kernel: { oomKills: 0, cpuThrottledMs: 0, memoryStall },
  });
  const limits = { ...NO_LIMITS, memory: limitOf('memory') };
  let memory = initialMemory(0);
  const step = (next: UsageRecord): boolean => {
    const verdict = decide(memory, next, limits, SETTINGS, next.atMs);
    memory = verdict.memory;
    return verdict.steady;
  };
  for (let second = 1; second <= 5; second += 1) t.notOk(step(record(second * 1_000, null)), `sample ${second}`);
  t.ok(step(record(6_000, null)), 'a full window of the same value');
  const same = record(7_000, null);
  t.same(sameAgain(memory, same), decide(memory, same, limits, SETTINGS, 7_000).memory);
  t.notOk(step(record(8_000, 0.9)), 'stalled on memory');
  t.ok(step(record(9_000, 0)));
  t.notOk(step(record(10_000, 0, 11)), 'another value');
  memory = initialMemory(0);
  for (let second = 1; second <= 9; second += 1) t.notOk(step(record(second * 1_000, null, 80)), 'at a stage');
  t.end();
});

t.test('overall stage', (t) => {
  const memory = initialMemory(0);
  t.equal(overallStage(memory), 'normal');
  t.equal(overallStage(withdrawn(withdrawn(memory, 'tasks', 'throttled', 0), 'cpu', 'warning', 0)), 'throttled');
  t.end();
});

t.test('property: a ramp that only rises never de-escalates; every decision is a valid step', (t) => {
  let seed = 42;
  const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let round = 0; round < 300; round++) {
    const resource = RESOURCES[round % RESOURCES.length] ?? 'memory';
    const ramp = new Bench(resource);
    let value = 0;
    let highest = 0;
    for (let sample = 0; sample < 60; sample++) {
      value += random() * 6;
      for (const decision of ramp.step(random() < 0.1 ? null : value, {
        afterMs: random() * 3000,
        stalled: random() < 0.1,
      })) {
        if (decision.kind === 'leave') t.fail(`round ${round}: ${shorten(decision)} on a ramp`);
      }
      if (rank(ramp.stage) < highest) t.fail(`round ${round}: de-escalated to ${ramp.stage}`);
      highest = rank(ramp.stage);
    }
    if (highest < rank('cleanup')) t.fail(`round ${round}: a ramp to ${value} % ended in ${ramp.stage}`);
  }
  t.pass('ramps');
  for (let round = 0; round < 300; round++) {
    const resource = RESOURCES[round % RESOURCES.length] ?? 'memory';
    const walk = new Bench(resource, { starvation: { share: 0.5, forMs: 3_000 } });
    let size = 0;
    for (let sample = 0; sample < 100; sample++) {
      const stage = walk.stage;
      if (random() < 0.1) walk.acted(THRESHOLD_STAGES[Math.floor(random() * 4)] ?? 'warning');
      if (random() < 0.05) walk.setLimit(random() < 0.2 ? null : 50 + random() * 100);
      const kernel = {
        oomKills: random() < 0.02 ? 1 : 0,
        cpuThrottledMs: random() * 2000,
        memoryStall: random() < 0.3 ? null : random(),
      };
      const decisions = walk.step(random() < 0.2 ? null : random() * 200, {
        afterMs: random() * 8000,
        ageMs: random() * 6000,
        stalled: random() < 0.1,
        kernel,
      });
      if (decisions.length > 1) t.fail(`round ${round}: more than one decision`);
      for (const decision of decisions) {
        const up = Math.sign(rank(decision.to) - rank(decision.from));
        const wanted = { enter: 1, repeat: 0, leave: -1 }[decision.kind];
        if (up !== wanted || decision.from !== stage || decision.to !== walk.stage)
          t.fail(`round ${round}: ${decision.kind} ${shorten(decision)} from ${stage} to ${walk.stage}`);
        if (!Number.isFinite(decision.ratio) || !Number.isFinite(decision.usage))
          t.fail(`round ${round}: ${JSON.stringify(decision)}`);
      }
      if (decisions.length === 0 && walk.stage !== stage)
        t.fail(`round ${round}: ${stage} became ${walk.stage} without a decision`);
      if (sample === 50) size = JSON.stringify(walk.memory).length;
    }
    if (JSON.stringify(walk.memory).length > size + 600) t.fail(`round ${round}: the memory grows`);
  }
  t.pass('walks');
  t.equal(STAGES.length, 5);
  t.end();
});

t.test('pure: same arguments, same answer, arguments untouched', (t) => {
  const bench = new Bench();
  bench.run([95, 95]);
  const freeze = <T>(value: T): T => {
    if (typeof value === 'object' && value !== null) {
      Object.values(value).forEach(freeze);
      Object.freeze(value);
    }
    return value;
  };
  const memory = freeze(bench.memory);
  const record = freeze({
    runId: 'run',
    atMs: 200_000,
    stalled: false,
    readings: {
      ...Object.fromEntries(RESOURCES.map((resource) => [resource, GONE])),
      memory: measured(95, 'cgroup', 200_000),
    },
    kernel: { oomKills: 0, cpuThrottledMs: 0, memoryStall: 0.1 },
  }) as Parameters<typeof decide>[1];
  t.same(
    decide(memory, record, bench.limits, SETTINGS, 200_000),
    decide(memory, record, bench.limits, SETTINGS, 200_000),
  );
  t.same(decide(memory, record, bench.limits, SETTINGS, 200_000).decisions.map(shorten), ['normal→throttled']);
  t.same(JSON.parse(JSON.stringify(memory)), memory, 'a plain value');
  t.end();
});

function allReadings(reading: Reading): Readings {
  return Object.fromEntries(RESOURCES.map((resource) => [resource, reading])) as Readings;
}
