import t from 'tap';
import { writeDuration, writeSize } from '../../../config/notation.ts';
import type { Parser } from '../../../config/units.ts';
import {
  BUDGET_PATTERN,
  COUNT_PATTERN,
  DURATION_PATTERN,
  PERCENT_PATTERN,
  SIZE_PATTERN,
  parseBudget,
  parseCount,
  parseDuration,
  parsePercent,
  parseRatio,
  parseSize,
} from '../../../config/units.ts';

type Good = readonly (readonly [unknown, unknown])[];
type Bad = readonly (readonly [unknown, string, string])[];

function table(name: string, parse: Parser<unknown>, pattern: string, good: Good, bad: Bad): void {
  t.test(name, async (t) => {
    for (const [raw, value] of good) {
      t.same(parse(raw), { ok: true, value }, String(raw));
      if (typeof raw === 'string') t.match(raw, new RegExp(pattern), `an editor accepts ${raw}`);
    }
    for (const [raw, message, hint] of bad) {
      t.same(parse(raw), { ok: false, error: { message, hint } }, String(raw));
      if (/not above zero/.test(message) && typeof raw === 'string' && !raw.includes('.'))
        t.notMatch(raw, new RegExp(pattern), `an editor refuses ${raw}`);
    }
  });
}

const SIZE = 'write a size such as 512MiB, 1.5GiB or 500MB';
table(
  'sizes',
  (raw) => parseSize(raw),
  SIZE_PATTERN,
  [
    ['512MiB', 536_870_912],
    ['512 MiB', 536_870_912],
    ['1Gi', 1_073_741_824],
    ['1.5GiB', 1_610_612_736],
    ['500MB', 500_000_000],
    ['4kB', 4000],
    ['4KB', 4000],
    ['4KiB', 4096],
    ['1048576B', 1_048_576],
    ['1TiB', 1_099_511_627_776],
    ['0.5MiB', 524_288],
  ],
  [
    ['512M', '"512M" could mean two sizes', 'write 512MiB or 512MB'],
    ['512m', '"512m" could mean two sizes', 'write 512MiB or 512MB'],
    ['512K', '"512K" could mean two sizes', 'write 512KiB or 512KB'],
    ['1.5g', '"1.5g" could mean two sizes', 'write 1.5GiB or 1.5GB'],
    ['512mib', '"512mib" is not a size', 'write 512MiB'],
    ['512mb', '"512mb" is not a size', 'write 512MB'],
    ['512', '"512" has no unit', 'write 512MiB or 512B'],
    [1_048_576, '1048576 has no unit', 'write 1MiB'],
    [1_048_577, '1048577 has no unit', 'write 1048577B'],
    [0, '0 is not above zero', SIZE],
    [-1, '-1 is not a size', SIZE],
    [Number.NaN, 'NaN is not a size', SIZE],
    [Number.POSITIVE_INFINITY, 'Infinity is not a size', SIZE],
    ['0MiB', '"0MiB" is not above zero', 'write at least 1B'],
    ['0', '"0" has no unit', 'write at least 1B'],
    ['0.1', '"0.1" has no unit', 'write 0.1MiB'],
    ['0M', '"0M" could mean two sizes', 'write at least 1B'],
    ['0mib', '"0mib" is not a size', 'write at least 1B'],
    ['9999T', '"9999T" could mean two sizes', 'at most 1024TiB'],
    ['0.1B', '"0.1B" is not above zero', 'write at least 1B'],
    ['-5MiB', '"-5MiB" is not a size', 'it must be above zero'],
    ['1,5GiB', '"1,5GiB" is not a size', 'use a point for decimals and nothing between thousands'],
    ['9999TiB', '"9999TiB" is too large', 'at most 1024TiB'],
    ['9'.repeat(400), `"${'9'.repeat(43)}…"`.concat(' is not a size'), SIZE],
    ['1e9B', '"1e9B" is not a size', SIZE],
    ['5constructor', '"5constructor" is not a size', SIZE],
    ['', '"" is not a size', SIZE],
    [null, 'has no value', SIZE],
    [true, 'must be a size', SIZE],
    [['1MiB'], 'must be a size', SIZE],
  ],
);

const DURATION = 'write a duration such as 250ms, 30s, 5m or 1h30m';
table(
  'durations',
  (raw) => parseDuration(raw),
  DURATION_PATTERN,
  [
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['5m30s', 330_000],
    ['1m5ms', 60_005],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
  ],
  [
    [30, '30 has no unit', 'write 30s or 30ms'],
    ['30', '"30" is not a duration', 'write 30s or 30ms'],
    ['5min', '"5min" is not a duration', 'write 5m'],
    ['10 seconds', '"10 seconds" is not a duration', 'write 10s'],
    ['30m1h', '"30m1h" is not a duration', DURATION],
    ['0s', '"0s" is not above zero', 'write at least 1ms'],
    ['0', '"0" is not a duration', 'write at least 1ms'],
    ['0min', '"0min" is not a duration', 'write at least 1ms'],
    ['9999 days', '"9999 days" is not a duration', 'at most 365d'],
    ['-5s', '"-5s" is not a duration', 'it must be above zero'],
    ['9999d', '"9999d" is too large', 'at most 365d'],
    ['', '"" is not a duration', DURATION],
    [null, 'has no value', DURATION],
    [{}, 'must be a duration', DURATION],
  ],
);

