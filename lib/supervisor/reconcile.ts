/**
 * After a daemon has died: what the ledger knows is adopted, ended and cleaned up, or, from another boot, only cleaned
 * up after. Which, is audited. Nothing is signalled whose identity was not checked again.
 */

import type { EndReason } from '../core/audit-record.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import type { Backend, BackendId, Containment, ContainmentPlan, ContainmentRecord } from '../os/backend.ts';
import type { LedgerEntry, LedgerProblem } from '../process/ledger.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import { rebuild } from './rebuild.ts';
import type { Registry } from './registry.ts';

export interface ReconcileOptions {
  readonly ports: SupervisorPorts;
  readonly registry: Registry;
  /** The definition that a run of this tool would have today, from the ledger's copy of its own. */
  restoreDefinition(entry: LedgerEntry): ToolDefinition;
  /** Launchers that the earlier daemon has not answered: this one will, so they must live. */
  readonly waiting: ReadonlySet<number>;
}

const REMOVE_DEADLINE_MS = 5_000;
/** A launcher that is told to give up takes a moment. */
const LEAVING_MS = 2_000;
const LOOK_EVERY_MS = 20;

interface Account {
  readonly adopted: string[];
  readonly ended: string[];
  readonly cleaned: string[];
  readonly failed: string[];
  /** Launches that were interrupted half-way, to be cleaned up after when their launcher has moved on. */
  readonly interrupted: LedgerEntry[];
}

/** @returns what to do once the waiting launchers are answered; it never rejects */
export async function reconcile(options: ReconcileOptions): Promise<() => Promise<void>> {
  const { ports } = options;
  const { entries, problems } = ports.ledger.readAll();
  const interrupted: LedgerEntry[] = [];
  if (entries.length > 0 || problems.length > 0) {
    const account = await settleAll(entries, options, (entry, into) => settle(entry, into, options));
    interrupted.push(...account.interrupted);
    record(account, problems, ports);
  }
  await sweep(ports);
  return async () => {
    if (interrupted.length === 0) return;
    const untilMs = ports.clock.monotonicMs() + LEAVING_MS;
    record(await settleAll(interrupted, options, (entry, into) => finish(entry, into, options, untilMs)), [], ports);
  };
}

/** All that have to end end at the same time: each may take its grace, and nobody is answered before the last one. */
async function settleAll(
  entries: readonly LedgerEntry[],
  { ports }: ReconcileOptions,
  settleOne: (entry: LedgerEntry, account: Account) => Promise<(() => Promise<void>) | null>,
): Promise<Account> {
  const account: Account = { adopted: [], ended: [], cleaned: [], failed: [], interrupted: [] };
  const failed = (entry: LedgerEntry, error: unknown): void => {
    account.failed.push(nameOf(entry));
    ports.log.error(
      { tool: entry.tool, run: entry.runId, err: error },
      'a run of an earlier daemon could not be settled',
    );
  };
  const stops: Promise<void>[] = [];
  for (const entry of entries) {
    try {
      const stop = await settleOne(entry, account);
      if (stop !== null) stops.push(stop().catch((error: unknown) => failed(entry, error)));
    } catch (error) {
      failed(entry, error);
    }
  }
  await Promise.all(stops);
  return account;
}

function record(account: Account, problems: readonly LedgerProblem[], { recorder }: SupervisorPorts): void {
  const interrupted = account.interrupted.map(nameOf);
  const damaged = problems.map(({ file, message }) => `${file}: ${message}`);
  recorder.record({ kind: 'daemon', event: 'reconcile', detail: { ...account, interrupted, damaged } });
}

function nameOf({ tool, runId }: LedgerEntry): string {
  return `${tool}/${runId}`;
}

/** Groups that no entry leads to: of a trial, of daemons whose state directory is gone. */
async function sweep({ backend, ledger, isDeadInstance, log }: SupervisorPorts): Promise<void> {
  try {
    const removed = await backend.sweep({ isOnRecord: (runId) => ledger.has(runId), isDead: isDeadInstance });
    if (removed.length > 0) log.info({ removed }, 'empty groups of earlier daemons were removed');
  } catch (error) {
    log.warn({ err: error }, 'empty groups of earlier daemons could not be removed');
  }
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

/** An interrupted launch, once its launcher is answered: it is in another run now, or about to end. */
async function finish(
  entry: LedgerEntry,
  account: Account,
  options: ReconcileOptions,
  untilMs: number,
): Promise<(() => Promise<void>) | null> {
  const containment = await findContainment(entry, options);
  if (containment !== null && !(await isLeft(containment, options.ports, untilMs))) {
    containment.close();
    // The earlier daemon had told it to go on after all.
    return settle(entry, account, { ...options, waiting: new Set() });
  }
  await cleanUp(entry, containment, options.ports);
  account.cleaned.push(nameOf(entry));
  return null;
}

async function isLeft({ membership }: Containment, { clock }: SupervisorPorts, untilMs: number): Promise<boolean> {
  while (membership.members().length > 0) {
    if (clock.monotonicMs() >= untilMs) return false;
    await new Promise((resolve) => {
      setTimeout(resolve, LOOK_EVERY_MS);
    });
  }
  return true;
}

/** @returns what ends a run that cannot go on; null when there is nothing to end */
async function settle(
  entry: LedgerEntry,
  account: Account,
  options: ReconcileOptions,
): Promise<(() => Promise<void>) | null> {
  const { ports } = options;
  const name = nameOf(entry);
  const isOfThisBoot = entry.bootId === ports.bootId;
  const containment = isOfThisBoot ? await findContainment(entry, options) : null;
  if (containment === null) {
    if (isOfThisBoot && entry.containment === null) await discard(entry, ports);
    await cleanUp(entry, null, ports);
    account.cleaned.push(name);
    return null;
  }
  if (isInterrupted(entry, containment, options.waiting)) {
    containment.close();
    account.interrupted.push(entry);
    return null;
  }
  const assembled = await rebuild(entry, containment, options.restoreDefinition(entry), ports);
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
  const [reason, message] = whyEnded(entry, containment, deadClient);
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

function whyEnded(
  { mode }: LedgerEntry,
  containment: Containment,
  deadClient: ProcessIdentity | undefined,
): readonly [EndReason, string] {
  if (containment.membership.members().length === 0)
    // Its stdio ended with the daemon's: what goes then, as servers do, has not failed.
    return mode === 'managed'
      ? ['daemon_crash', 'ended with the daemon that held it']
      : ['exited', 'ended by itself while no daemon ran'];
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
  const backend = await backendOf(record, ports);
  return backend.adopt(record, restoreDefinition(entry).limits, entry.tempDir);
}

/** What a daemon has left that died before it could put the containment on record. */
async function discard(entry: LedgerEntry, ports: SupervisorPorts): Promise<void> {
  const plan = entry.plan as ContainmentPlan | undefined;
  const backend = plan === undefined ? ports.backend : await backendOf(plan, ports);
  await backend.discard(entry.runId, plan?.directories ?? []);
}

async function backendOf({ backend: id }: { readonly backend: BackendId }, ports: SupervisorPorts): Promise<Backend> {
  const backend = id === ports.backend.id ? ports.backend : await ports.backendFor(id);
  if (backend === null) throw new Error(`its containment is of the kind ${id}, which is not usable here now`);
  return backend;
}
