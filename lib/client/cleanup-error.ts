/** What went wrong with one resource when it was to be destroyed, and all of it together. */

import { causeWithoutKey, maskKey, messageWithoutKey } from './mask-key.ts';

/**
 * `failed`: its cleanup threw. `timed_out`: its cleanup has not ended in time and goes on. `in_use`: a lease holds it; it
 * is destroyed when the last one is released. `not_made`: its factory still runs; what it makes is destroyed at once.
 */
export type CleanupProblem = 'failed' | 'timed_out' | 'in_use' | 'not_made';

export class ResourceCleanupError extends Error {
  readonly problem: CleanupProblem;
  readonly type: string;
  /** Masked. */
  readonly key: string;

  constructor(
    problem: CleanupProblem,
    of: { readonly type: string; readonly key: string },
    detail: { readonly thrown: unknown } | string,
  ) {
    const words = typeof detail === 'string' ? detail : messageWithoutKey(detail.thrown, of.key);
    super(
      `${of.type} ${maskKey(of.key)}: ${words}`,
      typeof detail === 'string' ? {} : causeWithoutKey(detail.thrown, of.key),
    );
    this.name = 'ResourceCleanupError';
    this.problem = problem;
    this.type = of.type;
    this.key = maskKey(of.key);
  }
}

export interface DestroyReport {
  readonly destroyed: number;
  readonly errors: readonly ResourceCleanupError[];
  /** All errors in one, for whoever wants to throw it; null when there are none. */
  readonly error: AggregateError | null;
  readonly durationMs: number;
}

export function destroyReport(outcomes: readonly (ResourceCleanupError | null)[], durationMs: number): DestroyReport {
  const errors = outcomes.filter((outcome) => outcome !== null);
  return {
    destroyed: outcomes.length - errors.length,
    errors,
    error:
      errors.length === 0
        ? null
        : new AggregateError(errors, `${errors.length} of ${outcomes.length} resources were not cleaned up`),
    durationMs,
  };
}
