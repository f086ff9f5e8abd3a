/** Each strategy with each outcome, on a clock that a test holds. */

import t from 'tap';
import type { DegradedTo } from '../../../lib/core/degraded.ts';
import type { Strategy } from '../../../lib/core/recovery-strategy.ts';
import type { SupervisorPorts } from '../../../lib/supervisor/ports.ts';
import type { Tool } from '../../../lib/supervisor/tool.ts';
import { limited, SERVER } from '../../helpers/fake-ports.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import { fakeDefinition, type DefinitionOverrides } from '../../helpers/fake-views.ts';

const LIMITS = limited({ memory: 1_000, tasks: 100 });
const DEGRADED = { class: 'light', limits: limited({ memory: 400, tasks: 200 }), callsAtOnce: 2 };
const TOOL: DefinitionOverrides = { readiness: 'mcp', limits: LIMITS };
const DEMAND = { context: 'a', onDemand: true } as const;

/** The newest process of it ends with a fault, and the monitor has time to see it. */
async function crash(scene: Stand): Promise<void> {
  scene.launched.at(-1)?.end({ code: 1 });
  await scene.time.pass(50);
}

const steps = (scene: Stand): readonly string[] =>
  scene.recordsOf('recovery').map(({ strategy, outcome }) => `${strategy} ${outcome}`);

const memoryOf = (tool: Tool): readonly (number | undefined)[] =>
  [...tool.runs.values()].map(({ run }) => run.limits.memory?.limit);

/** Whoever starts it again by this strategy does. */
async function startAgain(scene: Stand, tool: Tool, strategy: Strategy): Promise<void> {
  await scene.time.pass(60_000);
  if (strategy === 'restart-on-demand' && tool.state === 'registered') await tool.start(DEMAND);
}

t.test('each strategy: it succeeds when the tool has answered and stayed up', async (t) => {
  for (const strategy of ['restart', 'degrade', 'restart-on-demand'] as const) {
    const scene = stand(t);
    const tool = scene.tool(strategy, { ...TOOL, recovery: { strategy, degraded: DEGRADED, stableForMs: 90_000 } });
    await tool.activate(null);
    await crash(scene);
    t.equal(tool.state, strategy === 'restart-on-demand' ? 'registered' : 'recovering', strategy);
    await startAgain(scene, tool, strategy);
    t.equal(scene.registry.tool(strategy).recovery.onTrial, true);
    t.notOk(steps(scene).includes(`${strategy} succeeded`), 'not before its time');
    await scene.time.pass(90_000);
    t.equal(scene.registry.tool(strategy).recovery.onTrial, false);
    t.strictSame(steps(scene), [
      ...(strategy === 'degrade' ? ['degrade degraded'] : []),
      `${strategy} scheduled`,
      `${strategy} succeeded`,
    ]);
    t.match(scene.registry.tool(strategy).recovery.rates, [{ strategy, succeeded: 1, failed: 0, gaveUp: 0, rate: 1 }]);
    await scene.registry.deactivate(strategy);
  }
});

t.test('each strategy: it fails when the run does before that, and gives up over the budget', async (t) => {
  for (const strategy of ['restart', 'degrade', 'restart-on-demand'] as const) {
    const scene = stand(t);
    const tool = scene.tool(strategy, { ...TOOL, recovery: { strategy, degraded: DEGRADED, budget: 1 } });
    await tool.activate(null);
    await crash(scene);
    await startAgain(scene, tool, strategy);
    t.equal(tool.runs.size, 1, strategy);
    const before = scene.launched.length;
    await crash(scene);
    t.equal(tool.state, 'failed');
    t.match(scene.registry.tool(strategy).recovery.failure, {
      reason: /^it failed more than 1 times in 10m; the last time: ended by itself/,
      until: /^19|^20/,
    });
    t.match(steps(scene).slice(-2), [`${strategy} failed`, `${strategy} gave_up`]);
    t.match(scene.registry.tool(strategy).recovery.rates, [{ strategy, failed: 1, gaveUp: 1, rate: 0 }]);
    await scene.time.pass(300_000);
    t.equal(scene.launched.length, before, 'nothing starts it');
  }
});

