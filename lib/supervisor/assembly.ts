/**
 * Acquires what a run needs, in order, and puts one finalizer on its scope for each step; closing the scope is then the
 * cleanup of design section 6 by construction. A half-built run closes exactly what it had acquired.
 *
 * Acquired:  ledger entry · temp dir · containment (memory, CPU) · pressure channel · monitor · process · connection ·
 *            handles that the tool registers
 * Released:  0 brakes · 1 handles · 1 connection · 2 process · monitor · pressure · 3/4 containment · 5 temp dir · ledger entry
 */

import { isolatedElsewhere } from '../core/elsewhere.ts';
import { GovernorError } from '../core/errors.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import { NO_LIMITS } from '../core/limits.ts';
import { maskArguments } from '../core/mask.ts';
import type { Containment } from '../os/backend.ts';
import type { LedgerEntry } from '../process/ledger.ts';
import { Scope } from '../scope/scope.ts';
import { Ending } from './ending.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import { Run } from './run.ts';

const STEP_DEADLINE_MS = 10_000;
/** Longer than grace and kill time together: only a bug makes it pass. */
const PROCESS_DEADLINE_MS = 10 * 60_000;

export interface AssemblyRequest {
  readonly definition: ToolDefinition;
  readonly mode: 'direct' | 'managed';
  readonly context: string | null;
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
  const command = maskArguments([definition.command, ...definition.args]);
  let entry: LedgerEntry = {
    version: 1,
    runId,
    tool: definition.name,
    bootId: ports.bootId,
    mode: request.mode,
    step: 'intended',
    startedWallMs: ports.clock.wallMs(),
    leader: null,
    clients: request.clients,
    detached: request.detached,
    context: request.context,
    tempDir: `${ports.tempDirs.root}/${runId}`,
    tempRoot: ports.tempDirs.root,
    containment: null,
    definition: { ...definition, env: {}, args: command.slice(1) },
    command,
    cwd: request.cwd,
  };
  const progress: Assembled['progress'] = (step, leader) => {
    entry = { ...entry, step, ...(leader === undefined ? {} : { leader }) };
    putOnRecord(entry, ports);
  };
  try {
    putOnRecord(entry, ports);
    let ending: Ending | null = null;
    releaseLedger({ scope, run: runId, ending: () => ending, progress, ports });
    // A dry run is held by nothing: a kernel cap would act where Governor promised not to.
    const limits = notGoverned === null && !definition.dryRun ? definition.limits : NO_LIMITS;
    const tempDir = await ports.tempDirs.create(runId, limits);
    releaseTemp({
      scope,
      run: runId,
      tool: definition.name,
      tempDir,
      tempRoot: ports.tempDirs.root,
      ending: () => ending,
      ports,
    });
    const containment = await ports.backend.create({ runId, tool: definition.name, limits, tempDir });
    entry = { ...entry, containment: containment.record };
    progress('contained');
    releaseContainment(scope, containment);
    const channel = await ports.pressure.open(`${tempDir}.sock`);
    scope.add('pressure channel', () => channel.close(), STEP_DEADLINE_MS);
    const run = new Run(
      {
        id: runId,
        mode: request.mode,
        definition,
        context: request.context,
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
    run.channel = channel;
    run.outcomes = await containment.limits.apply(run.enforced);
    ending = new Ending(run, ports);
    return {
      run,
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
  run.init.scope.add('1 handles', () => ending.closeHandles(), PROCESS_DEADLINE_MS);
  run.init.scope.add('0 brakes', () => run.init.containment.brakes.lift(), STEP_DEADLINE_MS);
}

interface Release {
  readonly scope: Scope;
  readonly run: string;
  readonly tool: string;
  readonly tempDir: string;
  readonly tempRoot: string;
  readonly ending: () => Ending | null;
  readonly progress: Assembled['progress'];
  readonly ports: SupervisorPorts;
}

/** The finalizers of what a run of an earlier daemon holds already. */
export function addRelease(release: Release & { readonly containment: Containment }): void {
  releaseLedger(release);
  releaseTemp(release);
  releaseContainment(release.scope, release.containment);
}

function releaseLedger({
  scope,
  run,
  ending,
  progress,
  ports,
}: Pick<Release, 'scope' | 'run' | 'ending' | 'progress' | 'ports'>): void {
  scope.add(
    'ledger entry',
    () => {
      // What may still live stays on record: the next daemon must find it too.
      if (ending()?.survived === true) progress('unproven');
      else ports.ledger.remove(run);
    },
    STEP_DEADLINE_MS,
  );
}

function releaseTemp(release: Omit<Release, 'progress'>): void {
  release.scope.add('5 temp storage', () => removeTempDir(release), STEP_DEADLINE_MS * 6);
}

function releaseContainment(scope: Scope, containment: Containment): void {
  scope.add('3 memory, 4 CPU: containment', () => removeContainment(containment), STEP_DEADLINE_MS);
}

async function removeContainment(containment: Containment): Promise<void> {
  await containment.remove(STEP_DEADLINE_MS / 2);
  // Only now: what could not be removed is looked at again later.
  containment.close();
}

async function removeTempDir({
  tool,
  run,
  tempDir,
  tempRoot,
  ending,
  ports,
}: Omit<Release, 'progress'>): Promise<string> {
  const reason = ending()?.request?.reason ?? 'launch_failed';
  ports.recorder.record({ kind: 'intent', tool, run, action: 'delete_temp', reason, target: { directory: tempDir } });
  const { files, bytes, left, note } = await ports.tempDirs.remove(tempDir, tempRoot);
  const detail = { files, bytes, left: left.slice(0, 20), ...(note === null ? {} : { note }) };
  ports.recorder.record({ kind: 'outcome', tool, run, action: 'delete_temp', ok: left.length === 0, detail });
  if (left.length > 0) throw new Error(`could not delete ${left.length} entries, the first is ${left[0] ?? ''}`);
  return `${files} files, ${bytes} bytes${note === null ? '' : `; ${note}`}`;
}

/** Why limits here would hold nothing but a client; null for what runs here. */
export function elsewhereReason(definition: ToolDefinition): string | null {
  const elsewhere = isolatedElsewhere(definition.command, definition.args);
  return elsewhere === null ? null : `the process runs in ${elsewhere.where}; limit it there: ${elsewhere.hint}`;
}
