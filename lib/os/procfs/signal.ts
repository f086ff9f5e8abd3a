/** Signals to a process by identity, never by pid alone. */

import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import type { ProcessIdentity } from '../../core/identity.ts';
import { isDenied, isGone } from '../kernel-file.ts';
import { errnoName, native } from '../native.ts';
import { readStat, sameProcess } from './stat.ts';

export type SignalName = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT';

export type SignalOutcome = 'sent' | 'gone' | 'denied';

/**
 * Signals the very process or nobody. With native calls there is no gap: a pidfd is opened, then the identity is
 * compared, then the pidfd is signalled. Without them the identity is compared right before kill(2).
 * Pid 1, ourselves and our ancestors are refused.
 * @throws when asked to signal one of those
 */
export function signalProcess(identity: ProcessIdentity, signal: SignalName): SignalOutcome {
  if (protectedPids().has(identity.pid))
    throw new Error(`refused to send ${signal} to process ${identity.pid}: it is the daemon or one of its ancestors`);
  const calls = native();
  if (calls.available) {
    const pidfd = calls.openPidfd(identity.pid);
    if (pidfd >= 0) {
      try {
        if (!sameProcess(identity)) return 'gone';
        return outcomeOf(calls.signalPidfd(pidfd, constants.signals[signal]));
      } finally {
        closeSync(pidfd);
      }
    }
    if (errnoName(pidfd) === 'ESRCH') return 'gone';
    // ENOSYS, EMFILE: as without native calls
  }
  if (!sameProcess(identity)) return 'gone';
  try {
    process.kill(identity.pid, signal);
    return 'sent';
  } catch (error) {
    if (isGone(error)) return 'gone';
    if (isDenied(error)) return 'denied';
    throw error;
  }
}

function outcomeOf(result: number): SignalOutcome {
  if (result === 0) return 'sent';
  const errno = errnoName(result);
  if (errno === 'ESRCH') return 'gone';
  if (errno === 'EPERM') return 'denied';
  throw new Error(`pidfd_send_signal: ${errno}`);
}

/** An ancestor that ends hands us on to another one: the answer is not kept for longer. */
const KEEP_MS = 100;

let kept: { readonly pids: ReadonlySet<number>; readonly atMs: number } | null = null;

/** Pid 1, this process and its ancestors. */
export function protectedPids(): ReadonlySet<number> {
  const nowMs = performance.now();
  if (kept !== null && nowMs - kept.atMs < KEEP_MS) return kept.pids;
  const pids = new Set<number>([0, 1]);
  let pid = process.pid;
  while (!pids.has(pid)) {
    pids.add(pid);
    pid = readStat(pid)?.ppid ?? 0;
  }
  kept = { pids, atMs: nowMs };
  return pids;
}
