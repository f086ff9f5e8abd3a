import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import type { Resource } from '../../lib/core/resource.ts';
import type { Backend, Containment, LimitOutcome } from '../../lib/os/backend.ts';
import { canLiftNice } from '../../lib/os/procfs/nice.ts';
import { native } from '../../lib/os/native.ts';
import { cgroupBenches, emptied, endAll, limitsOf } from '../helpers/cgroup-backends.ts';
import { lacksFixture } from '../helpers/fixture.ts';
import { startGated } from '../helpers/gated.ts';
import { pause, waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;

for (const bench of await cgroupBenches()) {
  const byKernel = (resource: Resource): boolean => enforced(bench.backend, resource) === 'kernel';
  const noMemory = !byKernel('memory') && 'memory is not enforced by the kernel here';
  const noTasks = !byKernel('tasks') && 'tasks are not enforced by the kernel here';
  const noQuota = !byKernel('cpu') && 'CPU is not enforced by the kernel here';
  const noNative = !native().available && 'koffi is not there';

  t.test(`${bench.id}: each resource is told about once`, async (t) => {
    const resources = bench.backend.capabilities.map(({ resource }) => resource);
    t.same(resources.toSorted(), ['cpu', 'file_handles', 'memory', 'runtime', 'sockets', 'tasks', 'temp_storage']);
    t.same(
      bench.backend.capabilities.filter(({ measuredBy, enforcedBy }) => measuredBy === '' || enforcedBy === ''),
      [],
    );
    t.equal(bench.backend.exact, true);
  });

  t.test(`${bench.id}: the kernel stops memory at 150 % of the limit`, { skip: noMemory }, async (t) => {
    const limits = limitsOf({ memory: 100 * MIB });
    const run = await bench.create(t, limits);
    const tool = startGated(t, 'leak-memory', { args: ['--rate-mb=2000', '--cap-mb=500'] });
    await run.attach(tool.identity);
    t.equal(outcome(await run.limits.apply(limits), 'memory').enforcement, 'kernel');
    const before = run.usage.sample(performance.now()).oomKills;
    tool.go();
    t.equal(await tool.ended, 'SIGKILL');
    const after = run.usage.sample(performance.now(), true);
    t.ok(after.oomKills > before, 'the kernel says that it was out of memory');
    const peak = peakBytes(run);
    if (peak !== null) t.ok(peak <= 150 * MIB, `at most ${peak} bytes were charged`);
    t.equal(after.memoryPeakBytes ?? null, peak, 'and is told with it');
    t.not(peak, 0);
    await emptied(run);
  });

  t.test(`${bench.id}: a cap below what is in use waits for the ladder`, { skip: noMemory }, async (t) => {
    const run = await bench.create(t, limitsOf({ memory: 500 * MIB }));
    const tool = startGated(t, 'leak-memory', { args: ['--rate-mb=2000', '--cap-mb=200'] });
    await run.attach(tool.identity);
    tool.go();
    await tool.said('full');
    const lowered = outcome(await run.limits.apply(limitsOf({ memory: 50 * MIB })), 'memory');
    t.equal(lowered.enforcement, 'polled');
    t.match(lowered.note, /follows once usage is below/);
    t.equal(run.membership.members().length, 1, 'nobody was killed by it');
    t.equal(outcome(await run.limits.apply(limitsOf({ memory: 900 * MIB })), 'memory').enforcement, 'kernel');
    t.equal(outcome(await run.limits.apply(limitsOf({})), 'memory').enforcement, 'none');
  });

  t.test(
    `${bench.id}: the kernel stops forks at 150 % of the limit`,
    { skip: noTasks || lacksFixture('fork-bomb') },
    async (t) => {
      const run = await bench.create(t, limitsOf({ tasks: 20 }));
      const tool = startGated(t, 'fork-bomb', { args: ['--max=100'], lifeMs: 10_000 });
      await run.attach(tool.identity);
      tool.go();
      await waitFor('the cap to be reached', () => tasks(run) >= 30);
      for (let look = 0; look < 20; look += 1) {
        if (tasks(run) > 30) t.fail(`${tasks(run)} tasks`);
        await pause(5);
      }
      await endAll(run);
      t.equal(
        outcome(await run.limits.apply(limitsOf({})).catch(() => []), 'tasks').enforcement,
        'none',
        'a removed group',
      );
    },
  );

  t.test(`${bench.id}: the CPU quota holds and is lifted`, { skip: noQuota }, async (t) => {
    const limits = limitsOf({ cpu: 20 });
    const run = await bench.create(t, limits);
    const tool = startGated(t, 'spin-cpu');
    await run.attach(tool.identity);
    tool.go();
    await tool.said('ready');
    t.equal(run.brakes.supports('cpu_quota'), true);
    t.match(run.brakes.supports('nice'), { reason: /quota/ });
    await run.brakes.set('cpu_quota', limits);
    await run.brakes.set('cpu_quota', limits);
    await pause(200);
    const share = await cpuShare(run, 2000);
    t.ok(share <= 0.27, `${(share * 100).toFixed(1)} % of a core`);
    const throttled = run.usage.sample(performance.now()).cpuThrottledMs;
    t.ok(throttled > 0, 'the kernel counts how long it held back');
    await run.limits.apply(limitsOf({ cpu: 50 }));
    const raised = await cpuShare(run, 1000);
    t.ok(raised <= 0.6, `a brake that is on follows a new limit: ${(raised * 100).toFixed(1)} %`);
    await run.brakes.lift('cpu_quota');
    await pause(300);
    const lifted = run.usage.sample(performance.now()).cpuThrottledMs;
    await pause(500);
    t.equal(run.usage.sample(performance.now()).cpuThrottledMs, lifted, 'nobody is held back any more');
    await run.brakes.lift();
  });

  t.test(`${bench.id}: memory.high`, async (t) => {
    const limits = limitsOf({ memory: 200 * MIB });
    const run = await bench.create(t, limits);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    const support = run.brakes.supports('memory_high');
    if (support !== true) {
      t.match(support.reason, /cgroup v1|no memory controller/);
      return;
    }
    await run.brakes.set('memory_high', limits);
    const file = join(run.record.directories[0]?.path ?? '', 'memory.high');
    t.equal(readFileSync(file, 'utf8').trim(), String(200 * MIB));
    await run.brakes.lift();
    t.equal(readFileSync(file, 'utf8').trim(), 'max');
  });

  t.test(`${bench.id}: RLIMIT_NOFILE of each process`, { skip: noNative }, async (t) => {
    const limits = limitsOf({ file_handles: 200 });
    const run = await bench.create(t, limits);
    const tool = startGated(t, 'open-files', { args: ['--count=20'] });
    await run.attach(tool.identity);
    t.equal(nofile(tool.identity.pid).hard, '300', 'before the tool begins');
    tool.go();
    await tool.said('ready');
    const before = nofile(tool.identity.pid);
    t.equal(before.hard, '300');
    t.equal(run.brakes.supports('soft_nofile'), true);
    await run.brakes.set('soft_nofile', limits);
    t.ok(Number(nofile(tool.identity.pid).soft) < 100, 'little is left to open');
    await run.brakes.lift('soft_nofile');
    t.same(nofile(tool.identity.pid), before, 'as it was');
    t.equal(outcome(await run.limits.apply(limitsOf({ file_handles: 100 })), 'file_handles').enforcement, 'polled');
    t.equal(nofile(tool.identity.pid).hard, '150', 'a lower limit holds at once');
  });

  t.test(`${bench.id}: nice where there is no quota`, async (t) => {
    const run = await bench.create(t, limitsOf({ cpu: 20 }));
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    tool.go();
    await tool.said('ready');
    if (run.brakes.supports('nice') !== true) {
      t.match(run.brakes.supports('nice'), { reason: /quota/ });
      return;
    }
    const before = niceOf(tool.identity.pid);
    await run.brakes.set('nice', limitsOf({ cpu: 20 }));
    const held = Math.max(before, 10);
    t.equal(niceOf(tool.identity.pid), held);
    await run.brakes.lift();
    t.equal(niceOf(tool.identity.pid), canLiftNice() ? before : held);
  });
}

function enforced(backend: Backend, resource: Resource): string | undefined {
  return backend.capabilities.find((capability) => capability.resource === resource)?.enforcement;
}

function outcome(outcomes: readonly LimitOutcome[], resource: Resource): LimitOutcome {
  return outcomes.find((one) => one.resource === resource) ?? { resource, enforcement: 'none' };
}

function tasks(run: Containment): number {
  const reading = run.usage.sample(performance.now(), true).tasks;
  return reading.kind === 'measured' ? reading.value : Number.NaN;
}

/** Cores in use on average, by the containment's own counter. */
async function cpuShare(run: Containment, forMs: number): Promise<number> {
  const startMs = performance.now();
  const start = cpuMs(run);
  await pause(forMs);
  return (cpuMs(run) - start) / (performance.now() - startMs);
}

function cpuMs(run: Containment): number {
  const reading = run.usage.sample(performance.now()).cpuTimeMs;
  return reading.kind === 'measured' ? reading.value : Number.NaN;
}

/** The kernel's own high-water mark; before 5.19 v2 had none. */
function peakBytes(run: Containment): number | null {
  for (const { path } of run.record.directories) {
    for (const name of ['memory.peak', 'memory.max_usage_in_bytes']) {
      if (existsSync(join(path, name))) return Number(readFileSync(join(path, name), 'utf8'));
    }
  }
  return null;
}

function nofile(pid: number): { readonly soft: string; readonly hard: string } {
  const [, soft = '', hard = ''] =
    /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8')) ?? [];
  return { soft, hard };
}

function niceOf(pid: number): number {
  return Number(
    readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[16],
  );
}
