import t from 'tap';
import type { Decision } from '../../../lib/core/policy.ts';
import { assemble } from '../../../lib/supervisor/assembly.ts';
import type { Run } from '../../../lib/supervisor/run.ts';
import { fakeWorld, limited } from '../../helpers/fake-ports.ts';
import { fakeDefinition } from '../../helpers/fake-views.ts';

t.test('a throttle escalates by time only where a brake holds, by the ladder of its tool', async (t) => {
  const world = fakeWorld();
  const shared = fakeDefinition('shared', { limits: limited({ memory: 100 }) });
  const { ladder } = shared;
  const own = fakeDefinition('own', {
    limits: limited({ memory: 100 }),
    ladder: { ...ladder, escalateAfterMs: { ...ladder.escalateAfterMs, memory: 10_000 } },
  });
  const start = async (definition: typeof shared): Promise<Run> => {
    const request = { definition, mode: 'direct', context: null, detached: false, clients: [], cwd: '/' } as const;
    const { run } = await assemble(request, world.ports);
    world.tree.fork();
    world.tree.holds.memory = 92;
    return run;
  };
  const runs = [await start(shared), await start(shared), await start(own), await start(own)];
  const [free, held, ownFree, ownHeld] = runs as [Run, Run, Run, Run];
  for (const run of [held, ownHeld]) run.brakes.set('memory', ['nice']);
  const escalatedAt = new Map<Run, number>();
  const startedMs = world.clock.monotonicMs();
  for (let second = 1; second <= 60; second += 1) {
    world.clock.advance(1_000);
    for (const run of runs)
      if (run.judge.observe(false).decisions.some(isCleanup) && !escalatedAt.has(run))
        escalatedAt.set(run, world.clock.monotonicMs() - startedMs);
  }
  t.notOk(escalatedAt.has(free) || escalatedAt.has(ownFree));
  // Throttled by the third sample; the deadline is counted from then.
  t.same([escalatedAt.get(held), escalatedAt.get(ownHeld)], [33_000, 13_000]);
});

function isCleanup(decision: Decision): boolean {
  return decision.kind !== 'leave' && decision.to === 'cleanup';
}
