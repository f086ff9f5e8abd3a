/** What the figure of bench:leaks stands on: that nothing held out has changed, and that its bound is right. */

import t from 'tap';
import { DEFAULT_LEAK_SETTINGS } from '../../../lib/core/leak.ts';
import { LEAST_RISE } from '../../../lib/core/leak-text.ts';
import { LEAK_RESOURCES } from '../../../lib/core/leak-test.ts';
import { evaluate } from '../../bench/leaks/evaluate.ts';
import { entailedBy } from '../../bench/leaks/entailed.ts';
import { changedSince, FROZEN } from '../../bench/leaks/frozen.ts';
import { verdictOf } from '../../bench/leaks/judged.ts';
import { leastRise, USUAL_PACE } from '../../bench/leaks/operating-point.ts';
import { HELD_OUT_PROGRAMS, TUNING_PROGRAMS } from '../../bench/leaks/programs.ts';
import { setsOf } from '../../bench/leaks/sets.ts';
import { heldOutSlowPrograms, SLOW_PROGRAMS } from '../../bench/leaks/slow-programs.ts';
import { heldOutTrials, seriesOf } from '../../bench/leaks/trials.ts';
import { lowerBound, upperBound } from '../../bench/support/proportion.ts';

t.test('what is held out is as it was committed before the detector was run on it', async (t) => {
  for (const list of FROZEN) t.same(changedSince(list), [], list);
});

t.test('the operating point of the bench is that of the product', async (t) => {
  const { warmUpMs, windowMs } = USUAL_PACE;
  t.same({ warmUpMs, windowMs }, DEFAULT_LEAK_SETTINGS);
  for (const resource of LEAK_RESOURCES) {
    const { amount, share } = LEAST_RISE[resource];
    t.equal(leastRise(resource, 0), amount, resource);
    t.equal(leastRise(resource, 2 ** 40), Math.max(amount, share * 2 ** 40), resource);
  }
});

t.test('a wrong resource is wrong, also beside the right one', async (t) => {
  const [memory, files] = [
    { resource: 'memory', atMs: 1 },
    { resource: 'temp_storage', atMs: 2 },
  ];
  t.equal(verdictOf('temp_storage', [], [files]), files);
  t.equal(verdictOf('temp_storage', [], [memory, files]), null);
  t.equal(verdictOf('temp_storage', [], [files, memory]), null);
  t.equal(verdictOf('temp_storage', [], []), null);
  t.equal(verdictOf(null, [], [memory, files]), memory);
  t.equal(verdictOf(null, [], []), null);
});

t.test('what a leak entails is neither right nor wrong; what leaks has to be named', async (t) => {
  const [files, sockets, memory] = [
    { resource: 'file_handles', atMs: 1 },
    { resource: 'sockets', atMs: 2 },
    { resource: 'memory', atMs: 3 },
  ];
  t.equal(verdictOf('sockets', ['file_handles'], [files, sockets]), sockets, 'found when it is named, not before');
  t.equal(verdictOf('sockets', ['file_handles'], [files]), null, 'what is entailed alone is not found');
  t.equal(verdictOf('sockets', ['file_handles'], [files, sockets, memory]), null, 'what is not entailed is wrong');
  t.equal(verdictOf('file_handles', [], [files, sockets]), null, 'not the other way round');
  t.equal(verdictOf(null, ['file_handles'], [files]), files, 'of what does not leak any name is wrong');
});

t.test('what is entailed is said of families that there are, and never of what leaks itself', async (t) => {
  for (const { name, leaks } of [...HELD_OUT_PROGRAMS, ...TUNING_PROGRAMS])
    t.notOk(leaks !== null && entailedBy(name).includes(leaks), name);
  for (const { name, leaks, entails } of SLOW_PROGRAMS) t.notOk(leaks !== null && entails.includes(leaks), name);
  t.same(entailedBy('sockets'), ['file_handles']);
  t.same(entailedBy('buffers'), []);
});

t.test('Clopper and Pearson: published values', async (t) => {
  t.ok(Math.abs(lowerBound(299, 299) - 0.05 ** (1 / 299)) < 1e-9);
  t.ok(Math.abs(lowerBound(95, 100) - 0.8977) < 1e-4);
  t.ok(Math.abs(upperBound(0, 300) - (1 - 0.05 ** (1 / 300))) < 1e-9);
  t.same([lowerBound(0, 10), upperBound(10, 10)], [0, 1]);
});

t.test('gate: every third held-out model; the bound of the accuracy, not its estimate', async (t) => {
  const trials = heldOutTrials().filter(({ index }) => index % 3 === 0);
  const right = trials.filter((trial) => {
    const { suspectedMs } = evaluate(trial.family.resource, seriesOf(trial), USUAL_PACE);
    return (suspectedMs !== null) === trial.family.leaking;
  }).length;
  t.ok(lowerBound(right, trials.length) > 0.95, `${right} of ${trials.length}`);
});

t.test(
  'programs of the slow pace: at least 300 that leak and 300 that do not, no two alike, each of a family of its own',
  async (t) => {
    const all = heldOutSlowPrograms();
    t.ok(all.filter(({ leaks }) => leaks !== null).length >= 300);
    t.ok(all.filter(({ leaks }) => leaks === null).length >= 300);
    t.equal(new Set(all.map(({ command }) => command.join(' '))).size, all.length);
    const known = new Set([...HELD_OUT_PROGRAMS, ...TUNING_PROGRAMS].map(({ name }) => name));
    t.same(
      SLOW_PROGRAMS.filter(({ name }) => known.has(name)),
      [],
    );
  },
);

t.test('--only: names of sets, in the order in which they run', async (t) => {
  t.same(setsOf(undefined), ['models', 'fast', 'slow']);
  t.same(setsOf('slow,models'), ['models', 'slow']);
  t.equal(setsOf('slow,all'), null);
  t.equal(setsOf(''), null);
});
