/** CONTRACT STUB, implementation follows. */
import type { CleanupStep } from '../core/audit-record.ts';

export interface ScopeReport {
  readonly reason: string;
  readonly steps: readonly CleanupStep[];
  readonly durationMs: number;
}

export interface FinalizerContext {
  readonly reason: string;
  /** Aborted when the finalizer's deadline passes. */
  readonly signal: AbortSignal;
}

/** Returns an optional detail for the report. */
export type Finalizer = (context: FinalizerContext) => Promise<string | void> | string | void;

/** Rules: labelled finalizers; strict reverse order, one at a time; each under its own deadline; all run even when one
 * fails or hangs; close is idempotent (same promise); adding to a closed scope runs at once; children close with and
 * deregister from their parent. */
export declare class Scope implements AsyncDisposable {
  constructor(options?: { readonly label?: string; readonly monotonicMs?: () => number });
  get closed(): boolean;
  add(label: string, finalizer: Finalizer, deadlineMs: number): void;
  child(label: string): Scope;
  close(reason: string): Promise<ScopeReport>;
  [Symbol.asyncDispose](): Promise<void>;
}
