/**
 * A lifetime: what was acquired in order is released in reverse, each step by its labelled finalizer, whatever happens
 * to the others. Closing yields a report.
 */

import type { CleanupStep } from '../core/audit-record.ts';
import { TimeoutError, withDeadline } from './deadline.ts';

export interface ScopeReport {
  readonly reason: string;
  /** In the order in which they ran; those of a child scope carry its label in front: `child: label`. */
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

/** A finalizer that came too late for the scope's own close and ran at once. `step` never rejects. */
export interface LateFinalizer {
  readonly step: Promise<CleanupStep>;
}

type Entry =
  | { readonly kind: 'finalizer'; readonly label: string; readonly finalizer: Finalizer; readonly deadlineMs: number }
  | { readonly kind: 'child'; readonly scope: Scope };

/**
 * Finalizers run in strict reverse order, one at a time, each under its own deadline, all of them even when one fails
 * or hangs. Closing is idempotent: the same promise. A child closes with its parent, at the place where it was made, and
 * is forgotten by it when it has closed before. A finalizer must not wait for its own scope to close.
 */
export class Scope implements AsyncDisposable {
  readonly label: string;
  readonly #monotonicMs: () => number;
  readonly #entries = new Set<Entry>();
  readonly #late: Promise<CleanupStep>[] = [];
  #reason: string | null = null;
  #closing: Promise<ScopeReport> | null = null;
  #onClosed: (() => void) | null = null;

  constructor(options: { readonly label?: string; readonly monotonicMs?: () => number } = {}) {
    this.label = options.label ?? 'scope';
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
  }

  /** True from the moment at which closing began. */
  get closed(): boolean {
    return this.#closing !== null;
  }

  /**
   * In a closed scope the finalizer runs at once; what becomes of it is in the answer and, while the scope is still
   * closing, in its report too.
   * @param deadlineMs for this finalizer alone
   */
  add(label: string, finalizer: Finalizer, deadlineMs: number): LateFinalizer | undefined {
    if (this.#reason === null) {
      this.#entries.add({ kind: 'finalizer', label, finalizer, deadlineMs });
      return undefined;
    }
    const step = this.#run(label, finalizer, deadlineMs, this.#reason);
    this.#late.push(step);
    return { step };
  }

  /** A scope inside this one. Of a closed scope the child is closed from the start. */
  child(label: string): Scope {
    const scope = new Scope({ label, monotonicMs: this.#monotonicMs });
    if (this.#reason !== null) {
      void scope.close(this.#reason);
      return scope;
    }
    const entry: Entry = { kind: 'child', scope };
    this.#entries.add(entry);
    // Forgotten only once it is done: a parent that closes meanwhile waits for it.
    scope.#onClosed = () => this.#entries.delete(entry);
    return scope;
  }

  /** Never rejects: failures are steps of the report. */
  close(reason: string): Promise<ScopeReport> {
    if (this.#closing === null) {
      this.#reason = reason;
      this.#closing = this.#close(reason);
    }
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close('disposed');
  }

  async #close(reason: string): Promise<ScopeReport> {
    const startedMs = this.#monotonicMs();
    const steps: CleanupStep[] = [];
    for (const entry of [...this.#entries].toReversed()) {
      if (entry.kind === 'finalizer')
        steps.push(await this.#run(entry.label, entry.finalizer, entry.deadlineMs, reason));
      else steps.push(...(await closeChild(entry.scope, reason)));
    }
    this.#entries.clear();
    // One that ran late may add another.
    for (let next = this.#late.shift(); next !== undefined; next = this.#late.shift()) steps.push(await next);
    this.#onClosed?.();
    return { reason, steps, durationMs: this.#monotonicMs() - startedMs };
  }

  async #run(label: string, finalizer: Finalizer, deadlineMs: number, reason: string): Promise<CleanupStep> {
    const startedMs = this.#monotonicMs();
    const end = (outcome: CleanupStep['outcome'], detail: string | void): CleanupStep => ({
      label,
      outcome,
      durationMs: this.#monotonicMs() - startedMs,
      ...(detail === undefined ? {} : { detail }),
    });
    let deadline: AbortSignal | undefined;
    const work = (signal: AbortSignal): ReturnType<Finalizer> => {
      deadline = signal;
      return finalizer({ reason, signal });
    };
    try {
      return end('ok', await withDeadline(work, deadlineMs, label));
    } catch (error) {
      // Whatever a finalizer throws is part of the report, and the next one runs.
      const timedOut = error instanceof TimeoutError && error === deadline?.reason;
      return end(timedOut ? 'timed_out' : 'failed', error instanceof Error ? error.message : String(error));
    }
  }
}

async function closeChild(scope: Scope, reason: string): Promise<CleanupStep[]> {
  const { steps } = await scope.close(reason);
  return steps.map((step) => ({ ...step, label: `${scope.label}: ${step.label}` }));
}
