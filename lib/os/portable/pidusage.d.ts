/** The part of pidusage that is used here; the package has no types of its own. */
declare module 'pidusage' {
  export interface Status {
    /** Percent of one core since the last call for this pid. */
    readonly cpu: number;
    /** RSS in bytes. */
    readonly memory: number;
    readonly ppid: number;
    readonly pid: number;
    /** User and system time in ms. */
    readonly ctime: number;
    /** ms since the process began. */
    readonly elapsed: number;
    readonly timestamp: number;
  }

  interface Pidusage {
    (pids: readonly number[]): Promise<Readonly<Record<string, Status | undefined>>>;
    /** Forgets every pid and closes what is kept for it. */
    clear(): void;
  }

  const pidusage: Pidusage;
  export default pidusage;
}
