/** How a process ended, as data. */

/** `unknown`: a direct run's status belongs to its parent, and the kernel told nobody else. */
export type ExitInfo = { readonly code: number } | { readonly signal: string } | 'unknown';

export function exitInfo(code: number | null, signal: string | null): ExitInfo {
  if (signal !== null) return { signal };
  return code === null ? 'unknown' : { code };
}

export function describeExit(exit: ExitInfo): string {
  if (exit === 'unknown') return 'exit status unknown';
  return 'code' in exit ? `exit code ${exit.code}` : `signal ${exit.signal}`;
}