t.test('stop: nothing of the tool goes on, and only a person starts it', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'stop' } });
  await tool.start({ context: 'b', onDemand: true });
  await tool.activate(null);
  await tool.start(DEMAND);
  await crash(scene);
  await scene.time.pass(10_000);
  t.equal(tool.runs.size, 0);
  t.strictSame(
    tool.ended.map(({ end }) => end?.reason),
    ['recovery', 'recovery', 'exited'],
  );
  t.strictSame(scene.recordsOf('recovery'), [], 'it recovers nothing');
  t.match(scene.registry.tool('tool').recovery.failure, {
    reason: 'it failed, and is not started again (strategy: stop); the last time: ended by itself',
    until: null,
  });
  await t.rejects(tool.start(DEMAND), { code: 'breaker_open', message: /is not started again/ });
  await tool.activate(null);
  t.equal(scene.registry.tool('tool').recovery.failure, null);
  t.equal(scene.registry.tool('tool').recovery.onTrial, false);
});

t.test('stop: also of a tool that started with the daemon, and that nobody had asked for', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'stop' } });
  await tool.activate(null);
  await crash(scene);
  await t.rejects(tool.start(DEMAND), { code: 'breaker_open' });
});

t.test('degraded: the next runs get the less of both, until nothing has failed for a while', async (t) => {
  const scene = stand(t);
  const recovery = { strategy: 'degrade', degraded: DEGRADED, returnAfterMs: 300_000, budget: 50 } as const;
  const tool = scene.tool('tool', { ...TOOL, recovery });
  await tool.activate(null);
  t.strictSame(memoryOf(tool), [1_000]);
  for (let failure = 0; failure < 2; failure++) {
    await crash(scene);
    await scene.time.pass(2_500);
    t.strictSame(memoryOf(tool), [400]);
  }
  const [first] = tool.runs.values();
  t.match(first?.run.limits, { memory: { source: { detail: /^class light/ } }, tasks: { limit: 100 } });
  t.equal(first?.run.callsAtOnce, 2);
  t.match(scene.registry.tool('tool'), {
    recovery: {
      degraded: { class: 'light', callsAtOnce: 2, why: 'ended by itself' },
      strategy: 'degrade',
      written: 'degrade',
      replaced: null,
    },
  });
  t.equal(scene.recordsOf('recovery').filter(({ outcome }) => outcome === 'degraded').length, 1, 'once');
  await scene.time.pass(297_000);
  t.strictSame(memoryOf(tool), [400], 'not before its time');
  await scene.time.pass(3_000);
  t.strictSame(memoryOf(tool), [1_000], 'without a new start');
  t.equal(first?.run.callsAtOnce, null);
  t.match(scene.recordsOf('recovery').at(-1), {
    outcome: 'restored',
    detail: { stableForMs: 300_000, degraded: true },
  });
  t.match(scene.recordsOf('limits').at(-1), { resource: 'memory', before: 400, after: 1_000, by: 'recovery' });
  t.equal(scene.registry.tool('tool').recovery.degraded, null);
});

t.test('degraded: back by hand, with the limits that were set meanwhile', async (t) => {
  for (const by of ['cleanup', 'restart'] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'degrade', degraded: DEGRADED } });
    await tool.activate(null);
    await crash(scene);
    await scene.time.pass(1_500);
    t.strictSame(memoryOf(tool), [400]);
    await scene.registry.setLimits('tool', { memory: 800 }, 'somebody');
    t.strictSame(memoryOf(tool), [800], 'who sets a limit means it');
    await scene.registry[by]('tool');
    t.strictSame(memoryOf(tool), [800]);
    t.match(scene.recordsOf('recovery').at(-1), { outcome: 'restored', detail: { by: 'hand' } });
    t.equal(scene.registry.tool('tool').recovery.degraded, null);
    t.equal([...tool.runs.values()][0]?.run.callsAtOnce, null);
  }
});

t.test(
  'degraded: what is set by hand meanwhile holds, for what runs and for what starts, until less is written',
  async (t) => {
    const scene = stand(t);
    const written = (degraded: DegradedTo, overrides: DefinitionOverrides = {}) =>
      fakeDefinition('tool', { ...TOOL, origin: 'file', recovery: { strategy: 'degrade', degraded }, ...overrides });
    const tool = scene.registry.add(written(DEGRADED));
    await tool.activate(null);
    await crash(scene);
    await scene.time.pass(1_500);
    t.strictSame(memoryOf(tool), [400]);
    await scene.registry.setLimits('tool', { memory: 800 }, 'somebody');
    await tool.start(DEMAND);
    t.strictSame(memoryOf(tool), [800, 800]);
    await scene.registry.setLimits('tool', { memory: null }, 'somebody');
    await tool.start({ context: 'b', onDemand: true });
    t.strictSame(memoryOf(tool), [undefined, undefined, undefined]);
    await scene.registry.setLimits('tool', { memory: 800 }, 'somebody');
    const reload = async (definition: ReturnType<typeof written>): Promise<void> => {
      scene.define([definition]);
      await scene.registry.reload();
    };
    await reload(written({ ...DEGRADED, callsAtOnce: 1 }, { graceMs: 9_000 }));
    t.strictSame(memoryOf(tool), [800, 800, 800], 'the file says nothing new of it');
    t.strictSame(
      [...tool.runs.values()].map(({ run }) => run.callsAtOnce),
      [1, 1, 1],
      'it is degraded all the same',
    );
    await reload(written({ class: 'small', limits: limited({ memory: 300 }), callsAtOnce: 1 }, { graceMs: 9_000 }));
    t.strictSame(memoryOf(tool), [300, 300, 300], 'the file is the newer word');
  },
);

