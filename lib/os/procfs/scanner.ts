/**
 * Which processes belong to which run, found in /proc: one scan a tick for all runs of a backend. Best effort: a process
 * that clears its environment, leaves its session and outlives its parent between two scans is not found.
 *
 * A process belongs to a run when one of these holds, and then for good:
 * - its environment has the run's cookie;
 * - its PID namespace is the run's;
 * - its parent belongs to the run;
 * - it is in a session or process group that a process of the run made, and a known member of the run still is in it
 *   (while one is, the number cannot stand for anything else).
 */

import { readdirSync } from 'node:fs';
import type { ProcessIdentity } from '../../core/identity.ts';
import { readCookie } from './environ.ts';
import { readPidNamespace } from './namespace.ts';
import { PidCursor } from './pid-cursor.ts';
import type { ScannedRun } from './scanned-run.ts';
import { protectedPids } from './signal.ts';
import { doubt, lookedAt, newlySeen, type SeenProcess } from './seen-process.ts';
import { readNamedStat, readStat } from './stat.ts';

/** The least time between two scans that nobody insists on; and a scan is not repeated before 50 times its cost. */
const INTERVAL_MS = 200;
const COST_FACTOR = 50;
/** Members are looked at again this often, for the sessions and groups that they are in by then. */
const FULL_MS = 5000;

export class ProcfsScanner {
  readonly #procRoot: string;
  readonly #runs = new Map<string, ScannedRun>();
  readonly #seen = new Map<number, SeenProcess>();
  #scan = 0;
  readonly #cursor: PidCursor;
  #nextMs = Number.NEGATIVE_INFINITY;
  #fullMs = Number.NEGATIVE_INFINITY;
  /** True when any run has a PID namespace of its own. */
  #namespaces = false;
  /** Of the scan under way: who can never be a member. */
  #barred: ReadonlySet<number> | null = null;
  /** Sessions and groups that any run may have made; filled when the first stranger is looked at. */
  #made: Set<number> | null = null;

  constructor(procRoot = '/proc') {
    this.#procRoot = procRoot;
    this.#cursor = new PidCursor(procRoot);
  }

