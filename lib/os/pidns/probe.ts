/** Whether this user can make PID namespaces here, found out by making some. */

import { execFile } from 'node:child_process';
import type { BackendProbe } from '../backend.ts';
import { type Unshare, unshareOptions, unshareWords } from './init.ts';

export interface PidnsProbe extends BackendProbe {
  /** null where it is not usable. */
  readonly unshare: Unshare | null;
}

const DEADLINE_MS = 5000;

export async function probePidns(): Promise<PidnsProbe> {
  const user = process.getuid?.() !== 0;
  const bare: Unshare = { user, mountProc: false, forwardSignals: false, defaultSignal: false };
  // A namespace with its own /proc can be refused where one without is not: below a partly covered /proc, in containers.
  const withProc = await run([...unshareOptions({ ...bare, mountProc: true }), 'true']);
  const without = withProc === null ? null : await run([...unshareOptions(bare), 'true']);
  if (withProc !== null && without !== null) {
    return { backend: 'pidns', usable: false, reason: `unshare: ${without}`, unshare: null };
  }
  const mountProc = withProc === null;
  const forwardSignals =
    (await run([...unshareOptions({ ...bare, mountProc, forwardSignals: true }), 'true'])) === null;
  const defaultSignal = (await run(['env', '--default-signal=INT,QUIT', 'true'])) === null;
  const unshare = { user, mountProc, forwardSignals, defaultSignal };
  const [command, ...words] = unshareWords(unshare);
  const whole = await run([command as string, ...words, 'sh', '-c', 'test -r /proc/self/stat || exit 9; exit 0']);
  if (whole !== null && mountProc)
    return { backend: 'pidns', usable: false, reason: `a command in a PID namespace: ${whole}`, unshare: null };
  const parts = [
    user ? 'in a user namespace: set-user-id programs do not work in it' : 'as root',
    mountProc ? 'with its own /proc' : `without its own /proc (${withProc}): tools that read /proc/self fail`,
  ];
  return {
    backend: 'pidns',
    usable: mountProc,
    reason: `PID namespaces work ${parts.join(', ')}`,
    unshare: mountProc ? unshare : null,
  };
}

/** @returns null for success, else why not, in one line */
function run(words: readonly string[]): Promise<string | null> {
  const [command, ...rest] = words;
  return new Promise((resolve) => {
    execFile(command as string, rest, { timeout: DEADLINE_MS, killSignal: 'SIGKILL' }, (error, _stdout, stderr) => {
      if (error === null) resolve(null);
      else resolve((stderr.trim() || error.message).split('\n')[0] ?? 'failed');
    });
  });
}
