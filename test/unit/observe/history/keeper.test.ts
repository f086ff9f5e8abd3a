/** Rows on disk and back: tiers, gaps, restarts, clocks, totals, bounds. */

import { statSync } from 'node:fs';
import { join } from 'node:path';
import Libsql from 'libsql';
import t from 'tap';
import { CALLS_MAX } from '../../../../lib/observe/history/totals.ts';
import { historyStand, START_S, USUAL } from '../../../helpers/history-stand.ts';
import type { HistoryStand } from '../../../helpers/history-stand.ts';
import { temporaryDirectory } from '../../../helpers/temp-directory.ts';
import type { TestScope } from '../../../helpers/fixture.ts';

function stand(t: TestScope, options: Parameters<typeof historyStand>[1] = {}): HistoryStand {
  const made = historyStand(join(temporaryDirectory(t), 'history.db'), options);
  t.teardown(() => made.close());
  return made;
}

/** The values of a resource in a document. */
const memory = (document: ReturnType<HistoryStand['document']>) =>
  document.resources.find(({ resource }) => resource === 'memory') ?? { mean: [], min: [], max: [] };

t.test('each second as it was; what could not be taken is null, and a gap is a gap', async (t) => {
  const history = stand(t);
  history.begin(0, 'docs', 'run1', 'chat');
  history.live(0, 5, (second) => ({ memory: 100 + second, tasks: 3 }));
  history.advance(3_000);
  history.live(0, 2, () => ({ memory: 0, tasks: 3 }));
  const document = history.document({ tool: 'docs', fromS: START_S, stepS: 1 });
  t.equal(document.at[0], new Date(START_S * 1000).toISOString());
  t.same(document.runs.slice(0, 10), [1, 1, 1, 1, 1, 0, 0, 0, 1, 1]);
  t.same(memory(document).mean.slice(0, 10), [100, 101, 102, 103, 104, null, null, null, 0, 0]);
  const cpu = document.resources.find(({ resource }) => resource === 'cpu');
  t.ok(
    cpu?.mean.every((value) => value === null),
    'never read: never a zero',
  );
  t.same(
    history.document({ tool: 'docs', fromS: START_S, stepS: 5, resources: ['tasks'] }).resources,
    [{ resource: 'tasks', unit: 'count', mean: [3, 3, null], min: [3, 3, null], max: [3, 3, null] }].map((column) => ({
      ...column,
      mean: column.mean.slice(0, document.at.length > 10 ? 3 : 2),
      min: column.min.slice(0, document.at.length > 10 ? 3 : 2),
      max: column.max.slice(0, document.at.length > 10 ? 3 : 2),
    })),
  );
});

t.test('several readings a second: lowest, mean and highest', async (t) => {
  const history = stand(t);
  history.begin(0, 'docs', 'run1');
  for (const value of [10, 40, 10]) {
    history.read(0, { memory: value, cpu: 12.5 });
    history.advance(100);
  }
  history.advance(1_000);
  const { mean, min, max } = memory(history.document({ tool: 'docs', fromS: START_S, stepS: 1 }));
  t.same([mean[0], min[0], max[0]], [20, 10, 40]);
});

t.test('coarser tiers have the lowest, the mean and the highest of the finer; they outlive them', async (t) => {
  const history = stand(t, { settings: { ...USUAL, keepS: { '1s': 60, '10s': 300, '1m': 3_600 } } });
  history.begin(0, 'docs', 'run1');
  // Each minute: 0, 1, … 59, in some seconds unread.
  history.live(0, 900, (second) => (second % 10 === 9 ? { tasks: 1 } : { memory: second % 60, tasks: 1 }));
  const minutes = history.document({
    tool: 'docs',
    fromS: START_S,
    toS: START_S + 600,
    stepS: 60,
    resources: ['memory'],
  });
  t.same(minutes.at.length, 10);
  t.ok(
    memory(minutes).mean.every((mean) => mean === 29),
    'a mean over what was read',
  );
  t.ok(memory(minutes).min.every((min) => min === 0));
  t.ok(memory(minutes).max.every((max) => max === 58));
  const tens = history.document({ tool: 'docs', fromS: START_S + 660, toS: START_S + 720, stepS: 10 });
  t.same(memory(tens).mean, [4, 14, 24, 34, 44, 54]);
  t.same(memory(tens).max, [8, 18, 28, 38, 48, 58]);

  const all = history.document({ tool: 'docs', fromS: START_S, stepS: 60 });
  t.equal(all.runs.filter((count) => count === 1).length, 15, 'the newest minute is there too, out of finer values');
  history.close();
  const file = new Libsql(history.path);
  const count = (table: string): number =>
    (file.prepare(`SELECT count(*) AS n FROM ${table}`).get([]) as { n: number }).n;
  t.ok(count('second') >= 60 && count('second') <= 71, `${count('second')} seconds are left`);
  t.ok(count('ten_seconds') >= 30 && count('ten_seconds') <= 37, `${count('ten_seconds')} tens are left`);
  t.equal(count('minute'), 15);
  file.close();
});

