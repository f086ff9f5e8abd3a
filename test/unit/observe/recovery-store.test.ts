import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { NO_RECOVERIES, noted, type RecoveryRecord } from '../../../lib/core/recovery-strategy.ts';
import { RecoveryStore } from '../../../lib/observe/recovery-store.ts';

const RECORD: RecoveryRecord = {
  strategies: { restart: noted(undefined, 'failed'), degrade: noted(undefined, 'succeeded') },
  replaced: { strategy: 'degrade', written: 'restart', sinceMs: 1_000, why: 'it failed' },
  degraded: { sinceMs: 2_000, why: 'it failed' },
};

function open(folder: string): { store: RecoveryStore; problems: string[]; file: string } {
  const file = join(folder, 'recoveries.json');
  const problems: string[] = [];
  const store = new RecoveryStore({ file, wallMs: () => 77, onProblem: (problem) => void problems.push(problem) });
  return { store, problems, file };
}

t.test('what is kept is there for the next daemon', async (t) => {
  const folder = t.testdir();
  const { store, file } = open(folder);
  t.equal(store.of('tool'), NO_RECOVERIES);
  store.keep('tool', RECORD);
  store.keep('__proto__', RECORD);
  t.notOk(existsSync(file), 'nobody waits for it');
  await store.flush();
  await store.flush();
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.strictSame(readdirSync(folder), ['recoveries.json'], 'nothing is left beside it');
  const { store: next, problems } = open(folder);
  t.strictSame(next.of('tool'), RECORD);
  t.strictSame(next.of('__proto__'), RECORD);
  t.strictSame(problems, []);
});

t.test('it writes by itself, a while after', async (t) => {
  const { store, file } = open(t.testdir());
  store.keep('tool', RECORD);
  const written = (): boolean => existsSync(file);
  for (let wait = 0; wait < 200 && !written(); wait++) await new Promise((resolve) => setTimeout(resolve, 50));
  t.ok(written());
});

t.test('bounded: who changed longest ago goes first', async (t) => {
  const folder = t.testdir();
  const { store } = open(folder);
  for (let tool = 0; tool <= 2_000; tool++) {
    store.keep(`tool ${tool}`, RECORD);
    if (tool === 1_000) store.keep('tool 0', RECORD);
  }
  await store.flush();
  const { store: next } = open(folder);
  t.equal(next.of('tool 1'), NO_RECOVERIES);
  t.strictSame(next.of('tool 0'), RECORD);
  t.strictSame(next.of('tool 2000'), RECORD);
});

t.test('what cannot be understood is set aside, and said', async (t) => {
  const whole = JSON.stringify({ format: 1, tools: { tool: RECORD } });
  const cases: Readonly<Record<string, string>> = {
    'cut off': whole.slice(0, -20),
    'of a newer version': whole.replace('"format":1', '"format":2'),
    'no object': '[]',
    'no tools': '{"format":1}',
    'a count that is none': whole.replace('"failed":1', '"failed":-1'),
    'a name that is none': whole.replace('"strategy":"degrade"', '"strategy":7'),
    'no counts': whole.replace(/"degrade":\{[^}]*\}/, '"degrade":7'),
    'a time that is none': whole.replace('1000', '1e30'),
    binary: '\u0000\u0001',
  };
  for (const [what, text] of Object.entries(cases)) {
    const folder = join(t.testdirName, what.replaceAll(' ', '-'));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'recoveries.json'), text);
    const { store, problems, file } = open(folder);
    t.equal(store.of('tool'), NO_RECOVERIES, what);
    t.equal(problems.length, 1);
    t.match(problems[0], new RegExp(`cannot be understood .*: it is set aside as ${file}.damaged-77$`), what);
    t.equal(readFileSync(`${file}.damaged-77`, 'utf8'), text);
    store.keep('tool', RECORD);
    await store.flush();
    t.strictSame(open(folder).store.of('tool'), RECORD, 'and it goes on');
  }
  rmSync(t.testdirName, { recursive: true, force: true });
});

t.test(
  'a strategy that this version does not have: what is known of that tool is left out, and of no other',
  async (t) => {
    const folder = t.testdir();
    const counted = { ...RECORD.strategies, reboot: { succeeded: 1, byItself: true } };
    const replacedBy = { ...RECORD, replaced: { ...RECORD.replaced, strategy: 'hibernate' } };
    const replacing = { ...RECORD, replaced: { ...RECORD.replaced, written: 'hibernate' } };
    const tools = {
      first: RECORD,
      'a newer one': { ...RECORD, strategies: counted },
      replacedBy,
      replacing,
      last: RECORD,
    };
    writeFileSync(join(folder, 'recoveries.json'), JSON.stringify({ format: 1, tools }));
    const { store, problems, file } = open(folder);
    t.strictSame(store.of('first'), RECORD);
    t.strictSame(store.of('last'), RECORD);
    for (const tool of ['a newer one', 'replacedBy', 'replacing']) t.equal(store.of(tool), NO_RECOVERIES, tool);
    const has = 'it has restart, degrade, restart-on-demand, stop';
    t.strictSame(problems, [
      `${file}: what it says of a newer one is left out: this version has no strategy reboot (${has})`,
      `${file}: what it says of replacedBy is left out: this version has no strategy hibernate (${has})`,
      `${file}: what it says of replacing is left out: this version has no strategy hibernate (${has})`,
    ]);
    t.strictSame(readdirSync(folder), ['recoveries.json'], 'nothing is set aside');
    store.keep('a newer one', RECORD);
    await store.flush();
    const { store: next, problems: none } = open(folder);
    t.strictSame([next.of('first'), next.of('a newer one'), next.of('last')], [RECORD, RECORD, RECORD]);
    t.strictSame(none, []);
  },
);

t.test('a disk that refuses is told once, and tried again', async (t) => {
  const folder = join(t.testdir({ state: {} }), 'state');
  const { store, problems, file } = open(folder);
  rmSync(folder, { recursive: true });
  for (let change = 0; change < 3; change++) {
    store.keep('tool', RECORD);
    await store.flush();
  }
  t.equal(problems.length, 1);
  t.match(problems[0], /could not be written/);
  t.strictSame(store.of('tool'), RECORD, 'it is known all the same');
  mkdirSync(folder);
  chmodSync(folder, 0o700);
  store.keep('tool', RECORD);
  await store.flush();
  t.ok(existsSync(file));
});
