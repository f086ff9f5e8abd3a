/** All processes by ps(1), in the columns that POSIX and macOS share. */

import { execFile, execFileSync } from 'node:child_process';
import { platform } from 'node:os';
import { printable, readIdentity } from '../procfs/stat.ts';

export interface ListedProcess {
  readonly pid: number;
  readonly ppid: number;
  readonly group: number;
  /** First letter as ps prints it; Z is a zombie. */
  readonly state: string;
  readonly rssBytes: number;
  readonly cpuTimeMs: number;
  /** Ticks since boot where /proc gives them, else hundredths of a second since 1970: an identity either way, on this host. */
  readonly startTicks: number;
  readonly name: string;
}

/** lstart is five words, in the C locale; comm comes last, it may hold spaces. */
const COLUMNS = ['-A', '-o', 'pid=,ppid=,pgid=,stat=,rss=,time=,lstart=,comm='];
const OPTIONS = {
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
  timeout: 10_000,
  env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
} as const;

/** Without waiting: the loop behind the samples. */
export function listProcesses(): Promise<readonly ListedProcess[]> {
  return new Promise((resolve, reject) => {
    execFile('ps', COLUMNS, OPTIONS, (error, stdout) =>
      error === null ? resolve(parseProcessList(stdout)) : reject(error),
    );
  });
}

/** At once, for 10 ms of blocking: before an irreversible act. */
export function listProcessesNow(): readonly ListedProcess[] {
  return parseProcessList(execFileSync('ps', COLUMNS, { ...OPTIONS, stdio: ['ignore', 'pipe', 'ignore'] }));
}

const LINE = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\d+)\s+(\S+)\s+(\w{3}\s+\w{3}\s+\d+\s+[\d:]+\s+\d{4})\s(.*)$/;

/** Lines that do not look as expected are left out. */
export function parseProcessList(text: string): readonly ListedProcess[] {
  return text.split('\n').flatMap((line) => {
    const match = LINE.exec(line);
    if (match === null) return [];
    const [pid, ppid, group] = match.slice(1, 4).map(Number) as [number, number, number];
    const [state, rssKib, time, started, command] = match.slice(4) as [string, string, string, string, string];
    const startTicks = startOf(pid, started);
    if (startTicks === null) return [];
    const name = printable(command.trim().split('/').at(-1) ?? '').slice(0, 15);
    return {
      pid,
      ppid,
      group,
      state: state.slice(0, 1),
      rssBytes: Number(rssKib) * 1024,
      cpuTimeMs: parseTime(time),
      startTicks,
      name,
    };
  });
}

/** On Linux lstart is computed from the boot time and may wander by a second: /proc is asked instead. */
function startOf(pid: number, started: string): number | null {
  if (platform() === 'linux') return readIdentity(pid)?.startTicks ?? null;
  const ms = Date.parse(`${started} UTC`);
  return Number.isNaN(ms) ? null : ms / 10;
}

/** `[[dd-]hh:]mm:ss[.cc]` in ms. */
export function parseTime(text: string): number {
  const match = /^(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.(\d+))?$/.exec(text);
  if (match === null) return 0;
  const [days = '0', hours = '0', minutes = '0', seconds = '0', hundredths = '0'] = match
    .slice(1)
    .map((part) => part ?? '0');
  return (
    ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60_000 +
    Number(seconds) * 1000 +
    Number(hundredths) * 10
  );
}
