/** A run of an earlier daemon, put together again around the containment that it is still in. */

import type { Containment } from '../os/backend.ts';
import type { LedgerEntry } from '../process/ledger.ts';
import { Scope } from '../scope/scope.ts';
import { addProcess, elsewhereReason, limitsOnRecord, type Assembled } from './assembly.ts';
import { Ending } from './ending.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import { Release } from './release.ts';
import { Run } from './run.ts';

/** @param definition as it would be today */
export async function rebuild(
  entry: LedgerEntry,
  containment: Containment,
  definition: ToolDefinition,
  ports: SupervisorPorts,
): Promise<Assembled> {
  const scope = new Scope({ label: `run ${entry.runId}`, monotonicMs: () => ports.clock.monotonicMs() });
  let current = entry;
  const progress: Assembled['progress'] = (step, leader) => {
    current = { ...current, step, context: run.context, ...(leader === undefined ? {} : { leader }) };
    ports.ledger.write(current);
  };
  const startedMs = ports.clock.monotonicMs() - ageMs(entry, ports);
  const run = new Run(
    {
      id: entry.runId,
      mode: entry.mode,
      definition,
      context: entry.context,
      detached: entry.detached,
      clients: entry.clients,
      tempDir: entry.tempDir,
      cwd: entry.cwd,
      command: entry.command,
      notGoverned: elsewhereReason(definition),
      containment,
      scope,
      startedMs,
      startedWallMs: entry.startedWallMs,
    },
    ports,
  );
  const ending = new Ending(run, ports);
  const { runId, tool, tempRoot } = entry;
  const release = new Release({ scope, run: runId, tool, tempRoot, ending: () => ending, progress, ports });
  release.addLedger();
  release.addTemp(entry.tempDir);
  release.addContainment(containment);
  const channel = await ports.pressure.open(`${entry.tempDir}.sock`);
  scope.add('pressure channel', () => channel.close(), 1_000);
  run.channel = channel;
  run.leader = entry.leader;
  run.keepLimits = () => {
    current = { ...current, ...limitsOnRecord(current, run) };
    ports.ledger.write(current);
  };
  // Until its first sample says that this kills nothing.
  if (entry.capsPending === true) run.capsPending = true;
  else run.outcomes = await containment.limits.apply(run.enforced);
  run.state = 'running';
  const assembled: Assembled = { run, ending, variables: {}, prefix: [], progress };
  addProcess(assembled);
  return assembled;
}

/** Of a run of this boot. The wall clock may have been set since, and would end a runtime or skip a warm-up. */
function ageMs({ startedHostMs, startedWallMs }: LedgerEntry, { hostMs, clock }: SupervisorPorts): number {
  return Math.max(0, startedHostMs === undefined ? clock.wallMs() - startedWallMs : hostMs() - startedHostMs);
}
