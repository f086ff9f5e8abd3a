/** Profiles and limits that follow them, with the real supervisor on ports in memory. */

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { Adaption } from '../../../daemon/adaption.ts';
import { Profiles } from '../../../daemon/profiles.ts';
import type { UsageProfile } from '../../../lib/core/usage-profile.ts';
import { ProfileStore } from '../../../lib/observe/profile-store.ts';
import type { ToolDefinition } from '../../../lib/supervisor/governor.ts';
import type { Run } from '../../../lib/supervisor/run.ts';
import { limited } from '../../helpers/fake-ports.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import { fakeDefinition } from '../../helpers/fake-views.ts';
import { filledProfile } from '../../helpers/filled-profile.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const MIB = 1024 ** 2;

interface Scene extends Stand {
  readonly profiles: Profiles;
  readonly adaption: Adaption;
  readonly directory: string;
  /** What was learnt of a tool before this daemon. */
  seed(tool: string, profile: UsageProfile): Promise<void>;
  /** The profile is read, and what follows of it is done. */
  settled(tool: string): Promise<void>;
}

function scene(t: Test, directory = join(temporaryDirectory(t), 'profiles')): Scene {
  const world = stand(t);
  const record = world.ports.recorder.record;
  const adaption: Adaption = new Adaption({
    clock: world.time,
    log: world.ports.log,
    record,
    registry: () => world.registry,
    profiles: () => profiles,
    leaks: () => world.ports.leaks,
  });
  const profiles: Profiles = new Profiles({
    directory,
    clock: world.time,
    log: world.ports.log,
    record,
    sampleIntervalMs: 1000,
    onNews: (tool) => adaption.look(tool),
    isOfCalls: (tool) => adaption.isOfCalls(tool),
  });
  t.teardown(async () => {
    adaption.close();
    await profiles.close();
  });
  world.hooks.onSample = (run) => profiles.onSample(run);
  world.hooks.onTools = (tool) => adaption.onTools(tool);
  world.hooks.onForgotten = (tool) => {
    profiles.onForgotten(tool);
    adaption.onForgotten(tool);
  };
  return Object.assign(world, {
    profiles,
    adaption,
    directory,
    async seed(tool: string, profile: UsageProfile) {
      // Two at once on one directory are none of a daemon's.
      await profiles.of('nobody');
      t.equal(await new ProfileStore(directory, world.ports.log).write(tool, profile.state()), true);
    },
    async settled(tool: string) {
      await profiles.of(tool);
      await world.time.pass(10);
    },
  });
}

const FOLLOWING = { adaptive: { min: 128 * MIB, max: 1024 * MIB } };

function worker(limitMib: number, overrides: Partial<ToolDefinition> = {}): ToolDefinition {
  const limits = limited({ memory: limitMib * MIB }, FOLLOWING);
  return fakeDefinition('worker', { origin: 'file', limits, ...overrides });
}

function memoryOf({ registry }: Scene): ReturnType<Stand['registry']['tool']>['limits'][number] {
  const [memory] = registry.tool('worker').limits;
  if (memory === undefined) throw new Error('no limits');
  return memory;
}

t.test('raised to what was learnt, before anything of it runs; with the reason, and on record', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  s.registry.add(worker(256));
  await s.settled('worker');
  const { limit, source, reason, adaptive } = memoryOf(s);
  t.ok((limit ?? 0) >= 400 * MIB && (limit ?? 0) <= 421 * MIB, String(limit));
  t.match({ source, adaptive }, { source: { from: 'adaptive', detail: 'within the bounds of test' }, ...FOLLOWING });
  t.notOk(adaptive?.stopped);
  t.match(reason, /^p99 of hourly peaks in 1d6h is 30\d\.?\d* MiB, \+ 33\.3%$/);
  t.match(s.recordsOf('limits'), [
    { tool: 'worker', resource: 'memory', before: 256 * MIB, after: limit, by: 'adaptive', reason },
  ]);
  const run = await s.registry.activate('worker', { context: null });
  t.match(run.limits[0], { limit, source: { from: 'adaptive' } }, 'and holds for what is started');
  t.match(s.tree.applied, { memory: { limit } });
});

