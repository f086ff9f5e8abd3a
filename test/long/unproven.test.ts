/** Where a process can leave its tree unseen, a stop is never said to have succeeded. */

import t from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { notAskedFor } from '../helpers/backends.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { lacks } from '../helpers/skip.ts';
import { runStairs } from '../helpers/stairs.ts';
import { killSurvivors, survivors } from '../helpers/survivors.ts';
import { waitFor } from '../helpers/wait-for.ts';

/** A process whose parent is gone, in a session of its own. */
const LEAVES = ['sh', '-c', '(setsid sleep 60 &); exec sleep 61'];

for (const backend of ['procfs', 'portable']) {
  t.test(backend, { skip: lacks('linux', 'setsid') || notAskedFor(backend) }, async (t) => {
    const daemon = await startDaemon(t, { backend });
    const run = runStairs(t, daemon, 'leaves', { command: LEAVES });
    await waitFor('both to run', () => survivors(run.marker).length === 2);
    const { code, stdout } = await daemon.cli(['stop', 'leaves']);
    t.equal(code, 1);
    t.match(stdout, /^leaves: not proven to be stopped: no process of it is seen any more and cleaned up in \d+ ms, /);
    t.comment(`${survivors(run.marker).length} of it live on`);
    // Its stderr is open for as long as that.
    await killSurvivors(run.marker);
    await run.ended;
    t.match(
      (await auditOf(daemon, 'leaves')).filter(({ kind }) => kind === 'outcome' || kind === 'cleanup'),
      [
        { kind: 'outcome', action: 'terminate', ok: false, detail: { proven: false } },
        { kind: 'outcome', action: 'delete_temp', ok: true },
        { kind: 'cleanup', reason: 'requested', report: { proven: false } },
      ],
    );
    const { runs } = (await daemon.call('GET', '/v1/runs?state=ended')).json;
    t.match(runs, [{ tool: 'leaves', state: 'ended', end: { reason: 'requested', cleanup: { proven: false } } }]);
    t.match(
      (await daemon.cli(['ls'])).stdout,
      /leaves .*stopped on request \(requested, .*, not proven to be all of it\)/,
    );
  });
}
