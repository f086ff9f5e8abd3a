/** Where the fault tests are held: a backend, and the user whose daemon it is. */

import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackendId } from '../../lib/os/backend.ts';
import { instanceOf } from '../../lib/process/instance-lock.ts';
import { notAskedFor } from '../helpers/backends.ts';
import type { ConfigDocument } from '../helpers/config-text.ts';
import { type DaemonOptions, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import type { TestScope } from '../helpers/fixture.ts';

/** Debian's `nobody`. */
const NOBODY = 65_534;

export interface Stand {
  readonly name: string;
  readonly backend: BackendId;
  readonly uid: number;
  /** Words in front of a command that is to run as the user of the stand. */
  readonly as: readonly string[];
  /** The kernel knows all members of a run: nothing may survive, whatever it does. */
  readonly exact: boolean;
}

export function standFor(backend: BackendId, who: 'self' | 'nobody' = 'self'): Stand {
  const uid = who === 'nobody' ? NOBODY : (process.getuid?.() ?? 0);
  return {
    name: who === 'nobody' ? `${backend}, unprivileged` : backend,
    backend,
    uid,
    as: who === 'nobody' ? ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] : [],
    exact: backend !== 'procfs' && backend !== 'portable',
  };
}

/** With a short path, because of the socket in it. */
export function newStandDir(t: TestScope, stand: Stand): string {
  const directory = mkdtempSync(join(tmpdir(), 'gov-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  if (stand.uid !== process.getuid?.()) chownSync(directory, stand.uid, stand.uid);
  return directory;
}

const CONFIG: ConfigDocument = { daemon: { sample_interval: '100ms' } };

export function startOn(
  t: TestScope,
  stand: Stand,
  options: DaemonOptions & { readonly stateDir: string },
): Promise<RunningDaemon> {
  return startDaemon(t, { config: CONFIG, backend: stand.backend, as: stand.as, ...options });
}

/** @returns why the stand cannot be had on this host, in the words of the daemon; false when it can */
export async function lacksStand(stand: Stand): Promise<string | false> {
  const skip = notAskedFor(stand.backend);
  if (skip !== false) return skip;
  if (stand.as.length > 0 && process.getuid?.() !== 0) return 'needs root to become another user';
  const later: (() => void | Promise<void>)[] = [];
  const scope: TestScope = { teardown: (work) => void later.push(work) };
  try {
    await (await startOn(scope, stand, { stateDir: newStandDir(scope, stand) })).stop();
    return false;
  } catch (error) {
    const reason = /backend \S+ cannot be used: (.*)/.exec(String(error))?.[1];
    if (reason === undefined) throw error;
    return reason;
  } finally {
    for (const work of later.toReversed()) await work();
  }
}

/** What a daemon of this state directory has left on the host outside of it; its ledger included. */
export function leftovers(stand: Stand, stateDir: string, runs: readonly string[]): readonly string[] {
  const instance = instanceOf(stateDir, stand.uid);
  return [
    ...groupsBelow('/sys/fs/cgroup', 0).filter((path) => path.includes(instance) && /\/[0-9a-z]{10}$/.test(path)),
    ...entries(join(stateDir, 'ledger')),
    ...entries(join(stateDir, 'launch/pending')),
    ...[tmpdir(), '/var/tmp']
      .flatMap((folder) => entries(`${folder}/governor-${stand.uid}`))
      .filter((path) => runs.some((run) => path.includes(run))),
  ];
}

/** Ids of all runs that a state directory's audit knows. */
export function runsOf(stateDir: string): readonly string[] {
  const found = new Set<string>();
  for (const file of entries(join(stateDir, 'audit'))) {
    for (const [, run = ''] of readFileSync(file, 'utf8').matchAll(/"run":"([0-9a-z]{10})"/g)) found.add(run);
  }
  return [...found];
}

function groupsBelow(directory: string, depth: number): readonly string[] {
  // Of a user's scope: seven above the group of a run.
  if (depth > 9 || !existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => [join(directory, entry.name), ...groupsBelow(join(directory, entry.name), depth + 1)]);
}

function entries(directory: string): readonly string[] {
  return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
}
