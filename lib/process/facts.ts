/** What this room needs to know of other processes. The operating-system room implements it; compose joins them. */

import type { ProcessIdentity } from '../core/identity.ts';

export interface ProcessFacts {
  /** null when there is no such process, or it is a zombie. */
  identity(pid: number): ProcessIdentity | null;
  /** True when that very process still runs; a zombie does not. */
  alive(identity: ProcessIdentity): boolean;
  /** From the parent upwards to the top of the parent's session; see `clientAncestors` in client-watch.ts. */
  lineage(pid: number): readonly Ancestor[];
  /** argv; empty when unreadable. */
  argumentsOf(pid: number): readonly string[];
  cwdOf(pid: number): string | null;
  /** The environment the process was started with, `NAME=value` each; null when unreadable. */
  environmentOf(pid: number): readonly string[] | null;
  /** Owner's uid, or null. */
  ownerOf(pid: number): number | null;
  /** RLIMIT_NOFILE, `Infinity` for unlimited, or null. */
  openFileLimits(pid: number): { readonly soft: number; readonly hard: number } | null;
}

export interface Ancestor extends ProcessIdentity {
  readonly session: number;
  /** Has a controlling terminal. */
  readonly terminal: boolean;
}