  /** @param existing it may have processes already (a run of an earlier daemon): everybody is looked at again */
  register(run: ScannedRun, existing: boolean): void {
    this.#runs.set(run.cookie, run);
    this.#namespaces ||= run.pidNamespace !== null;
    if (!existing) return;
    this.#fullMs = Number.NEGATIVE_INFINITY;
    for (const seen of this.#seen.values()) doubt(seen);
  }

  /** From now on members are also known by their PID namespace. */
  learnNamespace(run: ScannedRun, inode: number): void {
    run.pidNamespace = inode;
    this.#namespaces = true;
  }

  unregister(run: ScannedRun): void {
    this.#runs.delete(run.cookie);
    for (const seen of this.#seen.values()) if (seen.run === run) seen.run = null;
  }

  /** Makes a process a member, on the word of who started it. */
  adopt(run: ScannedRun, identity: ProcessIdentity, nowMs: number): void {
    const known = this.#seen.get(identity.pid);
    if (known?.startTicks === identity.startTicks) known.run = run;
    else this.#seen.set(identity.pid, { ...newlySeen(identity.pid, identity.startTicks, nowMs), run });
    run.everPids.add(identity.pid);
    if (!run.pids.includes(identity.pid)) run.pids.push(identity.pid);
  }

  /** Start time of a member, or null. */
  identityOf(run: ScannedRun, pid: number): ProcessIdentity | null {
    const seen = this.#seen.get(pid);
    return seen?.run === run ? { pid, startTicks: seen.startTicks } : null;
  }

  /**
   * Brings every run up to date.
   * @param nowMs monotonic milliseconds
   * @param fresh now; otherwise at most five times a second
   */
  scan(nowMs: number, fresh: boolean): void {
    if (!fresh && nowMs < this.#nextMs) return;
    const began = performance.now();
    this.#look(nowMs);
    const costMs = performance.now() - began;
    this.#nextMs = nowMs + Math.max(INTERVAL_MS, costMs * COST_FACTOR);
  }

  close(): void {
    this.#cursor.close();
    this.#runs.clear();
    this.#seen.clear();
  }

  #look(nowMs: number): void {
    const full = nowMs >= this.#fullMs;
    if (full) this.#fullMs = nowMs + FULL_MS;
    this.#scan += 1;
    this.#barred = null;
    this.#made = null;
    if (full) for (const run of this.#runs.values()) run.inUse.clear();
    // Before the directory: what is given out while it is read is looked at again next time.
    this.#cursor.advance();
    const strangers: Candidate[] = [];
    for (const name of readdirSync(this.#procRoot)) {
      const pid = Number(name);
      if (!Number.isInteger(pid)) continue;
      const known = this.#seen.get(pid);
      const settled = known !== undefined && (known.run === null ? nowMs < known.againMs : !full);
      if (settled && !this.#cursor.mayBeReused(pid)) known.scan = this.#scan;
      else this.#examine(pid, known, nowMs, strangers);
    }
    for (const [pid, { scan }] of this.#seen) if (scan !== this.#scan) this.#seen.delete(pid);
    this.#resolveKin(strangers);
    this.#fillRuns();
    if (full) for (const run of this.#runs.values()) run.forgetUnused();
  }

  /** Identity and own evidence of one process; who its kin are is decided when all are known. */
  #examine(pid: number, known: SeenProcess | undefined, nowMs: number, strangers: Candidate[]): void {
    const found = readNamedStat(pid, this.#procRoot);
    if (found === null) return;
    const { stat, name } = found;
    const seen = known?.startTicks === stat.startTicks ? known : newlySeen(pid, stat.startTicks, nowMs);
    seen.scan = this.#scan;
    if (seen !== known) this.#seen.set(pid, seen);
    const kin = { ppid: stat.ppid, session: stat.session, group: stat.group };
    seen.run?.inUse.add(kin.session).add(kin.group);
    if (seen.run !== null || stat.dead) return;
    // A new name means an exec, and with it another environment.
    const suspicious = lookedAt(seen, nowMs) || seen.name !== name || this.#namespaces;
    if (suspicious) seen.run = this.#runByEvidence(pid, stat.leaderless);
    seen.name = name;
    if (seen.run === null) strangers.push({ seen, ...kin });
    else this.#join(seen.run, pid);
  }

  #runByEvidence(pid: number, leaderless: boolean): ScannedRun | null {
    if (this.#runs.size === 0 || this.#isBarred(pid)) return null;
    const cookie = readCookie(pid, this.#procRoot, leaderless);
    const named = cookie === null ? undefined : this.#runs.get(cookie);
    if (named !== undefined || !this.#namespaces) return named ?? null;
    const namespace = readPidNamespace(pid, this.#procRoot);
    if (namespace === null) return null;
    for (const run of this.#runs.values()) if (run.pidNamespace === namespace) return run;
    return null;
  }

  #isBarred(pid: number): boolean {
    this.#barred ??= protectedPids();
    return this.#barred.has(pid);
  }

  /** Parents may be found after their children: repeated until nothing is new. */
  #resolveKin(strangers: readonly Candidate[]): void {
    if (this.#runs.size === 0) return;
    let left = strangers.filter((candidate) => !this.#isBarred(candidate.seen.pid));
    for (let changed = true; changed;) {
      changed = false;
      left = left.filter((candidate) => {
        const run = this.#runOfParent(candidate) ?? this.#runOfCompany(candidate);
        if (run === null) return true;
        candidate.seen.run = run;
        this.#join(run, candidate.seen.pid);
        changed = true;
        return false;
      });
    }
  }

  #runOfParent({ seen, ppid }: Candidate): ScannedRun | null {
    const parent = this.#seen.get(ppid);
    if (parent === undefined || parent.run === null || parent.startTicks > seen.startTicks) return null;
    // Its pid may be somebody else's since it was looked at.
    return readStat(ppid, this.#procRoot)?.startTicks === parent.startTicks ? parent.run : null;
  }

  #join(run: ScannedRun, pid: number): void {
    run.everPids.add(pid);
    this.#made?.add(pid);
  }

  #runOfCompany({ session, group }: Candidate): ScannedRun | null {
    // Of a thousand strangers, nearly all are in company that no run made.
    this.#made ??= new Set([...this.#runs.values()].flatMap(({ everPids }) => [...everPids]));
    if (!this.#made.has(session) && !this.#made.has(group)) return null;
    for (const run of this.#runs.values()) {
      const made = run.everPids.has(session) || run.everPids.has(group);
      if (made && this.#hasMemberIn(run, session, group)) return run;
    }
    return null;
  }

  #hasMemberIn(run: ScannedRun, session: number, group: number): boolean {
    for (const seen of this.#seen.values()) {
      if (seen.run !== run) continue;
      const stat = readStat(seen.pid, this.#procRoot);
      if (stat === null || stat.startTicks !== seen.startTicks) continue;
      if (run.everPids.has(session) && stat.session === session) return true;
      if (run.everPids.has(group) && stat.group === group) return true;
    }
    return false;
  }

  #fillRuns(): void {
    for (const run of this.#runs.values()) run.pids.length = 0;
    for (const seen of this.#seen.values()) if (seen.run !== null) seen.run.pids.push(seen.pid);
  }
}

interface Candidate {
  readonly seen: SeenProcess;
  readonly ppid: number;
  readonly session: number;
  readonly group: number;
}