t.test('degraded: what was set by hand before is lessened, also when it is degraded again', async (t) => {
  const scene = stand(t);
  const recovery = { strategy: 'degrade', degraded: DEGRADED, budget: 50 } as const;
  const tool = scene.tool('tool', { ...TOOL, recovery });
  await tool.activate(null);
  await scene.registry.setLimits('tool', { memory: 900 }, 'somebody');
  await crash(scene);
  await scene.time.pass(1_500);
  t.strictSame(memoryOf(tool), [400]);
  await tool.start(DEMAND);
  t.strictSame(memoryOf(tool), [400, 400], 'also after another start');
  await scene.registry.setLimits('tool', { memory: 800 }, 'somebody');
  await scene.registry.restart('tool');
  t.strictSame(memoryOf(tool), [800], 'nothing is degraded any more');
  await crash(scene);
  await scene.time.pass(1_500);
  t.strictSame(memoryOf(tool), [400]);
});

t.test('degraded: a reload keeps it, and one that takes `degraded` out ends it', async (t) => {
  const scene = stand(t);
  const written = (overrides: DefinitionOverrides = {}) => ({
    ...TOOL,
    origin: 'file' as const,
    recovery: { strategy: 'degrade' as const, degraded: DEGRADED },
    ...overrides,
  });
  const tool = scene.tool('tool', written());
  await tool.activate(null);
  await crash(scene);
  await scene.time.pass(1_500);
  const again = stand(t).tool('tool', written({ limits: limited({ memory: 900, tasks: 100 }) })).definition;
  scene.define([again]);
  await scene.registry.reload();
  t.strictSame(memoryOf(tool), [400]);
  scene.define([stand(t).tool('tool', written({ recovery: { strategy: 'restart' } })).definition]);
  await scene.registry.reload();
  t.strictSame(memoryOf(tool), [1_000]);
  t.equal([...tool.runs.values()][0]?.run.callsAtOnce, null);
  t.equal(scene.registry.tool('tool').recovery.degraded, null);
});

t.test('degraded: what `degraded` gives after a reload is given to live runs at once', async (t) => {
  const scene = stand(t);
  const written = (degraded: DegradedTo) =>
    fakeDefinition('tool', { ...TOOL, origin: 'file', recovery: { strategy: 'degrade', degraded } });
  const tool = scene.registry.add(written(DEGRADED));
  await tool.activate(null);
  await crash(scene);
  await scene.time.pass(1_500);
  const [run] = [...tool.runs.values()].map((assembled) => assembled.run);
  t.strictSame([memoryOf(tool), run?.callsAtOnce], [[400], 2]);
  for (const [degraded, memory] of [
    [{ ...DEGRADED, callsAtOnce: 5 }, 400],
    [{ ...DEGRADED, callsAtOnce: 1 }, 400],
    [{ ...DEGRADED, callsAtOnce: null }, 400],
    [{ class: 'larger', limits: limited({ memory: 600 }), callsAtOnce: 3 }, 600],
    [{ class: 'smaller', limits: limited({ memory: 300 }), callsAtOnce: 3 }, 300],
    [{ class: null, limits: null, callsAtOnce: 4 }, 1_000],
  ] as const) {
    scene.define([written(degraded)]);
    await scene.registry.reload();
    t.strictSame([memoryOf(tool), run?.callsAtOnce], [[memory], degraded.callsAtOnce], degraded.class ?? 'no class');
    t.match(scene.registry.tool('tool').recovery.degraded, {
      class: degraded.class,
      callsAtOnce: degraded.callsAtOnce,
    });
  }
  t.equal(tool.runs.size, 1);
  t.equal(run?.alive, true, 'in the same run');
});

