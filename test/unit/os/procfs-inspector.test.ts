import { createServer } from 'node:net';
import t from 'tap';
import type { Pace } from '../../../lib/os/inspector.ts';
import { createInspector } from '../../../lib/os/procfs/inspector.ts';

const isLinux = process.platform === 'linux';

/** @param most so many reads, and no more */
function counting(most: number): { readonly pace: Pace; readonly reads: () => number; readonly over: Error } {
  let reads = 0;
  const over = new Error('no time left');
  const pace = (): void => {
    if (++reads > most) throw over;
  };
  return { pace, reads: () => reads, over };
}

t.test('a look asks before each read whether to go on', { skip: !isLinux && 'no /proc' }, async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const inspect = createInspector(() => [process.pid], '/proc');
  const handles = inspect.files().length;
  const table = inspect.sockets().filter(({ state }) => state === 'LISTEN').length;
  t.ok(handles > 2 && table > 0);
  for (const [what, least] of [
    ['processes', handles / 2],
    ['files', handles],
    // Beside the descriptors: the tables of its namespace, piece by piece and line by line.
    ['sockets', handles / 2 + 7],
  ] as const) {
    const all = counting(Number.POSITIVE_INFINITY);
    inspect[what](all.pace);
    t.ok(all.reads() >= least, `${what}: ${all.reads()} of at least ${least}`);
    for (const most of what === 'processes' ? [0, 3] : [0, 3, handles + 2]) {
      const some = counting(most);
      t.throws(() => inspect[what](some.pace), some.over);
      t.equal(some.reads(), most + 1, 'and nothing after that');
    }
  }
});
