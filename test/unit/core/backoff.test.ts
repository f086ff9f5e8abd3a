import t from 'tap';
import {
  attemptsAfter,
  budgetExceeded,
  DEFAULT_BACKOFF,
  nextDelayMs,
  recentFailures,
} from '../../../lib/core/backoff.ts';

t.test('delay: doubles, ±20 %, bounded', (t) => {
  const table: readonly (readonly [number, number, number])[] = [
    [0, 0.5, 1_000],
    [1, 0.5, 2_000],
    [2, 0.5, 4_000],
    [5, 0.5, 32_000],
    [6, 0.5, 60_000],
    [0, 0, 800],
    [0, 1, 1_200],
    [3, 0, 6_400],
    [6, 0, 48_000],
    [6, 1, 60_000],
    [100_000, 0.5, 60_000],
    [-1, 0.5, 1_000],
  ];
  for (const [attempt, random01, wanted] of table) {
    t.equal(
      Math.round(nextDelayMs(attempt, DEFAULT_BACKOFF, random01)),
      wanted,
      `attempt ${attempt}, random ${random01}`,
    );
  }
  t.equal(nextDelayMs(3, { initialMs: 10, factor: 3, maxMs: 1e9 }, 0.5), 270);
  t.end();
});

t.test('budget 5/10m: the sixth failure within ten minutes is one too many', (t) => {
  const limits = { budget: 5, windowMs: 600_000 };
  t.equal(budgetExceeded([], 0, limits), false);
  t.equal(budgetExceeded([1, 2, 3, 4, 5], 6, limits), false);
  t.equal(budgetExceeded([1, 2, 3, 4, 5, 6], 6, limits), true);
  t.equal(budgetExceeded([1, 2, 3, 4, 5, 6], 600_000, limits), true, 'all six within the window');
  t.equal(budgetExceeded([1, 2, 3, 4, 5, 6], 600_001, limits), false, 'the first has left it');
  t.equal(budgetExceeded([1], 2, { budget: 0, windowMs: 10 }), true, 'a budget of nothing');
  t.same(recentFailures([1, 5, 9], 11, 6), [9]);
  t.end();
});

t.test('a healthy while clears the attempts', (t) => {
  t.equal(attemptsAfter(3, null, 1e9, 60_000), 3, 'not healthy');
  t.equal(attemptsAfter(3, 1_000, 60_999, 60_000), 3, 'not long enough');
  t.equal(attemptsAfter(3, 1_000, 61_000, 60_000), 0);
  t.end();
});
