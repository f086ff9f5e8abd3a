/** Starts a run: assemble, put the process in, and only then let it go. */

import { GovernorError } from '../core/errors.ts';
import { maskShort } from '../core/mask.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import { openFilesCap } from '../core/limits.ts';
import type { Assembled } from './assembly.ts';
import { addProcess, assemble } from './assembly.ts';
import type { ToolDefinition } from './governor.ts';
import { LineCutter } from './log-ring.ts';
import type { ConnectPort, SupervisorPorts } from './ports.ts';
import { assembleRemote } from './remote.ts';
import type { EndRequest, Run } from './run.ts';

const GATE_DEADLINE_MS = 1_000;

export interface DirectStart {
  readonly launcher: ProcessIdentity;
  readonly clients: readonly ProcessIdentity[];
  readonly detached: boolean;
  readonly context: string | null;
  readonly cwd: string;
  /** Tells the launcher to become the tool; false when it is gone. */
  go(assembled: Assembled): boolean;
}

/** The launcher is moved in and waits meanwhile, so limits hold before the tool's first instruction. */
export async function startDirect(
  definition: ToolDefinition,
  request: DirectStart,
  ports: SupervisorPorts,
  hooks: StartHooks,
): Promise<Assembled> {
  const assembled = await assemble({ definition, mode: 'direct', ...request }, ports);
  const { run, progress } = assembled;
  try {
    refuseUnseen(run, request.launcher, ports);
    await run.init.containment.attach(request.launcher);
    run.leader = request.launcher;
    hooks.onContained(assembled);
    addProcess(assembled);
    progress('running', request.launcher);
    run.state = 'running';
    if (!request.go(assembled))
      throw new GovernorError('launch_failed', 'the launcher ended before the tool could start');
    return assembled;
  } catch (error) {
    await hooks.onFailed(assembled, {
      reason: 'launch_failed',
      message: `could not be started: ${messageOf(error)}`,
      graceMs: 0,
    });
    throw error;
  }
}

/** A tmpfs that only the daemon sees would leave the tool on the disk below it. */
function refuseUnseen(run: Run, launcher: ProcessIdentity, ports: SupervisorPorts): void {
  if (run.enforced.temp_storage?.backing !== 'tmpfs' || ports.tempDirs.seenBy(launcher.pid, run.init.tempDir)) return;
  throw new GovernorError(
    'unsupported',
    'temp_storage: backing: tmpfs is not possible here: the daemon and this client live in different mount namespaces; write backing: disk, or start both in the same one',
  );
}

export interface StartHooks {
  onContained(assembled: Assembled): void;
  /** Ends what was begun. */
  onFailed(assembled: Assembled, request: EndRequest): Promise<void>;
}

export interface ManagedStart {
  /** Whose run it is; null: nobody's yet, or everybody's. */
  readonly context: string | null;
  /** A client's request wants it, and will want it again when it has ended. */
  readonly onDemand: boolean;
  /** Stands in for the handshake that every managed tool gets. */
  readonly connect?: ConnectPort['connect'];
}

export interface ManagedHooks extends StartHooks {
  onLogLine(line: string): void;
  onExit(run: Run): void;
}

/** Resolves when the tool is ready: its handshake is done and its tools are listed, or it lives where none is asked for. */
export async function startManaged(
  definition: ToolDefinition,
  start: ManagedStart,
  ports: SupervisorPorts,
  hooks: ManagedHooks,
): Promise<Assembled> {
  if (definition.remote !== undefined) return startRemote(definition, start, ports, hooks);
  const cwd = definition.cwd ?? ports.defaultCwd;
  const environment = { ...ports.baseEnvironment, ...definition.env };
  ports.resolveCommand(definition.command, cwd, environment['PATH']);
  const assembled = await assemble({ definition, mode: 'managed', ...start, detached: false, clients: [], cwd }, ports);
  const { run } = assembled;
  try {
    await putIn(assembled, definition, cwd, environment, ports, hooks);
    if (definition.readiness === 'mcp') await handshake(run, definition, start, ports);
    // Unless it is being stopped by now.
    if (run.state === 'starting') run.state = 'running';
    return assembled;
  } catch (error) {
    await hooks.onFailed(assembled, notReady(error));
    throw error;
  }
}

async function startRemote(
  definition: ToolDefinition,
  start: ManagedStart,
  ports: SupervisorPorts,
  hooks: ManagedHooks,
): Promise<Assembled> {
  const assembled = assembleRemote(definition, start, ports);
  const { run } = assembled;
  try {
    hooks.onContained(assembled);
    await handshake(run, definition, start, ports);
    if (run.state === 'starting') run.state = 'running';
    return assembled;
  } catch (error) {
    await hooks.onFailed(assembled, notReady(error));
    throw error;
  }
}

function notReady(error: unknown): EndRequest {
  // No fault of the server's: it is not charged, and nothing is tried again before somebody has signed in.
  if (error instanceof GovernorError && error.code === 'sign_in_needed')
    return { reason: 'sign_in', message: error.message, graceMs: 0 };
  return { reason: 'not_ready', message: `did not become ready: ${messageOf(error)}`, graceMs: 0 };
}

function messageOf(error: unknown): string {
  // What a server says of itself may be anything.
  return maskShort(error instanceof Error ? error.message : String(error));
}

async function putIn(
  assembled: Assembled,
  definition: ToolDefinition,
  cwd: string,
  environment: Readonly<Record<string, string>>,
  ports: SupervisorPorts,
  hooks: ManagedHooks,
): Promise<void> {
  const { run, prefix, progress, variables } = assembled;
  const child = await ports.launch({
    command: definition.command,
    args: definition.args,
    cwd,
    environment: { ...environment, ...variables },
    prefix,
  });
  run.process = child;
  // Until it is in its containment, this is all that ends it.
  run.init.scope.add('gate', () => void child.closeGate(), GATE_DEADLINE_MS);
  const stderr = new LineCutter(hooks.onLogLine);
  child.stderr.on('data', (chunk: Uint8Array) => stderr.push(chunk));
  child.stderr.on('end', () => stderr.end());
  void child.exited.then((exit) => {
    run.exit = exit;
    hooks.onExit(run);
  });
  const identity = ports.facts.identity(child.pid);
  if (identity === null) throw new GovernorError('launch_failed', 'the process ended at once');
  run.leader = identity;
  await run.init.containment.attach(identity);
  hooks.onContained(assembled);
  addProcess(assembled);
  progress('running', identity);
  const limit = run.enforced.file_handles;
  child.openGate(limit === null ? null : openFilesCap(limit));
}

async function handshake(
  run: Run,
  definition: ToolDefinition,
  start: ManagedStart,
  ports: SupervisorPorts,
): Promise<void> {
  const connect: ConnectPort['connect'] =
    start.connect ?? ((process, options) => ports.connect.connect(process, options));
  run.connection = await connect(run.process, {
    definition,
    timeoutMs: definition.readyTimeoutMs,
    onProtocolError: (message) => ports.log.warn({ tool: run.tool, run: run.id }, message),
  });
}
