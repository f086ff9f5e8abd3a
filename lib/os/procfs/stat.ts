/** /proc/PID/stat and process identity, proc_pid_stat(5). */

import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import type { ProcessIdentity } from '../../core/identity.ts';
import { isDenied, isGone, KernelParseError } from '../kernel-file.ts';

/**
 * Clock ticks per second in /proc: USER_HZ, which is 100 on every architecture that Node runs on, whatever the
 * kernel's own HZ is (include/asm-generic/param.h; only alpha and ia64 had 1024).
 */
export const TICKS_PER_SECOND = 100;
export const MS_PER_TICK = 1000 / TICKS_PER_SECOND;

/** Fields of /proc/PID/stat by their number in proc_pid_stat(5), 4 (ppid) to 24 (rss). Reused between parses. */
export class ProcStat {
  /** One character: R running, S sleeping, D disk wait, T stopped, Z zombie, X dead, I idle. */
  state = '?';
  readonly #fields = new Float64Array(25);

  get ppid(): number {
    return this.#fields[4] as number;
  }
  /** Process group. */
  get group(): number {
    return this.#fields[5] as number;
  }
  get session(): number {
    return this.#fields[6] as number;
  }
  /** Device number of the controlling terminal, 0 = none. */
  get terminal(): number {
    return this.#fields[7] as number;
  }
  /** utime + stime of the living threads and those that ended, in ticks. */
  get ownTicks(): number {
    return (this.#fields[14] as number) + (this.#fields[15] as number);
  }
  /** cutime + cstime: what waited-for children used, in ticks. */
  get childTicks(): number {
    return (this.#fields[16] as number) + (this.#fields[17] as number);
  }
  get threads(): number {
    return this.#fields[20] as number;
  }
  /** Ticks since boot. */
  get startTicks(): number {
    return this.#fields[22] as number;
  }
  /** Resident pages: anonymous, file and shared. */
  get rssPages(): number {
    return this.#fields[24] as number;
  }
  /** No thread of it runs any more. A leader that left its threads running is in state Z too, with more than one thread. */
  get dead(): boolean {
    return this.state === 'X' || (this.state === 'Z' && this.threads <= 1);
  }
  /** A leader that ended before its threads: its own directory shows no memory and no file handles. */
  get leaderless(): boolean {
    return this.state === 'Z' && this.threads > 1;
  }

  /**
   * Parses from bytes. The name stands between the first `(` and the last `)` and may hold anything but NUL: brackets,
   * spaces, newlines, half a UTF-8 character.
   * @returns false for text that is no stat line
   */
  parse(text: Buffer, length: number): boolean {
    const close = closingBracket(text, length);
    if (close < 0 || close + 4 > length) return false;
    this.state = String.fromCharCode(text[close + 2] as number);
    let at = close + 4;
    for (let field = 4; field <= 24; field += 1) {
      const negative = text[at] === 0x2d;
      if (negative) at += 1;
      let value = 0;
      let digit = (text[at] as number) - 0x30;
      if (!(digit >= 0 && digit <= 9)) return false;
      while (digit >= 0 && digit <= 9) {
        value = value * 10 + digit;
        at += 1;
        digit = at < length ? (text[at] as number) - 0x30 : -1;
      }
      this.#fields[field] = negative ? -value : value;
      at += 1;
    }
    return true;
  }
}

/** The longest name the kernel prints is 64 bytes (kernel workers), so the last `)` of the line is near its start. */
const NAME_REACH = 128;

function closingBracket(text: Buffer, length: number): number {
  for (let at = Math.min(length, NAME_REACH) - 1; at > 1; at -= 1) if (text[at] === 0x29) return at;
  return -1;
}

/** The name (comm) in a stat line, made printable: control characters and broken UTF-8 become `?`. */
export function nameOf(text: Buffer, length: number): string {
  const open = text.indexOf(0x28);
  const close = closingBracket(text, length);
  if (open < 0 || close <= open) return '?';
  return printable(text.toString('utf8', open + 1, close));
}

/** Control characters, line separators, bidirectional marks and replacement characters become `?`: safe on a terminal. */
export function printable(name: string): string {
  return name.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\uFFFD]/gu, '?');
}

const scratch = Buffer.allocUnsafeSlow(4096);
const scratchStat = new ProcStat();

/**
 * Reads /proc/PID/stat once, by path, into a reused object (valid until the next call).
 * @returns null when there is no such process, or when /proc hides it (hidepid)
 */
export function readStat(pid: number, procRoot = '/proc'): ProcStat | null {
  const path = `${procRoot}/${pid}/stat`;
  const length = readOnce(path);
  if (length < 0) return null;
  if (!scratchStat.parse(scratch, length)) {
    throw new KernelParseError(path, scratch.toString('latin1', 0, Math.min(length, 120)));
  }
  return scratchStat;
}

/** As `readStat`, with the printable name. */
export function readNamedStat(
  pid: number,
  procRoot = '/proc',
): { readonly stat: ProcStat; readonly name: string } | null {
  const path = `${procRoot}/${pid}/stat`;
  const length = readOnce(path);
  if (length < 0) return null;
  if (!scratchStat.parse(scratch, length)) {
    throw new KernelParseError(path, scratch.toString('latin1', 0, Math.min(length, 120)));
  }
  return { stat: scratchStat, name: nameOf(scratch, length) };
}

function readOnce(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY);
  } catch (error) {
    if (isGone(error) || isDenied(error)) return -1;
    throw error;
  }
  try {
    return readSync(fd, scratch, 0, scratch.length, 0);
  } catch (error) {
    if (isGone(error)) return -1;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Identity of a live process; null for none and for a zombie. */
export function readIdentity(pid: number, procRoot = '/proc'): ProcessIdentity | null {
  if (!Number.isSafeInteger(pid) || pid <= 0) return null;
  const stat = readStat(pid, procRoot);
  return stat === null || stat.dead ? null : { pid, startTicks: stat.startTicks };
}

/** True while the very process lives; a zombie counts as dead, another process with its pid as well. */
export function sameProcess(identity: ProcessIdentity, procRoot = '/proc'): boolean {
  const now = readIdentity(identity.pid, procRoot);
  return now !== null && now.startTicks === identity.startTicks;
}

/** UUID of this boot; start times mean nothing across boots. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}
