/** Groups of the kernel around those of runs: of a context, and of all runs of a daemon. */

import type { ResolvedLimits } from '../core/limits.ts';
import type { Reading } from '../core/usage.ts';
import type { ContainmentRecord, LimitOutcome } from './backend.ts';

/** Of a limit that several runs share: what the kernel itself counts of them, and how it holds them together. */
export interface SharedGroup {
  /** False once somebody has removed it. */
  readonly exists: boolean;
  /** Totals of everything in it, in the unit of each resource; `unsupported` where there is no controller. */
  sample(nowMs: number, fresh: boolean): { readonly memory: Reading; readonly tasks: Reading };
  /** Cumulative milliseconds in which everything in it stalled on memory (PSI full); null where not known. */
  memoryStallMs(): number | null;
  /**
   * Kernel caps at the emergency stage. What a limit is not set for, or what is held by polling, is not among them.
   * @param tempRoomBytes what the runs may hold in a TMPDIR on a tmpfs: files in it are no memory of theirs
   */
  apply(limits: ResolvedLimits, tempRoomBytes: number): Promise<readonly LimitOutcome[]>;
  supports(action: 'cpu_quota' | 'memory_high'): true | { readonly reason: string };
  /** @param limits null lifts it */
  setBrake(action: 'cpu_quota' | 'memory_high', limits: ResolvedLimits | null): Promise<void>;
  close(): void;
}

/** Groups around those of runs. */
export interface SharedGroups {
  /** Of a context, as it is part of paths. */
  nameOf(context: string): string;
  /** Which one a run lies in below that of the host; a null name: directly in that. Null: it is none of this daemon's own. */
  groupOf(record: ContainmentRecord): { readonly name: string | null } | null;
  /** @param name null: the one around all runs of this daemon. @returns null where there is no such group now */
  open(name: string | null): SharedGroup | null;
}