t.test('runs of a tool are added up, and can be asked for one by one', async (t) => {
  const history = stand(t);
  history.begin(0, 'docs', 'run1', 'a');
  history.begin(1, 'docs', 'run2', 'b');
  history.begin(2, 'other', 'run3');
  for (let second = 0; second < 4; second++) {
    history.read(0, { memory: 100, runtime: 1_000 });
    if (second >= 2) history.read(1, { memory: 11, runtime: 5 });
    history.read(2, { memory: 5_000 });
    history.advance(1_000);
    history.post();
  }
  const range = { fromS: START_S, toS: START_S + 4, stepS: 1 };
  const document = history.document({ tool: 'docs', ...range });
  t.same(memory(document).mean, [100, 100, 111, 111]);
  t.same(document.runs, [1, 1, 2, 2]);
  t.same(document.resources.find(({ resource }) => resource === 'runtime')?.mean, [1_000, 1_000, 1_000, 1_000]);
  t.same(memory(history.document({ tool: 'docs', run: 'run2', ...range })).mean, [null, null, 11, 11]);
  t.same(history.ask({ tool: 'docs', run: 'run3' }), { kind: 'refused', refusal: { kind: 'unknown_run' } });
  t.same(history.ask({ tool: 'nobody' }), { kind: 'refused', refusal: { kind: 'unknown' } });
});

t.test('a restart goes on with the series; so does one after a crash, without what was not told yet', async (t) => {
  for (const crash of [false, true]) {
    const history = stand(t);
    history.begin(0, 'docs', 'run1');
    history.live(0, 95, () => ({ memory: 1 }));
    history.restart({ crash: false });
    history.advance(5_000);
    history.begin(0, 'docs', 'run1');
    history.live(0, 40, () => ({ memory: 2 }));
    const document = history.document({
      tool: 'docs',
      fromS: START_S,
      toS: START_S + 140,
      stepS: 1,
      resources: ['memory'],
    });
    t.same(
      memory(document).mean,
      [...Array(95).fill(1), ...Array(5).fill(null), ...Array(40).fill(2)],
      `crash: ${crash}`,
    );
    const tens = history.document({ tool: 'docs', fromS: START_S, toS: START_S + 140, stepS: 10 });
    t.same(memory(tens).mean, [...Array(9).fill(1), 1, 2, 2, 2, 2], 'no coarse value is lost');
  }
});

t.test('the wall clock is set by a day, while it runs and between two daemons: ordered, no second twice', async (t) => {
  for (const jumpMs of [86_400_000, -86_400_000]) {
    const history = stand(t);
    history.begin(0, 'docs', 'run1');
    history.live(0, 30, (second) => ({ memory: second }));
    history.clock.wallMs += jumpMs;
    history.live(0, 30, (second) => ({ memory: 30 + second }));
    const nowS = Math.floor(history.clock.wallMs / 1000);
    const last = history.document({ tool: 'docs', fromS: nowS - 60, toS: nowS, stepS: 1, resources: ['memory'] });
    t.same(
      memory(last).mean,
      Array.from({ length: 60 }, (_, second) => second),
      `${jumpMs}: the last minute is the last minute`,
    );

    history.restart({ boot: 'boot-2' });
    history.clock.wallMs -= jumpMs;
    history.clock.uptimeMs = 10_000;
    history.begin(0, 'docs', 'run2');
    history.live(0, 30, () => ({ memory: 1_000 }));
    const laterS = Math.floor(history.clock.wallMs / 1000);
    const long = history.document({ tool: 'docs', fromS: laterS - 2 * 86_400, toS: laterS, stepS: 60 });
    const seen = memory(long).max.filter((value) => value !== null);
    t.same(
      [...seen].sort((a, b) => Number(a) - Number(b)),
      seen,
      'in the order in which it was',
    );
    t.equal(seen.at(-1), 1_000);
    t.ok(seen.includes(59));
    const recent = history.document({ tool: 'docs', fromS: laterS - 30, toS: laterS, stepS: 1 });
    t.same(memory(recent).mean, Array(30).fill(1_000));
  }
});

