/**
 * One process, with its files in /proc kept open. Reads take microseconds, and a kept file is an identity check: after
 * the process was reaped it answers ESRCH, also when the pid belongs to somebody else by then.
 */

import { closeSync, constants, fstatSync, openSync, readdirSync, statSync } from 'node:fs';
import { type Unsupported, unsupported } from '../../core/usage.ts';
import { errnoOf, isDenied, isGone, KeptFile, KeyedFields, KernelParseError } from '../kernel-file.ts';
import { FdLinks } from './fd-links.ts';
import { ProcStat } from './stat.ts';

/** Outcome of a read on one process. `exhausted`: the daemon itself has no file handles left. */
export type HandleState = 'ok' | 'gone' | 'denied' | 'exhausted';

export class ProcessHandle {
  readonly pid: number;
  /** Valid after `readStat()` said `ok`. */
  readonly stat = new ProcStat();
  readonly links: FdLinks;
  /** Valid after `countFds()` said `ok`. */
  fdCount = 0;
  /** Mark of the sweep that saw it last. */
  seen = 0;
  readonly #procRoot: string;
  #statFile: KeptFile | null = null;
  #threadStatFile: KeptFile | null = null;
  #rollup: KeptFile | null = null;
  /** -1: not opened yet. */
  #fdDirectory = -1;
  #fdPath: string;
  #threadStat: ProcStat | null = null;

  constructor(pid: number, procRoot: string, tempPrefix: string | null) {
    this.pid = pid;
    this.#procRoot = procRoot;
    this.#fdPath = `${procRoot}/${pid}/fd`;
    this.links = new FdLinks(tempPrefix);
  }

  /** For stat(2) of one handle; cannot be mistaken for another process. Valid after `countFds()`. */
  fdEntry(fd: number): string {
    return `/proc/self/fd/${this.#fdDirectory}/${fd}`;
  }

