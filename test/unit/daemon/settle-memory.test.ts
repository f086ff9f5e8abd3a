import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { settleMemory } from '../../../daemon/settle-memory.ts';
import { manualTime } from '../../helpers/manual-time.ts';
import { projectRoot } from '../../helpers/project-root.ts';

const MB = 1_000_000;

function heap(usedBytes: number) {
  const own = {
    bytes: usedBytes,
    /** What a collection leaves. */
    leftBytes: usedBytes,
    done: [] as string[],
    usedBytes: () => own.bytes,
    collect() {
      own.done.push('collect');
      own.bytes = own.leftBytes;
    },
    trim: () => void own.done.push('trim'),
    quiet: true,
    isQuiet: () => own.quiet,
  };
  return own;
}

t.test('after the start, and after each burst, once it is calm', async (t) => {
  const time = manualTime(t);
  const own = heap(25 * MB);
  own.leftBytes = 20 * MB;
  t.teardown(settleMemory(own));
  t.same(own.done, []);
  await time.pass(5_000);
  t.same(own.done.splice(0), ['collect', 'trim'], 'what the start left');
  await time.pass(600_000);
  t.same(own.done, [], 'nothing has grown');
  own.bytes += 0.9 * MB;
  await time.pass(600_000);
  t.same(own.done, [], 'not worth it');
  for (let step = 0; step < 10; step += 1) {
    own.bytes += MB;
    await time.pass(5_000);
  }
  t.same(own.done, [], 'not while it grows');
  own.leftBytes = 30 * MB;
  own.quiet = false;
  await time.pass(60_000);
  t.same(own.done, [], 'not while a tool is at a stage');
  own.quiet = true;
  await time.pass(5_000);
  t.same(own.done.splice(0), ['collect', 'trim']);
  own.bytes = 45 * MB;
  own.leftBytes = 30 * MB;
  own.quiet = false;
  await time.pass(65_000);
  t.same(own.done, [], 'put off once it is calm');
  await time.pass(5_000);
  own.quiet = true;
  t.same(own.done.splice(0), ['collect', 'trim']);
  own.bytes += 1.4 * MB;
  await time.pass(600_000);
  t.same(own.done, [], 'less than 5 % of a larger heap');
  own.bytes += 0.2 * MB;
  await time.pass(10_000);
  t.same(own.done, ['collect', 'trim']);
});

t.test('stopped', async (t) => {
  const time = manualTime(t);
  const own = heap(25 * MB);
  settleMemory(own)();
  t.equal(time.pending, 0);
});

t.test('of the process itself, where it may be collected', async (t) => {
  const module = join(projectRoot, 'dist/daemon/settle-memory.js');
  const script = `
    const { ownMemory } = await import(${JSON.stringify(module)});
    const own = ownMemory();
    if (own === null) { console.log('null'); process.exit(); }
    let kept = Array.from({ length: 300_000 }, (_, index) => ({ index }));
    own.collect();
    const held = own.usedBytes();
    kept = null;
    own.collect();
    own.trim();
    console.log(held - own.usedBytes() > 5e6);`;
  const run = (...flags: string[]) =>
    spawnSync(process.execPath, [...flags, '--input-type=module', '--eval', script], {
      encoding: 'utf8',
    }).stdout.trim();
  t.equal(run('--expose-gc'), 'true');
  t.equal(run(), 'null');
});
