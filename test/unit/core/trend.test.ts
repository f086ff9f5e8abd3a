import t from 'tap';
import { forecast, riseTest, trendOf } from '../../../lib/core/trend.ts';

t.test('Mann and Kendall: a known series, by hand', async (t) => {
  // S = 10 of 10 pairs, variance 5·4·15/18 = 16.67: z = 9 / 4.082.
  const { z, p } = riseTest([1, 2, 3, 4, 5]);
  t.ok(Math.abs(z - 2.2045) < 1e-3, `${z}`);
  t.ok(Math.abs(p - 0.01374) < 1e-4, `${p}`);
  t.ok(riseTest([5, 4, 3, 2, 1]).p > 0.98, 'one-sided: falling is no rise');
});

t.test('ties say nothing, gaps are left out', async (t) => {
  const flat = riseTest([7, 7, 7, 7, 7, 7]);
  t.equal(flat.z, 0);
  t.ok(Math.abs(flat.p - 0.5) < 1e-6);
  t.same(riseTest([1, NaN, 2, 3, NaN, 4, 5]), riseTest([1, 2, 3, 4, 5]));
  t.ok(riseTest([1, 1, 1, 2, 2, 2]).p < 0.05);
});

t.test('the median slope shrugs off an outlier, and its interval holds the truth', async (t) => {
  const noisy = Array.from({ length: 24 }, (_, at) => 100 + 3 * at + (at % 2 === 0 ? 2 : -2));
  noisy[11] = 10_000;
  const trend = trendOf(noisy, 1_000);
  t.ok(trend !== null);
  if (trend === null) return;
  t.ok(Math.abs(trend.slopePerMs * 1_000 - 3) < 0.2, `${trend.slopePerMs}`);
  t.ok(trend.lowPerMs * 1_000 <= 3 && 3 <= trend.highPerMs * 1_000);
  t.ok(trend.lowPerMs > 0);
  t.equal(trend.points, 24);
});

t.test('too few points are no trend', async (t) => {
  t.equal(trendOf([1, 2, 3, 4, 5], 1_000), null);
  t.equal(trendOf([1, NaN, NaN, 2, 3, 4, 5], 1_000), null);
  t.ok(trendOf([1, 2, 3, 4, 5, 6], 1_000) !== null);
});

t.test('until the limit: expected, at the earliest, at the latest', async (t) => {
  const trend = { slopePerMs: 2, lowPerMs: 1, highPerMs: 4, p: 0.01, points: 24 };
  t.same(forecast(trend, 100, 900), { inMs: 400, earliestMs: 200, latestMs: 800, confidence: 0.99 });
  t.equal(forecast({ ...trend, lowPerMs: -1 }, 100, 900)?.latestMs, null, 'perhaps never');
  t.equal(forecast({ ...trend, slopePerMs: -2, lowPerMs: -3 }, 100, 900), null);
  t.equal(forecast({ ...trend, slopePerMs: 0 }, 100, 900), null);
  t.match(forecast(trend, 900, 900), { inMs: 0, latestMs: 0 }, 'it is there');
});
