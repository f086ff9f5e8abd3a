import t from 'tap';
import type { Ancestor } from '../../../lib/process/facts.ts';
import { clientAncestors } from '../../../lib/process/client-watch.ts';

const at = (pid: number, session: number, terminal = false): Ancestor => ({
  pid,
  startTicks: pid * 10,
  session,
  terminal,
});
const pids = (lineage: readonly Ancestor[]): readonly number[] => clientAncestors(lineage).map(({ pid }) => pid);

t.test('who the client is', async (t) => {
  t.same(
    pids([at(30, 10, true), at(20, 10, true), at(10, 10, true), at(1, 1)]),
    [30, 20],
    'below the shell of a terminal: every ancestor',
  );
  t.same(
    pids([at(10, 10, true), at(9, 9), at(1, 1)]),
    [],
    'started by hand from a shell: nobody, so that nohup and & work',
  );
  t.same(pids([at(20, 20), at(1, 1)]), [20], 'a desktop program or service that leads its own session');
  t.same(pids([at(30, 20), at(20, 20), at(15, 15), at(1, 1)]), [30, 20], 'not beyond the leader of the session');
  t.same(pids([at(1, 1)]), [], 'never PID 1');
  t.same(pids([at(5, 0), at(1, 1)]), [5], 'a session without a leader in sight');
  t.same(pids([]), []);
  t.same(clientAncestors([at(20, 20)]), [{ pid: 20, startTicks: 200 }], 'with the start time');
});
