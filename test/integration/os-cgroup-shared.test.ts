/** Groups around those of several runs: what the kernel holds of all of them, and that they go when they are not needed. */

import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';

import type { ResolvedLimits } from '../../lib/core/limits.ts';
import type { Containment } from '../../lib/os/backend.ts';
import type { SharedGroup } from '../../lib/os/outer-groups.ts';
import { cgroupBenches, emptied, endAll, limitsOf, type Run } from '../helpers/cgroup-backends.ts';
import { type Gated, startGated } from '../helpers/gated.ts';
import { isAlive } from '../helpers/survivors.ts';
import { waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;
let serial = 0;

for (const bench of await cgroupBenches()) {
  const { shared } = bench.backend;
  if (shared === undefined) {
    t.test(`${bench.id}: holds nothing together`, async (t) => {
      const run = await bench.create(t);
      t.same(
        directoriesOf(run).map((path) => basename(path)),
        directoriesOf(run).map(() => run.record.cookie),
      );
    });
    continue;
  }
  const newContext = (): string => `context ${process.pid} ${++serial}`;
  const start = async (
    t: Test,
    context: string,
    limits: ResolvedLimits,
    words: readonly string[],
  ): Promise<{ run: Run; tool: Gated }> => {
    const run = await bench.create(t, limitsOf({}), { context, limits });
    const tool = startGated(t, words[0] ?? 'idle', { args: words.slice(1) });
    await run.attach(tool.identity);
    return { run, tool };
  };
  const open = (t: Test, name: string | null): SharedGroup => {
    const group = shared.open(name);
    if (group === null) throw new Error('there is no such group');
    t.teardown(() => group.close());
    return group;
  };

  t.test(`${bench.id}: made with its first run, removed with its last`, async (t) => {
    const context = newContext();
    t.equal(shared.open(shared.nameOf(context)), null);
    const limits = limitsOf({ tasks: 40 });
    const first = await bench.create(t, limitsOf({}), { context, limits });
    const around = aroundOf(first);
    t.ok(around.every((path) => basename(path) === shared.nameOf(context) && existsSync(path)));
    t.equal(fileIn(around, 'pids.max'), '60', 'held from the first moment on');
    t.same(shared.groupOf(first.record), { name: shared.nameOf(context) });
    t.same(
      bench.backend.plan(first.record.cookie, context).directories.toSorted(),
      [...new Set(directoriesOf(first))].toSorted(),
    );
    const second = await bench.create(t, limitsOf({}), { context, limits });
    const alone = await bench.create(t);
    t.same(shared.groupOf(alone.record), { name: null });
    t.equal(shared.groupOf({ ...alone.record, directories: [] }), null);
    await endAll(first);
    t.ok(
      around.every((path) => existsSync(path)),
      'another run is in it',
    );
    const group = open(t, shared.nameOf(context));
    t.equal(group.exists, true);
    await endAll(second);
    t.notOk(around.some((path) => existsSync(path)));
    t.equal(group.exists, false);
    const again = await bench.create(t, limitsOf({}), { context, limits });
    t.equal(fileIn(aroundOf(again), 'pids.max'), '60', 'made again, with its limits');
    t.equal(group.exists, false, 'which is another one');
  });

  t.test(`${bench.id}: the kernel stops memory of all together`, async (t) => {
    const context = newContext();
    const limits = limitsOf({ memory: 100 * MIB });
    const one = await start(t, context, limits, ['leak-memory', '--rate-mb=2000', '--cap-mb=70']);
    const two = await start(t, context, limits, ['leak-memory', '--rate-mb=2000', '--cap-mb=70']);
    const outside = await start(t, newContext(), limits, ['leak-memory', '--rate-mb=2000', '--cap-mb=70']);
    for (const { tool } of [outside, one]) tool.go();
    for (const { tool } of [outside, one]) await tool.said('full');
    two.tool.go();
    t.equal(await Promise.race([one.tool.ended, two.tool.ended]), 'SIGKILL');
    const oomKills = ({ run }: { readonly run: Run }): number => run.usage.sample(performance.now(), true).oomKills;
    t.ok(oomKills(one) + oomKills(two) > 0, 'the kernel says of which run it was');
    t.ok(isAlive(outside.tool.identity), 'who is in another group does not pay');
    t.equal(oomKills(outside), 0);
    // On a busy machine the kernel may not wait for what the first one gives back.
    let [holder] = [one, two].filter(({ tool }) => isAlive(tool.identity));
    if (holder === undefined) {
      holder = await start(t, context, limits, ['leak-memory', '--rate-mb=2000', '--cap-mb=70']);
      holder.tool.go();
    }
    await holder.tool.said('full');
    const group = open(t, shared.nameOf(context));
    const { memory } = group.sample(performance.now(), true);
    t.ok(memory.kind === 'measured' && memory.value >= 70 * MIB && memory.value <= 150 * MIB, JSON.stringify(memory));
    t.match(await group.apply(limits, 0), [
      { resource: 'memory', enforcement: 'kernel' },
      { resource: 'tasks', enforcement: 'none' },
      {},
    ]);
    t.match(await group.apply(limitsOf({ memory: 10 * MIB }), 0), [
      { resource: 'memory', enforcement: 'polled', note: /follows once usage is below/ },
      {},
      {},
    ]);
    await group.apply(limits, 30 * MIB);
    t.equal(memoryCap(aroundOf(one.run)), String(180 * MIB), 'what may lie in a TMPDIR in memory comes on top');
    await group.apply(limitsOf({}), 0);
    t.not(memoryCap(aroundOf(one.run)), String(180 * MIB));
  });

  t.test(`${bench.id}: the kernel stops forks of all together`, async (t) => {
    const context = newContext();
    const limits = limitsOf({ tasks: 20 });
    const runs = [
      await start(t, context, limits, ['fork-bomb', '--max=100']),
      await start(t, context, limits, ['fork-bomb', '--max=100']),
    ];
    const group = open(t, shared.nameOf(context));
    for (const { tool } of runs) tool.go();
    const count = (): number => {
      const { tasks } = group.sample(performance.now(), true);
      return tasks.kind === 'measured' ? tasks.value : Number.NaN;
    };
    await waitFor('the cap', () => count() >= 30);
    for (let look = 0; look < 100; look++) if (count() > 30) t.fail(`${count()} tasks`);
    for (const { run } of runs) await endAll(run);
  });

  t.test(`${bench.id}: a quota for all, also where one of them has a larger one`, async (t) => {
    const context = newContext();
    const limits = limitsOf({ cpu: 50 });
    const { run } = await start(t, context, limits, ['idle']);
    await run.brakes.set('cpu_quota', limitsOf({ cpu: 100 }));
    const group = open(t, shared.nameOf(context));
    t.equal(group.supports('cpu_quota'), true);
    await group.setBrake('cpu_quota', limits);
    const quota = (paths: readonly string[]): string | undefined =>
      (fileIn(paths, 'cpu.max') ?? fileIn(paths, 'cpu.cfs_quota_us'))?.split(' ')[0];
    t.equal(quota(aroundOf(run)), '50000');
    await group.setBrake('cpu_quota', null);
    await run.brakes.lift('cpu_quota');
    t.match(quota(aroundOf(run)), /^(max|-1)$/);
    t.match(quota(directoriesOf(run)), /^(max|-1)$/);
  });

  t.test(`${bench.id}: all runs of the daemon together`, async (t) => {
    const inContext = await bench.create(t, limitsOf({}), { context: newContext(), limits: limitsOf({ tasks: 40 }) });
    const group = open(t, null);
    t.match(await group.apply(limitsOf({ tasks: 100, memory: 500 * MIB }), 0), [
      { resource: 'memory', enforcement: 'kernel' },
      { resource: 'tasks', enforcement: 'kernel' },
      {},
    ]);
    t.equal(fileIn(aroundOf(inContext).map(dirname), 'pids.max'), '150');
    await group.apply(limitsOf({}), 0);
    t.equal(fileIn(aroundOf(inContext).map(dirname), 'pids.max'), 'max');
  });

  t.test(`${bench.id}: what holds a run that a daemon of other groups adopts is lifted`, async (t) => {
    const context = newContext();
    const limits = limitsOf({ tasks: 40, memory: 100 * MIB });
    const { run } = await start(t, context, limits, ['idle']);
    const host = open(t, null);
    await host.apply(limitsOf({ tasks: 100 }), 0);
    t.equal(fileIn(aroundOf(run), 'pids.max'), '60');
    const elsewhere = await bench.openElsewhere();
    t.teardown(() => elsewhere.close());
    t.equal(elsewhere.shared?.groupOf(run.record), null);
    const adopted = (await elsewhere.adopt(run.record, limitsOf({ tasks: 30 }), run.tempDir)) as Containment;
    t.equal(fileIn(aroundOf(run), 'pids.max'), 'max');
    t.equal(fileIn(aroundOf(run).map(dirname), 'pids.max'), 'max');
    t.match(fileIn(aroundOf(run), 'memory.max') ?? fileIn(aroundOf(run), 'memory.limit_in_bytes'), /^(max|9223\d+)$/);
    t.equal(fileIn(directoriesOf(run), 'pids.max'), '45', 'its own limits hold');
    await adopted.killer.kill();
    await emptied(adopted);
    adopted.close();
  });

  t.test(`${bench.id}: what a killed daemon has left of them is swept`, async (t) => {
    const [left, kept, lived] = [newContext(), newContext(), newContext()];
    const plans = [left, kept].map((context) =>
      bench.backend.plan(`s${String(process.pid).padStart(6, '0').slice(-6)}00${++serial % 10}`, context),
    );
    const [planLeft, planKept] = plans.map(({ directories }) => directories);
    if (planLeft === undefined || planKept === undefined) throw new Error('unreachable');
    for (const path of [...planLeft, ...planKept]) mkdirSync(path, { recursive: true });
    const { run, tool } = await start(t, lived, limitsOf({ tasks: 40 }), ['idle']);
    const onRecord = basename(planKept[0] ?? '');
    const removed = await bench.backend.sweep({ isOnRecord: (runId) => runId === onRecord, isDead: async () => false });
    for (const path of [...planLeft, ...planLeft.map(dirname)]) {
      t.ok(removed.includes(path));
      t.notOk(existsSync(path));
    }
    t.ok(
      planKept.every((path) => existsSync(path)),
      'a run that is on record may be about to begin',
    );
    t.ok(isAlive(tool.identity) && directoriesOf(run).every((path) => existsSync(path)), 'who lives stays');
    await bench.backend.discard(onRecord, planKept);
    t.notOk(
      [...planKept, ...planKept.map(dirname)].some((path) => existsSync(path)),
      'an interrupted creation leaves neither',
    );
    const next = await bench.reopen();
    const adopted = (await next.adopt(run.record, limitsOf({}), run.tempDir)) as Containment;
    // Each daemon has a scope of its own: what lives on in another one is not in its groups.
    const place = bench.id === 'cgroup2-scope' ? null : { name: shared.nameOf(lived) };
    t.same(next.shared?.groupOf(adopted.record), place, 'the next daemon knows whether it is in a group of its own');
    await adopted.killer.kill();
    await emptied(adopted);
    await adopted.remove(5_000);
    adopted.close();
    t.notOk(aroundOf(run).some((path) => existsSync(path)));
    await next.close();
  });
}

function directoriesOf({ record }: Pick<Run, 'record'>): readonly string[] {
  return record.directories.map(({ path }) => path);
}

function aroundOf(run: Pick<Run, 'record'>): readonly string[] {
  return [...new Set(directoriesOf(run).map(dirname))];
}

function fileIn(directories: readonly string[], file: string): string | undefined {
  const holder = directories.find((path) => existsSync(path) && readdirSync(path).includes(file));
  return holder === undefined ? undefined : readFileSync(join(holder, file), 'utf8').trim();
}

function memoryCap(directories: readonly string[]): string | undefined {
  return fileIn(directories, 'memory.max') ?? fileIn(directories, 'memory.limit_in_bytes');
}