t.test('a reload with another program begins anew, one with the same does not', async (t) => {
  for (const [overrides, expected] of [
    [{ graceMs: 9_000 }, { strategy: 'restart-on-demand', degraded: { why: 'once' } }],
    [{ args: ['--mended'] }, { strategy: 'restart', replaced: null, degraded: null }],
  ] as const) {
    const scene = stand(t);
    const written = { ...TOOL, origin: 'file', recovery: { strategy: 'restart', degraded: DEGRADED } } as const;
    scene.recoveries.set('tool', {
      strategies: {
        restart: { succeeded: 0, failed: 6, gaveUp: 1, failedInARow: 6, gaveUpInARow: 1, recent: 'ffffff' },
      },
      replaced: { strategy: 'restart-on-demand', written: 'restart', sinceMs: 0, why: 'once' },
      degraded: { sinceMs: 0, why: 'once' },
    });
    const tool = scene.tool('tool', written);
    await tool.activate(null);
    t.strictSame(memoryOf(tool), [400]);
    scene.define([stand(t).tool('tool', { ...written, ...overrides }).definition]);
    await scene.registry.reload();
    t.match(scene.registry.tool('tool').recovery, expected);
    const isAnew = expected.strategy === 'restart';
    t.strictSame(memoryOf(tool), [isAnew ? 1_000 : 400]);
    t.equal(tool.recovery.course.record.strategies.restart?.failedInARow, isAnew ? 0 : 6);
    t.match(
      scene.recordsOf('recovery'),
      isAnew ? [{ outcome: 'restored', detail: { by: 'program', instead: 'restart-on-demand' } }] : [],
    );
  }
});

t.test('restart-on-demand: never a timer; the first demand at once, later ones paced', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart-on-demand', budget: 50 } });
  await tool.activate(null);
  await crash(scene);
  await scene.time.pass(600_000);
  t.equal(scene.launched.length, 1);
  t.equal(scene.registry.tool('tool').recovery.nextAttemptAt, null);
  await tool.start(DEMAND);
  await crash(scene);
  await t.rejects(tool.start(DEMAND), { code: 'breaker_open', data: { retryAfterMs: 950 } });
  await scene.time.pass(1_000);
  await tool.start(DEMAND);
  t.equal(scene.launched.length, 3);
});

t.test('degrade and restart-on-demand end what nobody uses yet, restart does not', async (t) => {
  for (const strategy of ['restart', 'degrade', 'restart-on-demand'] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', { ...TOOL, recovery: { strategy, degraded: DEGRADED } });
    await tool.activate(null);
    const used = await tool.start({ context: 'b', onDemand: true });
    await tool.start(DEMAND);
    await crash(scene);
    await scene.time.pass(10_000);
    t.strictSame(
      tool.ended.map(({ end }) => [end?.reason, end?.message]),
      [
        ...(strategy === 'restart' ? [] : [['recovery', `stopped: its tool is recovered by ${strategy}`]]),
        ['exited', 'ended by itself'],
      ],
      strategy,
    );
    t.ok(tool.runs.has(used.id), 'what somebody uses goes on');
  }
});

t.test('a strategy that keeps failing is replaced by the next, on record, and comes back', async (t) => {
  const scene = stand(t);
  const recovery = {
    strategy: 'restart',
    degraded: DEGRADED,
    budget: 4,
    windowMs: 300_000,
    returnAfterMs: 300_000,
  } as const;
  const tool = scene.tool('tool', { ...TOOL, recovery });
  await tool.activate(null);
  await crash(scene);
  for (let failure = 0; failure < 3; failure++) {
    await scene.time.pass(10_000);
    t.equal(tool.state, 'active');
    await crash(scene);
  }
  t.match(
    scene.recordsOf('recovery').find(({ outcome }) => outcome === 'replaced'),
    {
      strategy: 'restart',
      detail: { by: 'degrade', why: 'the last 3 recoveries by restart failed' },
    },
  );
  t.match(scene.registry.tool('tool').recovery, {
    strategy: 'degrade',
    written: 'restart',
    replaced: { why: 'the last 3 recoveries by restart failed', since: /^\d{4}-/ },
    degraded: { class: 'light' },
  });
  await scene.time.pass(40_000);
  t.strictSame(memoryOf(tool), [400]);
  await crash(scene);
  t.equal(tool.state, 'failed', 'the budget is spent');
  for (let failure = 0; failure < 2; failure++) {
    t.equal(tool.recovery.course.strategy, 'degrade', 'what was let through has not failed yet');
    await scene.time.pass(400_000);
    await tool.start(DEMAND);
    t.strictSame(memoryOf(tool), [400]);
    await crash(scene);
  }
  t.match(scene.registry.tool('tool').recovery, {
    strategy: 'restart-on-demand',
    written: 'restart',
    replaced: { why: 'the last 3 recoveries by degrade failed' },
    degraded: { class: 'light' },
  });
  await scene.time.pass(600_000);
  t.equal(tool.runs.size, 0, 'no timer any more');
  await tool.start(DEMAND);
  t.strictSame(memoryOf(tool), [400], 'less is still all it gets');
  await scene.time.pass(300_000);
  t.match(scene.registry.tool('tool').recovery, { strategy: 'restart', replaced: null, degraded: null });
  t.strictSame(memoryOf(tool), [1_000]);
});

