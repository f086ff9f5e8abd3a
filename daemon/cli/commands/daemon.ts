/** `governor daemon` and `governor daemon stop`. */

import { setTimeout as sleep } from 'node:timers/promises';
import { GovernorError } from '../../../lib/core/errors.ts';
import type { BackendId, HostReport } from '../../../lib/os/backend.ts';
import { procfsFacts } from '../../../lib/os/procfs/process-facts.ts';
import { holderOf } from '../../../lib/process/instance-lock.ts';
import { Ledger } from '../../../lib/process/ledger.ts';
import type { LedgerEntry } from '../../../lib/process/ledger.ts';
import type { RunView } from '../../../lib/supervisor/views.ts';
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
  const before = stopTools ? await lookAtTools(client) : null;
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
  const left = before === null ? [] : leftOnRecord(locations.stateDir, before.runs);
  if (session.json) session.print(withLeft(reply.body, left));
  else
    session.print(
      `The daemon for ${locations.stateDir} has stopped${before === null ? '' : withTools(before.backend, left)}.`,
    );
  return left.length === 0 ? EXIT.ok : EXIT.refused;
}

interface Before {
  readonly backend: BackendId;
  readonly runs: ReadonlySet<string>;
}

type Left = Pick<LedgerEntry, 'tool' | 'runId'>;

async function lookAtTools(client: Client): Promise<Before> {
  const { backend } = (await client.get('/v1/host')).body as HostReport;
  const { runs } = (await client.get('/v1/runs?state=live')).body as { readonly runs: readonly RunView[] };
  return { backend, runs: new Set(runs.map(({ id }) => id)) };
}

/** A run leaves the record of the state directory when it is proven to be over and nothing of it is left. */
function leftOnRecord(stateDir: string, runs: ReadonlySet<string>): readonly Left[] {
  return new Ledger(`${stateDir}/ledger`).readAll().entries.filter(({ runId }) => runs.has(runId));
}

function withLeft(body: unknown, left: readonly Left[]): string {
  const unproven = left.map(({ tool, runId }) => ({ tool, run: runId }));
  return JSON.stringify({ ...(body as object | null), ...(left.length === 0 ? {} : { unproven }) });
}

function withTools(backend: BackendId, left: readonly Left[]): string {
  if (left.length > 0) {
    const which = left.map(({ tool, runId }) => `run ${runId} of ${printable(tool)}`).join(', ');
    return `, but not every tool with it: ${which} ${left.length === 1 ? 'is' : 'are'} not proven to be stopped; the next daemon looks after ${left.length === 1 ? 'it' : 'them'}`;
  }
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
