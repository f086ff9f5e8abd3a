/** The cookie: `GOVERNOR_RUN=<run id>` in the environment that a process was started with. */

import { readdirSync } from 'node:fs';
import { isDenied, isGone, KeptFile } from '../kernel-file.ts';

export const COOKIE_VARIABLE = 'GOVERNOR_RUN';

const NEEDLE = Buffer.from(`${COOKIE_VARIABLE}=`, 'latin1');

/**
 * The cookie of a process; null when it has none, hides it, or is not ours to read. A process can overwrite its
 * environment, and a child that did not exec yet still shows its parent's: what this says is evidence, not proof.
 * @param leaderless its first thread has ended, and with it what /proc/PID shows, while other threads live
 */
export function readCookie(pid: number, procRoot = '/proc', leaderless = false): string | null {
  if (!leaderless) return readCookieFile(`${procRoot}/${pid}/environ`);
  for (const thread of threadsOf(pid, procRoot)) {
    // The first thread's is empty, or not ours to read any more: what the kernel asks for that is gone with it.
    const cookie = readCookieFile(`${procRoot}/${pid}/task/${thread}/environ`);
    if (cookie !== null) return cookie;
  }
  return null;
}

function threadsOf(pid: number, procRoot: string): readonly string[] {
  try {
    return readdirSync(`${procRoot}/${pid}/task`);
  } catch (error) {
    if (isGone(error) || isDenied(error)) return [];
    throw error;
  }
}

function readCookieFile(path: string): string | null {
  try {
    const file = KeptFile.tryOpen(path);
    if (file === null) return null;
    try {
      const length = file.fillAll();
      return length <= 0 ? null : findCookie(file.buffer, length);
    } finally {
      file.close();
    }
  } catch (error) {
    if (isGone(error) || isDenied(error)) return null;
    throw error;
  }
}

/** Variables end in NUL; the needle counts only at the start of one. */
export function findCookie(environ: Buffer, length: number): string | null {
  for (let at = environ.indexOf(NEEDLE); at >= 0 && at < length; at = environ.indexOf(NEEDLE, at + 1)) {
    if (at > 0 && environ[at - 1] !== 0) continue;
    const start = at + NEEDLE.length;
    let end = start;
    while (end < length && environ[end] !== 0) end += 1;
    return environ.toString('latin1', start, end);
  }
  return null;
}
