/** Runs in the backends that find their processes in /proc, started as a launcher does it: gate, attach, exec. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../lib/core/identity.ts';
import type { ResolvedLimits } from '../../lib/core/limits.ts';
import type { Measured, Reading } from '../../lib/core/usage.ts';
import type { Backend, Containment } from '../../lib/os/backend.ts';
import { NO_LIMITS } from '../../lib/core/limits.ts';
import { fixtureCommand, fixtureEnvironment, newMarker, type TestScope } from './fixture.ts';
import { type Heard, listen } from './heard.ts';
import { identityOf, killSurvivors } from './survivors.ts';
import { waitFor } from './wait-for.ts';

export interface ContainedFixture extends Heard {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly identity: ProcessIdentity;
  readonly marker: string;
}

export type ScannedRun = Containment & { readonly tempDir: string };

let serial = 0;

export async function createRun(
  t: TestScope,
  backend: Backend,
  limits: ResolvedLimits = NO_LIMITS,
): Promise<ScannedRun> {
  serial += 1;
  const tempDir = realpathSync(mkdtempSync(join(tmpdir(), 'governor-test-')));
  const runId = `s${String(process.pid).padStart(6, '0').slice(-6)}${String(serial).padStart(3, '0')}`;
  const containment = await backend.create({ runId, tool: 'test tool', limits, tempDir });
  t.teardown(() => {
    containment.close();
    rmSync(tempDir, { recursive: true, force: true });
  });
  return Object.defineProperty(containment, 'tempDir', { value: tempDir }) as ScannedRun;
}

export interface ContainedOptions {
  readonly args?: readonly string[];
  /** Instead of a fixture. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts a fixture in the run and waits until it is attached, not until it is ready. */
export async function startContained(
  t: TestScope,
  run: ScannedRun,
  name: string,
  options: ContainedOptions = {},
): Promise<ContainedFixture> {
  const marker = newMarker();
  const words = [...run.wrap, ...(options.command ?? fixtureCommand(name, options.args))];
  const env = {
    ...process.env,
    TMPDIR: run.tempDir,
    ...options.env,
    ...fixtureEnvironment(marker),
    GOVERNOR_RUN: run.record.cookie,
  };
  t.teardown(() => killSurvivors(marker));
  const child = spawn('/bin/sh', ['-c', 'read -r _ && exec "$@"', 'sh', ...words], {
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => undefined); // the program may end first
  const pid = child.pid ?? 0;
  const identity = identityOf(pid);
  if (identity === null) throw new Error(`${name} was gone before it could be looked at`);
  await run.attach(identity);
  child.stdin.write('\n');
  return { child, pid, identity, marker, ...listen(child.stdout, name) };
}

export function valueOf(reading: Reading): number {
  return measuredOf(reading).value;
}

export function measuredOf(reading: Reading): Measured {
  if (reading.kind !== 'measured') throw new Error(reading.kind === 'gone' ? 'gone' : reading.reason);
  return reading;
}

/** Until the containment itself finds nobody. */
export function emptied(run: Containment): Promise<true> {
  return waitFor('the tree to be empty', () => run.membership.members().length === 0, { everyMs: 5 });
}
