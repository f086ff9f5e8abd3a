import t from 'tap';
import { Pool } from '../../../../lib/mcp/pool/pool.ts';
import type { PoolOptions } from '../../../../lib/mcp/pool/tool-pool.ts';

/** A pool over tools that come and go by name, and how often all of them were looked at. */
function stand(initial: readonly string[] = []) {
  let served = new Set(initial);
  let looks = 0;
  let told = 0;
  const tools = {
    names: () => {
      looks++;
      return [...served];
    },
    has: (name: string) => served.has(name),
  };
  const pool = new Pool({ tools, log: { warn: () => undefined } } as unknown as PoolOptions);
  pool.onChanged(() => told++);
  return {
    pool,
    add: (name: string) => (served.add(name), pool.refresh(name)),
    remove: (name: string) => (served.delete(name), pool.refresh(name)),
    reload: (names: readonly string[]) => ((served = new Set(names)), pool.refresh(null)),
    told: () => told,
    looks: () => looks,
  };
}

t.test('a tool that comes or goes costs no look at the others', (t) => {
  const scene = stand(['first']);
  const before = scene.looks();
  for (let index = 0; index < 1_000; index++) scene.add(`tool ${index}`);
  for (let index = 0; index < 1_000; index++) scene.pool.connections(`tool ${index}`);
  for (let index = 0; index < 1_000; index++) scene.remove(`tool ${index}`);
  t.equal(scene.looks() - before, 0);
  t.equal(scene.told(), 2_000, 'each is told');
  t.end();
});

t.test('told is what changed, and only that', (t) => {
  const scene = stand(['a', 'b']);
  scene.add('a');
  t.equal(scene.told(), 0, 'it was there');
  scene.remove('none');
  t.equal(scene.told(), 0, 'it never was');
  scene.reload(['a', 'b']);
  t.equal(scene.told(), 0, 'the same after a reload');
  scene.reload(['b', 'a']);
  t.equal(scene.told(), 1, 'another order is another list');
  scene.reload(['b', 'c']);
  t.equal(scene.told(), 2);
  scene.add('a');
  scene.remove('a');
  t.equal(scene.told(), 4);
  t.equal(scene.pool.connections('a'), null, 'not served');
  t.strictSame(scene.pool.connections('c'), { initializing: 0, ready: 0, shutdown: 0 });
  t.end();
});
