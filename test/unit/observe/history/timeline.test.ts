import t from 'tap';
import { Timeline } from '../../../../lib/observe/history/timeline.ts';
import type { Boot, ClockReading } from '../../../../lib/observe/history/timeline.ts';

const WALL_S = 1_700_000_000;
const DAY_S = 86_400;

/** Clocks since a boot of the host. @param wallOffS what the wall clock is off by @param asleepS for how long it has slept */
const at = (uptimeS: number, wallOffS = 0, asleepS = 0): ClockReading => ({
  monotonicMs: (uptimeS - asleepS) * 1000,
  uptimeMs: uptimeS * 1000,
  wallMs: (WALL_S + uptimeS + wallOffS) * 1000,
});

t.test('instants are wall time where nobody sets the clock', async (t) => {
  const timeline = new Timeline([], null, 'a', at(100));
  t.equal(timeline.secondOf(100_000), WALL_S + 100);
  t.equal(timeline.secondOf(100_900 - 500), WALL_S + 100, 'a sample that is late counts in its second');
  t.equal(timeline.secondOf(101_000), WALL_S + 101);
  t.equal(timeline.note(at(160)), false);
  t.equal(timeline.wallOf(WALL_S + 160), WALL_S + 160);
  t.same(timeline.within(WALL_S + 120, WALL_S + 150), [{ fromS: WALL_S + 120, toS: WALL_S + 150, offsetS: 0 }]);
});

t.test('the clock is set forward by a day, and back: instants go on second by second', async (t) => {
  for (const jumpS of [DAY_S, -DAY_S]) {
    const timeline = new Timeline([], null, 'a', at(100));
    const seconds = [100, 101].map((s) => timeline.secondOf(s * 1000));
    t.equal(timeline.note(at(102, jumpS)), true);
    seconds.push(...[102, 103].map((s) => timeline.secondOf(s * 1000)));
    t.same(
      seconds,
      [100, 101, 102, 103].map((s) => WALL_S + s),
      `${jumpS}: ordered, a second apart`,
    );
    t.equal(timeline.wallOf(WALL_S + 100), WALL_S + 100 + jumpS, 'all of this boot is called by the newest clock');
    t.same(
      timeline.within(WALL_S + jumpS + 100, WALL_S + jumpS + 103),
      [{ fromS: WALL_S + 100, toS: WALL_S + 103, offsetS: jumpS }],
      'the last three seconds are found by that clock',
    );
    t.equal(timeline.note(at(104)), true);
    t.equal(timeline.wallOf(WALL_S + 104), WALL_S + 104, 'and set right again');
  }
});

t.test('the host sleeps: a gap, and what comes after lies after it', async (t) => {
  const timeline = new Timeline([], null, 'a', at(100));
  timeline.note(at(110));
  t.equal(timeline.note(at(3_700, 0, 3_590)), false, 'the wall clock went on as it does');
  t.equal(timeline.secondOf(110_000), WALL_S + 3_700);
});

t.test('another daemon within the same boot goes on, whatever the wall clock says now', async (t) => {
  const first = new Timeline([], null, 'a', at(100));
  const again = (offS: number): Timeline =>
    new Timeline(first.boots, WALL_S + 150, 'a', { ...at(160, offS), monotonicMs: 0 });
  t.equal(again(0).secondOf(0), WALL_S + 160);
  t.equal(again(-DAY_S).secondOf(0), WALL_S + 160, 'the clock was set back between');
  t.equal(again(-DAY_S).wallOf(WALL_S + 160), WALL_S + 160 - DAY_S);
  t.equal(again(-DAY_S).boots.length, 1);
});

t.test('another boot begins at its wall time, and never before the end of what is there', async (t) => {
  const before: readonly Boot[] = [{ boot: 'a', firstS: WALL_S, baseMs: 0, offsetS: 0 }];
  const later = new Timeline(before, WALL_S + 500, 'b', at(1_000));
  t.equal(later.secondOf(1_000_000), WALL_S + 1_000);
  t.equal(later.wallOf(WALL_S + 400), WALL_S + 400);

  const setBack = new Timeline(before, WALL_S + 500, 'b', at(1_000, -DAY_S));
  const first = setBack.secondOf(1_000_000);
  t.ok(first > WALL_S + 500, 'ordered');
  t.equal(setBack.wallOf(first), WALL_S + 1_000 - DAY_S, 'the clock of now is believed');
  t.ok(setBack.wallOf(WALL_S + 500) < setBack.wallOf(first), 'what came before is called something before it');
  const all = setBack.within(WALL_S - 10 * DAY_S, WALL_S + 10 * DAY_S);
  t.equal(all.length, 2);
  t.ok(all.every(({ fromS, toS }) => fromS < toS));
  t.equal(all[0]?.toS, all[1]?.fromS, 'no instant is in two stretches');

  const restored = new Timeline(
    [{ boot: 'a', firstS: WALL_S, baseMs: WALL_S * 1000, offsetS: 0 }],
    WALL_S + 900,
    'a',
    at(100),
  );
  t.ok(restored.secondOf(100_000) > WALL_S + 900, 'a machine that was set back to an earlier state of itself');
});
