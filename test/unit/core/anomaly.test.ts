import t from 'tap';
import { HISTORY_LEAST_MS, HISTORY_LEAST_SAMPLES, judgeAnomaly, QUIET_MS } from '../../../lib/core/anomaly.ts';
import type { NewHigh } from '../../../lib/core/anomaly.ts';
import { newRunTrack, UsageProfile } from '../../../lib/core/usage-profile.ts';
import { feed, usageAt } from '../../helpers/filled-profile.ts';
import type { Amounts } from '../../helpers/filled-profile.ts';

const MIB = 1024 ** 2;

const HIGH: NewHigh = {
  series: 'sockets',
  value: 100,
  before: 20,
  observedMs: HISTORY_LEAST_MS,
  samples: HISTORY_LEAST_SAMPLES,
  sinceLastMs: Infinity,
};

t.test('the operating point, from both sides', (t) => {
  const cases: readonly (readonly [string, Partial<NewHigh>, boolean])[] = [
    ['far above', {}, true],
    ['a history a little too short', { observedMs: HISTORY_LEAST_MS - 1 }, false],
    ['readings a few too few', { samples: HISTORY_LEAST_SAMPLES - 1 }, false],
    ['said a moment ago', { sinceLastMs: QUIET_MS - 1 }, false],
    ['said a while ago', { sinceLastMs: QUIET_MS }, true],
    ['never measured before', { before: -1 }, false],
    ['exactly twice', { value: 80, before: 40 }, true],
    ['a little below twice', { value: 79, before: 40 }, false],
    ['many times, but few', { value: 30, before: 1 }, false],
    ['from nothing', { value: 32, before: 0 }, true],
    ['memory, twice', { series: 'memory', value: 200 * MIB, before: 100 * MIB }, true],
    ['memory, twice of little', { series: 'memory', value: 100 * MIB, before: 50 * MIB }, false],
    ['a burst of processes', { series: 'tasks_rise', value: 30, before: 10 }, true],
    ['a small burst', { series: 'tasks_rise', value: 29, before: 10 }, false],
    ['CPU', { series: 'cpu', value: 400, before: 10 }, false],
    ['runtime', { series: 'runtime', value: 4e6, before: 10 }, false],
  ];
  for (const [what, change, isFound] of cases) t.equal(judgeAnomaly({ ...HIGH, ...change }) !== null, isFound, what);
  t.match(judgeAnomaly({ ...HIGH, series: 'memory', value: 900 * MIB, before: 100 * MIB }), {
    resource: 'memory',
    event: 'peak',
    factor: 2,
    detail: 'memory 900 MiB, and never more than 100 MiB in 1h of it; said from 2 times that on',
  });
  t.match(judgeAnomaly({ ...HIGH, series: 'sockets_rise' }), {
    resource: 'sockets',
    event: 'burst',
    detail: '100 more sockets within seconds, and never more than 20 in 1h of it; said from 3 times that on',
  });
  t.end();
});

interface Life {
  readonly hours: number;
  readonly amounts: Amounts | ((index: number) => Amounts);
}

/** What is found over a whole life, in its parts. */
function found(...lives: readonly Life[]): readonly string[] {
  const profile = new UsageProfile();
  const events: string[] = [];
  let lastMs = -Infinity;
  let nowMs = 0;
  profile.onNewHigh = ({ name, samples }, value, before) => {
    const { observedMs } = profile;
    const anomaly = judgeAnomaly({
      series: name,
      value,
      before,
      observedMs,
      samples,
      sinceLastMs: observedMs - lastMs,
    });
    if (anomaly === null) return;
    lastMs = observedMs;
    events.push(`${anomaly.event} ${anomaly.resource}`);
  };
  const track = newRunTrack();
  for (const { hours, amounts } of lives)
    nowMs = feed(profile, amounts, { hours, fromMs: nowMs, everyMs: 1000, track });
  return events;
}

const SERVER = { memory: 80 * MIB, tasks: 12, sockets: 6, file_handles: 30 };

t.test('ordinary lives', (t) => {
  t.same(found({ hours: 6, amounts: SERVER }), [], 'a server that does the same all day');
  t.same(
    found({
      hours: 4,
      amounts: (index) => ({ memory: (100 + (index % 600) / 4) * MIB, tasks: index % 300 < 5 ? 60 : 10 }),
    }),
    [],
    'a sawtooth, and workers that come and go',
  );
  t.same(found({ hours: 8, amounts: (index) => ({ memory: (100 + index / 100) * MIB }) }), [], 'slow growth');
  t.same(
    found({ hours: 0.4, amounts: SERVER }, { hours: 0.2, amounts: { ...SERVER, sockets: 400 } }),
    [],
    'a burst before there is a history',
  );
  t.end();
});

t.test('unusual ones', (t) => {
  const after = (amounts: Amounts): readonly string[] =>
    found({ hours: 2, amounts: SERVER }, { hours: 0.1, amounts: { ...SERVER, ...amounts } });
  t.same(after({ memory: 400 * MIB }), ['peak memory']);
  t.same(after({ sockets: 200 }), ['burst sockets'], 'once, not as a peak as well');
  t.same(after({ tasks: 30 }), ['burst tasks'], 'eighteen more within a second, and thirty are not far above twelve');
  t.same(after({ file_handles: 100 }), ['peak file_handles']);
  t.same(after({ memory: 150 * MIB, sockets: 15, tasks: 20, file_handles: 80 }), [], 'a little more of everything');
  t.end();
});

t.test('looked at once a second or ten times, a rise is the same', (t) => {
  for (const everyMs of [100, 1000]) {
    const profile = new UsageProfile();
    const track = newRunTrack();
    for (let atMs = 0; atMs <= 20_000; atMs += everyMs)
      profile.observe(usageAt(atMs, { tasks: 10 + Math.floor(atMs / 1000) }), track, false);
    const { peak } = profile.series.tasks_rise;
    t.ok(peak >= 5 && peak <= 10, `${peak} at ${everyMs} ms`);
  }
  t.end();
});
