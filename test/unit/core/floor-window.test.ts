import t from 'tap';
import { BINS, FloorWindow, KEPT_BINS, lowestOfParts } from '../../../lib/core/floor-window.ts';

function floors(window: FloorWindow): number[] {
  const into = new Float64Array(KEPT_BINS);
  return [...into.slice(0, window.read(into))];
}

t.test('a bin keeps its lowest value, and counts once the next has begun', async (t) => {
  const window = new FloorWindow();
  t.notOk(window.add(0, 5));
  t.notOk(window.add(0, 3));
  t.notOk(window.add(0, 9));
  t.same(floors(window), []);
  t.ok(window.add(1, 7));
  t.same(floors(window), [3]);
  t.ok(window.add(2, 8));
  t.same(floors(window), [3, 7]);
});

t.test('what nobody looked at is a gap, however long', async (t) => {
  const window = new FloorWindow();
  window.add(0, 1);
  window.add(3, 2);
  t.same(floors(window), [1, NaN, NaN]);
  window.add(1_000_000, 3);
  t.equal(window.closed, KEPT_BINS);
  t.ok(floors(window).every(Number.isNaN), 'nothing is known of that time');
});

t.test('it slides: the oldest go', async (t) => {
  const window = new FloorWindow();
  for (let bin = 0; bin <= BINS; bin += 1) window.add(bin, bin);
  t.ok(window.isFull);
  for (let bin = BINS + 1; bin <= 3 * BINS; bin += 1) window.add(bin, bin);
  t.same(
    floors(window),
    Array.from({ length: KEPT_BINS }, (_, at) => BINS + at),
  );
});

t.test('the lowest of equal parts, gaps left out', async (t) => {
  t.same(lowestOfParts(Float64Array.of(4, 3, 8, 9, NaN, 7, NaN, NaN), 4), [3, 8, 7, NaN]);
});
