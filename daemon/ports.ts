/** Plugs the real rooms into the supervisor's interfaces. */

import { randomBytes } from 'node:crypto';
import { lstatSync, rmSync, unlinkSync } from 'node:fs';
import { cpus } from 'node:os';
import type { Config } from '../config/config.ts';
import type { Clock } from '../lib/core/clock.ts';
import { GovernorError } from '../lib/core/errors.ts';
import type { ProcessIdentity } from '../lib/core/identity.ts';
import type { Recorder } from '../lib/observe/recorder.ts';
import type { Backend, BackendId, HostReport } from '../lib/os/backend.ts';
import { readHostTotals } from '../lib/os/host-totals.ts';
import { openLastWord } from '../lib/os/last-word.ts';
import { procfsFacts } from '../lib/os/procfs/process-facts.ts';
import { selectBackend } from '../lib/os/select.ts';
import { destroyStaleSockets } from '../lib/os/stale-sockets.ts';
import { createRunDirectory, removeRunDirectory } from '../lib/os/tempdir.ts';
import { seesDirectory } from '../lib/os/tmpfs.ts';
import { stateOfInstance } from '../lib/process/instance-lock.ts';
import type { Ledger } from '../lib/process/ledger.ts';
import { launchManaged } from '../lib/process/managed-launch.ts';
import { openPressureChannel } from '../lib/process/pressure-channel.ts';
import { resolveCommand } from '../lib/process/resolve-command.ts';
import { terminate } from '../lib/process/terminate.ts';
import type { Scope } from '../lib/scope/scope.ts';
import { LeakWatch } from '../lib/supervisor/leak-watch.ts';
import type { Log, SupervisorPorts, TempDirPort } from '../lib/supervisor/ports.ts';
import { baseEnvironment } from './base-environment.ts';

export interface PortsInput {
  readonly clock: Clock;
  readonly log: Log;
  readonly recorder: Recorder;
  readonly ledger: Ledger;
  readonly tempRoot: string;
  readonly backend: Backend;
  readonly report: HostReport;
  readonly selection: { readonly instance: string; readonly tempRoot: string };
  readonly self: ProcessIdentity;
  readonly config: Config;
  /** As of now. */
  readonly budgets: SupervisorPorts['budgets'];
  readonly root: Scope;
  /** The conversation with a managed tool. */
  readonly connect: SupervisorPorts['connect']['connect'];
  readonly signIn: SupervisorPorts['signIn'];
  readonly kept: Pick<SupervisorPorts, 'recoveries' | 'postMortems'>;
}

export function createPorts(input: PortsInput): SupervisorPorts {
  const { tempRoot } = input;
  const totals = readHostTotals(tempRoot, (error) =>
    input.log.warn({ err: error }, 'the totals of the host could not be read'),
  );
  input.root.add('host totals', () => totals.close(), 1_000);
  return {
    clock: input.clock,
    log: input.log,
    recorder: input.recorder,
    ledger: input.ledger,
    budgets: input.budgets,
    tempDirs: {
      root: tempRoot,
      create: (runId, limits) => createRunDirectory(tempRoot, runId, limits.temp_storage),
      seenBy: seesDirectory,
      remove: (directory, root) => removeOwn(directory, root),
    },
    lastWord: { open: openLastWord },
    pressure: { open: openPressureChannel },
    facts: procfsFacts,
    backend: input.backend,
    backendFor: createBackendFinder(input),
    isDeadInstance: async (instance) => (await stateOfInstance(instance)) === 'dead',
    host: () => ({ ...input.report, totals: totals.latest() }),
    baseEnvironment: baseEnvironment(process.env),
    defaultCwd: process.cwd(),
    resolveCommand,
    launch: launchManaged,
    terminate,
    connect: { connect: (process, options) => input.connect(process, options) },
    signIn: input.signIn,
    leaks: new LeakWatch({
      clock: input.clock,
      recorder: input.recorder,
      cadenceMs: input.config.daemon.sampleIntervalMs,
    }),
    ...input.kept,
    staleSockets: { destroy: destroyStaleSockets },
    cores: cpus().length,
    bootId: input.report.bootId,
    // Where performance.now() counts from, and on the same scale.
    hostMs: () => Number(process.hrtime.bigint()) / 1e6,
    self: input.self,
    newRunId,
    random01: Math.random,
    sampleIntervalMs: input.config.daemon.sampleIntervalMs,
  };
}

/** `[0-9a-z]{10}`: short, because it is part of socket paths, which hold 107 bytes. */
function newRunId(): string {
  return BigInt(`0x${randomBytes(8).toString('hex')}`)
    .toString(36)
    .padStart(13, '0')
    .slice(-10);
}

async function removeOwn(directory: string, root: string): ReturnType<TempDirPort['remove']> {
  // The ledger is a file: what it names must look like something that was made here.
  if (!directory.startsWith(`${root}/`) || !/^[0-9a-z]{10}$/.test(directory.slice(root.length + 1))) {
    throw new GovernorError('internal', `${directory} is not a run's own temp directory`);
  }
  const found = lstatSync(directory, { throwIfNoEntry: false });
  // The tool put something else in its place. A link is removed, not followed.
  const replaced = found !== undefined && !found.isDirectory();
  if (replaced) unlinkSync(directory);
  const { files, bytes, left, note } = await removeRunDirectory(directory);
  // The pressure channel of a daemon that was killed: its socket lies beside the directory.
  rmSync(`${directory}.sock`, { force: true });
  return { files: replaced ? 1 : files, bytes, left: left.map(({ path, reason }) => `${path}: ${reason}`), note };
}

/** Opens another backend once, for what an earlier daemon left in it. */
function createBackendFinder({ selection, root }: PortsInput): (id: BackendId) => Promise<Backend | null> {
  const opened = new Map<BackendId, Promise<Backend | null>>();
  return (id) => {
    const known = opened.get(id);
    if (known !== undefined) return known;
    const backend = selectBackend({ ...selection, forced: id }).then(
      (found) => {
        root.add(`backend ${id}`, () => found.backend.close(), 5_000);
        return found.backend;
      },
      (error: unknown) => {
        if (error instanceof GovernorError && error.code === 'unsupported') return null;
        throw error;
      },
    );
    opened.set(id, backend);
    return backend;
  };
}
