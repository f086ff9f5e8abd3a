/**
 * After a daemon has died: what the ledger knows is adopted, ended and cleaned up, or, from another boot, only cleaned
 * up after. Which, is audited. Nothing is signalled whose identity was not checked again.
 */

import type { EndReason } from '../core/audit-record.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import type { Containment, ContainmentRecord } from '../os/backend.ts';
import type { LedgerEntry } from '../process/ledger.ts';
import { Scope } from '../scope/scope.ts';
import type { Assembled } from './assembly.ts';
import { addProcess, addRelease, elsewhereReason } from './assembly.ts';
import { Ending } from './ending.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Registry } from './registry.ts';
import { Run } from './run.ts';

export interface ReconcileOptions {
  readonly ports: SupervisorPorts;
  readonly registry: Registry;
  /** The definition that a run of this tool would have today, from the ledger's copy of its own. */
  restoreDefinition(entry: LedgerEntry): ToolDefinition;
  /** Launchers that the earlier daemon has not answered: this one will, so they must live. */
  readonly waiting: ReadonlySet<number>;
}

const REMOVE_DEADLINE_MS = 5_000;

interface Account {
  readonly adopted: string[];
  readonly ended: string[];
  readonly cleaned: string[];
  readonly failed: string[];
  /** Launches that were interrupted half-way, to be cleaned up after when their launcher has moved on. */
  readonly interrupted: LedgerEntry[];
}

/** @returns what to do once the waiting launchers are answered */
export async function reconcile(options: ReconcileOptions): Promise<() => Promise<void>> {
  const { ports } = options;
  const { entries, problems } = ports.ledger.readAll();
  const account: Account = { adopted: [], ended: [], cleaned: [], failed: [], interrupted: [] };
  if (entries.length === 0 && problems.length === 0) return async () => undefined;
  const failed = (entry: LedgerEntry, error: unknown): void => {
    account.failed.push(`${entry.tool}/${entry.runId}`);
    ports.log.error(
      { tool: entry.tool, run: entry.runId, err: error },
      'a run of an earlier daemon could not be settled',
    );
  };
  // All that have to end end at the same time: each may take its grace, and nobody is answered before the last one.
  const stops: Promise<void>[] = [];
  for (const entry of entries) {
    try {
      const stop = await settle(entry, account, options);
      if (stop !== null) stops.push(stop().catch((error: unknown) => failed(entry, error)));
    } catch (error) {
      failed(entry, error);
    }
  }
  await Promise.all(stops);
  const damaged = problems.map(({ file, message }) => `${file}: ${message}`);
  const interrupted = account.interrupted.map(({ tool, runId }) => `${tool}/${runId}`);
  ports.recorder.record({ kind: 'daemon', event: 'reconcile', detail: { ...account, interrupted, damaged } });
  return async () => {
    for (const entry of account.interrupted) await cleanUp(entry, await findContainment(entry, options), ports);
  };
}

/** After what no run holds any more. */
async function cleanUp(entry: LedgerEntry, containment: Containment | null, ports: SupervisorPorts): Promise<void> {
  if (containment !== null) {
    await containment.remove(REMOVE_DEADLINE_MS);
    containment.close();
  }
  const { left } = await ports.tempDirs.remove(entry.tempDir, entry.tempRoot);
  if (left.length > 0) throw new Error(`temp directory ${entry.tempDir}: ${left.length} entries left`);
  ports.ledger.remove(entry.runId);
}

/** @returns what ends a run that cannot go on; null when there is nothing to end */
async function settle(
  entry: LedgerEntry,
  account: Account,
  options: ReconcileOptions,
): Promise<(() => Promise<void>) | null> {
  const { ports } = options;
  const name = `${entry.tool}/${entry.runId}`;
  const containment = entry.bootId === ports.bootId ? await findContainment(entry, options) : null;
  if (containment === null) {
    if (entry.containment === null) await ports.backend.discard(entry.runId);
    await cleanUp(entry, null, ports);
    account.cleaned.push(name);
    return null;
  }
  if (isInterrupted(entry, containment, options.waiting)) {
    containment.close();
    account.interrupted.push(entry);
    return null;
  }
  const assembled = await rebuild(entry, containment, options);
  const deadClient = entry.detached ? undefined : entry.clients.find((client) => !ports.facts.alive(client));
  const leaderLives = entry.leader !== null && ports.facts.alive(entry.leader);
  const adoptable = entry.mode === 'direct' && entry.step === 'running' && leaderLives && deadClient === undefined;
  const tool = options.registry.live.get(entry.tool) ?? options.registry.add(assembled.run.init.definition);
  tool.readopt(assembled);
  if (adoptable) {
    account.adopted.push(name);
    return null;
  }
  account.ended.push(name);
  const [reason, message] = whyEnded(containment, deadClient);
  return () => tool.stop(reason, message, entry.runId);
}

/** Its launcher may be in some of the groups already. It moves on when it is answered. */
function isInterrupted(
  { mode, step, leader }: LedgerEntry,
  containment: Containment,
  waiting: ReadonlySet<number>,
): boolean {
  const launching =
    step === 'intended' || step === 'temp_dir' || step === 'contained' || (leader !== null && waiting.has(leader.pid));
  return (
    mode === 'direct' &&
    launching &&
    waiting.size > 0 &&
    containment.membership.members().every(({ pid }) => waiting.has(pid))
  );
}

function whyEnded(containment: Containment, deadClient: ProcessIdentity | undefined): readonly [EndReason, string] {
  if (containment.membership.members().length === 0) return ['exited', 'ended by itself while no daemon ran'];
  if (deadClient !== undefined)
    return ['client_died', `stopped: its client (process ${deadClient.pid}) died while no daemon ran`];
  return ['daemon_crash', 'stopped: the daemon that held it has died'];
}

async function findContainment(
  entry: LedgerEntry,
  { ports, restoreDefinition }: ReconcileOptions,
): Promise<Containment | null> {
  const record = entry.containment as ContainmentRecord | null;
  if (record === null) return null;
  const backend = record.backend === ports.backend.id ? ports.backend : await ports.backendFor(record.backend);
  if (backend === null)
    throw new Error(`its containment is of the kind ${record.backend}, which is not usable here now`);
  return backend.adopt(record, restoreDefinition(entry).limits, entry.tempDir);
}

async function rebuild(
  entry: LedgerEntry,
  containment: Containment,
  { ports, restoreDefinition }: ReconcileOptions,
): Promise<Assembled> {
  const definition = restoreDefinition(entry);
  const scope = new Scope({ label: `run ${entry.runId}`, monotonicMs: () => ports.clock.monotonicMs() });
  let current = entry;
  const progress: Assembled['progress'] = (step, leader) => {
    current = { ...current, step, ...(leader === undefined ? {} : { leader }) };
    ports.ledger.write(current);
  };
  const startedMs = ports.clock.monotonicMs() - Math.max(0, ports.clock.wallMs() - entry.startedWallMs);
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
  addRelease({
    scope,
    run: entry.runId,
    tool: entry.tool,
    tempDir: entry.tempDir,
    tempRoot: entry.tempRoot,
    containment,
    ending: () => ending,
    progress,
    ports,
  });
  const channel = await ports.pressure.open(`${entry.tempDir}.sock`);
  scope.add('pressure channel', () => channel.close(), 1_000);
  run.channel = channel;
  run.leader = entry.leader;
  run.outcomes = await containment.limits.apply(run.enforced);
  run.state = 'running';
  const assembled: Assembled = { run, ending, variables: {}, prefix: [], progress };
  addProcess(assembled);
  return assembled;
}
