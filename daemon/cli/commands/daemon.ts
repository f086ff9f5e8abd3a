/** `governor daemon` and `governor daemon stop`. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GovernorError } from '../../../lib/core/errors.ts';
import type { BackendId, HostReport } from '../../../lib/os/backend.ts';
import { procfsFacts } from '../../../lib/os/procfs/process-facts.ts';
import { holderOf } from '../../../lib/process/instance-lock.ts';
import { unprovenRuns } from '../../../lib/process/ledger.ts';
import { BEST_EFFORT } from '../best-effort.ts';
import { createClient, type Client } from '../client.ts';
import type { ExitCode } from '../exit-codes.ts';
import { EXIT } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { printable } from '../text.ts';

/** Stopping every tool may take each one's grace and the cleanup after it. */
const STOP_DEADLINE_MS = 60_000;
const POLL_MS = 25;

/** @returns the exit code of the daemon, when it ended */
export async function daemon(session: Session, background: boolean): Promise<ExitCode> {
  // Resolved first, so that a bad place is refused before anything is loaded.
  session.locations();
  const { config, stateDir, listen } = session.options;
  const { runDaemon } = await import('../../compose.ts');
  const code = await runDaemon({ configPath: config, stateDir, listen, foreground: !background, json: session.json });
  return code === 0 ? EXIT.ok : EXIT.refused;
}

export async function stopDaemon(session: Session, stopTools: boolean): Promise<ExitCode> {
  const locations = session.locations();
  const client = createClient(locations);
  const holder = holderOf(locations.stateDir);
  const tools = stopTools ? withTools(((await client.get('/v1/host')).body as HostReport).backend) : '';
  const reply = await client.send('POST', '/v1/daemon/stop', { stopTools });
  const deadline = performance.now() + STOP_DEADLINE_MS;
  // Once its socket is closed it still removes its groups and writes its audit to the end: it has stopped when it is gone.
  while ((await answers(client)) || (holder !== null && procfsFacts.alive(holder))) {
    if (performance.now() > deadline) {
      throw new GovernorError(
        'internal',
        `the daemon for ${locations.stateDir} is still stopping after ${STOP_DEADLINE_MS / 1000} s`,
      );
    }
    await sleep(POLL_MS);
  }
  const left = stopTools ? unprovenRuns(join(locations.stateDir, 'ledger')) : [];
  const unproven = left.map(({ tool, runId }) => `${printable(tool)}/${runId}`);
  if (session.json) session.print(unproven.length > 0 ? JSON.stringify({ unproven }) : reply.text || '{}');
  else if (unproven.length === 0) session.print(`The daemon for ${locations.stateDir} has stopped${tools}.`);
  else
    session.print(
      `The daemon for ${locations.stateDir} has stopped. Not proven to be stopped: ${unproven.join(', ')}; the next daemon goes on with it.`,
    );
  return unproven.length === 0 ? EXIT.ok : EXIT.refused;
}

function withTools(backend: BackendId): string {
  return BEST_EFFORT.has(backend)
    ? `. Its tools are stopped too, which is not proven: here a process can leave its tree unseen (${backend})`
    : ', and every tool with it';
}

/** Anything but silence counts: a daemon that shuts down answers 503 until its socket closes. */
async function answers(client: Client): Promise<boolean> {
  try {
    await client.get('/healthz', { timeoutMs: 5000 });
    return true;
  } catch (error) {
    if (!(error instanceof GovernorError)) throw error;
    return error.code !== 'daemon_unreachable';
  }
}
