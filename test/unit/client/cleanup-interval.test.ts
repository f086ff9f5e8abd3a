import t from 'tap';
import { checkedMs, cleanupIntervalMs, DEFAULT_CLEANUP_INTERVAL_MS } from '../../../lib/client/cleanup-interval.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';

const read = (text?: string): number =>
  cleanupIntervalMs(text === undefined ? {} : { RESOURCE_CLEANUP_INTERVAL: text });

t.test('milliseconds', async (t) => {
  t.equal(DEFAULT_CLEANUP_INTERVAL_MS, 300_000);
  t.equal(read(), 300_000);
  t.equal(read(''), 300_000, 'as if it were not set');
  t.equal(read('1'), 1);
  t.equal(read('60000'), 60_000);
  t.equal(read('2147483647'), 2_147_483_647);
});

t.test('anything else is refused with what would be right', async (t) => {
  for (const bad of [
    '0',
    '-1',
    '1.5',
    '1e3',
    '60s',
    ' 60000',
    '0x10',
    'NaN',
    'Infinity',
    '2147483648',
    '99999999999',
  ]) {
    t.throws(() => read(bad), isGovernorError('invalid_config'), bad);
    t.throws(() => read(bad), {
      message: `RESOURCE_CLEANUP_INTERVAL is ${JSON.stringify(bad)}: it must be a whole number of milliseconds from 1 to 2147483647, such as 300000 (5 minutes, the default)`,
    });
  }
  t.throws(() => read('9'.repeat(10_000)), { message: /^.{0,250}$/ }, 'and is not repeated whole');
});

t.test('times given in code', async (t) => {
  t.equal(checkedMs('idleMs', 0, 0), 0);
  for (const bad of [Number.NaN, Infinity, -1, 2 ** 31])
    t.throws(() => checkedMs('idleMs', bad, 0), isGovernorError('invalid_request'));
  t.throws(() => checkedMs('deadlineMs', 0, 1), {
    message: 'deadlineMs is 0: it must be a number of milliseconds from 1 to 2147483647',
  });
});
