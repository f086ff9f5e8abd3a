/** What /proc tells of any process: the answers that the process room asks for (lib/process/facts.ts is its side). */

import { readFileSync, readlinkSync, statSync } from 'node:fs';
import type { ProcessIdentity } from '../../core/identity.ts';
import { isDenied, isGone } from '../kernel-file.ts';
import { readIdentity, readStat, sameProcess } from './stat.ts';

/** Deeper lineages do not exist outside of tests. */
const LINEAGE_MAX = 64;

export const procfsFacts = {
  identity: (pid: number): ProcessIdentity | null => readIdentity(pid),

  alive: (identity: ProcessIdentity): boolean => sameProcess(identity),

  /** From the parent upwards to the leader of the parent's session, or to PID 1. */
  lineage(pid: number): readonly { pid: number; startTicks: number; session: number; terminal: boolean }[] {
    const ancestors: { pid: number; startTicks: number; session: number; terminal: boolean }[] = [];
    let next = readStat(pid)?.ppid ?? 0;
    while (next > 0 && ancestors.length < LINEAGE_MAX) {
      const stat = readStat(next);
      if (stat === null) break;
      ancestors.push({ pid: next, startTicks: stat.startTicks, session: stat.session, terminal: stat.terminal !== 0 });
      next = stat.ppid;
    }
    return ancestors;
  },

  argumentsOf: (pid: number): readonly string[] => words(pid, 'cmdline') ?? [],

  environmentOf: (pid: number): readonly string[] | null => words(pid, 'environ'),

  cwdOf: (pid: number): string | null => tolerant(() => readlinkSync(`/proc/${pid}/cwd`)),

  ownerOf: (pid: number): number | null => tolerant(() => statSync(`/proc/${pid}`).uid),

  /** RLIMIT_NOFILE of proc_pid_limits(5). */
  openFileLimits(pid: number): { readonly soft: number; readonly hard: number } | null {
    const text = tolerant(() => readFileSync(`/proc/${pid}/limits`, 'latin1'));
    const match = text === null ? null : /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(text);
    return match === null ? null : { soft: limit(match[1]), hard: limit(match[2]) };
  },
};

function limit(word: string | undefined): number {
  return word === undefined || word === 'unlimited' ? Infinity : Number(word);
}

/** NUL-terminated strings; null when the process is gone or hidden. */
function words(pid: number, file: 'cmdline' | 'environ'): readonly string[] | null {
  const text = tolerant(() => readFileSync(`/proc/${pid}/${file}`, 'utf8'));
  if (text === null) return null;
  const parts = text.split('\0');
  if (parts[parts.length - 1] === '') parts.pop();
  return parts;
}

function tolerant<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (isGone(error) || isDenied(error)) return null;
    throw error;
  }
}
