/** Tries a backend with a real process: the only proof that its groups can be made, joined, emptied and removed here. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

import { GovernorError } from '../core/errors.ts';
import { err, ok, type Result } from '../core/result.ts';
import type { Backend } from './backend.ts';
import { isDenied, KernelWriteError } from './kernel-file.ts';
import { NO_LIMITS } from '../core/limits.ts';
import { readIdentity } from './procfs/stat.ts';

const REMOVE_DEADLINE_MS = 2000;

/**
 * Contains a `cat` that waits on a pipe, checks that it is seen, and ends it.
 * @returns for people, why the backend cannot be used
 */
export async function tryRun(backend: Backend, tempDir: string): Promise<Result<null, string>> {
  const child = spawn('cat', [], { stdio: ['pipe', 'ignore', 'ignore'] });
  try {
    await once(child, 'spawn');
    return await contain(backend, child, tempDir);
  } catch (error) {
    if (error instanceof GovernorError || error instanceof KernelWriteError || isDenied(error)) {
      return err((error as Error).message);
    }
    throw error;
  } finally {
    child.kill('SIGKILL');
  }
}

async function contain(backend: Backend, child: ChildProcess, tempDir: string): Promise<Result<null, string>> {
  const identity = readIdentity(child.pid ?? 0);
  if (identity === null) return err('the trial process ended at once');
  const runId = `try${String(process.pid).padStart(7, '0')}`;
  const containment = await backend.create({ runId, tool: 'trial', limits: NO_LIMITS, tempDir });
  try {
    await containment.attach(identity);
    const seen = containment.membership.members().some(({ pid }) => pid === identity.pid);
    const exited = once(child, 'exit');
    await containment.killer.kill();
    await exited;
    return seen ? ok(null) : err('the trial process was not seen in its group');
  } finally {
    child.kill('SIGKILL');
    await containment.remove(REMOVE_DEADLINE_MS);
    containment.close();
  }
}
