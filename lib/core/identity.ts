/** Who a process is. A pid alone means nothing: the kernel re-uses it. */

/** pid plus start time in clock ticks since boot, proc_pid_stat(5) field 22. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
}

export function sameIdentity(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTicks === b.startTicks;
}
