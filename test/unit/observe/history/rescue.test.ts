/** A file that is damaged, of another version, of another program, locked, or on a full disk. */

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import Libsql from 'libsql';
import t from 'tap';
import { historyStand, START_S } from '../../../helpers/history-stand.ts';
import type { HistoryStand } from '../../../helpers/history-stand.ts';
import { Rescue } from '../../../../lib/observe/history/rescue.ts';
import type { Note } from '../../../../lib/observe/history/rescue.ts';
import { lacks } from '../../../helpers/skip.ts';
import { temporaryDirectory } from '../../../helpers/temp-directory.ts';
import type { TestScope } from '../../../helpers/fixture.ts';

const RUNS = 20;

/** A file with a few minutes of history, closed. */
function written(t: TestScope, folder = temporaryDirectory(t)): HistoryStand {
  const history = historyStand(join(folder, 'history.db'));
  for (let slot = 0; slot < RUNS; slot++) history.begin(slot, `tool${slot}`, `run${slot}`);
  for (let second = 0; second < 240; second++) {
    for (let slot = 0; slot < RUNS; slot++) history.read(slot, { memory: second, cpu: second / 3, tasks: 1 });
    history.advance(1_000);
    history.post();
  }
  history.call({ tool: 'tool1' });
  history.post();
  history.restart();
  return history;
}

function goesOn(t: Pick<typeof import('tap').default, 'same'>, history: HistoryStand): void {
  history.begin(0, 'fresh', 'run-new');
  history.live(0, 3, () => ({ memory: 7 }));
  const nowS = Math.floor(history.clock.wallMs / 1000);
  const document = history.document({ tool: 'fresh', fromS: nowS - 3, toS: nowS, stepS: 1, resources: ['memory'] });
  t.same(document.resources[0]?.mean, [7, 7, 7], 'what comes now is kept');
}

const aside = (history: HistoryStand): readonly string[] =>
  readdirSync(dirname(history.path)).filter(
    (name) => /^history\.db\.[a-z]/.test(name) && !/-(wal|shm|journal)$/.test(name),
  );

/** What of a tool is left, seconds with a reading. */
function left(history: HistoryStand, tool: string): number {
  const answer = history.ask({ tool, fromS: START_S, toS: START_S + 240, stepS: 1, resources: ['memory'] });
  return answer.kind === 'document' ? answer.document.runs.filter((runs) => runs > 0).length : 0;
}

t.test('damaged in the middle: what can be read is kept, the rest set aside under a name that is told', async (t) => {
  const history = written(t);
  const size = statSync(history.path).size;
  const bytes = readFileSync(history.path);
  bytes.fill(0xa5, Math.floor(size * 0.55), Math.floor(size * 0.6));
  writeFileSync(history.path, bytes);
  goesOn(t, history);
  const [name] = aside(history);
  t.match(name, /^history\.db\.corrupt-\d{8}T\d{6}Z$/);
  t.ok(
    history.notes.some(({ level, fields }) => level === 'error' && fields['file'] === name),
    'the log has the name',
  );
  const kept = Array.from({ length: RUNS }, (_, n) => left(history, `tool${n}`)).reduce((sum, one) => sum + one, 0);
  t.ok(kept > (RUNS * 240) / 2 && kept < RUNS * 240, `${kept} of ${RUNS * 240} seconds are left`);
  history.close();
});

t.test('cut off', async (t) => {
  for (const share of [0.9, 0.5, 0.1]) {
    const history = written(t);
    truncateSync(history.path, Math.floor(statSync(history.path).size * share));
    goesOn(t, history);
    t.equal(aside(history).length, 1, `${share}`);
    history.close();
  }
  const empty = written(t);
  truncateSync(empty.path, 0);
  goesOn(t, empty);
  t.same(aside(empty), [], 'an empty file is none');
  empty.close();
});

t.test('no database at all, or that of another program', async (t) => {
  const history = written(t);
  writeFileSync(history.path, 'this is no database, but long enough to look like one. '.repeat(100));
  goesOn(t, history);
  t.match(aside(history)[0], /corrupt/);
  history.close();
  rmSync(history.path);
  const other = new Libsql(history.path);
  other.exec('CREATE TABLE bookmarks (url TEXT)');
  other.close();
  history.restart();
  goesOn(t, history);
  t.ok(aside(history).some((name) => name.includes('foreign')));
  history.close();
});

