import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PostMortemStore } from '../../../lib/observe/post-mortem-store.ts';
import type { PostMortem } from '../../../lib/supervisor/post-mortem-view.ts';
import { fakePostMortem } from '../../helpers/fake-post-mortem.ts';

interface Opened {
  readonly store: PostMortemStore<PostMortem>;
  readonly problems: string[];
  readonly directory: string;
}

function open(folder: string, { keepPerTool = 20, maxBytes = 1e6 } = {}): Opened {
  const directory = join(folder, 'post-mortems');
  const problems: string[] = [];
  const onProblem = (problem: string): void => void problems.push(problem);
  return { store: new PostMortemStore({ directory, keepPerTool, maxBytes, onProblem }), problems, directory };
}

const at = (second: number): string => new Date(1_700_000_000_000 + second * 1_000).toISOString();
const failure = (id: string, second: number, tool = 'tool', overrides: Partial<PostMortem> = {}): PostMortem =>
  fakePostMortem({ id, tool, at: at(second), ...overrides });
const idsOf = async ({ store }: Opened, tool: string | null, limit = 100): Promise<string[]> =>
  (await store.list(tool, limit)).map(({ id }) => id);

t.test('one file a failure, found again by tool and id, also by the next daemon', async (t) => {
  const folder = t.testdir();
  const opened = open(folder);
  opened.store.add(failure('first', 1));
  opened.store.add(failure('other', 2, '../../no/file "name"'));
  opened.store.add(failure('second', 3));
  await opened.store.settled();
  for (const each of [opened, open(folder)]) {
    t.strictSame(await idsOf(each, 'tool'), ['second', 'first']);
    t.strictSame(await idsOf(each, null), ['second', 'other', 'first']);
    t.strictSame(await idsOf(each, null, 1), ['second']);
    t.strictSame(await idsOf(each, 'unknown'), []);
    t.strictSame(await each.store.read('tool', 'first'), failure('first', 1));
    t.equal((await each.store.read('../../no/file "name"', 'other'))?.id, 'other');
    t.equal(await each.store.read('tool', 'other'), null, 'of another tool');
    t.equal(await each.store.read('tool', '../../first'), null);
    t.strictSame(each.problems, []);
  }
  const files = readdirSync(opened.directory);
  t.equal(files.length, 3);
  t.ok(files.every((name) => /^\d{13}-[a-z]+-[0-9a-f]{16}\.json$/.test(name)));
  t.equal(statSync(opened.directory).mode & 0o777, 0o700);
  t.equal(statSync(join(opened.directory, files[0] ?? '')).mode & 0o777, 0o600);
});

t.test('so many a tool, so much in all: the oldest go', async (t) => {
  const folder = t.testdir();
  const opened = open(folder, { keepPerTool: 2 });
  for (let second = 0; second < 5; second++) opened.store.add(failure(`run${second}`, second));
  opened.store.add(failure('other', 0, 'other'));
  t.strictSame(await idsOf(opened, null), ['run4', 'run3', 'other']);
  const bytes = JSON.stringify(failure('run4', 4)).length;
  const smaller = open(folder, { maxBytes: bytes + 10 });
  t.strictSame(await idsOf(smaller, null), ['run4'], 'also of what was there');
  smaller.store.add(failure('huge', 9, 'tool', { logs: ['x'.repeat(bytes)] }));
  t.strictSame(await idsOf(smaller, null), ['run4']);
  t.match(smaller.problems, [/the post-mortem of tool, run huge, is not kept: it has \d+ bytes/]);
});

t.test('what is damaged is set aside; what is no file of its own is left alone', async (t) => {
  const folder = t.testdir();
  const opened = open(folder);
  opened.store.add(failure('whole', 1));
  opened.store.add(failure('cut', 2));
  opened.store.add(failure('other', 3));
  await opened.store.settled();
  const fileOf = (id: string): string =>
    join(opened.directory, readdirSync(opened.directory).find((name) => name.includes(`-${id}-`)) ?? '');
  writeFileSync(fileOf('cut'), '{"version":1,');
  writeFileSync(fileOf('other'), '{"version":2}');
  writeFileSync(join(opened.directory, 'notes.txt'), 'mine');
  writeFileSync(join(opened.directory, '1700000000000-half-0123456789abcdef.json.new'), '{');
  const next = open(folder);
  t.strictSame(await idsOf(next, 'tool'), ['whole']);
  t.match(next.problems, [/-other-.*no post-mortem.*set aside as .*\.damaged$/, /-cut-.*set aside as .*\.damaged$/]);
  const names = readdirSync(next.directory);
  t.equal(names.filter((name) => name.endsWith('.damaged')).length, 2);
  t.ok(names.includes('notes.txt'));
  t.notOk(
    names.some((name) => name.endsWith('.new')),
    'what was half written is gone',
  );
  rmSync(fileOf('whole'));
  t.strictSame(await idsOf(next, 'tool'), [], 'somebody deleted it');
  t.equal(next.problems.length, 2);
});

t.test('of what is damaged the newest three are kept; a file that cannot be read now is not damaged', async (t) => {
  const folder = t.testdir();
  const opened = open(folder);
  for (let index = 1; index <= 5; index++) opened.store.add(failure(`run${index}`, index));
  opened.store.add(failure('blocked', 9));
  await opened.store.settled();
  for (const name of readdirSync(opened.directory).filter((name) => name.includes('-run')))
    writeFileSync(join(opened.directory, name), '{');
  const blocked = join(
    opened.directory,
    readdirSync(opened.directory).find((name) => name.includes('-blocked-')) ?? '',
  );
  const text = readFileSync(blocked);
  rmSync(blocked);
  // Refused even to root.
  mkdirSync(blocked);
  t.strictSame(await idsOf(opened, null), []);
  t.match(
    opened.problems.find((problem) => problem.includes('-blocked-')),
    /cannot be read now/,
  );
  t.strictSame(
    readdirSync(opened.directory)
      .filter((name) => name.endsWith('.damaged'))
      .map((name) => /run\d/.exec(name)?.[0]),
    ['run3', 'run4', 'run5'],
  );
  rmSync(blocked, { recursive: true });
  writeFileSync(blocked, text);
  t.strictSame(await idsOf(opened, null), ['blocked']);
});

t.test('a disk that refuses is told once, costs nothing else, and is tried again', async (t) => {
  const folder = t.testdir();
  const opened = open(folder);
  await opened.store.settled();
  rmSync(opened.directory, { recursive: true });
  opened.store.add(failure('lost1', 1));
  opened.store.add(failure('lost2', 2));
  await opened.store.settled();
  t.match(opened.problems, [/the post-mortem of tool, run lost1, is not kept: ENOENT/]);
  mkdirSync(opened.directory);
  opened.store.add(failure('kept', 3));
  t.strictSame(await idsOf(opened, 'tool'), ['kept']);
  t.match(opened.problems.at(-1), /kept again; 2 could not be/);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const none = open(file);
  none.store.add(failure('lost', 1));
  t.strictSame(await idsOf(none, null), []);
  t.match(none.problems, [/cannot be read: ENOTDIR|EEXIST/, /is not kept: ENOTDIR/]);
});

t.test('too many for a slow disk are dropped, and that is said', async (t) => {
  const opened = open(t.testdir(), { keepPerTool: 1_000 });
  for (let run = 0; run < 150; run++) opened.store.add(failure(`run${run}`, run));
  t.match(opened.problems, [/run100, is not kept: the disk is too slow/]);
  t.equal((await idsOf(opened, 'tool', 1_000)).length, 100);
});
