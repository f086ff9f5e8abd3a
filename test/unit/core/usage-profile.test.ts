import t from 'tap';
import { restoreProfile } from '../../../lib/core/profile-state.ts';
import { newRunTrack, UsageProfile } from '../../../lib/core/usage-profile.ts';
import { feed, filledProfile, usageAt } from '../../helpers/filled-profile.ts';

const MIB = 1024 ** 2;
const HOUR_MS = 3_600_000;

t.test('memory counts by the peak of each window, not by sample', (t) => {
  const profile = new UsageProfile();
  // One sample of an hour at 800 MiB, 719 at 100 MiB: by samples the 99th percentile would be 100 MiB.
  feed(profile, (index) => ({ memory: (index % 720 === 300 ? 800 : 100) * MIB }), { hours: 10 });
  t.ok((profile.percentile('memory', 0.99) ?? 0) >= 800 * MIB);
  t.ok((profile.percentile('memory', 0.5) ?? 0) >= 800 * MIB, 'every window had that peak');
  t.end();
});

t.test('the window that is open counts already', (t) => {
  const profile = filledProfile({ hours: 0.2, memory: 100 * MIB });
  t.ok((profile.percentile('memory', 0.5) ?? 0) >= 100 * MIB);
  t.end();
});

t.test('CPU counts by time, however often it is sampled', (t) => {
  const profile = new UsageProfile();
  const track = newRunTrack();
  // An hour at 10 %, looked at each 5 s; then a minute at 100 %, looked at ten times a second.
  const thenMs = feed(profile, { cpu: 10 }, { hours: 1, track });
  feed(profile, { cpu: 100 }, { hours: 1 / 60, fromMs: thenMs, everyMs: 100, track });
  t.ok((profile.percentile('cpu', 0.95) ?? Infinity) < 12);
  t.ok((profile.percentile('cpu', 0.99) ?? 0) >= 100);
  t.end();
});

t.test('what cannot be read is no zero', (t) => {
  const profile = filledProfile({ hours: 2, memory: 5 * MIB });
  for (const name of ['cpu', 'file_handles', 'sockets', 'temp_storage', 'tasks', 'inodes', 'sockets_rise'] as const) {
    t.equal(profile.series[name].samples, 0, name);
    t.equal(profile.percentile(name, 0.5), null, name);
  }
  t.equal(profile.series.sockets.unsupported, 'no sockets here');
  t.equal(profile.series.memory.unsupported, null);
  t.end();
});

t.test('observed is what was sampled: not the time between runs, and not twice for two runs', (t) => {
  const profile = new UsageProfile();
  const [one, two] = [newRunTrack(), newRunTrack()];
  for (let second = 0; second <= 100; second++) {
    profile.observe(usageAt(second * 1000, { memory: MIB }), one, false);
    profile.observe(usageAt(second * 1000 + 3, { memory: MIB }), two, false);
  }
  t.equal(Math.round(profile.observedMs), 100_003);
  profile.observe(usageAt(50 * HOUR_MS, { memory: MIB }), one, false);
  t.equal(Math.round(profile.observedMs), 100_003, 'the gap was not observed');
  t.end();
});

t.test('the runtime of calls: what is open; of a whole run: when it is over', (t) => {
  const ofCalls = new UsageProfile();
  feed(ofCalls, (index) => ({ runtime: index % 10 === 5 ? 1_500 : 0 }), { hours: 2, ofCalls: true });
  const found = ofCalls.percentile('runtime', 0.05) ?? 0;
  t.ok(found >= 1_500 && found < 1_700, 'times without a call are no calls of 0 ms');
  const whole = new UsageProfile();
  feed(whole, (index) => ({ runtime: index * 5_000 }), { hours: 2 });
  t.equal(whole.percentile('runtime', 0.99), null);
  whole.noteRuntime(2 * HOUR_MS);
  t.ok((whole.percentile('runtime', 0.99) ?? 0) >= 2 * HOUR_MS);
  t.end();
});

t.test('how many came within seconds', (t) => {
  const profile = new UsageProfile();
  const track = newRunTrack();
  // Slowly from 10 to 100 over 90 s, then 40 more at once.
  for (let second = 0; second <= 90; second++)
    profile.observe(usageAt(second * 1000, { sockets: 10 + second }), track, false);
  const slowly = profile.series.sockets_rise.peak;
  t.ok(slowly > 0 && slowly <= 10, `${slowly} in 5 to 10 s`);
  profile.observe(usageAt(91_000, { sockets: 140 }), track, false);
  t.ok(profile.series.sockets_rise.peak >= 40);
  const second = new UsageProfile();
  second.observe(usageAt(0, { sockets: 500 }), newRunTrack(), false);
  t.equal(second.series.sockets_rise.peak, 0, 'the first look at a run is no rise');
  t.end();
});

