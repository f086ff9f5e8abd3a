/**
 * Acquires what a run needs, in order, and puts one finalizer on its scope for each step; closing the scope is then the
 * cleanup of design section 6 by construction. A half-built run closes exactly what it had acquired.
 *
 * Acquired:  ledger entry · temp dir · containment (memory, CPU) · pressure channel · monitor · process · connection ·
 *            handles that the tool registers
 * Released:  0 brakes · 1 handles · 1 connection · 2 process · monitor · pressure · 3/4 containment · 5 temp dir · ledger entry
 */

import { hasLimits, limitsOfContext } from '../core/budget.ts';
import { isolatedElsewhere } from '../core/elsewhere.ts';
import { GovernorError } from '../core/errors.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import { NO_LIMITS } from '../core/limits.ts';
import { maskArguments } from '../core/mask.ts';
import type { CreateRequest } from '../os/backend.ts';
import type { LedgerEntry } from '../process/ledger.ts';
import { Scope } from '../scope/scope.ts';
import { Ending } from './ending.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import { Release } from './release.ts';
import { Run } from './run.ts';

const STEP_DEADLINE_MS = 10_000;
/** Longer than grace and kill time together: only a bug makes it pass. */
const PROCESS_DEADLINE_MS = 10 * 60_000;

export interface AssemblyRequest {
  readonly definition: ToolDefinition;
  readonly mode: 'direct' | 'managed';
  readonly context: string | null;
  readonly onDemand?: boolean;
  readonly detached: boolean;
  readonly clients: readonly ProcessIdentity[];
  readonly cwd: string;
}

export interface Assembled {
  readonly run: Run;
  readonly ending: Ending;
  /** For the tool's environment. */
  readonly variables: Readonly<Record<string, string>>;
  /** Words in front of the command. */
  readonly prefix: readonly string[];
  /** Keeps the ledger in step. */
  progress(step: LedgerEntry['step'], leader?: ProcessIdentity): void;
}

/** Everything but the process. @throws GovernorError after having closed what was acquired */
export async function assemble(request: AssemblyRequest, ports: SupervisorPorts): Promise<Assembled> {
  const { definition } = request;
  const runId = ports.newRunId();
  const scope = new Scope({ label: `run ${runId}`, monotonicMs: () => ports.clock.monotonicMs() });
  const notGoverned = elsewhereReason(definition);
  const within = notGoverned === null && !definition.dryRun ? contextGroup(request.context, ports) : null;
  const command = maskArguments([definition.command, ...definition.args]);
  let entry: LedgerEntry = {
    version: 1,
    runId,
    tool: definition.name,
    bootId: ports.bootId,
    mode: request.mode,
    step: 'intended',
    startedWallMs: ports.clock.wallMs(),
    startedHostMs: ports.hostMs(),
    leader: null,
    clients: request.clients,
    detached: request.detached,
    context: request.context,
    tempDir: `${ports.tempDirs.root}/${runId}`,
    tempRoot: ports.tempDirs.root,
    plan: ports.backend.plan(runId, within?.context),
    containment: null,
    definition: { ...definition, env: {}, args: command.slice(1) },
    command,
    cwd: request.cwd,
  };
  let run: Run | null = null;
  const progress: Assembled['progress'] = (step, leader) => {
    entry = {
      ...entry,
      step,
      context: run === null ? entry.context : run.context,
      ...(leader === undefined ? {} : { leader }),
    };
    putOnRecord(entry, ports);
  };
  try {
    putOnRecord(entry, ports);
    let ending: Ending | null = null;
    const release = new Release({
      scope,
      run: runId,
      tool: definition.name,
      tempRoot: ports.tempDirs.root,
      ending: () => ending,
      progress,
      ports,
    });
    release.addLedger();
    // A dry run is held by nothing: a kernel cap would act where Governor promised not to.
    const limits = notGoverned === null && !definition.dryRun ? definition.limits : NO_LIMITS;
    const tempDir = await ports.tempDirs.create(runId, limits);
    release.addTemp(tempDir);
    const containment = await ports.backend.create({
      runId,
      tool: definition.name,
      limits,
      tempDir,
      ...(within === null ? {} : { within }),
    });
    entry = { ...entry, containment: containment.record };
    progress('contained');
    release.addContainment(containment);
    const channel = await ports.pressure.open(`${tempDir}.sock`);
    scope.add('pressure channel', () => channel.close(), STEP_DEADLINE_MS);
    const made = new Run(
      {
        id: runId,
        mode: request.mode,
        definition,
        context: request.context,
        onDemand: request.onDemand ?? false,
        detached: request.detached,
        clients: request.clients,
        tempDir,
        cwd: request.cwd,
        command,
        notGoverned,
        containment,
        scope,
        startedMs: ports.clock.monotonicMs(),
        startedWallMs: entry.startedWallMs,
      },
      ports,
    );
    run = made;
    made.keepLimits = () => {
      entry = { ...entry, ...limitsOnRecord(entry, made) };
      putOnRecord(entry, ports);
    };
    made.channel = channel;
    made.outcomes = await containment.limits.apply(made.enforced);
    ending = new Ending(made, ports);
    return {
      run: made,
      ending,
      variables: {
        TMPDIR: tempDir,
        GOVERNOR_RUN: containment.record.cookie,
        GOVERNOR_TOOL: definition.name,
        ...channel.variables,
      },
      prefix: containment.wrap,
      progress,
    };
  } catch (error) {
    await scope.close('launch_failed');
    throw error instanceof GovernorError
      ? error
      : new GovernorError('launch_failed', `${definition.name} could not be contained: ${(error as Error).message}`, {
          cause: error,
        });
  }
}