t.test('of a newer version: set aside as it is', async (t) => {
  const history = written(t);
  const file = new Libsql(history.path);
  file.exec('PRAGMA user_version = 7; ALTER TABLE minute ADD COLUMN quality TEXT');
  file.close();
  const before = readFileSync(history.path);
  goesOn(t, history);
  const [name = ''] = aside(history);
  t.match(name, /newer-v7-/);
  t.ok(before.equals(readFileSync(join(dirname(history.path), name))), 'not a byte of it has changed');
  t.equal(left(history, 'tool3'), 0);
  history.close();
});

t.test('of an older version: what fits is carried over', async (t) => {
  const history = written(t);
  const file = new Libsql(history.path);
  file.exec('PRAGMA user_version = 0; ALTER TABLE second DROP COLUMN tasks; DROP TABLE contexts');
  file.close();
  goesOn(t, history);
  t.match(aside(history)[0], /older-v0-/);
  t.equal(left(history, 'tool3'), 240, 'all of it');
  t.equal(history.document({ tool: 'tool1' }).totals.calls[0]?.calls, 1);
  history.close();
});

t.test('damaged while it is in use: the next one takes over, and not for ever', async (t) => {
  const history = written(t);
  // More than the pages that are held in memory.
  for (let slot = 0; slot < 400; slot++) history.begin(slot, 'many', `run-many${slot}`);
  for (let second = 0; second < 120; second++) {
    for (let slot = 0; slot < 400; slot++) history.read(slot, { memory: 1e9 + second, cpu: second / 7 });
    history.advance(1_000);
    history.post();
  }
  history.restart();
  goesOn(t, history);
  t.same(aside(history), []);
  const damage = (): void => {
    const file = readFileSync(history.path);
    file.fill(0xa5, 8_192);
    writeFileSync(history.path, file);
  };
  const ask = (): void => {
    for (const tool of ['many', ...Array.from({ length: RUNS }, (_, n) => `tool${n}`)])
      history.ask({ tool, fromS: START_S, stepS: 1, resources: ['memory'] });
  };
  damage();
  ask();
  t.equal(aside(history).length, 1, 'set aside');
  t.match(aside(history)[0], /corrupt/);
  goesOn(t, history);
  t.equal(history.statuses.at(-1)?.state, 'on');
  history.close();
});

t.test('locked by somebody: paused, told once, and healed', async (t) => {
  const history = written(t);
  const other = new Libsql(history.path);
  other.exec('BEGIN EXCLUSIVE; CREATE TABLE held (x)');
  history.begin(0, 'fresh', 'run-new');
  history.live(0, 10, () => ({ memory: 1 }));
  t.equal(history.statuses.at(-1)?.state, 'paused');
  t.match(history.statuses.at(-1)?.reason, /locked/);
  t.equal(history.notes.filter(({ message }) => /paused/.test(message)).length, 1, 'told once');
  t.match(history.ask({ tool: 'tool1' }), { kind: 'unavailable', reason: /locked/ });
  other.exec('ROLLBACK');
  other.close();
  history.advance(60_000);
  history.post();
  t.equal(history.statuses.at(-1)?.state, 'on');
  t.ok((history.statuses.at(-1)?.dropped ?? 0) > 0, 'what was lost is counted');
  t.equal(left(history, 'tool3'), 240);
  goesOn(t, history);
  t.same(aside(history), []);
  history.close();
});

t.test(
  'the disk is full: paused, told once, and healed with what waited',
  { skip: lacks('root', 'mount') },
  async (t) => {
    const folder = join(temporaryDirectory(t), 'small');
    mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'governor-test', folder]);
    t.teardown(() => void execFileSync('umount', ['-l', folder]));
    const history = historyStand(join(folder, 'history.db'));
    for (let slot = 0; slot < 100; slot++) history.begin(slot, 'docs', `run${slot}`);
    const second = (): void => {
      for (let slot = 0; slot < 100; slot++) history.read(slot, { memory: 1e9 + slot, cpu: 1 / 3, tasks: 2 });
      history.advance(1_000);
      history.post();
    };
    for (let n = 0; n < 2_000 && history.statuses.at(-1)?.state !== 'paused'; n++) second();
    t.match(history.statuses.at(-1), { state: 'paused', reason: 'the disk is full' });
    for (let n = 0; n < 100; n++) second();
    t.equal(history.notes.filter(({ message }) => /paused/.test(message)).length, 1, 'told once');
    t.equal(history.ask({ tool: 'docs' }).kind, 'document', 'what is there can be read');
    execFileSync('mount', ['-o', 'remount,size=64m', folder]);
    for (let n = 0; n < 70; n++) second();
    t.equal(history.statuses.at(-1)?.state, 'on');
    const nowS = Math.floor(history.clock.wallMs / 1000);
    const document = history.document({ tool: 'docs', run: 'run5', fromS: nowS - 160, toS: nowS, stepS: 1 });
    t.same(document.runs, Array(160).fill(1), 'also the seconds of the pause that there was room for in memory');
    history.close();
  },
);

