/** What the scanner knows of one run. */
export class ScannedRun {
  readonly cookie: string;
  /** Inode of the run's own PID namespace, once it is known. */
  pidNamespace: number | null = null;
  /** Live members, zombies among them. Reused: valid until the next scan. */
  readonly pids: number[] = [];
  /** Pids that are or were members: names of the sessions and groups that the run made. */
  readonly everPids = new Set<number>();
  /** Sessions and groups that members are in, filled by a full scan. */
  readonly inUse = new Set<number>();

  constructor(cookie: string) {
    this.cookie = cookie;
  }

  /** A run with a million short children must not grow: the number of a dead member matters only while a session or group has it. */
  forgetUnused(): void {
    // Mostly: everybody who ever was a member still is.
    if (this.everPids.size === this.pids.length) return;
    const live = new Set(this.pids);
    for (const pid of this.everPids) if (!live.has(pid) && !this.inUse.has(pid)) this.everPids.delete(pid);
  }
}