  readStat(): HandleState {
    try {
      this.#statFile ??= new KeptFile(`${this.#procRoot}/${this.pid}/stat`);
      const length = this.#statFile.fill();
      if (length < 0) return 'gone';
      if (!this.stat.parse(this.#statFile.buffer, length)) {
        throw new KernelParseError(
          this.#statFile.path,
          this.#statFile.buffer.toString('latin1', 0, Math.min(length, 120)),
        );
      }
      return 'ok';
    } catch (error) {
      return stateOf(error);
    }
  }

  /** Resident pages, after `readStat()`. A leader that left its threads running shows none: one of the threads is asked. */
  rssPages(): number {
    if (!this.stat.leaderless) return this.stat.rssPages;
    try {
      for (let attempt = 0; attempt < 2; attempt += 1) {
        this.#threadStatFile ??= this.#openOfThread('stat');
        const file = this.#threadStatFile;
        if (file === null) return 0;
        const length = file.fill();
        this.#threadStat ??= new ProcStat();
        if (length > 0 && this.#threadStat.parse(file.buffer, length) && !this.#threadStat.dead)
          return this.#threadStat.rssPages;
        file.close();
        this.#threadStatFile = null;
      }
    } catch (error) {
      if (!isGone(error) && !isDenied(error)) throw error;
    }
    return 0;
  }

  /** Counts open file handles into `fdCount`. */
  countFds(): HandleState {
    try {
      if (this.#fdDirectory < 0) this.#fdDirectory = openDirectory(this.#fdPath);
      this.fdCount = countEntries(this.#fdDirectory, this.#procRoot);
      if (this.fdCount === 0) this.#countWithoutLeader();
      return 'ok';
    } catch (error) {
      const state = stateOf(error);
      // A zombie's directory belongs to root: that it cannot be read is no matter of rights.
      return state === 'denied' && this.#countWithoutLeader() ? 'ok' : state;
    }
  }

  /** Reads what the handles are, after `countFds()`. @param full also those that were known before */
  readLinks(full: boolean): HandleState {
    try {
      this.links.read(this.#fdPath, full);
      // By path a link costs a quarter less than through the kept directory. That this still answers proves that the
      // process lived all the while, so nobody else can have had its pid.
      fstatSync(this.#fdDirectory);
      return 'ok';
    } catch (error) {
      return stateOf(error);
    }
  }

  /**
   * Bytes that cannot be reclaimed, shared pages split among those who share them: PSS of anonymous and shared memory
   * plus swap. File pages can be reclaimed and are left out where the kernel tells them apart (5.4 and newer).
   * @returns null when it is not permitted or the process is gone
   */
  pssBytes(): number | null {
    try {
      for (let attempt = 0; attempt < 2; attempt += 1) {
        this.#rollup ??= this.stat.leaderless
          ? this.#openOfThread('smaps_rollup')
          : new KeptFile(`${this.#procRoot}/${this.pid}/smaps_rollup`);
        if (this.#rollup === null) return null;
        // An exec replaces the memory that the file was opened for: it then answers ESRCH although the process lives.
        if (this.#rollup.readKeyed(rollupFields)) return rollupBytes();
        this.#rollup.close();
        this.#rollup = null;
      }
      return null;
    } catch (error) {
      if (isGone(error) || isDenied(error)) return null;
      throw error;
    }
  }

  close(): void {
    this.#statFile?.close();
    this.#threadStatFile?.close();
    this.#rollup?.close();
    if (this.#fdDirectory >= 0) closeSync(this.#fdDirectory);
    this.#statFile = null;
    this.#threadStatFile = null;
    this.#rollup = null;
    this.#fdDirectory = -1;
  }

  /**
   * The directory shows nothing for a zombie, and for a leader that ended before its threads; the table of the latter
   * is still seen through a thread.
   * @returns false when the process is neither
   */
  #countWithoutLeader(): boolean {
    if (this.readStat() !== 'ok') return false;
    if (this.stat.dead) this.fdCount = 0;
    if (!this.stat.leaderless) return this.stat.dead;
    const thread = liveThread(this.#procRoot, this.pid);
    if (thread === null) return false;
    this.#fdPath = `${this.#procRoot}/${this.pid}/task/${thread}/fd`;
    const directory = openDirectory(this.#fdPath);
    if (this.#fdDirectory >= 0) closeSync(this.#fdDirectory);
    this.#fdDirectory = directory;
    this.fdCount = countEntries(directory, this.#procRoot);
    return true;
  }

  #openOfThread(name: string): KeptFile | null {
    const thread = liveThread(this.#procRoot, this.pid);
    return thread === null ? null : KeptFile.tryOpen(`${this.#procRoot}/${this.pid}/task/${thread}/${name}`);
  }
}

/** A thread other than the leader that still runs. */
export function liveThread(procRoot: string, pid: number): number | null {
  const stat = new ProcStat();
  for (const name of readdirSync(`${procRoot}/${pid}/task`)) {
    if (Number(name) === pid) continue;
    const file = KeptFile.tryOpen(`${procRoot}/${pid}/task/${name}/stat`);
    if (file === null) continue;
    const length = file.fill();
    const alive = length > 0 && stat.parse(file.buffer, length) && stat.state !== 'Z' && stat.state !== 'X';
    file.close();
    if (alive) return Number(name);
  }
  return null;
}

const rollupFields = new KeyedFields(['Pss', 'Pss_Anon', 'Pss_Shmem', 'SwapPss']);

function rollupBytes(): number {
  const [pss, anonymous, shared, swapped] = rollupFields.values as unknown as [number, number, number, number];
  const resident = Number.isNaN(anonymous) ? pss : anonymous + (Number.isNaN(shared) ? 0 : shared);
  return (resident + (Number.isNaN(swapped) ? 0 : swapped)) * 1024;
}

/** Linux 6.2 and newer give the number of entries as the size of the directory; older ones give 0. */
let sizeIsCount: boolean | null = null;

function countEntries(directory: number, procRoot: string): number {
  sizeIsCount ??= statSync('/proc/self/fd').size > 0;
  if (sizeIsCount && procRoot === '/proc') return fstatSync(directory).size;
  return readdirSync(`/proc/self/fd/${directory}`).length;
}

function openDirectory(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

function stateOf(error: unknown): HandleState {
  if (isGone(error)) return 'gone';
  if (isDenied(error)) return 'denied';
  if (errnoOf(error) === 'EMFILE' || errnoOf(error) === 'ENFILE') return 'exhausted';
  throw error;
}

/** Why a sum over processes leaves one out, for people. */
export function unreadable(pid: number, state: Exclude<HandleState, 'ok' | 'gone'>): Unsupported {
  if (state === 'exhausted') return unsupported('the daemon has no file handles left to read processes with (EMFILE)');
  return unsupported(`process ${pid} of the tree cannot be read by this user: it runs as another user or is protected`);
}
