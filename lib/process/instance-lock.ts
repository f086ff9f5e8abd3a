/**
 * One daemon a state directory. The lock is an abstract unix socket named after the directory: the kernel makes the
 * bind atomic and drops it with the process, whatever way that dies, so there is no stale lock to judge. A text file
 * beside it says who holds it. Where there are no abstract sockets (macOS), the file itself is the lock.
 *
 * The name of the socket is also in the name under which the daemon's groups are found (`instanceOf`). So whoever finds
 * a group can ask whether its daemon lives: the socket is bound before the first group is made and until the last is gone.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { GovernorError } from '../core/errors.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import type { ProcessFacts } from './facts.ts';

export interface InstanceLock {
  /** See `instanceOf`. */
  readonly instance: string;
  release(): void;
}

/** @throws GovernorError daemon_running (naming the other), state_dir (cannot be used) */
export async function acquireInstanceLock(
  stateDir: string,
  self: ProcessIdentity,
  facts: ProcessFacts,
): Promise<InstanceLock> {
  const file = join(stateDir, FILE_NAME);
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    const instance = instanceOf(stateDir);
    const held = process.platform === 'linux' ? await bindAbstract(instance) : takeFile(file, facts);
    if (held === null)
      throw new GovernorError('daemon_running', `another daemon${describeHolder(stateDir)} uses ${stateDir}`);
    writeFileSync(file, `${self.pid} ${self.startTicks}\n`, { mode: 0o600 });
    return {
      instance,
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

const FILE_NAME = 'daemon.pid';

/**
 * Tells the daemons of one host apart, and is the same for each daemon of a state directory: `<directory>-<network
 * namespace>`, 16 hexadecimal digits and an inode. An abstract socket is known in its network namespace only.
 * @param stateDir must exist
 */
export function instanceOf(stateDir: string, uid: number = process.getuid?.() ?? 0): string {
  const digest = createHash('sha256')
    .update(`${uid}:${realpathSync(stateDir)}`)
    .digest('hex')
    .slice(0, 16);
  return `${digest}-${networkNamespace() ?? NOT_KNOWN}`;
}

const NOT_KNOWN = '0';

/** Its inode, unique among the living ones of a kernel; null where that cannot be read. */
function networkNamespace(): string | null {
  try {
    return /^net:\[(\d+)\]$/.exec(readlinkSync('/proc/self/ns/net'))?.[1] ?? null;
  } catch {
    // No /proc, or a sandbox before it.
    return null;
  }
}

/** `unknown`: of another network namespace, or no name of an instance. */
export type InstanceState = 'alive' | 'dead' | 'unknown';

/** Whether the daemon of an instance lives. A namespace that has the inode of a former one is proof that the former is gone. */
export async function stateOfInstance(instance: string): Promise<InstanceState> {
  const [, namespace] = /^[0-9a-f]{16}-([1-9]\d*)$/.exec(instance) ?? [];
  if (namespace === undefined || namespace !== networkNamespace()) return 'unknown';
  return new Promise((resolve) => {
    const socket = connect({ path: socketOf(instance) });
    socket.once('connect', () => {
      socket.destroy();
      resolve('alive');
    });
    socket.once('error', (error: NodeJS.ErrnoException) =>
      // Any other error, EAGAIN of a full queue for one, comes from a socket that is there.
      resolve(error.code === 'ECONNREFUSED' ? 'dead' : 'alive'),
    );
  });
}

function socketOf(instance: string): string {
  return `\0governor-${instance}`;
}

async function bindAbstract(instance: string): Promise<(() => void) | null> {
  const server = createServer((socket) => socket.destroy());
  const bound = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    server.listen({ path: socketOf(instance) }, () => resolve(true));
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

/** The daemon that has this state directory, by what its file says; null when there is none, or it says nothing. */
export function holderOf(stateDir: string): ProcessIdentity | null {
  return readHolder(join(stateDir, FILE_NAME));
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

function describeHolder(stateDir: string): string {
  const holder = holderOf(stateDir);
  return holder === null ? '' : ` (pid ${holder.pid})`;
}