/** What changes in an entry with the limits of its run. */
export function limitsOnRecord(
  { definition }: LedgerEntry,
  { limits, capsPending }: Run,
): Pick<LedgerEntry, 'definition' | 'capsPending'> {
  return { definition: { ...(definition as object), limits }, capsPending };
}

/** Where the kernel can hold all runs of a context together, and has limits to hold them to. */
function contextGroup(context: string | null, ports: SupervisorPorts): NonNullable<CreateRequest['within']> | null {
  if (context === null || ports.backend.shared === undefined) return null;
  const { contexts, dryRun } = ports.budgets();
  const limits = limitsOfContext(context, contexts);
  return hasLimits(limits) ? { context, limits: dryRun ? NO_LIMITS : limits } : null;
}

const REFUSALS: Readonly<Record<string, string>> = {
  ENOSPC: 'its disk is full',
  EDQUOT: 'its disk quota is used up',
  EROFS: 'it is read-only',
};

/** Whoever asked for the tool hears what is wrong with the disk, and not only the number that the kernel has for it. */
function putOnRecord(entry: LedgerEntry, ports: SupervisorPorts): void {
  try {
    ports.ledger.write(entry);
  } catch (error) {
    const why = REFUSALS[(error as NodeJS.ErrnoException).code ?? ''];
    if (why === undefined) throw error;
    throw new GovernorError(
      'launch_failed',
      `${entry.tool}: what starts is first put on record in the state directory, but ${why}`,
      { cause: error },
    );
  }
}

/** The last steps: what ends a process, then what lifts the brakes before that. Call once the process is in. */
export function addProcess(assembled: Assembled): void {
  const { run, ending } = assembled;
  run.init.scope.add('2 process', () => ending.terminate(), PROCESS_DEADLINE_MS);
  addConnection(assembled);
  run.init.scope.add('1 handles', () => ending.closeHandles(), PROCESS_DEADLINE_MS);
  run.init.scope.add('0 brakes', () => run.init.containment.brakes.lift(), STEP_DEADLINE_MS);
}

/** The end of its conversation. */
export function addConnection({ run }: Assembled): void {
  run.init.scope.add(
    '1 connection',
    async () => {
      // The session's own end; a direct run's connection belongs to its client.
      if (run.connection === null) return 'none held';
      await run.connection.close();
      return undefined;
    },
    STEP_DEADLINE_MS,
  );
}

/** Why limits here would hold nothing but a client; null for what runs here. */
export function elsewhereReason(definition: ToolDefinition): string | null {
  const elsewhere = isolatedElsewhere(definition.command, definition.args);
  return elsewhere === null ? null : `the process runs in ${elsewhere.where}; limit it there: ${elsewhere.hint}`;
}
