import t from 'tap';
import { leakLines } from '../../../../daemon/cli/leak-lines.ts';
import type { LeakSuspicionView, LeakView } from '../../../../lib/supervisor/views.ts';

const MIB = 2 ** 20;
const suspicion: LeakSuspicionView = {
  run: 'r1',
  resource: 'memory',
  unit: 'bytes',
  since: '2026-01-31T12:00:00.000Z',
  from: 60 * MIB,
  to: 75 * MIB,
  rise: 20 * MIB,
  byCall: [],
  summary: 'memory grows',
  suggestion: 'restart it',
  endedAt: null,
};
const leaks: LeakView = {
  action: 'notify',
  point: {
    cadenceMs: 1_000,
    warmUpMs: 300_000,
    windowMs: 1_800_000,
    leastRise: [
      { resource: 'memory', unit: 'bytes', amount: 4 * MIB, share: 0.06 },
      { resource: 'sockets', unit: 'count', amount: 12, share: 0 },
    ],
    outside: [],
  },
  suspected: [],
  last: null,
};

t.test('nothing is said where nothing is suspected', async (t) => {
  t.same(leakLines(leaks), []);
});

t.test('what, since when, what to do, and where the verdict stands', async (t) => {
  t.same(leakLines({ ...leaks, suspected: [suspicion, { ...suspicion, run: 'r2', resource: 'sockets' }] }), [
    'leak?     run r1 since 2026-01-31T12:00:00.000Z: memory grows',
    '          restart it',
    'leak?     run r2 since 2026-01-31T12:00:00.000Z: memory grows',
    '          restart it',
    '          judged by the floor over 30m, from 5m after the start; found from memory 4 MiB or 6 %, sockets 12 a window on',
  ]);
});

t.test('one that is none any more', async (t) => {
  const last = { ...suspicion, endedAt: '2026-01-31T13:00:00.000Z' };
  t.same(leakLines({ ...leaks, last }), [
    'leak?     not any more, ended 2026-01-31T13:00:00.000Z: run r1: memory grows',
  ]);
});
