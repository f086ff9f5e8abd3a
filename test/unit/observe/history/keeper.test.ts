/** Rows on disk and back: tiers, gaps, restarts, clocks, totals, bounds. */

import { existsSync, mkdirSync, statfsSync, statSync, symlinkSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Libsql from 'libsql';
import t from 'tap';
import { RESOURCES } from '../../../../lib/core/resource.ts';
import { Store } from '../../../../lib/observe/history/store.ts';
import type { KnownRun } from '../../../../lib/observe/history/store.ts';
import { CREATE } from '../../../../lib/observe/history/sql.ts';
import { ROW_BYTES, SEVERAL_BYTES } from '../../../../lib/observe/history/tiers.ts';
import { CALLS_MAX } from '../../../../lib/observe/history/totals.ts';
import { fillMinutes, historyStand, START_S, USUAL } from '../../../helpers/history-stand.ts';
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
  t.same(history.document({ tool: 'docs', fromS: START_S, stepS: 5, resources: ['tasks'] }).resources, [
    { resource: 'tasks', unit: 'count', mean: [3, 3, null], min: [3, 3, null], max: [3, 3, null] },
  ]);
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
    history.restart({ crash });
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

t.test('a reading holds until the next one is due, and no longer', async (t) => {
  const history = stand(t, { sampleIntervalMs: 10_000 });
  history.begin(0, 'docs', 'calm');
  history.begin(1, 'docs', 'warned');
  for (let half = 0; half < 120; half++) {
    if (half % 20 === 0) history.read(0, { memory: 100 + half });
    history.read(1, { memory: 1_000 });
    history.advance(500);
    history.post();
  }
  history.advance(40_000);
  history.read(0, { memory: 7 });
  history.advance(1_000);
  history.post();
  const range = { tool: 'docs', fromS: START_S, toS: START_S + 60, resources: ['memory'] } as const;
  const expected = Array.from({ length: 60 }, (_, second) => 1_100 + 20 * Math.floor(second / 10));
  const seconds = history.document({ ...range, stepS: 1 });
  // A calm run is not known to be alive in the last second before it was due: that one did not come.
  t.same(seconds.runs.slice(0, 59), Array(59).fill(2));
  t.same(memory(seconds).mean.slice(0, 59), expected.slice(0, 59));
  const tens = history.document({ ...range, stepS: 10 });
  t.same(memory(tens).mean.slice(0, 5), [1_100, 1_120, 1_140, 1_160, 1_180]);
  t.same(memory(tens).min.slice(0, 5), [1_100, 1_120, 1_140, 1_160, 1_180]);
  const later = history.document({ ...range, fromS: START_S + 60, toS: START_S + 101, stepS: 1 });
  t.same(later.runs.slice(11, 40), Array(29).fill(0), 'a gap is a gap');
  t.equal(later.runs[40], 1);
});

t.test('what is read in parts is the same, and more than can be read is refused', async (t) => {
  const history = stand(t);
  history.begin(0, 'docs', 'run1');
  history.live(0, 3, () => ({ memory: 1 }));
  history.close();
  const nowS = Math.floor(history.clock.wallMs / 1000);
  fillMinutes(history.path, 30, 20_160 - 60, nowS);
  history.restart();
  const long = { tool: 'many', fromS: nowS - 13 * 86_400, toS: nowS - 86_400, stepS: 3_600 };
  const document = history.document({ ...long, resources: ['memory'] });
  const last = Math.floor(nowS / 60) - 1;
  const first = Math.floor(long.fromS / 3_600) * 60;
  const expected = document.at.map((_, step) => 30 * (last - (first + step * 60) - 29.5));
  // The first hour and the last may be there in part only.
  t.same(memory(document).mean.slice(1, -1), expected.slice(1, -1));
  t.same(document.runs.slice(1, -1), Array(document.at.length - 2).fill(30));
  t.match(history.ask(long), {
    kind: 'refused',
    refusal: { kind: 'invalid', reason: /^30 runs over so long a time: ask for a shorter range.*fewer resources/ },
  });
});

t.test('of a tool with a run for each call only those of the range count', async (t) => {
  const history = stand(t);
  history.begin(0, 'docs', 'run1');
  history.live(0, 3, () => ({ memory: 1 }));
  history.close();
  const file = new Libsql(history.path);
  const endS = START_S - 3_600;
  file.exec(`UPDATE boots SET first_s = 0;
    WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x + 1 < 25000)
    INSERT INTO runs SELECT 1000 + x, 'docs', 'r' || x, NULL, ${endS} - x, ${endS} - x FROM n`);
  file.close();
  history.restart();
  const recent = { tool: 'docs', fromS: START_S, toS: START_S + 3, stepS: 1 } as const;
  t.same(memory(history.document(recent)).mean, [1, 1, 1]);
  t.match(history.ask({ ...recent, fromS: START_S - 40_000, stepS: 3_600 }), {
    kind: 'refused',
    refusal: { reason: /too many runs/ },
  });
});

t.test('runs that are over and totals go where they alone take more than there is', async (t) => {
  const history = stand(t, { settings: { ...USUAL, maxBytes: 1024 ** 2 } });
  history.begin(4_000, 'live', 'live');
  for (let round = 0; round < 10; round++) {
    for (let slot = 0; slot < 1_000; slot++) {
      history.begin(slot, 'docs', `run-${'x'.repeat(40)}-${round}-${slot}`);
      history.read(slot, { memory: 1 });
    }
    for (let context = 0; context < 1_000; context++)
      history.call({ tool: `t${round}`, context: `c${'x'.repeat(100)}${context}` });
    history.read(4_000, { memory: round });
    history.advance(1_000);
    history.post();
    for (let slot = 0; slot < 1_000; slot++) history.end(slot);
    history.advance(60_000);
    history.post();
  }
  for (let minute = 0; minute < 8; minute++) {
    history.read(4_000, { memory: 40 });
    history.advance(60_000);
    history.post();
  }
  const nowS = Math.floor(history.clock.wallMs / 1000);
  const live = history.document({ tool: 'live', fromS: nowS - 420, toS: nowS, stepS: 60 });
  t.same(memory(live).max.slice(0, 6), Array(6).fill(40), 'what is measured is kept');
  t.equal(history.notes.filter(({ message }) => /max_size/.test(message)).length, 1, 'told once');
  t.match(history.ask({ tool: 'docs', run: `run-${'x'.repeat(40)}-0-0` }), { refusal: { kind: 'unknown_run' } });
  history.close();
  t.ok(statSync(history.path).size <= 1024 ** 2 * 1.6, `${statSync(history.path).size} bytes`);
  history.restart();
});

t.test('where no run more can be told apart the oldest that are over make room', async (t) => {
  const file = new Libsql(join(temporaryDirectory(t), 'store.db'));
  t.teardown(() => file.close());
  for (const sql of CREATE) file.exec(sql);
  const store = new Store(file, 8);
  const write = (name: string, second: number): number => {
    const run: KnownRun = {
      tool: 'docs',
      run: name,
      context: null,
      id: null,
      firstS: second,
      lastS: second,
      savedS: 0,
    };
    return store.write([{ run, second, values: RESOURCES.map(() => null), isPlain: true }]);
  };
  for (let n = 0; n < 8; n++) t.equal(write(`old${n}`, n), 0);
  t.equal(write('early', 100), 1, 'none is known to be over');
  let statements = 0;
  const rows = store.rows.bind(store);
  store.rows = (...asked: Parameters<typeof rows>) => {
    statements += 1;
    return rows(...asked);
  };
  t.equal(write('early', 101), 1);
  t.equal(statements, 1, 'that there is no place is not found out again for each row');
  t.equal(write('old3', 102), 0, 'one that is known has its place');
  for (let n = 0; n < 4; n++) t.equal(write(`new${n}`, 1_000), 0);
  const names = rows('SELECT run FROM runs ORDER BY run').map(([name]) => name);
  t.same(names, ['new0', 'new1', 'new2', 'new3', 'old3', 'old5', 'old6', 'old7']);
});

t.test('totals of more calls than are told apart while nothing can be written are added up', async (t) => {
  let free = 0;
  const history = stand(t, { room: () => ({ freeBytes: free, totalBytes: 1e9 }) });
  for (let n = 0; n < 12_000; n++) history.call({ tool: 'docs', name: `n${n}` });
  history.post();
  free = 1e9;
  history.advance(60_000);
  const { calls } = history.document({ tool: 'docs' }).totals;
  t.equal(
    calls.reduce((sum, { calls: count }) => sum + count, 0),
    12_000,
  );
});

t.test('paused while too little of the disk is left to others', async (t) => {
  let [freeBytes, looks] = [1e9, 0];
  const room = () => {
    looks += 1;
    return { freeBytes, totalBytes: 10e9 };
  };
  const history = stand(t, { room });
  history.begin(0, 'docs', 'run1');
  history.live(0, 61, () => ({ memory: 1 }));
  t.equal(history.statuses.at(-1)?.state, 'on');
  freeBytes = 199e6;
  history.live(0, 60, () => ({ memory: 2 }));
  t.match(history.statuses.at(-1), { state: 'paused', reason: /file system of the state directory/ });
  t.equal(looks, 2 + 1, 'once a minute');
  const written = history.statuses.at(-1)?.written;
  t.equal(history.ask({ tool: 'docs' }).kind, 'document', 'what is there can be read');
  history.live(0, 60, () => ({ memory: 3 }));
  t.equal(history.statuses.at(-1)?.written, written, 'nothing is written');
  t.equal(history.notes.filter(({ message }) => /paused/.test(message)).length, 1, 'told once');
  freeBytes = 201e6;
  history.live(0, 61, () => ({ memory: 4 }));
  t.equal(history.statuses.at(-1)?.state, 'on');
  const all = history.document({ tool: 'docs', fromS: START_S, toS: START_S + 240, stepS: 1 });
  t.same(all.runs, Array(240).fill(1), 'what waited is written');
});

t.test('what is left to others is a share of the disk, and no more than a GiB of a large one', async (t) => {
  for (const [freeBytes, totalBytes, state] of [
    [63 * 1024 ** 2, 1e9, 'paused'],
    [65 * 1024 ** 2, 1e9, 'on'],
    [1.01 * 1024 ** 3, 4e12, 'on'],
    [0.99 * 1024 ** 3, 4e12, 'paused'],
  ] as const) {
    const history = stand(t, { room: () => ({ freeBytes, totalBytes }) });
    history.begin(0, 'docs', 'run1');
    history.live(0, 30, () => ({ memory: 1 }));
    t.equal(history.statuses.at(-1)?.state, state, `${freeBytes} of ${totalBytes}`);
  }
});

/** The file system of /proc has no room at all, and says so. */
const PROC = '/proc';
const { bavail, bsize } = statfsSync(tmpdir());
const noDisks = !existsSync(PROC)
  ? 'there is no file system without room here'
  : bavail * bsize < 1.5 * 1024 ** 3 && 'too little room where the tests run';

t.test('the file system of the state directory itself is asked, at each look', { skip: noDisks }, async (t) => {
  const folder = temporaryDirectory(t);
  const [disk, link] = [join(folder, 'disk'), join(folder, 'link')];
  mkdirSync(disk);
  symlinkSync(PROC, link);
  const history = historyStand(join(link, 'history.db'), { room: null });
  t.teardown(() => history.close());
  history.begin(0, 'docs', 'run1');
  history.live(0, 65, () => ({ memory: 1 }));
  t.match(history.statuses.at(-1), {
    state: 'paused',
    reason: /has no more than 0 B of the 64 MiB that are left to others$/,
  });
  t.match(history.ask({ tool: 'docs' }), { kind: 'unavailable', reason: /left to others/ });
  t.match(history.notes, [{ level: 'error', message: /^the history is paused/, fields: { reason: /left to others/ } }]);
  unlinkSync(link);
  symlinkSync(disk, link);
  history.live(0, 65, () => ({ memory: 2 }));
  t.match(history.statuses.at(-1), { state: 'on', reason: null });
  t.match(history.notes.slice(1), [{ level: 'info', message: 'the history is written again' }]);
  t.ok(existsSync(join(disk, 'history.db')));
  const written = memory(history.document({ tool: 'docs', fromS: START_S, stepS: 1 })).mean.filter(
    (mean) => mean !== null,
  );
  t.ok(written.length > 0 && written.every((mean) => mean === 2), `${written.length} seconds, all since there is room`);
});

t.test('a file system that does not say how much room it has may have enough: writing shows it', async (t) => {
  let freeBytes: number | null = null;
  const history = stand(t, {
    room: () => {
      if (freeBytes === null) throw new Error('ENOSYS: function not implemented, statfs');
      return { freeBytes, totalBytes: 1e9 };
    },
  });
  history.begin(0, 'docs', 'run1');
  history.live(0, 61, () => ({ memory: 1 }));
  t.match(history.statuses.at(-1), { state: 'on' });
  freeBytes = 0;
  history.live(0, 61, () => ({ memory: 2 }));
  t.match(history.statuses.at(-1), { state: 'paused', reason: /left to others/ });
  freeBytes = null;
  history.live(0, 61, () => ({ memory: 3 }));
  t.match(history.statuses.at(-1), { state: 'on' }, 'it is tried');
  t.same(
    history.notes.map(({ message }) => message),
    ['the history is paused: tools are supervised all the same', 'the history is written again'],
  );
  const { runs } = history.document({ tool: 'docs', fromS: START_S, toS: START_S + 180, stepS: 1 });
  t.same(runs, Array(180).fill(1), 'what waited is written');
});

t.test('what is lost in a pause is told before it is over', async (t) => {
  const history = stand(t, { room: () => ({ freeBytes: 63 * 1024 ** 2, totalBytes: 1e9 }) });
  for (let slot = 0; slot < 100; slot++) history.begin(slot, 'docs', `run${slot}`);
  for (let second = 0; second < 30; second++) {
    for (let slot = 0; slot < 100; slot++) history.read(slot, { memory: 1 });
    history.advance(1_000);
    history.post();
  }
  t.match(history.statuses.at(-1), { state: 'paused' });
  t.ok((history.statuses.at(-1)?.dropped ?? 0) > 1_000, 'nothing is open that could take them');
});

t.test('a row takes no more than the documented formula says, and not much less', async (t) => {
  for (const several of [false, true]) {
    const history = stand(t, { settings: { ...USUAL, keepS: { '1s': 3_600, '10s': 3_600, '1m': 3_600 } } });
    for (let slot = 0; slot < 100; slot++) history.begin(slot, 'docs', `run${slot}`);
    for (let second = 0; second < 400; second++) {
      for (let part = 0; part < (several ? 5 : 1); part++) {
        for (let slot = 0; slot < 100; slot++) {
          const odd = second * 7 + part * 13 + slot;
          history.read(slot, {
            memory: 2 ** 40 + odd * 4_097,
            cpu: odd / 37,
            file_handles: 70_000 + odd,
            sockets: 70_000 + odd * 3,
            runtime: 2 ** 40 + odd,
            temp_storage: 2 ** 40 + odd * 511,
            tasks: 70_000 + odd * 5,
          });
        }
        history.advance(several ? 200 : 1_000);
      }
      history.post();
    }
    history.close();
    const file = new Libsql(history.path);
    const rows = (file.prepare('SELECT count(*) AS n FROM second').get([]) as { n: number }).n;
    file.exec('DROP TABLE ten_seconds; DROP TABLE minute; VACUUM');
    file.close();
    const each = statSync(history.path).size / rows;
    const most = several ? SEVERAL_BYTES : ROW_BYTES['1s'];
    t.ok(each <= most && each >= most * 0.75, `${each} bytes, at most ${most}`);
    history.restart();
  }
});