t.test(
  'by default a tool that never works is held back, says so, and is tried again when somebody wants it',
  async (t) => {
    const scene = stand(t);
    const tool = scene.tool('tool', TOOL);
    await tool.activate(null);
    for (let failure = 0; failure < 6; failure++) {
      t.equal(tool.state, 'active', `after ${failure} failures`);
      await crash(scene);
      await scene.time.pass(60_000);
    }
    t.equal(tool.state, 'failed');
    t.match(scene.registry.tool('tool').recovery, {
      strategy: 'restart',
      replaced: null,
      failure: { reason: /^it failed more than 5 times in 10m; the last time: ended by itself/ },
    });
    t.equal(scene.recordsOf('recovery').filter(({ outcome }) => outcome === 'gave_up').length, 1);
    await t.rejects(tool.start(DEMAND), { code: 'breaker_open' });
    await scene.time.pass(600_000);
    await tool.start(DEMAND);
    await crash(scene);
    t.match(scene.recordsOf('recovery').at(-1), { outcome: /gave_up|scheduled|replaced/ });
    t.equal(scene.registry.tool('tool').recovery.strategy, 'restart-on-demand', 'no timer starts what does not work');
    for (let day = 0; day < 20; day++) {
      await scene.time.pass(86_400_000);
      await tool.start(DEMAND);
      await crash(scene);
    }
    t.equal(scene.registry.tool('tool').recovery.strategy, 'restart-on-demand', 'and hope is never given up');
  },
);

t.test(
  'what ended with its daemon goes on where it was left: no failure of the tool, under any strategy',
  async (t) => {
    const end = { reason: 'daemon_crash', message: 'ended with the daemon that held it', graceMs: 0 } as const;
    for (const strategy of ['restart', 'degrade', 'restart-on-demand', 'stop'] as const) {
      const scene = stand(t);
      const tool = scene.tool(strategy, { ...TOOL, recovery: { strategy, degraded: DEGRADED, budget: 0 } });
      const run = await tool.activate(null);
      await tool.endRun(run.id, end);
      const goesOn = strategy === 'restart' || strategy === 'degrade';
      t.strictSame(steps(scene), goesOn ? [`${strategy} scheduled`] : [], strategy);
      t.equal(tool.state, goesOn ? 'recovering' : 'registered');
      await scene.time.pass(2_000);
      t.strictSame(memoryOf(tool), goesOn ? [1_000] : [], 'with everything, though the budget forgives nothing');
      t.match(scene.registry.tool(strategy).recovery, { failure: null, degraded: null, onTrial: false, rates: [] });
      t.strictSame(scene.postMortems, []);
      if (!goesOn) await tool.start(DEMAND);
      t.equal(tool.state, 'active');
    }
  },
);

t.test('the action stop ends the run that it was taken for, and no other', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart' } });
  const other = await tool.start({ context: 'b', onDemand: true });
  const stopped = await tool.start(DEMAND);
  stopped.endsTool = true;
  await tool.start({ context: 'c', onDemand: true });
  await crash(scene);
  t.equal(tool.recovery.failure, null, 'the end of another uses nothing up');
  scene.launched[1]?.end({ code: 1 });
  await scene.time.pass(10_000);
  t.strictSame([...tool.runs.keys()], [other.id]);
  await t.rejects(tool.start(DEMAND), { code: 'breaker_open', message: /is not started again/ });
});

t.test('the action stop is about that run also where the strategy would end what nobody uses', async (t) => {
  for (const strategy of ['degrade', 'restart-on-demand'] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', { ...TOOL, recovery: { strategy, degraded: DEGRADED } });
    const spare = await tool.activate(null);
    const stopped = await tool.start(DEMAND);
    stopped.endsTool = true;
    await crash(scene);
    await scene.time.pass(10_000);
    t.strictSame([...tool.runs.keys()], [spare.id], strategy);
  }
});