t.test('totals by call and by context, kept over a restart, bounded', async (t) => {
  const history = stand(t);
  history.call({ tool: 'docs', name: 'search' });
  history.call({ tool: 'docs', name: 'search', durationMs: 90, maxMs: 90, failures: 1, context: 'other' });
  history.call({ tool: 'docs', name: 'echo' });
  history.post();
  history.restart();
  history.call({ tool: 'docs', name: 'search' });
  const { totals } = history.document({ tool: 'docs' });
  t.match(totals.calls[0], {
    method: 'tools/call',
    name: 'search',
    calls: 3,
    failures: 1,
    durationMs: 110,
    maxMs: 90,
    cpuTimeMs: 6,
  });
  t.same(
    totals.calls.map(({ name, calls }) => [name, calls]),
    [
      ['search', 3],
      ['echo', 1],
    ],
  );
  t.same(
    totals.contexts.map(({ context, calls }) => [context, calls]),
    [
      ['chat', 3],
      ['other', 1],
    ],
  );

  for (let n = 0; n < CALLS_MAX + 100; n++) {
    history.call({ tool: 'docs', name: `made up ${n}` });
    if (n % 100 === 99) {
      history.advance(11_000);
      history.post();
    }
  }
  const after = history.document({ tool: 'docs' }).totals;
  t.ok(after.calls.length <= CALLS_MAX + 1, `${after.calls.length} lines`);
  t.equal(
    after.calls.reduce((sum, { calls }) => sum + calls, 0),
    4 + CALLS_MAX + 100,
    'none is lost',
  );
  t.ok((after.calls.find(({ method }) => method === '')?.calls ?? 0) > 0, 'the others are added up');
});

t.test('the file stays within its size: the oldest goes', async (t) => {
  const maxBytes = 1024 ** 2;
  const history = stand(t, { settings: { ...USUAL, keepS: { '1s': 3_600, '10s': 7_200, '1m': 14_400 }, maxBytes } });
  for (let slot = 0; slot < 40; slot++) history.begin(slot, 'docs', `run${slot}`);
  for (let second = 0; second < 900; second++) {
    for (let slot = 0; slot < 40; slot++) history.read(slot, { memory: 1e9 + second, cpu: second / 7, tasks: slot });
    history.advance(1_000);
    history.post();
  }
  history.close();
  t.ok(statSync(history.path).size <= maxBytes * 1.5, `${statSync(history.path).size} bytes`);
  history.restart();
  const newest = history.document({ tool: 'docs', run: 'run1', fromS: START_S + 880, toS: START_S + 900, stepS: 1 });
  t.same(
    memory(newest).mean.slice(0, 19),
    Array.from({ length: 19 }, (_, n) => 1e9 + 880 + n),
    'the newest is there',
  );
});

t.test('what is older than anything kept is forgotten, runs and totals too', async (t) => {
  const history = stand(t, { settings: { ...USUAL, keepS: { '1s': 60, '10s': 60, '1m': 120 } } });
  history.begin(0, 'docs', 'run1');
  history.call({ tool: 'docs' });
  history.live(0, 5, () => ({ memory: 1 }));
  history.end(0);
  history.post();
  t.equal(history.ask({ tool: 'docs' }).kind, 'document');
  history.advance(400_000);
  history.post();
  t.same(history.ask({ tool: 'docs' }), { kind: 'refused', refusal: { kind: 'unknown' } });
});