t.test('a profile that cannot be read costs what it held, and nothing else', async (t) => {
  for (const put of [
    (file: string) => mkdirSync(file),
    (file: string) => writeFileSync(file, '{"format":1,"tool":"wor'),
  ]) {
    const s = scene(t);
    await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
    const [name = ''] = readdirSync(s.directory);
    await s.seed('other', filledProfile({ hours: 30, memory: 300 * MIB }));
    rmSync(join(s.directory, name));
    put(join(s.directory, name));
    s.registry.add(worker(256));
    s.registry.add({ ...worker(256), name: 'other' });
    await s.settled('worker');
    await s.settled('other');
    t.match(s.complaints, [/^a usage profile .*: set aside under this name, and begun anew$/]);
    t.ok(readdirSync(s.directory).some((file) => file.startsWith(`${name}.set-aside-`)));
    t.equal(memoryOf(s).limit, 256 * MIB, 'nothing is known of it');
    t.ok((s.registry.tool('other').limits[0]?.limit ?? 0) >= 400 * MIB, 'what is known of another one is');
    const { id } = await s.registry.activate('worker', { context: null });
    await s.time.pass(5_000);
    t.equal(s.registry.run(id).state, 'running');
    t.ok((s.profiles.known('worker')?.series.memory.samples ?? 0) > 0, 'it is learnt anew');
    await s.registry.unregister('worker');
    const after = await new ProfileStore(s.directory, s.ports.log).read('worker');
    t.ok((after?.observedMs ?? 0) > 0, 'and kept');
  }
});

t.test('a live run gets it at once', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  s.registry.add(worker(256));
  const { id } = await s.registry.activate('worker', { context: null });
  await s.settled('worker');
  const { limit } = memoryOf(s);
  t.ok((limit ?? 0) > 256 * MIB);
  t.match(s.tree.applied, { memory: { limit } });
  t.match(s.recordsOf('limits'), [{ run: id, before: 256 * MIB, after: limit, by: 'adaptive' }]);
});

t.test('a run whose start was under way gets it with its first sample', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  s.registry.add(worker(256));
  const letGo = s.points.hold('launch');
  const started = s.registry.activate('worker', { context: null });
  await s.settled('worker');
  t.ok((memoryOf(s).limit ?? 0) > 256 * MIB);
  letGo();
  const { id } = await started;
  await s.time.pass(100);
  t.match(s.registry.run(id).limits[0], { limit: memoryOf(s).limit, source: { from: 'adaptive' } });
  t.match(s.tree.applied, { memory: { limit: memoryOf(s).limit } });
});

t.test('lowered by a quarter at a time, and not below what is in use', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 200, memory: 50 * MIB }));
  s.registry.add(worker(800));
  await s.settled('worker');
  t.equal(memoryOf(s).limit, 600 * MIB);
  s.adaption.look('worker');
  await s.time.pass(10);
  t.equal(memoryOf(s).limit, 600 * MIB, 'an hour has to pass');
  await s.registry.activate('worker', { context: null });
  s.tree.holds.memory = 350 * MIB;
  await s.time.pass(3_700_000);
  s.adaption.look('worker');
  await s.time.pass(10);
  const { limit } = memoryOf(s);
  t.ok((limit ?? 0) >= 500 * MIB && (limit ?? 0) < 540 * MIB, `350 MiB have to stay below 70 %: ${limit}`);
});

t.test('a run that was ended for lack of it: the next one has more', async (t) => {
  const s = scene(t);
  s.registry.add(worker(256));
  const { id } = await s.registry.activate('worker', { context: null });
  await s.settled('worker');
  s.tree.holds.memory = 290 * MIB;
  await s.time.pass(20_000);
  t.match(s.registry.run(id), { state: 'ended', end: { reason: 'limit', resource: 'memory' } });
  // 290 MiB and 20 %, and the margin.
  const { limit, reason } = memoryOf(s);
  t.ok((limit ?? 0) >= 464 * MIB && (limit ?? 0) <= 490 * MIB, String(limit));
  t.match(reason, /one run was ended for lack of it/);
  t.match(s.recordsOf('limits').at(-1), { before: 256 * MIB, after: limit, by: 'adaptive' });
});