t.test('what is ended while it starts, and whose start goes through all the same, is a failure too', async (t) => {
  for (const [reason, expected] of [
    ['limit', ['restart scheduled']],
    ['requested', []],
  ] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart' } });
    let answer = (): void => undefined;
    const answered = new Promise<void>((resolve) => (answer = resolve));
    const starting = tool.start({
      ...DEMAND,
      connect: async () => {
        await answered;
        return {
          server: { name: 'late', version: '1', protocol: '2025-11-25', tools: [] },
          close: async () => undefined,
        };
      },
    });
    await scene.time.pass(100);
    const [run] = [...tool.runs.values()].map((assembled) => assembled.run);
    await tool.stop(reason, 'stopped', run?.id);
    t.strictSame(steps(scene), [], 'its start may still fail');
    answer();
    await starting;
    await scene.time.pass(10);
    t.strictSame(steps(scene), expected, reason);
    t.equal(scene.postMortems.length, expected.length);
  }
});

t.test('a job that ended well has done its work: it takes nobody with it, and has not failed', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { readiness: 'none', limits: LIMITS, recovery: { strategy: 'stop' } });
  await tool.activate(null);
  await tool.activate(null);
  scene.launched.at(-1)?.end({ code: 0 });
  await scene.time.pass(10_000);
  t.equal(tool.runs.size, 1, 'the other goes on');
  scene.launched.at(0)?.end({ code: 0 });
  await scene.time.pass(10_000);
  t.equal(tool.state, 'registered');
  t.equal(scene.registry.tool('tool').recovery.failure, null);
  t.strictSame(
    tool.ended.map(({ end }) => end?.reason),
    ['exited', 'exited'],
  );
});

t.test('what a server says of itself is kept short and without its secrets', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'degrade', degraded: DEGRADED } });
  const secret = `sk-ant-${'a1B2'.repeat(12)}`;
  scene.points.fail('connect', new Error(`invalid API key ${secret} ${'x'.repeat(5_000_000)}`), 1);
  await t.rejects(tool.activate(null));
  await scene.time.pass(100);
  const text = JSON.stringify([
    scene.recordsOf('recovery'),
    scene.postMortems,
    tool.recovery.failure,
    tool.recovery.course.record,
  ]);
  t.match(text, /invalid API key/);
  t.notOk(text.includes(secret));
  t.ok(text.length < 10_000, `${text.length} characters`);
  const other = scene.tool('other', TOOL);
  scene.points.fail('resolveCommand', new Error(`no ${secret} ${'x'.repeat(5_000_000)}`), 1);
  await t.rejects(other.activate(null));
  t.match(other.lastEnd, { reason: 'launch_failed', message: /^could not be started: no ••• x{900}/ });
  t.ok((other.lastEnd?.message.length ?? 0) < 1_100, 'also of what never began');
});

t.test('a secret that lies where a message is cut is on no record in half', async (t) => {
  for (let before = 930; before <= 1_000; before += 7) {
    const scene = stand(t);
    const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'degrade', degraded: DEGRADED } });
    const said = `${'. '.repeat(500).slice(0, before)}https://u:${'Zx9Secret'.repeat(5)}@host/ ${'. '.repeat(5_000)}`;
    scene.points.fail('connect', new Error(said), 1);
    await t.rejects(tool.activate(null));
    await scene.time.pass(100);
    t.equal(scene.postMortems.length, 1);
    const { course, failure } = tool.recovery;
    t.equal(typeof course.record.degraded?.why, 'string');
    const records = JSON.stringify([scene.records, scene.postMortems, failure, course.record, tool.lastEnd]);
    t.notMatch(records, /Zx9|Secret|9S/, `after ${before} characters`);
  }
});

