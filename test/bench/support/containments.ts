/** Runs as the daemon makes them, around processes that are there already. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackendId, Containment } from '../../../lib/os/backend.ts';
import { readIdentity } from '../../../lib/os/procfs/stat.ts';
import { selectBackend } from '../../../lib/os/select.ts';
import { pause } from '../../helpers/wait-for.ts';
import { limitsOnAll } from './limits.ts';

/** One run a process, as the daemon makes them; the processes go back to where they came from at the end. */
export async function containments(
  id: BackendId,
  pids: readonly number[],
): Promise<{ readonly runs: readonly Containment[]; readonly close: () => Promise<void> }> {
  const tempRoot = mkdtempSync(join(tmpdir(), 'governor-test-'));
  const { backend } = await selectBackend({ forced: id, instance: `test-bench-${process.pid}`, tempRoot });
  const runs: Containment[] = [];
  for (const pid of pids) {
    const runId = `b${String(pid).padStart(9, '0')}`;
    const tempDir = join(tempRoot, runId);
    mkdirSync(tempDir, { mode: 0o700 });
    const run = await backend.create({ runId, tool: 'bench', limits: limitsOnAll(), tempDir });
    const identity = readIdentity(pid);
    if (identity === null) throw new Error(`process ${pid} is gone`);
    await run.attach(identity);
    runs.push(run);
  }
  const close = async (): Promise<void> => {
    await Promise.all(
      runs.map(async (run) => {
        await run.killer.kill();
        for (let attempt = 0; run.membership.members().length > 0 && attempt < 500; attempt += 1) await pause(5);
        await run.remove(2_000);
        run.close();
      }),
    );
    await backend.close();
    rmSync(tempRoot, { recursive: true, force: true });
  };
  return { runs, close };
}
