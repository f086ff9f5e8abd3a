import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Cpu1 } from '../../../../lib/os/cgroup1/cpu.ts';
import { Cpu2 } from '../../../../lib/os/cgroup2/cpu.ts';
import type { CpuPart } from '../../../../lib/os/cgroup2/parts.ts';
import type { TestScope } from '../../../helpers/fixture.ts';

/** Two groups below one, with the CPU time of each in nanoseconds. */
function groups(t: TestScope, file: string, text: (nanoseconds: number) => string) {
  const above = mkdtempSync(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rmSync(above, { recursive: true, force: true }));
  const used = new Map<string, number>();
  const run = (name: string, nanoseconds: number): void => {
    used.set(name, (used.get(name) ?? 0) + nanoseconds);
    mkdirSync(join(above, name), { recursive: true });
    writeFileSync(join(above, name, file), text(used.get(name) ?? 0));
    writeFileSync(join(above, file), text([...used.values()].reduce((sum, value) => sum + value, 0)));
  };
  run('a', 1_000_000);
  run('b', 5_000_000);
  return { above, run };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const kinds: readonly (readonly [string, string, (n: number) => string, (directory: string) => CpuPart])[] = [
  ['cgroup v2', 'cpu.stat', (n) => `usage_usec ${n / 1000}\nuser_usec 0\n`, (directory) => new Cpu2(directory)],
  [
    'cpuacct',
    'cpuacct.usage',
    (n) => `${n}\n`,
    (directory) => new Cpu1({ unified: null, cpuacct: directory, cpu: null }),
  ],
];

for (const [name, file, text, open] of kinds) {
  t.test(`${name}: idle while the group above counts nothing`, async (t) => {
    const { above, run } = groups(t, file, text);
    const [a, b] = [open(join(above, 'a')), open(join(above, 'b'))];
    t.same(a.idleUntilMs(0), Number.NaN, 'nothing was read before');
    await turn();
    t.equal(a.usageMs(10), 1);
    t.equal(b.usageMs(11), 5);
    await turn();
    t.equal(a.idleUntilMs(20), 20);
    t.equal(b.idleUntilMs(21), 20, 'by the same read');
    t.same(a.idleUntilMs(22), Number.NaN, 'which is good for one answer: it tells nothing of the time since');
    await turn();
    run('b', 1_000);
    t.same([a.idleUntilMs(30), b.idleUntilMs(30)], [Number.NaN, Number.NaN], 'somebody has run; who is not known');
    t.equal(a.usageMs(31), 1);
    t.equal(b.usageMs(31), 5.001);
    t.same(b.idleUntilMs(32), Number.NaN, 'nothing was read since');
    await turn();
    t.same([a.idleUntilMs(40), b.idleUntilMs(40)], [40, 40]);
    a.close();
    a.close();
    await turn();
    t.equal(b.idleUntilMs(50), 50, 'the other still has the file');
    t.same(a.idleUntilMs(50), Number.NaN, 'a closed one says nothing');
    b.close();
    await turn();
    t.same(b.idleUntilMs(60), Number.NaN);
  });

  t.test(`${name}: what ran after the group above was read is seen by the next look`, async (t) => {
    const { above, run } = groups(t, file, text);
    const [a, b] = [open(join(above, 'a')), open(join(above, 'b'))];
    a.usageMs(0);
    b.usageMs(0);
    await turn();
    t.equal(a.idleUntilMs(10), 10);
    run('b', 1_000);
    t.equal(b.idleUntilMs(11), 10, 'true of the time until the read');
    t.same(b.idleUntilMs(12), Number.NaN);
    t.equal(b.usageMs(12), 5.001);
    run('b', 1_000);
    await turn();
    t.same(b.idleUntilMs(20), Number.NaN, 'what ran between the two reads of one turn');
    a.close();
    b.close();
  });

  t.test(`${name}: a counter above that has not counted all of the group tells nothing`, async (t) => {
    const { above } = groups(t, file, text);
    const a = open(join(above, 'a'));
    t.teardown(() => a.close());
    for (const [wrong, why] of [
      [text(0), 'it is not kept'],
      [text(999_000), 'it counts others only, or was set back'],
      ['\n', 'it is empty'],
    ] as const) {
      if (wrong === '\n' && file === 'cpuacct.usage') continue;
      writeFileSync(join(above, file), wrong);
      t.equal(a.usageMs(0), 1);
      await turn();
      t.same(a.idleUntilMs(1), Number.NaN, why);
    }
    writeFileSync(join(above, file), text(1_000_000));
    t.equal(a.usageMs(2), 1);
    await turn();
    t.equal(a.idleUntilMs(3), 3, 'all that it counts is of this group');
    writeFileSync(join(above, file), text(0));
    await turn();
    t.same(a.idleUntilMs(4), Number.NaN, 'set back');
  });
}

t.test('a group with nothing above it that counts', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'cpu.stat'), 'usage_usec 7000\n');
  const cpu = new Cpu2(directory);
  t.equal(cpu.usageMs(0), 7);
  await turn();
  t.same(cpu.idleUntilMs(1), Number.NaN);
  cpu.close();
});

t.test('the group above goes with its last run, and another of the same name is made', async (t) => {
  const { above, run } = groups(t, 'cpu.stat', (n) => `usage_usec ${n / 1000}\n`);
  const first = new Cpu2(join(above, 'a'));
  first.usageMs(0);
  first.close();
  rmSync(above, { recursive: true });
  mkdirSync(above);
  run('a', 0);
  const second = new Cpu2(join(above, 'a'));
  t.teardown(() => second.close());
  second.usageMs(1);
  await turn();
  t.equal(second.idleUntilMs(2), 2, 'it is the new one that is looked at');
  run('a', 2_000);
  await turn();
  t.same(second.idleUntilMs(3), Number.NaN);
});