t.test('what is known of a tool outlives its registration, and the daemon', async (t) => {
  const first = stand(t);
  const recovery = { strategy: 'restart', budget: 2, windowMs: 60_000, returnAfterMs: 300_000 } as const;
  const definition = { ...TOOL, recovery } as const;
  const tool = first.tool('tool', definition);
  await tool.activate(null);
  await crash(first);
  for (let failure = 0; failure < 2; failure++) {
    await first.time.pass(10_000);
    await crash(first);
  }
  t.equal(tool.state, 'failed');
  await first.time.pass(60_000);
  await tool.start(DEMAND);
  await crash(first);
  t.equal(tool.recovery.course.strategy, 'restart-on-demand');
  const next = stand(t, { recoveries: first.ports.recoveries });
  const again = next.tool('tool', definition);
  t.equal(again.recovery.course.strategy, 'restart-on-demand');
  t.equal(next.tool('other', definition).recovery.course.strategy, 'restart');
  await again.activate(null);
  await next.time.pass(300_000);
  t.equal(again.recovery.course.strategy, 'restart', 'nothing has failed for long enough');
  t.match(next.recordsOf('recovery'), [
    { strategy: 'restart', outcome: 'restored', detail: { instead: 'restart-on-demand', degraded: false } },
  ]);
  await crash(next);
  t.equal(again.state, 'recovering', 'it is given one more try');
  await next.time.pass(10_000);
  await crash(next);
  t.equal(again.recovery.course.strategy, 'restart-on-demand', 'and is replaced at once');
  await next.registry.cleanup('tool');
  t.equal(again.recovery.course.strategy, 'restart', 'by hand');
  t.match(
    next.registry.tool('tool').recovery.rates,
    [{ strategy: 'restart', succeeded: 0, failed: 4 }],
    'and counted on',
  );
});

t.test('fallback: none, or another strategy in the file: what was replaced is not', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart', budget: 50, fallback: false } });
  await tool.activate(null);
  for (let failure = 0; failure < 6; failure++) {
    await crash(scene);
    await scene.time.pass(40_000);
  }
  t.equal(tool.recovery.course.strategy, 'restart');
  t.equal(
    scene.recordsOf('recovery').some(({ outcome }) => outcome === 'replaced'),
    false,
  );
  scene.recoveries.set('tool', {
    strategies: {},
    replaced: { strategy: 'restart-on-demand', written: 'degrade', sinceMs: 0, why: 'once' },
    degraded: { sinceMs: 0, why: 'once' },
  });
  const other = stand(t, { recoveries: scene.ports.recoveries });
  const judged = other.tool('tool', { ...TOOL, recovery: { strategy: 'restart' } });
  t.match(other.registry.tool('tool').recovery, { strategy: 'restart', replaced: null, degraded: null });
  t.equal(judged.recovery.course.applied(judged.definition), judged.definition, 'there is nothing to give less of');
});

/** A conversation whose server answers pings as a test wants. */
function asked(answer: () => boolean): SupervisorPorts['connect'] {
  return {
    connect: async () => ({ server: SERVER, check: async () => answer(), close: async () => undefined }),
  };
}

t.test('a tool that does not answer within a minute of its start has failed, and is ended', async (t) => {
  let isAnswering = false;
  const scene = stand(t, { connect: asked(() => isAnswering) });
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart', stableForMs: 10_000 } });
  await tool.activate(null);
  await crash(scene);
  await scene.time.pass(55_000);
  t.equal(tool.state, 'active');
  await scene.time.pass(8_000);
  t.match(tool.lastEnd, { reason: 'unhealthy', message: 'stopped: it did not answer within 1m of its start' });
  isAnswering = true;
  await scene.time.pass(3_000);
  await scene.time.pass(10_000);
  t.strictSame(steps(scene), ['restart scheduled', 'restart failed', 'restart scheduled', 'restart succeeded']);
  t.match(scene.recordsOf('recovery')[1]?.detail, { reason: 'unhealthy' });
});

t.test('a tool that works on a call, or that may take longer, is not ended for it', async (t) => {
  const scene = stand(t, { connect: asked(() => false) });
  const tool = scene.tool('tool', { ...TOOL, readyTimeoutMs: 120_000, recovery: { strategy: 'restart' } });
  await tool.activate(null);
  await crash(scene);
  await scene.time.pass(100_000);
  t.equal(tool.state, 'active');
  const [assembled] = tool.runs.values();
  const call = assembled?.run.calls?.begin(
    () => 'tools/call long',
    0,
    () => undefined,
  );
  await scene.time.pass(100_000);
  t.equal(tool.state, 'active');
  if (call !== undefined) assembled?.run.calls?.end(call, null, 0);
  await scene.time.pass(2_000);
  t.match(tool.lastEnd, { reason: 'unhealthy', message: /within 2m of its start/ });
});

