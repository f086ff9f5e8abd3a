/**
 * One daemon a state directory. The lock is an abstract unix socket named after the directory: the kernel makes the
 * bind atomic and drops it with the process, whatever way that dies, so there is no stale lock to judge. A text file
 * beside it says who holds it. Where there are no abstract sockets (macOS), the file itself is the lock.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { GovernorError } from '../core/errors.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import type { ProcessFacts } from './facts.ts';

export interface InstanceLock {
  release(): void;
}

/** @throws GovernorError daemon_running (naming the other), state_dir (cannot be used) */
export async function acquireInstanceLock(
  stateDir: string,
  self: ProcessIdentity,
  facts: ProcessFacts,
): Promise<InstanceLock> {
  const file = join(stateDir, 'daemon.pid');
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    const held = process.platform === 'linux' ? await bindAbstract(stateDir) : takeFile(file, facts);
    if (held === null)
      throw new GovernorError('daemon_running', `another daemon${describeHolder(file)} uses ${stateDir}`);
    writeFileSync(file, `${self.pid} ${self.startTicks}\n`, { mode: 0o600 });
    return {
      release() {
        rmSync(file, { force: true });
        held();
      },
    };
  } catch (error) {
    if (error instanceof GovernorError) throw error;
    throw new GovernorError('state_dir', `cannot use the state directory ${stateDir}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

async function bindAbstract(stateDir: string): Promise<(() => void) | null> {
  const name = createHash('sha256')
    .update(`${process.getuid?.() ?? 0}:${realpathSync(stateDir)}`)
    .digest('hex')
    .slice(0, 40);
  const server = createServer((socket) => socket.destroy());
  const bound = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    server.listen({ path: `\0governor-${name}` }, () => resolve(true));
  });
  if (!bound) return null;
  server.unref();
  return () => server.close();
}

function takeFile(file: string, facts: ProcessFacts): (() => void) | null {
  const holder = readHolder(file);
  if (holder !== null && facts.alive(holder)) return null;
  rmSync(file, { force: true });
  writeFileSync(file, '', { flag: 'wx', mode: 0o600 });
  return () => undefined;
}

function readHolder(file: string): ProcessIdentity | null {
  try {
    const match = /^(\d+) (\d+)\n$/.exec(readFileSync(file, 'utf8'));
    return match === null ? null : { pid: Number(match[1]), startTicks: Number(match[2]) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function describeHolder(file: string): string {
  const holder = readHolder(file);
  return holder === null ? '' : ` (pid ${holder.pid})`;
}
