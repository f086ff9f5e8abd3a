import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { LedgerEntry } from '../../../lib/process/ledger.ts';
import { Ledger } from '../../../lib/process/ledger.ts';

const ENTRY: LedgerEntry = {
  version: 1,
  runId: 'abcdefghij',
  tool: 'a tool',
  bootId: 'boot',
  mode: 'direct',
  step: 'intended',
  startedWallMs: 1,
  leader: null,
  clients: [],
  detached: false,
  context: null,
  tempDir: '/tmp/x/abcdefghij',
  tempRoot: '/tmp/x',
  containment: null,
  definition: {},
  command: ['true'],
  cwd: '/',
};

t.test('an entry comes back as it was written, the newest text only', async (t) => {
  const directory = join(t.testdir({}), 'ledger');
  const ledger = new Ledger(directory);
  ledger.write(ENTRY);
  ledger.write({ ...ENTRY, step: 'running', leader: { pid: 7, startTicks: 99 } });
  t.same(new Ledger(directory).readAll(), {
    entries: [{ ...ENTRY, step: 'running', leader: { pid: 7, startTicks: 99 } }],
    problems: [],
  });
  t.ok(ledger.has(ENTRY.runId));
  ledger.remove(ENTRY.runId);
  t.notOk(ledger.has(ENTRY.runId));
  ledger.remove(ENTRY.runId);
  t.same(ledger.readAll(), { entries: [], problems: [] });
});

t.test('a damaged entry is set aside and said; the others stay', async (t) => {
  const directory = t.testdir({});
  const ledger = new Ledger(directory);
  ledger.write(ENTRY);
  const damaged: Record<string, string> = {
    'torn.json': JSON.stringify(ENTRY).slice(0, 40),
    'empty.json': '',
    'array.json': '[]',
    'newer.json': JSON.stringify({ ...ENTRY, version: 2 }),
    'noid.json': JSON.stringify({ ...ENTRY, runId: '../../etc' }),
    'nodir.json': JSON.stringify({ ...ENTRY, tempDir: 7 }),
    'clients.json': JSON.stringify({ ...ENTRY, clients: null }),
  };
  for (const [name, text] of Object.entries(damaged)) writeFileSync(join(directory, name), text);
  const { entries, problems } = ledger.readAll();
  t.same(entries, [ENTRY]);
  t.same(
    problems.map(({ file }) => file.split('/').at(-1)).toSorted(),
    Object.keys(damaged)
      .map((name) => `${name}.damaged`)
      .toSorted(),
  );
  t.ok(problems.every(({ message }) => message.length > 0));
  t.same(ledger.readAll().problems, [], 'said once');
  t.equal(readdirSync(directory).length, 1 + Object.keys(damaged).length, 'nothing is thrown away');
});