t.test('stable is who stays below the stage at which it would be ended', async (t) => {
  const scene = stand(t);
  const recovery = { strategy: 'restart', stableForMs: 30_000 } as const;
  const tool = scene.tool('tool', { readiness: 'none', limits: LIMITS, dryRun: true, recovery });
  await tool.activate(null);
  await crash(scene);
  await scene.time.pass(10_000);
  scene.tree.holds.tasks = 120;
  await scene.time.pass(60_000);
  t.equal(scene.registry.tool('tool').recovery.onTrial, true, 'a dry run ends nothing, and it would be ended');
  scene.tree.holds.tasks = 50;
  await scene.time.pass(20_000);
  t.equal(scene.registry.tool('tool').recovery.onTrial, true, 'from anew');
  await scene.time.pass(20_000);
  t.strictSame(steps(scene), ['restart scheduled', 'restart succeeded']);
});

t.test('a run that somebody stops before it has proven anything is neither', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart' } });
  await tool.activate(null);
  await crash(scene);
  await scene.time.pass(2_000);
  await scene.registry.deactivate('tool');
  await scene.time.pass(120_000);
  t.strictSame(steps(scene), ['restart scheduled']);
  t.strictSame(scene.registry.tool('tool').recovery.rates, []);
});

t.test('a recovery has not succeeded while the end of its run is under way', async (t) => {
  for (const [reason, expected] of [
    ['unhealthy', ['restart scheduled', 'restart failed', 'restart scheduled']],
    ['requested', ['restart scheduled']],
  ] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart', stableForMs: 10_000 } });
    await tool.activate(null);
    await crash(scene);
    await scene.time.pass(1_500);
    const [runId] = tool.runs.keys();
    await scene.time.pass(8_000);
    const goOn = scene.points.hold('connection.close');
    const ended = tool.stop(reason, 'stopped', runId);
    await scene.time.pass(4_000);
    t.equal(tool.runs.size, 1, 'its end takes its time');
    t.strictSame(steps(scene), ['restart scheduled']);
    goOn();
    await ended;
    t.strictSame(steps(scene), expected, reason);
    await scene.registry.deactivate('tool');
  }
});

t.test('a run after a failure that fails and cannot be proven to have ended was a recovery that failed', async (t) => {
  for (const [reason, expected] of [
    ['unhealthy', ['restart scheduled', 'restart failed']],
    ['requested', ['restart scheduled']],
  ] as const) {
    const scene = stand(t);
    const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart' } });
    await tool.activate(null);
    await crash(scene);
    scene.processes.endsOn = 'nothing';
    await scene.time.pass(1_500);
    t.equal(scene.registry.tool('tool').recovery.onTrial, true);
    const [run] = [...tool.runs.values()].map((assembled) => assembled.run);
    await tool.stop(reason, 'stopped', run?.id);
    t.equal(run?.state, 'unproven');
    t.equal(scene.registry.tool('tool').recovery.onTrial, false, 'it shows nothing any more');
    await scene.time.pass(120_000);
    t.strictSame(steps(scene), expected, reason);
    scene.launched.at(-1)?.end();
    await scene.time.pass(5_000);
  }
});

t.test('by hand everything is forgiven, also what a success came after', async (t) => {
  const scene = stand(t);
  const restart = { succeeded: 4, failed: 6, gaveUp: 0, failedInARow: 0, gaveUpInARow: 0, recent: 'fffffssfss' };
  scene.recoveries.set('tool', { strategies: { restart }, replaced: null, degraded: null });
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart', degraded: DEGRADED } });
  await scene.registry.cleanup('tool');
  t.strictSame(tool.recovery.course.record.strategies.restart, { ...restart, recent: '' });
});

t.test('a start that fails after a failure is a recovery that failed', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', { ...TOOL, recovery: { strategy: 'restart' } });
  scene.points.fail('connect', new Error('not yet'), 2);
  await t.rejects(tool.activate(null), { message: 'not yet' });
  await scene.time.pass(1_500);
  t.strictSame(steps(scene), ['restart scheduled', 'restart failed', 'restart scheduled']);
  await scene.time.pass(63_000);
  t.equal(steps(scene).at(-1), 'restart succeeded');
  t.match(scene.registry.tool('tool').recovery.rates, [{ succeeded: 1, failed: 1, rate: 0.5 }]);
});

t.test('a client’s own runs recover nothing, and nothing is kept of them', async (t) => {
  const scene = stand(t);
  const run = await scene.launch('tool', { limits: LIMITS });
  scene.processes.get(run.leader?.pid ?? 0).end();
  await scene.time.pass(120_000);
  t.equal(scene.recoveries.size, 0);
  t.strictSame(scene.recordsOf('recovery'), []);
});