const PERCENT = 'write percent of one core such as 50% or 200%';
table(
  'percent of one core',
  (raw) => parsePercent(raw),
  PERCENT_PATTERN,
  [
    ['50%', 50],
    ['12.5%', 12.5],
    ['150 %', 150],
    ['6400%', 6400],
  ],
  [
    [50, '50 has no unit', 'write 50%'],
    [1.5, '1.5 has no unit', 'write 1.5% or, for 1.5 cores, 150%'],
    ['50', '"50" is not a percentage', 'write 50%'],
    ['500m', '"500m" is not a percentage', 'write 50%'],
    ['0%', '"0%" is not above zero', 'write at least 1%'],
    ['0.5%', '"0.5%" is too small', 'write at least 1%'],
    ['0.5', '"0.5" is not a percentage', 'for 0.5 cores write 50%'],
    [0.5, '0.5 has no unit', 'for 0.5 cores write 50%'],
    ['0', '"0" is not a percentage', 'write at least 1%'],
    ['5m', '"5m" is not a percentage', 'write at least 1%'],
    ['999999', '"999999" is not a percentage', 'at most 409600%'],
    ['half', '"half" is not a percentage', PERCENT],
    [null, 'has no value', PERCENT],
  ],
);

table(
  'shares of a limit',
  (raw) => parseRatio(raw),
  PERCENT_PATTERN,
  [
    ['70%', 0.7],
    ['150%', 1.5],
  ],
  [
    [0.7, '0.7 has no unit', 'write 70%'],
    ['0.7', '"0.7" is not a share of the limit', 'write 70%'],
    ['70', '"70" is not a share of the limit', 'write 70%'],
    ['0', '"0" is not a share of the limit', 'write at least 1%'],
    [0.001, '0.001 has no unit', 'write at least 1%'],
    ['0%', '"0%" is not above zero', 'write at least 1%'],
    ['5000%', '"5000%" is too large', 'at most 1000%'],
  ],
);

const COUNT = 'write a whole number such as 1024';
table(
  'counts',
  (raw) => parseCount(raw),
  COUNT_PATTERN,
  [
    [1024, 1024],
    ['1024', 1024],
    [1, 1],
  ],
  [
    [0, '0 is not above zero', 'write at least 1'],
    [-1, '-1 is not above zero', 'write at least 1'],
    [1.5, '1.5 is not a whole number', COUNT],
    [Number.NaN, 'NaN is not a whole number', COUNT],
    [1e300, '1e+300 is too large', 'at most 1000000000'],
    ['1_024', '"1_024" is not a whole number', COUNT],
    ['1,024', '"1,024" is not a whole number', 'use a point for decimals and nothing between thousands'],
    ['0x10', '"0x10" is not a whole number', COUNT],
    [null, 'has no value', COUNT],
    [[], 'must be a count', COUNT],
  ],
);

const BUDGET = 'write how often in what time, such as 5/10m';
table(
  'budgets',
  parseBudget,
  BUDGET_PATTERN,
  [
    ['5/10m', { budget: 5, windowMs: 600_000 }],
    ['1/1h30m', { budget: 1, windowMs: 5_400_000 }],
  ],
  [
    ['0/10m', '"0/10m" allows nothing', 'to never restart write strategy: stop'],
    ['5/10', '"5/10" is not a budget', 'write 10s'],
    ['x/10m', '"x/10m" is not a budget', COUNT],
    ['5', '"5" is not a budget', BUDGET],
    [5, 'must be a budget', BUDGET],
    ['5/10m/2', '"5/10m/2" is not a budget', BUDGET],
  ],
);

t.test('what is written is read back as the same', async (t) => {
  for (const bytes of [1, 1023, 1024, 1025, 536_870_912, 1_073_741_824, 1_000_000_000]) {
    t.same(parseSize(writeSize(bytes)), { ok: true, value: bytes });
  }
  for (const ms of [1, 999, 1000, 61_001, 5_400_000, 86_400_000, 90_061_001]) {
    t.same(parseDuration(writeDuration(ms)), { ok: true, value: ms });
  }
});

t.test('no message moves the cursor of a terminal', async (t) => {
  const parsed = parseSize('1\u001b[31m\u0085\u202eMiB');
  t.notOk(parsed.ok);
  // eslint-disable-next-line no-control-regex
  if (!parsed.ok) t.notMatch(parsed.error.message, /[\u0000-\u001f\u007f-\u009f\u202e]/);
});