t.test('the kernel was faster: the same', async (t) => {
  const s = scene(t);
  s.registry.add(worker(256));
  await s.registry.activate('worker', { context: null });
  await s.settled('worker');
  s.tree.holds.memory = 100 * MIB;
  await s.time.pass(2_000);
  s.tree.holds.oomKills = 1;
  await s.time.pass(2_000);
  // The cap of 384 MiB and 20 %, and the margin.
  t.ok((memoryOf(s).limit ?? 0) >= 614 * MIB, String(memoryOf(s).limit));
  t.equal((await s.profiles.of('worker'))?.series.memory.bumps, 1, 'told by the sample and by the end: once');
});

t.test('never beyond its bounds', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 3000 * MIB }));
  s.registry.add(worker(256));
  await s.settled('worker');
  t.equal(memoryOf(s).limit, 1024 * MIB);
  t.match(memoryOf(s).reason, /held at its most/);
});

t.test('set by hand it stays, and says so, until the file has another limit', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  s.registry.add(worker(256));
  await s.registry.setLimits('worker', { memory: 200 * MIB }, 'token default');
  await s.settled('worker');
  t.match(memoryOf(s), {
    limit: 200 * MIB,
    source: { from: 'api' },
    adaptive: { stopped: 'set by hand (token default), until another limit is written where the tool is defined' },
  });
  await s.time.pass(100_000);
  s.adaption.look('worker');
  await s.time.pass(10);
  t.equal(memoryOf(s).limit, 200 * MIB);
  s.define([worker(256)]);
  await s.registry.reload();
  await s.settled('worker');
  t.match(memoryOf(s), { limit: 200 * MIB, source: { from: 'api' }, adaptive: { stopped: /token default/ } });
  s.define([worker(256, { graceMs: 77 })]);
  await s.registry.reload();
  await s.settled('worker');
  t.match(memoryOf(s), { limit: 200 * MIB, adaptive: { stopped: /token default/ } }, 'an edit of something else');
  s.define([worker(300)]);
  await s.registry.reload();
  await s.settled('worker');
  t.ok((memoryOf(s).limit ?? 0) >= 400 * MIB, 'it follows again');
  t.match(memoryOf(s), { source: { from: 'adaptive' } });
  t.notOk(memoryOf(s).adaptive?.stopped);
});

t.test('after a change of the file', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  s.registry.add(worker(256));
  await s.settled('worker');
  const { limit: followed } = memoryOf(s);
  s.define([worker(256, { graceMs: 77 })]);
  await s.registry.reload();
  t.match(memoryOf(s), { limit: followed, source: { from: 'adaptive' }, reason: /^p99/ }, 'something else: it stays');
  s.define([worker(256, { limits: limited({ memory: 256 * MIB }, { adaptive: { min: MIB, max: 300 * MIB } }) })]);
  await s.registry.reload();
  await s.settled('worker');
  t.equal(memoryOf(s).limit, 300 * MIB, 'other bounds: within them');
  s.define([worker(256, { limits: limited({ memory: 256 * MIB }) })]);
  await s.registry.reload();
  t.match(memoryOf(s), { limit: 256 * MIB, source: { from: 'built-in' } }, 'no bounds: as it is written');
  t.notOk(memoryOf(s).adaptive);
});

t.test('limits of flags are not touched, and those without bounds', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB, tasks: 500 }));
  s.registry.add(worker(256, { limits: limited({ memory: 256 * MIB, tasks: 100 }) }));
  await s.settled('worker');
  t.equal(memoryOf(s).limit, 256 * MIB);
  t.same(s.recordsOf('limits'), []);
  const other = scene(t);
  await other.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  other.registry.add(worker(256));
  const source = { from: 'flag', detail: '--memory' } as const;
  const run = await other.launch('worker', { limits: limited({ memory: 200 * MIB }, { source }) });
  await other.settled('worker');
  t.ok((memoryOf(other).limit ?? 0) > 256 * MIB);
  t.equal(run.limits.memory?.limit, 200 * MIB);
});

