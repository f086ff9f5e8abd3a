import t from 'tap';
import { degradedLimits, isSame, largerIn } from '../../../lib/core/degraded.ts';
import { NO_LIMITS } from '../../../lib/core/limits.ts';
import { limited } from '../../helpers/fake-ports.ts';

t.test('of each resource the less', async (t) => {
  const normal = limited({ memory: 1_000, cpu: 100, tasks: 10 }, { reason: 'measured' });
  const light = limited({ memory: 400, cpu: 200, sockets: 16 });
  const less = degradedLimits(normal, { class: 'light', limits: light, callsAtOnce: null });
  t.match(less, {
    memory: { limit: 400, source: { from: 'class', detail: 'class light, while it is degraded' } },
    sockets: { limit: 16 },
    runtime: null,
  });
  t.equal(less.cpu, normal.cpu, 'less already');
  t.equal(less.tasks, normal.tasks, 'the class has no limit');
  t.equal(less.memory?.reason, undefined, 'the reason was that of the other number');
  t.notOk(isSame(normal, less));
  t.equal(degradedLimits(normal, { class: null, limits: null, callsAtOnce: 1 }), normal);
});

t.test('inodes go with their bytes, and by themselves', async (t) => {
  const normal = limited({ temp_storage: 100 }, { inodes: 50 });
  const less = (limit: number, inodes?: number) =>
    degradedLimits(normal, {
      class: 'light',
      limits: limited({ temp_storage: limit }, inodes === undefined ? {} : { inodes }),
      callsAtOnce: null,
    }).temp_storage;
  t.match(less(40, 20), { limit: 40, inodes: 20 });
  t.match(less(400, 20), { limit: 100, inodes: 20 });
  t.match(less(40), { limit: 40, inodes: 50 });
  t.equal(less(400, 60), normal.temp_storage);
});

t.test('larger is what has more of anything, or has it without end', async (t) => {
  const normal = limited({ memory: 1_000, cpu: 100 });
  t.strictSame(largerIn(normal, limited({ memory: 1_000, cpu: 100, tasks: 5 })), []);
  t.strictSame(largerIn(normal, limited({ memory: 2_000, cpu: 50 })), [
    { resource: 'memory', normal: 1_000, other: 2_000 },
  ]);
  t.strictSame(largerIn(normal, limited({ cpu: 50 })), [{ resource: 'memory', normal: 1_000, other: null }]);
  t.strictSame(largerIn(NO_LIMITS, normal), []);
});
