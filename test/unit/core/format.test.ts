import t from 'tap';
import { formatAmount, formatBytes, formatDuration, formatRatio } from '../../../lib/core/format.ts';

const BYTES = [
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1 KiB'],
  [1536, '1.5 KiB'],
  [1024 * 1024 - 1, '1 MiB'],
  [432_013_312, '412 MiB'],
  [1.5 * 1024 ** 3, '1.5 GiB'],
  [-2048, '-2 KiB'],
  [9e18, '7993.6 PiB'],
] as const;

const DURATIONS = [
  [0, '0ms'],
  [0.25, '0.3ms'],
  [250, '250ms'],
  [999.6, '1s'],
  [1500, '1.5s'],
  [9960, '10s'],
  [30_000, '30s'],
  [59_999, '1m'],
  [90_000, '1m30s'],
  [3_600_000, '1h'],
  [3_605_000, '1h'],
  [5_400_000, '1h30m'],
  [183_600_000, '2d3h'],
  [-1500, '-1.5s'],
] as const;

t.test('bytes', async (t) => {
  for (const [bytes, shown] of BYTES) t.equal(formatBytes(bytes), shown);
});

t.test('durations', async (t) => {
  for (const [ms, shown] of DURATIONS) t.equal(formatDuration(ms), shown);
});

t.test('amounts in the unit of their resource', async (t) => {
  t.equal(formatAmount('memory', 1024 ** 3), '1 GiB');
  t.equal(formatAmount('temp_storage', 4096), '4 KiB');
  t.equal(formatAmount('cpu', 87.46), '87.5%');
  t.equal(formatAmount('tasks', 1024), '1024');
  t.equal(formatAmount('runtime', 5000), '5s');
  t.equal(formatRatio(0.7), '70%');
});
