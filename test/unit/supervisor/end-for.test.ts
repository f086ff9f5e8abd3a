import t from 'tap';
import { endFor } from '../../../lib/supervisor/end-for.ts';
import type { Run } from '../../../lib/supervisor/run.ts';

t.test('a run whose first process is gone is said to have left something only where it did', async (t) => {
  const run = (members: readonly unknown[]): Run =>
    ({
      judge: { oomKilled: false },
      init: { containment: { membership: { members: () => members } } },
    }) as unknown as Run;
  t.same(endFor(run([{ pid: 7 }]), { kind: 'leader_gone' }, 500), {
    reason: 'exited',
    message: 'ended by itself; what it left behind was stopped',
    graceMs: 500,
  });
  t.same(endFor(run([]), { kind: 'leader_gone' }, 500), { reason: 'exited', message: 'ended by itself', graceMs: 0 });
});