t.test('a dry run only says it, once', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  s.registry.add(worker(256, { dryRun: true }));
  await s.settled('worker');
  for (let look = 0; look < 3; look++) {
    await s.time.pass(700_000);
    s.adaption.look('worker');
  }
  await s.time.pass(10);
  t.equal(memoryOf(s).limit, 256 * MIB);
  t.match(s.recordsOf('limits'), [{ before: 256 * MIB, by: 'adaptive', dryRun: true, reason: /^p99/ }]);
  t.equal(s.recordsOf('limits').length, 1);
});

t.test('what runs elsewhere has no profile', async (t) => {
  const s = scene(t);
  await s.launch('boxed', { command: 'docker', args: ['run', 'image'], limits: limited({ memory: 100 * MIB }) });
  await s.time.pass(10_000);
  t.equal(s.profiles.known('boxed'), null);
  const view = await s.adaption.recommendation('boxed');
  t.match(view, { yaml: null, note: /docker/ });
  await t.rejects(s.adaption.recommendation('nobody'), { code: 'unknown_tool' });
});

t.test('what is learnt outlives the tool, and the daemon', async (t) => {
  const s = scene(t);
  const run = await s.launch('tool', { limits: limited({ memory: 900 * MIB }) });
  await s.time.pass(50);
  await s.profiles.of('tool');
  s.tree.holds.memory = 60 * MIB;
  await s.time.pass(700_000);
  const before = await s.adaption.recommendation('tool');
  const proposed = before.proposals[0]?.proposed ?? 0;
  t.ok(proposed >= 80 * MIB && proposed <= 85 * MIB, String(proposed));
  await s.registry.deactivate('tool', run.id);
  t.same(s.forgotten, ['tool']);
  t.equal(s.profiles.known('tool'), null, 'no memory is held for it');
  await s.profiles.of('tool');
  const next = scene(t, s.directory);
  next.tool('tool', { limits: limited({ memory: 900 * MIB }) });
  const after = await next.adaption.recommendation('tool');
  t.equal(after.observedMs, before.observedMs);
  t.same(
    after.proposals.map(({ proposed }) => proposed),
    before.proposals.map(({ proposed }) => proposed),
  );
});

t.test('a stalled sample, and one of a run that ends, teach nothing', async (t) => {
  const s = scene(t);
  const run = await s.launch('tool', { limits: limited({ memory: 900 * MIB }) });
  await s.time.pass(50);
  await s.profiles.of('tool');
  await s.time.pass(5_000);
  const profile = await s.profiles.of('tool');
  const samples = (): number => profile?.series.memory.samples ?? 0;
  const before = samples();
  t.ok(before > 0);
  const { last } = run;
  const sampled = (overrides: Partial<Run>): void =>
    s.profiles.onSample(
      Object.create(run, Object.fromEntries(Object.entries(overrides).map(([k, value]) => [k, { value }]))) as Run,
    );
  if (last !== null) sampled({ last: { ...last, stalled: true } });
  sampled({ state: 'stopping' });
  t.equal(samples(), before);
  s.profiles.onSample(run);
  t.equal(samples(), before + 1);
});

t.test('unusual usage is told and nothing is done; not where there is no history', async (t) => {
  for (const isKnown of [true, false]) {
    const s = scene(t);
    if (isKnown) await s.seed('tool', filledProfile({ hours: 3, memory: 80 * MIB, sockets: 5, tasks: 4 }));
    const run = await s.launch('tool', { limits: limited({ sockets: 5_000 }) });
    await s.time.pass(50);
    await s.profiles.of('tool');
    await s.time.pass(3_000);
    s.tree.holds.sockets = 200;
    await s.time.pass(60_000);
    s.tree.holds.sockets = 900;
    await s.time.pass(60_000);
    t.equal(run.state, 'running');
    t.same(s.recordsOf('action'), []);
    const found = s.recordsOf('anomaly');
    if (!isKnown) {
      t.same(found, [], 'cold');
      continue;
    }
    t.match(found, [{ tool: 'tool', run: run.id, resource: 'sockets', event: 'burst', usage: 200, factor: 3 }]);
    t.equal(found.length, 1, 'not again within ten minutes');
    t.match(s.complaints, [/^unusual: 200 more sockets within seconds/]);
  }
});

t.test('a start value that is edited does not take away what was learnt; other bounds do, within them', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  s.registry.add(worker(256));
  await s.settled('worker');
  const { limit } = memoryOf(s);
  s.define([worker(300)]);
  await s.registry.reload();
  t.match(memoryOf(s), { limit, source: { from: 'adaptive' }, reason: /^p99/ });
});