t.test('a kernel OOM kill bumps memory from what was held, and not without end', (t) => {
  for (const [cap, peak, expectedMib] of [
    [300 * MIB, undefined, 360],
    [300 * MIB, 250 * MIB, 300],
    [null, 250 * MIB, 300],
    // What was seen is more than nothing: 100 MiB + 20 %.
    [null, undefined, 120],
    [20 * MIB, undefined, 120],
  ] as const) {
    const profile = filledProfile({ hours: 0.1, memory: 100 * MIB });
    profile.noteOomKill(cap, peak);
    t.equal(profile.series.memory.bumps, 1);
    t.equal(profile.series.memory.peak / MIB, expectedMib, `${cap} ${peak}`);
    for (let again = 0; again < 20; again++) profile.noteOomKill(cap, peak);
    t.equal(profile.series.memory.peak / MIB, expectedMib, 'the same again');
  }
  const tiny = filledProfile({ hours: 0.1, memory: 2 * MIB });
  tiny.noteOomKill(null, 2 * MIB);
  t.equal(tiny.series.memory.peak, 18 * MIB, 'at least 16 MiB more');
  t.end();
});

t.test('a bump is in the history after its window', (t) => {
  const profile = filledProfile({ hours: 24, memory: 100 * MIB });
  profile.noteOomKill(300 * MIB, undefined);
  feed(profile, { memory: 100 * MIB }, { hours: 5, fromMs: 30 * HOUR_MS });
  t.ok((profile.percentile('memory', 0.99) ?? 0) >= 360 * MIB);
  t.ok((profile.percentile('memory', 0.5) ?? 0) < 110 * MIB);
  t.end();
});

t.test('a new high is told, with what was the highest before', (t) => {
  const profile = filledProfile({ hours: 3, memory: 100 * MIB });
  const told: [string, number, number][] = [];
  profile.onNewHigh = ({ name }, value, before) => told.push([name, value, before]);
  feed(profile, { memory: 90 * MIB }, { hours: 1, fromMs: 20 * HOUR_MS });
  t.same(told, []);
  feed(profile, { memory: 300 * MIB }, { hours: 3, fromMs: 40 * HOUR_MS });
  t.equal(told.length, 1);
  t.match(told[0], ['memory', 300 * MIB]);
  t.ok((told[0]?.[2] ?? 0) >= 100 * MIB && (told[0]?.[2] ?? 0) < 107 * MIB, 'known to a bucket');
  t.end();
});

t.test('kept and read again', (t) => {
  const profile = new UsageProfile();
  feed(profile, (index) => ({ memory: (100 + (index % 50)) * MIB, cpu: index % 90, sockets: index % 7 }), {
    hours: 30,
  });
  profile.bump('sockets', 40);
  const text = JSON.stringify(profile.state());
  t.ok(text.length < 8 * 1024, `${text.length} characters`);
  const again = restoreProfile(JSON.parse(text)) ?? new UsageProfile();
  t.equal(again.observedMs, profile.observedMs);
  for (const name of ['memory', 'cpu', 'sockets'] as const) {
    t.equal(again.series[name].samples, profile.series[name].samples);
    t.equal(again.series[name].bumps, profile.series[name].bumps);
    t.equal(again.percentile(name, 0.95), profile.percentile(name, 0.95), name);
  }
  t.equal(again.series.sockets.ceiling, 48);
  t.equal(again.percentile('tasks', 0.5), null);
  t.end();
});

t.test('what is no state is refused, whatever it is', (t) => {
  const good = JSON.parse(JSON.stringify(filledProfile({ hours: 2, memory: MIB }).state())) as {
    observedMs: number;
    series: { memory: Record<string, unknown> };
  };
  t.ok(restoreProfile(good));
  const { memory } = good.series;
  for (const [key, value] of [
    ['samples', -1],
    ['samples', null],
    ['peak', 'x'],
    ['windowLeftMs', -5],
    ['first', 1e9],
    ['weights', {}],
    ['weights', [null]],
    ['bumps', undefined],
  ] as const)
    t.equal(
      restoreProfile({ ...good, series: { memory: { ...memory, [key]: value } } }),
      null,
      `${key} ${String(value)}`,
    );
  for (const state of [null, 1, [], {}, { observedMs: -1, series: {} }, { ...good, series: { heat: memory } }])
    t.equal(restoreProfile(state), null, JSON.stringify(state));
  t.end();
});