t.test('a disk that is full from the start', { skip: lacks('root', 'mount') }, async (t) => {
  const folder = join(temporaryDirectory(t), 'small');
  mkdirSync(folder);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'governor-test', folder]);
  t.teardown(() => void execFileSync('umount', ['-l', folder]));
  writeFileSync(join(folder, 'fill'), Buffer.alloc(60 * 1024));
  const history = historyStand(join(folder, 'history.db'));
  history.begin(0, 'docs', 'run');
  history.live(0, 5, () => ({ memory: 1 }));
  t.equal(history.statuses.at(-1)?.state, 'paused');
  rmSync(join(folder, 'fill'));
  execFileSync('mount', ['-o', 'remount,size=8m', folder]);
  history.advance(60_000);
  goesOn(t, history);
  t.equal(history.statuses.at(-1)?.state, 'on');
  history.close();
});

t.test('only what Governor has set aside itself is removed, and files only', async (t) => {
  const history = written(t);
  const folder = dirname(history.path);
  const named = (name: string, bytes: number, ageS: number): string => {
    const path = join(folder, name);
    writeFileSync(path, '');
    truncateSync(path, bytes);
    utimesSync(path, START_S - ageS, START_S - ageS);
    return path;
  };
  const own = [1, 2, 3, 4].map((n) => named(`history.db.corrupt-2020010${n}T000000Z`, 10, 10 - n));
  const others = ['history.db.bak', 'history.db.foreign-20200101T000000Z', 'history.db.corrupt-mine', 'history.db.old'];
  for (const name of others) named(name, 10, 100);
  mkdirSync(join(folder, 'history.db.corrupt-20190101T000000Z'));
  writeFileSync(history.path, 'no database '.repeat(1_000));
  goesOn(t, history);
  t.same(own.map(existsSync), [false, false, true, true], 'the newest three');
  t.same(
    others.filter((name) => !existsSync(join(folder, name))),
    [],
    'the files of people',
  );
  t.ok(existsSync(join(folder, 'history.db.corrupt-20190101T000000Z')), 'a folder');
  history.close();
});

t.test('what is set aside is bounded in bytes', async (t) => {
  const history = written(t);
  const folder = dirname(history.path);
  const large = ['older-v0-20200101T000000Z', 'newer-v9-20200102T000000Z'].map((name, n) => {
    const path = join(folder, `history.db.${name}`);
    writeFileSync(path, '');
    truncateSync(path, 150 * 1024 ** 2);
    utimesSync(path, START_S + n, START_S + n);
    return path;
  });
  writeFileSync(history.path, 'no database '.repeat(1_000));
  goesOn(t, history);
  t.same(large.map(existsSync), [false, true]);
  const removed = history.notes.filter(({ message }) => /is removed/.test(message)).map(({ fields }) => fields['file']);
  t.same(removed, ['history.db.older-v0-20200101T000000Z']);
  history.close();
});

t.test('no room for another file: what was set aside is carried over when there is', async (t) => {
  const history = written(t);
  history.close();
  const file = new Libsql(history.path);
  file.exec('PRAGMA user_version = 0');
  file.close();
  const notes: Note[] = [];
  let opened = 0;
  const rescue = new Rescue({
    path: history.path,
    wallMs: () => START_S * 1000,
    note: (note) => notes.push(note),
    open: (path) => {
      opened += 1;
      if (opened === 2) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
      return new Libsql(path);
    },
  });
  t.throws(() => rescue.ready(), { code: 'ENOSPC' });
  const connection = rescue.ready();
  t.same(connection.prepare('SELECT count(*) FROM second').raw().get([]), [RUNS * 240]);
  t.equal(notes.filter(({ message }) => /is kept/.test(message)).length, 1);
  connection.close();
});