t.test('ended for a budget of several runs: it was not short of its own limit', async (t) => {
  const s = scene(t);
  s.registry.add(worker(256));
  const { id } = await s.registry.activate('worker', { context: null });
  await s.settled('worker');
  s.tree.holds.memory = 100 * MIB;
  await s.time.pass(2_000);
  const breach = { usage: 900 * MIB, limit: 800 * MIB, ratio: 1.1, stage: 'cleanup', action: 'recycle' } as const;
  const request = { reason: 'limit', message: 'of all', resource: 'memory', graceMs: 0, breach } as const;
  await s.registry.live.get('worker')?.endRun(id, { ...request, budget: 'host' });
  await s.time.pass(2_000);
  t.equal(s.registry.run(id).state, 'ended');
  t.equal(s.profiles.known('worker')?.series.memory.bumps, 0);
  t.equal(memoryOf(s).limit, 256 * MIB);
});

t.test('ended by the kernel at a cap that it shares: only where it had come to its own', async (t) => {
  for (const [peakMib, bumps] of [
    [undefined, 0],
    [200, 0],
    [384, 1],
  ] as const) {
    const s = scene(t);
    s.registry.add(worker(256));
    const { id } = await s.registry.activate('worker', { context: null });
    await s.settled('worker');
    const run = s.registry.live.get('worker')?.runs.get(id)?.run;
    run?.sharedCaps.add('host');
    s.tree.holds.memory = 100 * MIB;
    await s.time.pass(2_000);
    if (run === undefined || run.last === null) throw new Error('no sample');
    const { last } = run;
    const kernel = {
      ...last.kernel,
      oomKills: 1,
      ...(peakMib === undefined ? {} : { memoryPeakBytes: peakMib * MIB }),
    };
    s.profiles.onSample(Object.create(run, { last: { value: { ...last, kernel } } }) as Run);
    t.equal(s.profiles.known('worker')?.series.memory.bumps, bumps, String(peakMib));
  }
});

t.test('a run that is ended while its profile is read counts as well', async (t) => {
  const s = scene(t);
  s.registry.add(fakeDefinition('tool', { limits: limited({ memory: 256 * MIB }) }));
  const { id } = await s.registry.activate('tool', { context: null });
  const run = s.registry.live.get('tool')?.runs.get(id)?.run;
  if (run === undefined) throw new Error('no run');
  await s.time.pass(100);
  const reason = 'limit';
  const breach = { usage: 290 * MIB, limit: 256 * MIB, ratio: 1.1, stage: 'cleanup', action: 'recycle' } as const;
  const fresh = new Profiles({
    directory: s.directory,
    clock: s.time,
    log: s.ports.log,
    record: s.ports.recorder.record,
    sampleIntervalMs: 1000,
    isOfCalls: () => false,
    onNews: () => undefined,
  });
  t.teardown(() => fresh.close());
  fresh.onSample(run);
  await s.registry.live
    .get('tool')
    ?.endRun(id, { reason, message: 'too much', resource: 'memory', graceMs: 0, breach });
  const profile = await fresh.of('tool');
  await s.time.pass(100);
  t.equal(profile?.series.memory.bumps, 1);
});

t.test('not raised while a leak of it is suspected, and said so', async (t) => {
  const s = scene(t);
  await s.seed('worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  const leaks = Object.create(s.ports.leaks, {
    of: { value: () => ({ detector: { suspicions: [{ resource: 'memory' }] } }) },
  }) as typeof s.ports.leaks;
  Object.defineProperty(s.ports, 'leaks', { value: leaks });
  const tool = s.registry.add(worker(256, { limits: limited({ memory: 256 * MIB }) }));
  await s.registry.activate('worker', { context: null });
  await s.time.pass(100);
  tool.definition = worker(256);
  s.adaption.onTools('worker');
  await s.settled('worker');
  t.equal(tool.definition.limits.memory?.limit, 256 * MIB);
  const { proposals } = await s.adaption.recommendation('worker');
  t.match(proposals[0]?.reason, /a leak of it is suspected: not raised/);
});
